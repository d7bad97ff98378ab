//! TorchScript archives of `torch.jit.save`.
//!
//! | entry | content |
//! |---|---|
//! | `data.pkl`, `data/KEY` | the module: objects of classes below `__torch__`, their attributes as state |
//! | `constants.pkl`, `constants/KEY` | a tuple of tensors that the code calls `CONSTANTS.c0`, `CONSTANTS.c1`… |
//! | `code/__torch__/….py` | the classes, as text: which attributes are parameters, and which are buffers |
//! | `extra/NAME` | whatever was saved with it |
//!
//! A class `__torch__.a.b.C` stands in `code/__torch__/a/b.py`. Of its text only `class C(Module):` and the lists
//! `__parameters__` and `__buffers__` are looked at; nothing of it runs. `state_dict()` lists a module's
//! parameters, its buffers, then its children; tensors in other attributes are outside of it, and so are constants.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use weighbridge_model::{Model, Result, Role, Tensor, Value};

use super::archive::Saved;
use super::rebuild::Rebuilder;
use super::records::Records;
use super::walk::{State, Walk};
use crate::format::ReadOptions;
use crate::pickle::{Node, NodeId, Object};
use crate::zip::Archive;

/// Most bytes of code that are looked through.
const CODE_BYTES: u64 = 64 << 20;

/// What the code tells of a class.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Class {
    parameters: HashSet<String>,
    buffers: HashSet<String>,
}

/// Classes of an archive, looked up as they are met.
pub struct Classes<'a> {
    archive: &'a Archive,
    code: String,
    /// Classes of modules by file, then by name.
    files: RefCell<HashMap<String, HashMap<String, Class>>>,
    bytes_left: Cell<u64>,
}

impl<'a> Classes<'a> {
    fn of(saved: &Saved<'a>) -> Self {
        Classes {
            archive: saved.archive(),
            code: format!("{}code/", saved.root()),
            files: RefCell::default(),
            bytes_left: Cell::new(CODE_BYTES),
        }
    }

    /// The class of this module path and name; `None` where it is no module, or its code is not there.
    fn find(&self, module: &str, name: &str) -> Result<Option<Class>> {
        let file = format!("{}{}.py", self.code, module.replace('.', "/"));
        if let Some(classes) = self.files.borrow().get(&file) {
            return Ok(classes.get(name).cloned());
        }
        let mut classes = HashMap::new();
        if let Some(entry) = self.archive.entry(&file)
            && let Some(left) = self.bytes_left.get().checked_sub(entry.size)
        {
            classes = parse(&String::from_utf8_lossy(&self.archive.read(entry)?));
            self.bytes_left.set(left);
        }
        let class = classes.get(name).cloned();
        self.files.borrow_mut().insert(file, classes);
        Ok(class)
    }
}

/// Classes of modules in a file of code.
fn parse(code: &str) -> HashMap<String, Class> {
    let mut classes: HashMap<String, Class> = HashMap::new();
    let mut current: Option<String> = None;
    for line in code.lines() {
        if let Some(head) = line.strip_prefix("class ") {
            current = head.strip_suffix("(Module):").map(str::to_owned);
            if let Some(name) = &current {
                classes.insert(name.clone(), Class::default());
            }
        }
        let Some(class) = current.as_ref().and_then(|name| classes.get_mut(name)) else { continue };
        if let Some(list) = line.strip_prefix("  __parameters__ = ") {
            class.parameters = strings(list);
        } else if let Some(list) = line.strip_prefix("  __buffers__ = ") {
            class.buffers = strings(list);
        }
    }
    classes
}

