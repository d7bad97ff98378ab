//! The pickled tree from its root: tensors get their names, everything else becomes metadata.

use std::collections::HashSet;

use weighbridge_model::{
    Error, Finding, Limits, Model, Module, Part, Result, Role, Severity, Tensor, TensorId, Value,
    is_weight_key,
};

use super::danger;
use super::rebuild::{Rebuilder, Rebuilt};
use super::records::Records;
use super::script::Classes;
use crate::pickle::{Node, NodeId, Object, Pickle};

/// Visits to containers allowed per node of the pickle. A tree that shares its parts is walked once for each way to
/// them, and a file of a few bytes can share its way to billions.
const REVISITS: u64 = 16;
/// Visits allowed however small the pickle is: `[(1, 2)] * 5000` is a few nodes.
const FREE_VISITS: u64 = 500_000;
/// Items of a tuple that are shown where it is a key.
const KEY_ITEMS: usize = 8;
/// Most bytes of all tensors' names together.
const NAME_BYTES: u64 = 64 << 20;

fn visits(pickle: &Pickle) -> u64 {
    pickle.node_count() as u64 * REVISITS + FREE_VISITS
}

/// Code of the finding on a sparse tensor.
const SPARSE: &str = "F103";

/// Reads a pickle as a model, without a word on its origin.
///
/// # Errors
/// Tensors that contradict their storages, nesting without end.
pub fn model(records: &dyn Records, bytes: &[u8], pickle: &Pickle, limits: &Limits) -> Result<Model> {
    Walk::new(Rebuilder::new(pickle, bytes, records, limits)).model(pickle.root)
}

/// What holds for tensors below the current path.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub in_state_dict: bool,
    pub role: Option<Role>,
}

pub(super) struct Walk<'a> {
    pub reader: Rebuilder<'a>,
    pub model: Model,
    pub path: String,
    pub state: State,
    /// Nodes between the root and here, against cycles.
    on_path: HashSet<NodeId>,
    visits_left: u64,
    name_bytes: u64,
    /// Nodes of tensors that `state_dict()` would list, and of modules.
    pub listed: HashSet<NodeId>,
    /// Attributes of modules that may hold further tensors, with their paths.
    pub outside: Vec<(String, NodeId)>,
    /// Classes of a TorchScript archive.
    pub classes: Option<&'a Classes<'a>>,
}

impl<'a> Walk<'a> {
    /// Before the root of the reader's pickle.
    pub fn new(reader: Rebuilder<'a>) -> Self {
        Walk {
            visits_left: visits(reader.pickle),
            reader,
            model: Model::default(),
            path: String::new(),
            on_path: HashSet::new(),
            name_bytes: 0,
            state: State { in_state_dict: true, role: None },
            listed: HashSet::new(),
            outside: Vec::new(),
            classes: None,
        }
    }

    /// Walks from the root.
    ///
    /// # Errors
    /// Tensors that contradict their storages, nesting without end.
    pub fn model(mut self, root: NodeId) -> Result<Model> {
        self.root(root)?;
        self.model.findings.extend(danger::finding(self.reader.pickle));
        Ok(self.model)
    }

    fn root(&mut self, root: NodeId) -> Result<()> {
        let Some(entries) = self.mapping(root).filter(|_| self.module(root).is_none()) else {
            if let Some(value) = self.value(root)? {
                self.model.metadata.push(("content".into(), value));
            }
            return self.rest();
        };
        for (key, value) in entries {
            let key = self.key(key);
            let first = self.model.tensors.len();
            self.path.clone_from(&key);
            if let Some(value) = self.value(value)? {
                self.model.metadata.push((key.clone(), value));
            }
            self.rest()?;
            let ids: Vec<TensorId> = self.model.tensors[first..].iter().map(|t| t.id).collect();
            let is_tensor = ids.first().is_some_and(|&first| self.model.tensor(first).name == key);
            let is_sparse =
                self.model.findings.iter().any(|f| f.code == SPARSE && f.tensor.as_ref() == Some(&key));
            if !ids.is_empty() && !is_tensor && !is_sparse {
                self.model.parts.push(Part { key, tensors: ids });
            }
        }
        self.path.clear();
        self.drop_parts_of_flat_dict();
        Ok(())
    }

    /// A state dict may have a nested entry or two (extra state): it is still one whole, not parts.
    fn drop_parts_of_flat_dict(&mut self) {
        let inside: u64 = self
            .model
            .parts
            .iter()
            .flat_map(|p| &p.tensors)
            .map(|&t| self.model.tensor(t).bytes())
            .fold(0, u64::saturating_add);
        let all: u64 = self.model.tensors.iter().map(Tensor::bytes).fold(0, u64::saturating_add);
        if all - inside > inside && !self.model.parts.iter().any(|p| is_weight_key(&p.key)) {
            self.model.parts.clear();
        }
    }

