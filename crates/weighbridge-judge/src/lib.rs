//! Judgements: figures in, verdicts and findings out. Measures nothing itself.

#![forbid(unsafe_code)]

pub mod check;
pub mod diff;
mod health;
pub mod keep;
mod precision;

pub use health::findings;
pub use precision::{Precision, Verdict, judge, precision_findings};
