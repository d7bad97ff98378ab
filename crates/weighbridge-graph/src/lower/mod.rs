//! From a source's own domain to ONNX's operators.
