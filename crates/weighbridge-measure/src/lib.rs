//! Figures of tensors: two mergeable passes, one to a [`Summary`], one to a [`Histogram`] and the
//! [`Survival`] of formats; [`measure`] runs them over many tensors on all cores in flat memory.
//!
//! The same bits come out whatever the machine, the thread count or the split: one source of arithmetic
//! compiled for several instruction sets, sixteen fixed lanes, fused operations only where they round alike,
//! and a merge tree that block indices alone decide. The environment variable `WEIGH_SIMD` holds the kernels to
//! one instruction set ([`Level::detect`]).

#![deny(unsafe_code)]

mod channels;
mod codes;
mod compare;
mod hash;
mod histogram;
#[allow(unsafe_code)]
mod kernels;
mod merge;
mod multiset;
mod pairs;
mod passes;
mod runner;
mod scale;
mod shift;
mod summary;
mod survival;
mod tally;
mod views;
mod walk;

pub use channels::{ByChannel, by_channel};
pub use compare::{Compared, SHOWN, compare, compare_runs, identical};
pub use hash::sha256;
pub use histogram::{BINS, Histogram};
pub use kernels::Level;
pub use multiset::{Fingerprint, Multiset, fingerprints};
pub use runner::{Measured, Options, measure};
pub use shift::{Shift, shift};
pub use summary::{Number, Summary};
pub use survival::Survival;
pub use views::check_expansion;
