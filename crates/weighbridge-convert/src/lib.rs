//! What happens to tensors on their way from one file to another: some stay behind, others get a new name, another
//! order of dimensions, another type. Everything stays lazy; what is done to each is told.

#![forbid(unsafe_code)]

mod cast;
mod fold;
mod graph;
pub mod into;
mod permute;
mod rename;
mod transfer;

pub use cast::CastOptions;
pub use rename::{Rename, rename_map};
pub use transfer::{Moved, Transfer};