    /// Tensors in attributes of modules, after those of the state dict.
    fn rest(&mut self) -> Result<()> {
        let before = (std::mem::take(&mut self.path), self.state);
        self.state = State { in_state_dict: false, role: Some(Role::Other) };
        for (path, node) in std::mem::take(&mut self.outside) {
            self.path = path;
            self.value(node)?;
        }
        self.outside.clear();
        (self.path, self.state) = before;
        Ok(())
    }

    /// Walks one node: lists its tensors, and gives what else is in it. `None` where that is nothing.
    pub fn value(&mut self, id: NodeId) -> Result<Option<Value>> {
        if self.on_path.len() >= self.reader.limits.depth {
            return Err(Error::Limit {
                place: self.reader.place(),
                what: "levels of nesting",
                asked: self.on_path.len() as u64 + 1,
                allowed: self.reader.limits.depth as u64,
            });
        }
        let pickle = self.reader.pickle;
        Ok(Some(match pickle.node(id) {
            Node::None => Value::Null,
            Node::Bool(b) => Value::Bool(*b),
            Node::Int(i) => Value::Int(*i),
            Node::BigInt(digits) => Value::BigInt(digits.to_string()),
            Node::Float(x) => Value::Float(*x),
            Node::Str(s) => Value::Str(s.to_string()),
            Node::Bytes(range) => Value::Bytes(range.len() as u64),
            Node::Unescaped(bytes) => Value::Bytes(bytes.len() as u64),
            Node::Global(g) => {
                Value::Object { class: format!("{}.{}", g.module, g.name), state: Box::new(Value::Null) }
            }
            Node::Persistent(_) => {
                if let Some(tensor) = self.reader.bare_storage(id).map_err(|e| e.in_tensor(&self.path))? {
                    self.push(id, tensor)?;
                }
                return Ok(None);
            }
            Node::List(_) | Node::Tuple(_) | Node::Set(_) | Node::Dict(_) | Node::Object(_) => {
                if !self.on_path.insert(id) {
                    return Ok(None);
                }
                self.spend_visit()?;
                let value = self.container(id);
                self.on_path.remove(&id);
                return value;
            }
        }))
    }

    fn spend_visit(&mut self) -> Result<()> {
        let allowed = visits(self.reader.pickle);
        self.visits_left = self.visits_left.checked_sub(1).ok_or_else(|| Error::Limit {
            place: self.reader.place(),
            what: "visits to parts that are shared again and again",
            asked: allowed + 1,
            allowed,
        })?;
        Ok(())
    }

    fn container(&mut self, id: NodeId) -> Result<Option<Value>> {
        let pickle = self.reader.pickle;
        match pickle.node(id) {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => self.items(items),
            Node::Dict(entries) => {
                let entries = pickle.entries(entries);
                self.entries(&entries)
            }
            Node::Object(object) => self.object(id, object),
            _ => unreachable!("leaves are read by value()"),
        }
    }

    fn items(&mut self, items: &[NodeId]) -> Result<Option<Value>> {
        let mut kept = Vec::new();
        for (i, &item) in items.iter().enumerate() {
            kept.extend(self.below(&i.to_string(), item)?);
        }
        Ok((items.is_empty() || !kept.is_empty()).then_some(Value::List(kept)))
    }

    fn entries(&mut self, entries: &[(NodeId, NodeId)]) -> Result<Option<Value>> {
        let mut kept = Vec::new();
        for &(key, value) in entries {
            let key = self.key(key);
            if let Some(value) = self.below(&key, value)? {
                kept.push((key, value));
            }
        }
        Ok((entries.is_empty() || !kept.is_empty()).then_some(Value::Map(kept)))
    }

    /// Walks a child under a longer path.
    pub fn below(&mut self, segment: &str, id: NodeId) -> Result<Option<Value>> {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(segment);
        let value = self.value(id);
        self.path.truncate(len);
        value
    }

