//! Drawing results: as JSON by the contract, and as text for a terminal. Measures nothing.

#![forbid(unsafe_code)]

pub mod diff;
pub mod json;
pub mod sarif;
pub mod spark;
pub mod style;
pub mod table;
pub mod text;
pub mod units;
pub mod wrap;
