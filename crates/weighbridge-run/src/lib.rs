//! Execution: engines, inputs to run models on, and comparison of what they give.
//!
//! A model reaches an engine as an ONNX file that is written from its graph with every value that is asked for as an
//! output, so that engines are asked for nothing but outputs.

#![forbid(unsafe_code)]

mod array;
mod bounded;
mod compare;
mod engine;
mod inputs;
mod observe;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod probe;
#[cfg(feature = "rten")]
mod rten_engine;
mod verify;

pub use array::Array;
pub use bounded::{Bounds, choose_bounded, serve, usual_memory};
pub use compare::{Comparison, compare};
pub use engine::{Engine, EngineChoice, Session, choose};
pub use inputs::{Shapes, from_file, random};
pub use observe::{Observed, figures, observe};
pub use probe::Probe;
pub use verify::{Divergence, Options, Times, Verdict, verify};
