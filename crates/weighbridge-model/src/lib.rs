//! The one model that every container is read into and every question is asked of.
//!
//! A leaf crate: no I/O. Tensors know their type, shape and role, and reach their bytes through a
//! [`Storage`] and a [`Layout`]; nothing here holds weights, and nothing copies them to look at them.

#![forbid(unsafe_code)]

#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("weighbridge runs on 64-bit little-endian hosts");

mod chunks;
pub mod dtype;
mod error;
mod finding;
mod graph;
pub mod layers;
mod layout;
mod limits;
mod model;
pub mod roles;
pub mod storage;
mod tensor;
mod value;

pub use chunks::{BLOCK, Chunk};
pub use dtype::{BlockType, Class, DType};
pub use error::{Error, Place, Result};
pub use finding::{Finding, Severity};
pub use graph::{
    Attribute, Bindings, Carried, Dim, Function, Graph, GraphValue, Node, Program, Properties, SparseTensor,
    TensorNotes, Training, ValueId, ValueType,
};
pub use layout::{Layout, View};
pub use limits::Limits;
pub use model::{Model, Module, Part, is_optimizer_key, is_weight_key, nearest, nearest_or_all};
pub use storage::{CHUNK, ChunkVisitor, Memory, PerUnit, Storage};
pub use tensor::{Role, Tensor, TensorId, element_count};
pub use value::Value;
