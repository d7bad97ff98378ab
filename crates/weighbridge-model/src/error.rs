//! One error type, named by fault: what was found, where, and what would help.

use std::fmt;
use std::io;

/// Shorthand for results of this workspace.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in the input a fault was met. Every field may be unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, archive entry or stream, as people would name it.
    pub source: String,
    /// Byte offset within `source`.
    pub offset: Option<u64>,
    /// Name of the tensor that was being read.
    pub tensor: Option<String>,
    /// Name of the graph node that was being read.
    pub node: Option<String>,
}

impl Place {
    /// A place known only by its source.
    pub fn source(source: impl Into<String>) -> Self {
        Place { source: source.into(), ..Place::default() }
    }

    /// A place at a byte offset of a source.
    pub fn at(source: impl Into<String>, offset: u64) -> Self {
        Place { source: source.into(), offset: Some(offset), ..Place::default() }
    }

    /// The same place, within the tensor of this name.
    #[must_use]
    pub fn tensor(mut self, name: impl Into<String>) -> Self {
        self.tensor = Some(name.into());
        self
    }

    /// The same place, within the node of this name.
    #[must_use]
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.source.is_empty() { "input" } else { &self.source })?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if let Some(tensor) = &self.tensor {
            write!(f, ", tensor '{tensor}'")?;
        }
        if let Some(node) = &self.node {
            write!(f, ", node '{node}'")?;
        }
        Ok(())
    }
}

/// What can go wrong, by fault rather than by function.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system failed us.
    #[error("{place}: {cause}")]
    Io {
        /// The file concerned.
        place: Place,
        /// The system's own error.
        #[source]
        cause: io::Error,
    },
    /// The bytes contradict their format, or themselves.
    #[error("{place}: {what}")]
    Malformed {
        /// Where it was met.
        place: Place,
        /// What was found, and what the format asks for.
        what: String,
    },
    /// Well-formed, and beyond what is implemented.
    #[error("{place}: {what}{}", help_suffix(.help))]
    Unsupported {
        /// Where it was met.
        place: Place,
        /// What was seen.
        what: String,
        /// What would help.
        help: Option<String>,
    },
    /// No model at all: says what the file is.
    #[error("{place}: {what}{}", help_suffix(.help))]
    NotAModel {
        /// The file.
        place: Place,
        /// What it is instead.
        what: String,
        /// What would help.
        help: Option<String>,
    },
    /// An explicit limit was met (see [`crate::Limits`]).
    #[error("{place}: {what}: {asked} asked, {allowed} allowed")]
    Limit {
        /// Where it was met.
        place: Place,
        /// Which quantity.
        what: &'static str,
        /// How much the input asks for.
        asked: u64,
        /// How much is allowed.
        allowed: u64,
    },
    /// Something was asked for by a name that is not there.
    #[error("no {kind} named '{name}'{}", near_suffix(.near))]
    NotFound {
        /// What kind of thing: "tensor", "part", "format"…
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// The nearest names that exist, best first.
        near: Vec<String>,
    },
    /// What was asked cannot be done for these tensors: all of them, before anything was begun.
    #[error("{what}{}{}", reasons_suffix(.reasons), help_suffix(.help))]
    Refused {
        /// What was asked.
        what: String,
        /// Names of tensors, each with the reason.
        reasons: Vec<(String, String)>,
        /// What would help.
        help: Option<String>,
    },
    /// The request itself makes no sense.
    #[error("{what}")]
    Usage {
        /// Why, and what would.
        what: String,
    },
}

fn help_suffix(help: &Option<String>) -> String {
    help.as_ref().map(|h| format!("\n  help: {h}")).unwrap_or_default()
}

fn reasons_suffix(reasons: &[(String, String)]) -> String {
    let each: Vec<String> = reasons.iter().map(|(tensor, why)| format!("'{tensor}': {why}")).collect();
    if each.is_empty() { String::new() } else { format!(": {}", each.join("; ")) }
}

fn near_suffix(near: &[String]) -> String {
    match near {
        [] => String::new(),
        names => format!(
            "; did you mean {}?",
            names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(" or ")
        ),
    }
}

impl Error {
    /// The bytes at `place` contradict their format.
    pub fn malformed(place: Place, what: impl Into<String>) -> Self {
        Error::Malformed { place, what: what.into() }
    }

    /// Well-formed, and beyond what is implemented.
    pub fn unsupported(place: Place, what: impl Into<String>) -> Self {
        Error::Unsupported { place, what: what.into(), help: None }
    }

    /// An operating system error about the file at `path`.
    pub fn io(path: impl Into<String>, cause: io::Error) -> Self {
        Error::Io { place: Place::source(path), cause }
    }

    /// The same error with the file it concerns, where none is given yet.
    #[must_use]
    pub fn in_source(mut self, name: &str) -> Self {
        if let Some(place) = self.place_mut()
            && place.source.is_empty()
        {
            name.clone_into(&mut place.source);
        }
        self
    }

    /// The same error with the name of the tensor it concerns, where none is given yet.
    #[must_use]
    pub fn in_tensor(mut self, name: &str) -> Self {
        if let Some(place) = self.place_mut() {
            place.tensor.get_or_insert_with(|| name.to_owned());
        }
        self
    }

    /// The same error with the name of the innermost node it concerns, where none is given yet.
    #[must_use]
    pub fn in_node(mut self, name: &str) -> Self {
        if let Some(place) = self.place_mut() {
            place.node.get_or_insert_with(|| name.to_owned());
        }
        self
    }

    fn place_mut(&mut self) -> Option<&mut Place> {
        match self {
            Error::Io { place, .. }
            | Error::Malformed { place, .. }
            | Error::Unsupported { place, .. }
            | Error::Limit { place, .. } => Some(place),
            _ => None,
        }
    }
}
