//! Inference of types, shapes and the values of shapes, with symbolic sizes.
