//! Rules: one operator, or one family of them, a file.

mod broadcast;
mod window;

pub(super) mod attention;
pub(super) mod binary;
pub(super) mod boxes;
pub(super) mod cast;
pub(super) mod control;
pub(super) mod conv;
pub(super) mod einsum;
pub(super) mod fft;
pub(super) mod gather;
pub(super) mod generate;
pub(super) mod matmul;
pub(super) mod ml;
pub(super) mod norm;
pub(super) mod pad;
pub(super) mod pool;
pub(super) mod quantize;
pub(super) mod reduce;
pub(super) mod resize;
pub(super) mod rnn;
pub(super) mod sequence;
pub(super) mod shape;
pub(super) mod slice;
pub(super) mod text;
pub(super) mod training;
pub(super) mod unary;
