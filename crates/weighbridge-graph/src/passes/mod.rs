//! Passes over graphs: each looks at a place and gives a patch, or the reason why not.
pub mod reparameterize;
