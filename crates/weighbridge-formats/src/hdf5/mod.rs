//! HDF5 files: a tree of groups with datasets and attributes. Knows nothing of networks.
//!
//! Source of the facts: The HDF Group's file format specification, version 3.0.
//!
//! | structure | begins with | read |
//! |---|---|---|
//! | superblock | `\x89HDF\r\n\x1a\n` at byte 0, 512, 1024… | versions 0 to 3 |
//! | object header | version byte 1, or `OHDR` | messages, with continuations |
//! | group | a symbol table (B-tree `TREE`, nodes `SNOD`, `HEAP`), link messages, or a fractal heap `FRHP` under `BTHD` | all |
//! | data | compact, contiguous, in chunks | chunks under each index: B-trees, one, in a row, `FAHD`, `EAHD` |
//! | filters | deflate, shuffle, Fletcher-32 | others are listed and refused |
//!
//! Addresses count from the superblock's signature.

mod attribute;
mod btree;
mod bytes;
mod chunks;
mod dataset;
mod datatype;
mod file;
mod filters;
mod group;
mod header;
mod heap;
mod storage;

use std::collections::HashSet;

use weighbridge_model::{Error, Limits, Result, Value};

use crate::name_bytes::NameBytes;
use crate::source::Source;
pub use dataset::Dataset;
pub use datatype::Kind;
use file::File;
pub use file::signature_at;
use group::Target;

/// An object of the tree, in the order of names, parents first.
#[derive(Debug)]
pub struct Object {
    /// Path from the root, without a leading slash; empty for the root.
    pub path: String,
    /// The dataset, where it is one.
    pub dataset: Option<Dataset>,
    /// Its attributes.
    pub attributes: Vec<(String, Value)>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Tree {
    /// Objects, each once however many links lead to it.
    pub objects: Vec<Object>,
    /// Links to paths in this file or in others, which are not followed.
    pub elsewhere: Vec<String>,
}

/// Reads the tree of the file that begins at `start` of a source. No elements are read.
///
/// # Errors
/// Structures that contradict each other or the file, or are of versions that are not known.
pub fn read(source: &Source, start: u64, limits: &Limits) -> Result<Tree> {
    let file = File::open(source, start, limits)?;
    let mut tree = Tree::default();
    let mut seen = HashSet::new();
    let mut names = NameBytes::default();
    let mut pending = vec![(String::new(), file.root, 0)];
    while let Some((path, address, depth)) = pending.pop() {
        if !seen.insert(address) {
            continue;
        }
        if depth > limits.depth || tree.objects.len() as u64 >= limits.items {
            let (what, allowed) = match depth > limits.depth {
                true => ("groups within groups", limits.depth as u64),
                false => ("objects", limits.items),
            };
            return Err(Error::Limit {
                place: file.place(address),
                what,
                asked: allowed.saturating_add(1),
                allowed,
            });
        }
        let messages = header::messages(&file, address)?;
        let attributes = attribute::attributes(&file, &messages)?;
        let dataset = dataset::dataset(&file, &messages).map_err(|e| e.in_tensor(&path))?;
        let links = if dataset.is_none() { group::links(&file, &messages)? } else { None };
        for (name, target) in links.unwrap_or_default().into_iter().rev() {
            names.take(path.len() + name.len(), || file.place(address))?;
            let below = if path.is_empty() { name } else { format!("{path}/{name}") };
            match target {
                Target::Object(address) => pending.push((below, address, depth + 1)),
                Target::Elsewhere => tree.elsewhere.push(below),
            }
        }
        tree.objects.push(Object { path, dataset, attributes });
    }
    tree.elsewhere.sort();
    Ok(tree)
}