/// The strings of `["a", "b", ]`. Names of attributes have no quotes in them.
fn strings(list: &str) -> HashSet<String> {
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A class as people wrote it: without the root that TorchScript puts before it, and without what it puts
/// between to tell classes of one name apart.
fn shown(module: &str, name: &str) -> String {
    let segments = module.split('.').chain([name]);
    let kept: Vec<&str> =
        segments.filter(|s| *s != "__torch__" && !s.starts_with("___torch_mangle_")).collect();
    kept.join(".")
}

/// Reads an archive of `torch.jit.save`.
///
/// # Errors
/// As for any PyTorch archive.
pub fn read(archive: &Archive, options: &ReadOptions) -> Result<Model> {
    let limits = &options.limits;
    let saved = Saved::open(archive)?;
    let classes = Classes::of(&saved);
    let bytes = saved.pickle()?;
    let pickle = saved.interpret(&bytes, limits)?;
    let mut walk = Walk::new(Rebuilder::new(&pickle, &bytes, &saved, limits));
    walk.classes = Some(&classes);
    let mut model = walk.model(pickle.root)?;
    model.findings.extend(saved.damage(&bytes));
    if let Some(constants) = saved.constants() {
        let bytes = constants.pickle()?;
        let pickle = constants.interpret(&bytes, limits)?;
        let mut walk = Walk::new(Rebuilder::new(&pickle, &bytes, &constants, limits));
        walk.state = State { in_state_dict: false, role: Some(Role::Constant) };
        for (i, &item) in pickle.sequence(pickle.root).unwrap_or_default().iter().enumerate() {
            walk.path = format!("CONSTANTS.c{i}");
            walk.value(item)?;
        }
        // A frozen module keeps all its weights there: then they are what there is to see.
        let is_frozen = model.tensors.is_empty();
        for tensor in walk.model.tensors {
            model.push(Tensor { in_state_dict: is_frozen, ..tensor });
        }
        model.findings.extend(walk.model.findings);
        model.findings.extend(constants.damage(&bytes));
    }
    for (key, below) in [("code", "code/"), ("extra", "extra/")] {
        let prefix = format!("{}{below}", saved.root());
        let files: Vec<(String, Value)> = archive
            .entries()
            .iter()
            .filter(|e| !e.name.ends_with(".debug_pkl"))
            .filter_map(|e| {
                let size = i64::try_from(e.size).unwrap_or(i64::MAX);
                Some((e.name.strip_prefix(&prefix)?.to_owned(), Value::Int(size)))
            })
            .collect();
        if !files.is_empty() {
            model.metadata.push((key.into(), Value::Map(files)));
        }
    }
    let version = saved.version.as_deref().map(|v| format!(", version {v}")).unwrap_or_default();
    let order = if saved.big_endian() { ", big-endian" } else { "" };
    model.origin = format!("TorchScript (torch.jit.save){version}{order}");
    Ok(model)
}

impl Walk<'_> {
    /// Lists a TorchScript module; `None` where the object is none.
    pub(super) fn script_module(&mut self, id: NodeId, object: &Object) -> Result<Option<Value>> {
        let pickle = self.reader.pickle;
        let (Some(classes), Some((module, name))) = (self.classes, pickle.global(object.callable)) else {
            return Ok(None);
        };
        let Some(class) = classes.find(module, name)? else { return Ok(None) };
        let Some(state) = object.state.and_then(|s| self.mapping(s)) else { return Ok(None) };
        if self.listed.contains(&id) && !self.state.in_state_dict {
            return Ok(Some(Value::Null));
        }
        self.listed.insert(id);
        let shown = shown(module, name);
        let named: Vec<(&str, NodeId)> =
            state.iter().filter_map(|&(k, v)| Some((pickle.str(k)?, v))).collect();
        let plain = named.iter().filter(|(name, _)| !name.starts_with('_'));
        let plain = plain.filter_map(|&(name, v)| Some((name.to_owned(), self.plain(v, true)?))).collect();
        self.push_module(shown.clone(), plain);
        let before = self.state;
        let groups = [(Role::Parameter, &class.parameters), (Role::Buffer, &class.buffers)];
        for (role, names) in groups {
            self.state.role = Some(role);
            for &(name, value) in named.iter().filter(|(name, _)| names.contains(*name)) {
                if !matches!(pickle.node(value), Node::None) {
                    self.below(name, value)?;
                }
            }
        }
        self.state = State { role: None, ..before };
        for &(name, value) in &named {
            if class.parameters.contains(name) || class.buffers.contains(name) {
                continue;
            }
            if self.is_script_module(value)? {
                self.below(name, value)?;
            } else if matches!(
                pickle.node(value),
                Node::Object(_) | Node::List(_) | Node::Tuple(_) | Node::Dict(_)
            ) {
                let path =
                    if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
                self.outside.push((path, value));
            }
        }
        self.state = before;
        Ok(Some(Value::Object { class: shown, state: Box::new(Value::Null) }))
    }

    fn is_script_module(&self, id: NodeId) -> Result<bool> {
        let pickle = self.reader.pickle;
        let Node::Object(object) = pickle.node(id) else { return Ok(false) };
        match (self.classes, pickle.global(object.callable)) {
            (Some(classes), Some((module, name))) => Ok(classes.find(module, name)?.is_some()),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_tells_parameters_and_buffers_of_modules_only() {
        let code = "class A(Module):\n  __parameters__ = [\"weight\", \"bias\", ]\n  __buffers__ = []\n  \
                    weight : Tensor\nclass B:\n  __parameters__ = [\"no\", ]\nclass C(Module):\n  __buffers__ = [\"b\", ]\n";
        let classes = parse(code);
        assert_eq!(classes.len(), 2);
        assert_eq!(classes["A"].parameters, ["weight".to_owned(), "bias".to_owned()].into());
        assert!(classes["A"].buffers.is_empty() && classes["C"].buffers.contains("b"));
    }

    #[test]
    fn classes_are_shown_without_what_torchscript_adds() {
        assert_eq!(
            shown("__torch__.torch.nn.modules.conv.___torch_mangle_3", "Conv2d"),
            "torch.nn.modules.conv.Conv2d"
        );
        assert_eq!(shown("__torch__", "Net"), "Net");
    }
}
