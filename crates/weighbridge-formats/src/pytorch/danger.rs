//! Names in a pickle that would run code of its author's choice. Nothing runs here; people who load the file
//! in Python are warned.

use weighbridge_model::{Finding, Severity};

use super::names::modern_module;
use crate::pickle::{Global, Pickle};

/// Modules whose functions a pickle of weights has no use for, and an attacker has.
const DANGEROUS: &[&str] = &[
    "os",
    "posix",
    "nt",
    "subprocess",
    "sys",
    "socket",
    "shutil",
    "pty",
    "runpy",
    "importlib",
    "ctypes",
    "webbrowser",
    "commands",
    "code",
    "pickle",
    "_pickle",
];
/// The same of builtins; not getattr, by which enums are pickled.
const DANGEROUS_BUILTINS: &[&str] =
    &["eval", "exec", "execfile", "compile", "open", "__import__", "breakpoint"];

/// A finding where the pickle names what would run code of the author's choice in torch.load.
pub fn finding(pickle: &Pickle) -> Option<Finding> {
    let is_dangerous = |g: &Global| {
        let module = modern_module(&g.module);
        let top = module.split('.').next().unwrap_or(module);
        DANGEROUS.contains(&top) || (module == "builtins" && DANGEROUS_BUILTINS.contains(&&*g.name))
    };
    let global = pickle.globals().find(|g| is_dangerous(g))?;
    Some(Finding::new(
        "F105",
        Severity::Error,
        format!("the pickle names {}.{}: loaded by Python, it may run code", global.module, global.name),
        "nothing of it was run here; do not torch.load it but with weights_only=True, and ask where it comes from",
    ))
}
