//! Containers: telling them apart by content, and reading them lazily into the one model.
//!
//! [`format::FORMATS`] is the table; each format has a folder of its own. What lies beside the folders
//! (`source`, `zip`, `pickle`, `protobuf`, `flatbuffer`, `hdf5`) knows nothing of tensors.

#![deny(unsafe_code)]

mod caffe;
pub mod company;
mod flatbuffer;
mod folder;
pub mod format;
mod gguf;
mod hdf5;
mod json;
mod keras;
mod name_bytes;
pub mod numpy;
mod onnx;
mod open;
pub mod output;
pub mod pickle;
pub mod plan;
mod protobuf;
mod pytorch;
mod refused;
mod safetensors;
mod shards;
#[allow(unsafe_code)]
pub mod source;
mod strings;
mod tar;
mod tensorflow;
mod tensorrt;
mod tflite;
mod ties;
mod typed;
mod wts;
pub mod zip;

pub use caffe::{Declared, declared};
pub use format::{FORMATS, Format, ReadOptions, Variant, by_id};
pub use open::{open, read};
pub use plan::{Carry, Change, FilePlan, Plan, WriteOptions, check_target};
pub use source::{Access, Source};
