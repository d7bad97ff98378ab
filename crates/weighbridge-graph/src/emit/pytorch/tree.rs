//! The modules, parameters and buffers of the source: a tree whose paths are the keys of the state dict.

use std::collections::HashMap;

use super::names::Names;

/// A place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At(pub(super) usize);

/// What stands at a place.
#[derive(Debug)]
enum Kind {
    /// Modules and tensors under names.
    Container { children: Vec<At>, index: HashMap<String, At>, names: Names },
    /// A module, by what makes it, and the layer's own name.
    Module { made: String, comment: Option<String> },
    /// A parameter, by what makes its tensor.
    Parameter(String),
    /// A buffer, by what makes its tensor.
    Buffer(String),
}

#[derive(Debug)]
struct Entry {
    name: String,
    parent: Option<At>,
    kind: Kind,
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tree {
    entries: Vec<Entry>,
    /// Whether each is a list, once the tree is whole.
    lists: Vec<bool>,
}

const ROOT: At = At(0);

impl Tree {
    pub(super) fn new() -> Self {
        let kind = Kind::Container { children: Vec::new(), index: HashMap::new(), names: Names::default() };
        Tree { entries: vec![Entry { name: String::new(), parent: None, kind }], lists: Vec::new() }
    }

    /// A module at this path, or one like it where that is taken.
    pub(super) fn module(&mut self, path: &[String], made: String, comment: Option<String>) -> At {
        let (last, above) = path.split_last().expect("a module has a name");
        self.insert(above, last, Kind::Module { made, comment })
    }

    /// A parameter of this name within the container of this path.
    pub(super) fn parameter(&mut self, above: &[String], name: &str, made: String) -> At {
        self.insert(above, name, Kind::Parameter(made))
    }

    /// A buffer of this name within the container of this path.
    pub(super) fn buffer(&mut self, above: &[String], name: &str, made: String) -> At {
        self.insert(above, name, Kind::Buffer(made))
    }

    fn insert(&mut self, above: &[String], name: &str, kind: Kind) -> At {
        let mut at = ROOT;
        for part in above {
            at = self.container(at, part);
        }
        self.child(at, name, kind)
    }

    /// Whether a module may stand at this path.
    pub(super) fn is_free(&self, path: &[String]) -> bool {
        let mut at = ROOT;
        for name in path {
            match self.find(at, name) {
                None => return true,
                Some(found) => at = found,
            }
        }
        false
    }

    /// The container of this name; one of a name like it where something else has the name.
    fn container(&mut self, at: At, name: &str) -> At {
        let mut wanted = name.to_owned();
        for n in 2.. {
            match self.find(at, &wanted) {
                None => break,
                Some(found) if matches!(self.entries[found.0].kind, Kind::Container { .. }) => return found,
                Some(_) => wanted = format!("{name}_{n}"),
            }
        }
        let kind = Kind::Container { children: Vec::new(), index: HashMap::new(), names: Names::default() };
        self.child(at, &wanted, kind)
    }

    fn find(&self, at: At, name: &str) -> Option<At> {
        match &self.entries[at.0].kind {
            Kind::Container { index, .. } => index.get(name).copied(),
            _ => None,
        }
    }

    fn child(&mut self, at: At, wanted: &str, kind: Kind) -> At {
        let new = At(self.entries.len());
        let Kind::Container { children, index, names } = &mut self.entries[at.0].kind else {
            unreachable!("only containers are given children")
        };
        let name = names.unique(wanted);
        // A child `0_2` would be neither a number nor an identifier.
        let name = match name == wanted || !wanted.bytes().all(|b| b.is_ascii_digit()) {
            true => name,
            false => names.unique(&format!("m{name}")),
        };
        children.push(new);
        index.insert(name.clone(), new);
        self.entries.push(Entry { name, parent: Some(at), kind });
        new
    }

    /// The segments from the root to a place.
    fn path(&self, at: At) -> Vec<At> {
        let mut path = Vec::new();
        let mut now = at;
        while let Some(parent) = self.entries[now.0].parent {
            path.push(now);
            now = parent;
        }
        path.reverse();
        path
    }

    /// The key of a place in the state dict; of a module, what its own keys begin with.
    pub(super) fn key(&self, at: At) -> String {
        self.path(at).iter().map(|p| self.entries[p.0].name.as_str()).collect::<Vec<_>>().join(".")
    }

