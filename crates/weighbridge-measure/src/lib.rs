//! Figures of tensors: two mergeable passes, [`Summary`] and [`Histogram`], and [`Survival`] beside the
//! second; [`measure`] runs them over many tensors on all cores in flat memory.
//!
//! The same bits come out whatever the machine, the thread count or the split: one source of arithmetic
//! compiled for several instruction sets, sixteen fixed lanes, no fused multiply-add, and a merge tree that
//! block indices alone decide.

#![deny(unsafe_code)]

mod hash;
mod histogram;
#[allow(unsafe_code)]
pub mod kernels;
mod merge;
mod runner;
mod summary;
mod survival;
mod widen;

pub use hash::sha256;
pub use histogram::{BINS, Histogram};
pub use runner::{Measured, Options, measure};
pub use summary::{Number, Summary};
pub use survival::Survival;
