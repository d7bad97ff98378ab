//! One file a command; each opens, asks the library, and prints.

mod account;
pub mod check;
pub mod completions;
pub mod convert;
pub mod diff;
mod emit;
mod fold;
pub mod formats;
mod into;
mod lower;
pub mod ls;
mod manifest;
pub mod precision;
mod proof;
#[cfg(feature = "run")]
mod prove;
pub mod report;
pub mod show;
pub mod simplify;
pub mod stats;
#[cfg(feature = "run")]
pub mod verify;
