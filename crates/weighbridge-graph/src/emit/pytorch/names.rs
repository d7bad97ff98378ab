//! Identifiers that say what they name, whatever characters the file has: nothing of a file reaches the source but
//! ASCII letters, digits and underscores, and escaped text.

use std::collections::HashMap;
use std::fmt::Write;

/// Longest identifier that is made of a name.
const LONGEST: usize = 64;
/// Most segments of a path that become containers within each other.
const DEEPEST: usize = 16;

/// Python's keywords, and names that the source or a module uses itself.
const RESERVED: &[&str] = &[
    // Keywords.
    "False",
    "None",
    "True",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "with",
    "yield",
    "match",
    "case",
    "type",
    // What the source calls.
    "torch",
    "nn",
    "F",
    "math",
    "Path",
    "self",
    "super",
    "abs",
    "bool",
    "dict",
    "enumerate",
    "filter",
    "float",
    "format",
    "getattr",
    "int",
    "isinstance",
    "iter",
    "len",
    "list",
    "map",
    "max",
    "min",
    "next",
    "object",
    "open",
    "pow",
    "print",
    "range",
    "reversed",
    "round",
    "set",
    "slice",
    "sorted",
    "str",
    "sum",
    "tuple",
    "zip",
    // Attributes of every nn.Module, nn.ModuleList and nn.ModuleDict.
    "T_destination",
    "add_module",
    "append",
    "apply",
    "bfloat16",
    "buffers",
    "call_super_init",
    "children",
    "clear",
    "compile",
    "cpu",
    "cuda",
    "double",
    "dump_patches",
    "eval",
    "extend",
    "extra_repr",
    "forward",
    "get_buffer",
    "get_extra_state",
    "get_parameter",
    "get_submodule",
    "half",
    "insert",
    "ipu",
    "items",
    "keys",
    "load_state_dict",
    "modules",
    "mtia",
    "named_buffers",
    "named_children",
    "named_modules",
    "named_parameters",
    "parameters",
    "pop",
    "register_backward_hook",
    "register_buffer",
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_full_backward_hook",
    "register_full_backward_pre_hook",
    "register_load_state_dict_post_hook",
    "register_load_state_dict_pre_hook",
    "register_module",
    "register_parameter",
    "register_state_dict_post_hook",
    "register_state_dict_pre_hook",
    "requires_grad_",
    "set_extra_state",
    "set_submodule",
    "share_memory",
    "state_dict",
    "to",
    "to_empty",
    "train",
    "training",
    "update",
    "values",
    "xpu",
    "zero_grad",
];

/// An identifier out of a name; `prefix` stands before digits, and alone where nothing is left.
pub(super) fn identifier(name: &str, prefix: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if !(c == '_' && (text.is_empty() || text.ends_with('_'))) {
            text.push(c);
        }
        if text.len() >= LONGEST {
            break;
        }
    }
    let mut text = text.trim_end_matches('_').to_owned();
    if text.is_empty() {
        return prefix.to_owned();
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        text = format!("{prefix}{}{text}", if prefix.len() > 1 { "_" } else { "" });
    }
    if RESERVED.contains(&text.as_str()) {
        text.push('_');
    }
    text
}

/// `layer1`, `layer1.0`, `conv1` of `/layer1/layer1.0/conv1/Conv`, as PyTorch's exporter names nodes, as a path of
/// modules: `layer1.0.conv1`. Any other name is one segment.
fn exported(name: &str) -> Option<Vec<&str>> {
    let mut rest = name.strip_prefix('/')?.split('/').collect::<Vec<_>>();
    if rest.len() > 1 {
        rest.pop();
    }
    let mut path: Vec<&str> = Vec::new();
    let mut last = "";
    for part in rest {
        // `layer1.0` within `layer1` is its child `0`.
        let own = part.strip_prefix(last).and_then(|p| p.strip_prefix('.')).filter(|_| !last.is_empty());
        path.extend(own.unwrap_or(part).split('.'));
        last = part;
    }
    Some(path)
}

/// The path of the module that a node stands for, by its name; `node_` is an exporter's way of saying so.
pub(super) fn path_of_node(name: &str, op: &str) -> Vec<String> {
    let prefix = op.to_ascii_lowercase();
    match exported(name) {
        Some(path) if path.len() <= DEEPEST => path.iter().map(|p| segment(p, &prefix)).collect(),
        _ => vec![identifier(name.strip_prefix("node_").unwrap_or(name), &prefix)],
    }
}

