//! A pickled `nn.Module`, whose class need not exist here: its `state_dict()` from its attributes.
//!
//! torch lists, for each module, `_parameters` that are not None, then `_buffers` that are neither None
//! nor in `_non_persistent_buffers_set`, then `_modules` in their order (torch.nn.Module.state_dict).

use std::collections::HashSet;

use weighbridge_model::{Result, Role, Value};

use super::walk::{State, Walk};
use crate::pickle::{Node, NodeId, Pickle};

/// Longest attribute list that is kept: kernel sizes are, class names of a dataset are not.
const MAX_ITEMS: usize = 16;

/// Attributes of a module, by node.
pub struct Attributes {
    class: String,
    all: Vec<(NodeId, NodeId)>,
    parameters: Vec<(NodeId, NodeId)>,
    buffers: Vec<(NodeId, NodeId)>,
    children: Vec<(NodeId, NodeId)>,
}

/// Attributes in which torch keeps what was seen above, and hooks.
fn is_registry(name: &str) -> bool {
    matches!(name, "_parameters" | "_buffers" | "_modules" | "_non_persistent_buffers_set")
        || (name.starts_with('_') && name.contains("_hooks"))
}

impl<'a> Walk<'a> {
    /// The attributes, where the node is a module.
    pub(super) fn module(&self, id: NodeId) -> Option<Attributes> {
        let pickle = self.reader.pickle;
        let Node::Object(object) = pickle.node(id) else { return None };
        let state = object.state?;
        let (parameters, children) = (pickle.get(state, "_parameters")?, pickle.get(state, "_modules")?);
        let buffers = pickle.get(state, "_buffers");
        Some(Attributes {
            class: self.class(object),
            all: self.mapping(state)?,
            parameters: self.mapping(parameters)?,
            buffers: buffers.and_then(|b| self.mapping(b)).unwrap_or_default(),
            children: self.mapping(children)?,
        })
    }

    /// Lists what `state_dict()` would, and remembers the rest for later. Gives the class as metadata.
    pub(super) fn module_tree(&mut self, id: NodeId, module: Attributes) -> Result<Value> {
        self.listed.insert(id);
        let pickle = self.reader.pickle;
        self.push_module(module.class.clone(), self.plain_attributes(&module));
        let before = self.state;
        self.state.role = Some(Role::Parameter);
        for &(name, value) in &module.parameters {
            self.registered(name, value)?;
        }
        self.state.role = Some(Role::Buffer);
        let skipped = Self::non_persistent(pickle, &module);
        for &(name, value) in &module.buffers {
            if pickle.str(name).is_some_and(|n| skipped.contains(n)) {
                self.state.in_state_dict = false;
                self.registered(name, value)?;
                self.state.in_state_dict = before.in_state_dict;
            } else {
                self.registered(name, value)?;
            }
        }
        self.state = State { role: None, ..before };
        for &(name, value) in &module.children {
            self.registered(name, value)?;
        }
        self.state = before;
        for &(name, value) in &module.all {
            let Some(name) = pickle.str(name) else { continue };
            let holds_more = matches!(
                pickle.node(value),
                Node::Object(_) | Node::List(_) | Node::Tuple(_) | Node::Dict(_)
            );
            if holds_more && !is_registry(name) {
                let path =
                    if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
                self.outside.push((path, value));
            }
        }
        Ok(Value::Object { class: module.class, state: Box::new(Value::Null) })
    }

    /// A registered parameter, buffer or child under its name; None stands for one that is not used.
    fn registered(&mut self, name: NodeId, value: NodeId) -> Result<()> {
        if !matches!(self.reader.pickle.node(value), Node::None) {
            let name = self.key(name);
            self.below(&name, value)?;
        }
        Ok(())
    }

    fn non_persistent(pickle: &'a Pickle, module: &Attributes) -> HashSet<&'a str> {
        let set = module.all.iter().find(|(k, _)| pickle.str(*k) == Some("_non_persistent_buffers_set"));
        let names = match set.map(|&(_, set)| pickle.node(set)) {
            Some(Node::Set(names)) => names.as_slice(),
            // Before protocol 4: set([…])
            Some(Node::Object(object)) => pickle
                .sequence(object.args)
                .and_then(|args| pickle.sequence(*args.first()?))
                .unwrap_or_default(),
            _ => &[],
        };
        names.iter().filter_map(|&n| pickle.str(n)).collect()
    }

    /// Plain values among the attributes: what tells a layer's kind.
    fn plain_attributes(&self, module: &Attributes) -> Vec<(String, Value)> {
        let pickle = self.reader.pickle;
        let named = module.all.iter().filter_map(|&(k, v)| Some((pickle.str(k)?, v)));
        named
            .filter(|(name, _)| !name.starts_with('_'))
            .filter_map(|(name, v)| Some((name.to_owned(), self.plain(v, true)?)))
            .collect()
    }

    pub(super) fn plain(&self, id: NodeId, lists: bool) -> Option<Value> {
        Some(match self.reader.pickle.node(id) {
            Node::None => Value::Null,
            Node::Bool(b) => Value::Bool(*b),
            Node::Int(i) => Value::Int(*i),
            Node::Float(x) => Value::Float(*x),
            Node::Str(s) if s.len() <= 256 => Value::Str(s.to_string()),
            Node::List(items) | Node::Tuple(items) if lists && items.len() <= MAX_ITEMS => {
                Value::List(items.iter().map(|&i| self.plain(i, false)).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}
