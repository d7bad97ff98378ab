//! What folds into what, what must not, and what becomes of branches that sum.

mod branches;
mod folds;
mod net;
mod traps;
