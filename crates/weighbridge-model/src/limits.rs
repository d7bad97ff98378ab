//! What an input may ask of us: one explicit struct, nothing hidden in a reader.

/// Bounds on what a reader allocates or iterates on the word of a file.
///
/// Lengths that a file states are held against the bytes left before anything is allocated; these
/// bounds are for what remains: compressed headers, nesting, and views that repeat their storage.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest header or pickle that is kept in memory, in bytes, after inflating.
    pub header_bytes: u64,
    /// Deepest nesting of containers, messages or modules that is followed.
    pub depth: usize,
    /// Most tensors, nodes or archive entries in one file.
    pub items: u64,
    /// Most dimensions of a tensor.
    pub dims: usize,
    /// Most logical elements per stored element of an overlapping view. Broadcast (stride 0)
    /// dimensions do not count, since each distinct element is measured once.
    pub view_expansion: u64,
    /// Most inflated bytes per deflated byte (deflate itself cannot exceed 1032).
    pub inflate_ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            header_bytes: 256 << 20,
            depth: 512,
            items: 10_000_000,
            dims: 64,
            view_expansion: 64,
            inflate_ratio: 1040,
        }
    }
}
