//! From a graph to source code.