/// The path that a dotted name of an initializer is, and its last segment.
pub(super) fn path_of_tensor(name: &str) -> (Vec<String>, String) {
    let parts: Vec<&str> = name.split('.').collect();
    let valid = |p: &&str| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if parts.len() > DEEPEST || !parts.iter().all(valid) {
        return (Vec::new(), identifier(name, "constant"));
    }
    let (last, path) = parts.split_last().expect("a split has a part");
    (path.iter().map(|p| segment(p, "module")).collect(), identifier(last, "p"))
}

/// A child's name within its module: a number or an identifier.
fn segment(part: &str, prefix: &str) -> String {
    let plain = part == "0" || (!part.starts_with('0') && part.len() <= 9);
    if plain && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
        return part.to_owned();
    }
    identifier(part, prefix)
}

/// A short name for the variable of a value: without what exporters put around it.
pub(super) fn variable(name: &str) -> (String, Option<String>) {
    let Some((base, _)) = name.rsplit_once("_output_").filter(|_| name.starts_with('/')) else {
        return (identifier(name, "x"), None);
    };
    let path = exported(base).unwrap_or_default().join("_");
    let op = base.rsplit('/').next().unwrap_or_default().to_lowercase();
    (identifier(&path.to_lowercase(), "x"), Some(identifier(&format!("{path}_{op}").to_lowercase(), "x")))
}

/// Names that are taken, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// For each name, the number that its next namesake gets.
    taken: HashMap<String, usize>,
}

impl Names {
    /// This name, or one like it that is free.
    pub(super) fn unique(&mut self, wanted: &str) -> String {
        let Some(&next) = self.taken.get(wanted) else {
            self.taken.insert(wanted.to_owned(), 2);
            return wanted.to_owned();
        };
        let mut n = next;
        let name = loop {
            let name = format!("{wanted}_{n}");
            n += 1;
            if !self.taken.contains_key(&name) {
                break name;
            }
        };
        self.taken.insert(wanted.to_owned(), n);
        self.taken.insert(name.clone(), 2);
        name
    }

    /// Whether nothing has this name.
    pub(super) fn is_free(&self, name: &str) -> bool {
        !self.taken.contains_key(name)
    }
}

/// Text as it may stand in a comment, a docstring or between double quotes: printable ASCII stays, with the exception
/// of quotes, backslashes, and of what comments set names apart with.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '"' | '>' | ',' => write!(out, "\\x{:02x}", c as u32),
            ' '..='~' => write!(out, "{c}"),
            c if (c as u32) < 0x100 => write!(out, "\\x{:02x}", c as u32),
            c if (c as u32) < 0x10000 => write!(out, "\\u{:04x}", c as u32),
            c => write!(out, "\\U{:08x}", c as u32),
        }
        .expect("a String takes all");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        assert_eq!(identifier("conv1/7x7_s2", "x"), "conv1_7x7_s2");
        assert_eq!(identifier("123", "x"), "x123");
        assert_eq!(identifier("1x1", "conv"), "conv_1x1");
        assert_eq!(identifier("class", "x"), "class_");
        assert_eq!(identifier("\u{5377}\u{2028}\n", "x"), "x");
        assert_eq!(identifier("__init__", "x"), "init");
        assert_eq!(identifier("a\"); import os  #", "x"), "a_import_os");
    }

    #[test]
    fn exporters_names_become_paths() {
        assert_eq!(path_of_node("/layer1/layer1.0/conv1/Conv", "Conv"), ["layer1", "0", "conv1"]);
        assert_eq!(path_of_node("/features/features.0/features.0.1/Conv", "Conv"), ["features", "0", "1"]);
        assert_eq!(path_of_node("conv1/7x7_s2", "Conv"), ["conv1_7x7_s2"]);
        assert_eq!(path_of_tensor("layer1.0.conv1.weight").0, ["layer1", "0", "conv1"]);
        assert_eq!(path_of_tensor("onnx::Conv_193"), (vec![], "onnx_Conv_193".to_owned()));
    }

    #[test]
    fn namesakes_are_told_apart() {
        let mut names = Names::default();
        let given: Vec<String> = ["a", "a", "a_2", "a"].iter().map(|n| names.unique(n)).collect();
        assert_eq!(given, ["a", "a_2", "a_2_2", "a_3"]);
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(
            escaped("a\"\"\"\n\u{2028}\u{85}>\u{1F600}"),
            "a\\x22\\x22\\x22\\x0a\\u2028\\x85\\x3e\\U0001f600"
        );
    }
}
