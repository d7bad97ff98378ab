//! From a graph of ONNX's operators to source code: a folder for each target, with a table from operator to rule.

pub mod pytorch;