    /// How `forward` reaches a place.
    pub(super) fn expression(&self, at: At) -> String {
        let mut text = "self".to_owned();
        for place in self.path(at) {
            let Entry { name, parent, .. } = &self.entries[place.0];
            let number = name.bytes().all(|b| b.is_ascii_digit());
            text += &match (number, self.is_list(parent.expect("below the root"))) {
                (false, _) => format!(".{name}"),
                (true, true) => format!("[{name}]"),
                (true, false) if *parent == Some(ROOT) => format!(".get_submodule(\"{name}\")"),
                (true, false) => format!("[\"{name}\"]"),
            };
        }
        text
    }

    /// Says that the tree is whole: from here on paths do not change.
    pub(super) fn finish(&mut self) {
        self.lists = (0..self.entries.len()).map(|n| self.is_numbered(At(n))).collect();
    }

    fn is_list(&self, at: At) -> bool {
        self.lists[at.0]
    }

    /// Whether a container's children are modules that are numbered from 0 on without a gap.
    fn is_numbered(&self, at: At) -> bool {
        let Kind::Container { children, index, .. } = &self.entries[at.0].kind else { return false };
        let modules: Vec<&At> = children.iter().filter(|c| self.is_module(**c)).collect();
        !modules.is_empty()
            && at != ROOT
            && modules.len() == children.len()
            && (0..modules.len()).all(|n| index.contains_key(&n.to_string()))
    }

    fn is_module(&self, at: At) -> bool {
        matches!(self.entries[at.0].kind, Kind::Module { .. } | Kind::Container { .. })
    }

    /// Statements of `__init__`, each with the comment before it.
    pub(super) fn statements(&self) -> Vec<(Option<String>, String)> {
        let mut out = Vec::new();
        let Kind::Container { children, .. } = &self.entries[ROOT.0].kind else { return out };
        for &child in children {
            let Entry { name, kind, .. } = &self.entries[child.0];
            match kind {
                Kind::Module { comment, .. } => {
                    out.push((comment.clone(), self.set(child, name, &self.made(child))));
                }
                Kind::Container { .. } => {
                    out.push((None, self.set(child, name, &self.made(child))));
                    self.tensors_below(child, &mut out);
                }
                Kind::Parameter(_) | Kind::Buffer(_) => out.push((None, self.tensor(child))),
            }
        }
        out
    }

    fn set(&self, at: At, name: &str, made: &str) -> String {
        match name.bytes().all(|b| b.is_ascii_digit()) {
            true => format!("self.add_module(\"{name}\", {made})"),
            false => format!("{} = {made}", self.expression(at)),
        }
    }

    /// What makes a module with all below it. Recursion is bounded: paths have few segments.
    fn made(&self, at: At) -> String {
        let Kind::Container { children, index, .. } = &self.entries[at.0].kind else {
            return match &self.entries[at.0].kind {
                Kind::Module { made, .. } => made.clone(),
                _ => String::new(),
            };
        };
        if self.is_list(at) {
            let each: Vec<String> = (0..children.len()).map(|n| self.made(index[&n.to_string()])).collect();
            return format!("nn.ModuleList([{}])", each.join(", "));
        }
        let modules: Vec<String> = children
            .iter()
            .filter(|c| self.is_module(**c))
            .map(|&c| format!("\"{}\": {}", self.entries[c.0].name, self.made(c)))
            .collect();
        match modules.is_empty() {
            true => "nn.Module()".to_owned(),
            false => format!("nn.ModuleDict({{{}}})", modules.join(", ")),
        }
    }

    fn tensors_below(&self, at: At, out: &mut Vec<(Option<String>, String)>) {
        let Kind::Container { children, .. } = &self.entries[at.0].kind else { return };
        for &child in children {
            match self.entries[child.0].kind {
                Kind::Container { .. } => self.tensors_below(child, out),
                Kind::Module { .. } => {}
                Kind::Parameter(_) | Kind::Buffer(_) => out.push((None, self.tensor(child))),
            }
        }
    }

    fn tensor(&self, at: At) -> String {
        let Entry { name, parent, kind } = &self.entries[at.0];
        match kind {
            Kind::Buffer(made) => {
                let owner = self.expression(parent.expect("below the root"));
                format!("{owner}.register_buffer(\"{name}\", {made})")
            }
            Kind::Parameter(made) => format!("{} = nn.Parameter({made})", self.expression(at)),
            _ => String::new(),
        }
    }
}