    fn object(&mut self, id: NodeId, object: &Object) -> Result<Option<Value>> {
        let in_tensor = |e: Error, path: &str| e.in_tensor(path);
        if let Some(tensor) = self.reader.array(object).map_err(|e| in_tensor(e, &self.path))? {
            self.push(id, tensor)?;
            return Ok(None);
        }
        if self.reader.is_loaded_storage(object) {
            if let Some(tensor) = self.reader.bare_storage(id).map_err(|e| in_tensor(e, &self.path))? {
                self.push(id, tensor)?;
            }
            return Ok(None);
        }
        if let Some(value) = self.reader.scalar(object)? {
            return Ok(Some(value));
        }
        match self.reader.rebuild(object).map_err(|e| in_tensor(e, &self.path))? {
            Some(Rebuilt::Tensor(tensor)) => {
                self.push(id, tensor)?;
                return Ok(None);
            }
            Some(Rebuilt::Sparse(dense, parts)) => {
                if let Err(why) = &*dense {
                    self.model.findings.push(
                        Finding::new(
                            SPARSE,
                            Severity::Info,
                            format!("a sparse tensor, listed by its parts alone: {why}"),
                            "figures are those of the stored values; zeros that are not stored do not count",
                        )
                        .with_tensor(&self.path),
                    );
                }
                let before = self.state;
                if let Ok(dense) = *dense {
                    self.push(id, dense)?;
                    self.state = State { in_state_dict: false, role: Some(Role::Other) };
                }
                for (name, part) in parts {
                    self.below(name, part)?;
                }
                self.state = before;
                return Ok(None);
            }
            None => {}
        }
        if let Some(value) = self.script_module(id, object)? {
            return Ok(Some(value));
        }
        if let Some(value) = self.wrapper(object)? {
            return Ok(Some(value));
        }
        if let Some(inner) = self.tagged(object) {
            return self.value(inner);
        }
        if let Some(module) = self.module(id) {
            if self.listed.contains(&id) && !self.state.in_state_dict {
                return Ok(None);
            }
            return self.module_tree(id, module).map(Some);
        }
        if let Some(entries) = self.mapping(id) {
            return self.entries(&entries);
        }
        if let Some(items) = self.sequence(object) {
            return self.items(&items);
        }
        self.opaque(object).map(Some)
    }

    /// What TorchScript wraps to note its type: a list of numbers, a typed container.
    fn tagged(&self, object: &Object) -> Option<NodeId> {
        match self.reader.pickle.global(object.callable)? {
            (
                "torch.jit._pickle",
                "restore_type_tag" | "build_intlist" | "build_doublelist" | "build_boollist"
                | "build_tensorlist",
            ) => self.reader.pickle.sequence(object.args)?.first().copied(),
            _ => None,
        }
    }

    /// An object of a class that means nothing to us: shown by name, and looked into for tensors.
    fn opaque(&mut self, object: &Object) -> Result<Value> {
        let class = self.class(object);
        let mut state = Vec::new();
        let pickle = self.reader.pickle;
        let is_attributes = |id| matches!(pickle.node(id), Node::None | Node::Dict(_));
        let attributes: Vec<NodeId> = match object.state.map(|s| (s, self.reader.pickle.node(s))) {
            // (attributes, slots)
            Some((_, Node::Tuple(pair))) if pair.len() == 2 && pair.iter().all(|&id| is_attributes(id)) => {
                pair.clone()
            }
            Some((s, _)) => vec![s],
            None => Vec::new(),
        };
        for attributes in attributes {
            match self.value(attributes)? {
                Some(Value::Map(entries)) => state.extend(entries),
                Some(Value::Null) | None => {}
                Some(other) => state.push(("state".into(), other)),
            }
        }
        let args: Vec<NodeId> = self.reader.pickle.sequence(object.args).unwrap_or_default().to_vec();
        let args = if args.is_empty() || self.reader.is(object.callable, "copyreg", "_reconstructor") {
            None
        } else {
            self.items(&args)?
        };
        state.extend(args.map(|args| ("args".to_owned(), args)));
        for (name, value) in
            [("items", self.items(&object.items)?), ("entries", self.entries(&object.entries)?)]
        {
            if value.as_ref().is_some_and(|v| {
                !matches!(v, Value::List(l) if l.is_empty()) && !matches!(v, Value::Map(m) if m.is_empty())
            }) {
                state.extend(value.map(|v| (name.to_owned(), v)));
            }
        }
        Ok(Value::Object { class, state: Box::new(Value::Map(state)) })
    }

    /// The class of an object by name, whichever way it is instantiated.
    pub fn class(&self, object: &Object) -> String {
        let pickle = self.reader.pickle;
        let named = |id| pickle.qualified(id);
        if self.reader.is(object.callable, "copyreg", "_reconstructor")
            || self.reader.is(object.callable, "copyreg", "__newobj__")
        {
            let class = pickle.sequence(object.args).and_then(|args| named(*args.first()?));
            return class.unwrap_or_else(|| "object".into());
        }
        named(object.callable).unwrap_or_else(|| "the result of a call".into())
    }

