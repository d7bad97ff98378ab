//! Rules: one operator, or one family of them, a file.

mod broadcast;

pub(super) mod binary;
pub(super) mod cast;
pub(super) mod gather;
pub(super) mod generate;
pub(super) mod shape;
pub(super) mod slice;
pub(super) mod unary;
