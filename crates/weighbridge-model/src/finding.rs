//! What a judgement says: a stable code, the figures behind it, and what to do.

use crate::Value;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it before you deploy.
    Warning,
    /// Will not work, or gives wrong results.
    Error,
}

impl Severity {
    /// The JSON contract's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One observation about a model.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Stable code: a letter for the family (`F` file, `P` precision, `H` health, `S` structure) and a number.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The tensor concerned, by name.
    pub tensor: Option<String>,
    /// The graph node concerned, by name.
    pub node: Option<String>,
    /// The number format or engine that the judgement is for (`f16`, `tensorrt`…).
    pub target: Option<&'static str>,
    /// One sentence.
    pub message: String,
    /// The figures behind it.
    pub figures: Vec<(&'static str, Value)>,
    /// What to do about it.
    pub help: String,
}

impl Finding {
    /// A finding with a code, a severity, a sentence and what to do; the rest is filled in by `with_*`.
    pub fn new(
        code: &'static str,
        severity: Severity,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Finding {
            code,
            severity,
            tensor: None,
            node: None,
            target: None,
            message: message.into(),
            figures: Vec::new(),
            help: help.into(),
        }
    }

    /// The same finding, about this tensor.
    #[must_use]
    pub fn with_tensor(mut self, name: impl Into<String>) -> Self {
        self.tensor = Some(name.into());
        self
    }

    /// The same finding, for this target format or engine.
    #[must_use]
    pub fn with_target(mut self, target: &'static str) -> Self {
        self.target = Some(target);
        self
    }

    /// The same finding, with one more figure behind it.
    #[must_use]
    pub fn with_figure(mut self, name: &'static str, value: Value) -> Self {
        self.figures.push((name, value));
        self
    }
}