    /// Entries of a dict in any of its forms.
    pub fn mapping(&self, id: NodeId) -> Option<Vec<(NodeId, NodeId)>> {
        let pickle = self.reader.pickle;
        let object = match pickle.node(id) {
            Node::Dict(entries) => return Some(pickle.entries(entries)),
            Node::Object(object) => object,
            _ => return None,
        };
        let (module, name) = pickle.global(object.callable)?;
        let known = matches!(
            (super::names::modern_module(module), name),
            ("collections", "OrderedDict" | "defaultdict" | "Counter") | ("builtins", "dict")
        );
        // Subclasses of dict (easydict, transformers' BatchEncoding…) set entries without being known.
        if !known && (object.entries.is_empty() || object.state.is_some()) {
            return None;
        }
        let mut entries = object.entries.clone();
        if known && let Some(&first) = pickle.sequence(object.args).and_then(<[_]>::first) {
            // Protocol 0 and 1: OrderedDict([[key, value], …]); Counter({…}).
            match pickle.node(first) {
                Node::Dict(given) => entries.splice(0..0, given.iter().copied()).for_each(drop),
                Node::List(pairs) => {
                    let pairs = pairs.iter().filter_map(|&p| match pickle.sequence(p) {
                        Some(&[key, value]) => Some((key, value)),
                        _ => None,
                    });
                    entries.splice(0..0, pairs).for_each(drop);
                }
                _ => {}
            }
        }
        Some(pickle.entries(&entries))
    }

    /// Items of the sequence types that are pickled as calls.
    fn sequence(&self, object: &Object) -> Option<Vec<NodeId>> {
        let pickle = self.reader.pickle;
        let (module, name) = pickle.global(object.callable)?;
        let known = matches!(
            (super::names::modern_module(module), name),
            ("torch", "Size")
                | ("collections", "deque")
                | ("builtins", "set" | "frozenset" | "list" | "tuple")
        );
        if !known {
            return None;
        }
        let given = pickle.sequence(object.args).and_then(|args| pickle.sequence(*args.first()?));
        Some(given.unwrap_or_default().iter().chain(&object.items).copied().collect())
    }

    /// A dict's key as people would write it in a path.
    pub fn key(&self, id: NodeId) -> String {
        let pickle = self.reader.pickle;
        match pickle.node(id) {
            Node::Str(s) => s.to_string(),
            Node::Int(i) => i.to_string(),
            Node::BigInt(digits) => digits.to_string(),
            Node::Bool(b) => if *b { "True" } else { "False" }.into(),
            Node::Float(x) => x.to_string(),
            Node::None => "None".into(),
            Node::Global(g) => format!("{}.{}", g.module, g.name),
            Node::Tuple(items) => {
                // One level of a few: keys of keys are not worth more, and one long tuple can be many keys.
                let more = if items.len() > KEY_ITEMS { ", …" } else { "" };
                let items: Vec<String> = items
                    .iter()
                    .take(KEY_ITEMS)
                    .map(|&i| match pickle.node(i) {
                        Node::Tuple(_) => "(…)".into(),
                        _ => self.key(i),
                    })
                    .collect();
                format!("({}{more})", items.join(", "))
            }
            _ => "<object>".into(),
        }
    }

    /// Lists a tensor under the current path.
    pub fn push(&mut self, node: NodeId, tensor: Tensor) -> Result<()> {
        if !self.state.in_state_dict && self.listed.contains(&node) {
            return Ok(());
        }
        if self.state.in_state_dict {
            self.listed.insert(node);
        }
        if self.model.tensors.len() as u64 >= self.reader.limits.items {
            return Err(Error::Limit {
                place: self.reader.place(),
                what: "tensors",
                asked: self.model.tensors.len() as u64 + 1,
                allowed: self.reader.limits.items,
            });
        }
        self.name_bytes += self.path.len() as u64;
        if self.name_bytes > NAME_BYTES {
            return Err(Error::Limit {
                place: self.reader.place(),
                what: "bytes of tensor names",
                asked: self.name_bytes,
                allowed: NAME_BYTES,
            });
        }
        let mut tensor =
            Tensor { name: self.path.clone(), in_state_dict: self.state.in_state_dict, ..tensor };
        if let Some(role) = self.state.role
            && tensor.role != Role::Packed
        {
            tensor = tensor.with_role(role, false);
        }
        self.model.push(tensor);
        Ok(())
    }

    pub fn push_module(&mut self, class: String, attributes: Vec<(String, Value)>) {
        self.model.modules.push(Module { path: self.path.clone(), class, attributes });
    }
}
