//! Execution: engines, inputs to run models on, and comparison of what they give.
//!
//! A Caffe net is run by the interpreter in `caffe`. Any other model reaches an engine as an ONNX file that is written from its graph with every value that is asked for as an
//! output, so that engines are asked for nothing but outputs.

#![forbid(unsafe_code)]

mod array;
mod axes;
mod bounded;
mod caffe;
mod compare;
mod engine;
mod feed;
mod inputs;
mod interface;
mod observe;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod probe;
mod rounded;
#[cfg(feature = "rten")]
mod rten_engine;
mod verify;

pub use array::Array;
pub use bounded::{Bounds, choose_bounded, serve, usual_memory};
pub use caffe::CaffeReference;
pub use compare::{Comparison, compare};
pub use engine::{Engine, EngineChoice, Session, choose, reference};
pub use feed::{Fed, feed};
pub use inputs::{Shapes, from_file, random};
pub use interface::{Input, Interface, Step};
pub use observe::{Observed, figures, observe};
pub use probe::Probe;
pub use verify::{Divergence, Options, Side, Times, Verdict, verify, verify_sides};
