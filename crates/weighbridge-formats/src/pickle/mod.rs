//! Python pickles, protocols 0 to 5, interpreted into a tree of plain nodes. Nothing is executed.
//!
//! A pickle is a program for a stack machine that may call any Python function. Here a call is a node that
//! says what would be called with what; whoever reads the tree decides which names mean something.
//! Source of the opcodes: CPython's Lib/pickletools.py (their documented meaning). Knows nothing of tensors.

mod machine;
mod opcode;
mod text;
pub(crate) mod write;

use std::collections::HashMap;
use std::ops::Range;

use weighbridge_model::{Limits, Result};

pub use machine::Fault;

/// Index of a node within its [`Pickle`].
pub type NodeId = u32;

/// What a pickle holds at one place.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64`, in decimal digits.
    BigInt(Box<str>),
    /// A floating-point number.
    Float(f64),
    /// Text. Strings of Python 2 too, where they are valid UTF-8.
    Str(Box<str>),
    /// Bytes, by their place in the pickle.
    Bytes(Range<usize>),
    /// Bytes that were written in an escaped form.
    Unescaped(Box<[u8]>),
    /// A list.
    List(Vec<NodeId>),
    /// A tuple.
    Tuple(Vec<NodeId>),
    /// A set or frozen set.
    Set(Vec<NodeId>),
    /// A dict; later entries of a key replace earlier ones (see [`Pickle::entries`]).
    Dict(Vec<(NodeId, NodeId)>),
    /// A class or function, named and not resolved.
    Global(Box<Global>),
    /// What calling or instantiating something would give.
    Object(Box<Object>),
    /// A reference to something outside of the pickle.
    Persistent(NodeId),
}

/// The name of a class or function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Module path.
    pub module: Box<str>,
    /// Name within it; may be dotted.
    pub name: Box<str>,
}

/// The result of a call that is not made.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What would be called.
    pub callable: NodeId,
    /// Its arguments: a tuple.
    pub args: NodeId,
    /// What `BUILD` would hand to `__setstate__`.
    pub state: Option<NodeId>,
    /// What would be appended to it.
    pub items: Vec<NodeId>,
    /// What would be set in it by key.
    pub entries: Vec<(NodeId, NodeId)>,
}

/// An interpreted pickle.
#[derive(Debug)]
pub struct Pickle {
    nodes: Vec<Node>,
    /// What the pickle as a whole gives.
    pub root: NodeId,
    /// The protocol it states, 0 where it states none.
    pub protocol: u8,
    /// Length in bytes, STOP included: what follows is no part of it.
    pub len: usize,
}

/// Interprets the pickle at the start of `bytes`.
///
/// # Errors
/// An opcode that does not exist or lacks what it needs, with its offset.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Pickle, Fault> {
    machine::Machine::new(bytes, limits).run()
}

impl Pickle {
    /// The node of this id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// What each reference to something outside of the pickle is called there.
    pub fn references(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Persistent(id) => Some(*id),
            _ => None,
        })
    }

    /// Puts nodes in the place of references, where `meant` knows what a reference's id stands for.
    pub fn resolve(&mut self, meant: impl Fn(&Pickle, NodeId) -> Option<Node>) {
        for at in 0..self.nodes.len() {
            if let Node::Persistent(id) = self.nodes[at]
                && let Some(node) = meant(self, id)
            {
                self.nodes[at] = node;
            }
        }
    }

    /// Every class and function that is named, in the order of the pickle; used or not.
    pub fn globals(&self) -> impl Iterator<Item = &Global> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Global(global) => Some(&**global),
            _ => None,
        })
    }

    /// The text, where the node is text.
    pub fn str(&self, id: NodeId) -> Option<&str> {
        match self.node(id) {
            Node::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The whole number, where the node is one.
    pub fn int(&self, id: NodeId) -> Option<i64> {
        match self.node(id) {
            Node::Int(i) => Some(*i),
            Node::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    /// The number, where the node is one.
    pub fn float(&self, id: NodeId) -> Option<f64> {
        match self.node(id) {
            Node::Float(x) => Some(*x),
            _ => self.int(id).map(|i| i as f64),
        }
    }

    /// The items of a list or tuple.
    pub fn sequence(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.node(id) {
            Node::List(items) | Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The module and name, where the node is a class or function.
    pub fn global(&self, id: NodeId) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Global(g) => Some((&g.module, &g.name)),
            _ => None,
        }
    }

    /// `module.name` of a class or function.
    pub fn qualified(&self, id: NodeId) -> Option<String> {
        self.global(id).map(|(module, name)| format!("{module}.{name}"))
    }

    /// The entries of a dict, or those set in an object, as Python would have them: one a key, at the place
    /// of its first setting, with the value of its last.
    pub fn entries(&self, entries: &[(NodeId, NodeId)]) -> Vec<(NodeId, NodeId)> {
        let mut seen: HashMap<Key<'_>, usize> = HashMap::with_capacity(entries.len());
        let mut kept: Vec<(NodeId, NodeId)> = Vec::with_capacity(entries.len());
        for &(key, value) in entries {
            let hashed = match self.node(key) {
                Node::Str(s) => Key::Str(s),
                _ => self.int(key).map_or(Key::Node(key), Key::Int),
            };
            match seen.get(&hashed) {
                Some(&i) => kept[i].1 = value,
                None => {
                    seen.insert(hashed, kept.len());
                    kept.push((key, value));
                }
            }
        }
        kept
    }

    /// The value of a text key in a dict.
    pub fn get(&self, dict: NodeId, key: &str) -> Option<NodeId> {
        match self.node(dict) {
            Node::Dict(entries) => {
                entries.iter().rev().find(|(k, _)| self.str(*k) == Some(key)).map(|&(_, v)| v)
            }
            _ => None,
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Str(&'a str),
    Int(i64),
    Node(NodeId),
}

#[cfg(test)]
mod tests;
