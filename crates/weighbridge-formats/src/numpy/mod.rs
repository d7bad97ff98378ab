//! NumPy's `.npy`: written here; reading comes with the other containers.

mod write;

pub use write::{write, write_array};
