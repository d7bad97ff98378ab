//! Graphs: what follows from them (`infer`), what is done to them (`passes`), the algebra of folding (`fold`), from a
//! source's own domain to ONNX's (`lower`), and from a graph to source code (`emit`). No I/O.

#![forbid(unsafe_code)]

pub mod build;
pub mod edit;
pub mod emit;
pub mod eval;
pub mod fold;
pub mod infer;
pub mod lower;
pub mod passes;
pub mod precision;
pub mod random;
