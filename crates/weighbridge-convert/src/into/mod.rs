//! A model's weights under the names, in the shapes and in the order of another: which tensor is which, and why.
//!
//! Steps, from the surest to the least sure; each sees only what those before it left, and takes nothing where two
//! could be meant:
//!
//! | rule | a source is a target's when |
//! |---|---|
//! | [`Rule::Name`] | their names are equal |
//! | [`Rule::Spelling`] | their names are, once separators and the names of slots are spelled alike |
//! | [`Rule::Use`] | a graph or a configuration says that both are used at the same place |
//! | [`Rule::Prefix`] | the same, below prefixes that wrappers and trainers put in front |
//! | [`Rule::Flat`] | the same, with every separator written `_` |
//! | [`Rule::Shape`] | no other tensor of either model has such a shape and slot |
//! | [`Rule::Layer`] | other tensors of its layer were matched with that layer |
//! | [`Rule::Order`] | only if asked for: each is the n-th of its shape and slot |
//! | [`Rule::Tie`] | it shares its storage with a target that has this source |
//!
//! Orientation comes from graphs, classes and the conventions of formats, never from a square shape.

mod apply;
mod by_name;
mod by_shape;
mod fit;
mod flatten;
mod graph;
mod keras;
mod kinds;
mod names;
mod sketch;
mod subject;
mod tensorflow;
#[cfg(test)]
mod tests;
mod work;

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Error, Model, Role, TensorId};

pub use apply::{arranged, means};
pub use fit::Step;
pub use kinds::Kind;
pub use names::{Slot, prefixes};
pub use sketch::{Sketch, sketches};
use work::Work;

/// By what a tensor was matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The names are equal.
    Name,
    /// The names are equal once separators and slots (`kernel`, `gamma`) are spelled alike.
    Spelling,
    /// A graph or a configuration puts both in the same place.
    Use,
    /// The names are equal below prefixes.
    Prefix,
    /// The names are equal with every separator written `_`.
    Flat,
    /// No other tensor has such a shape and slot, on either side.
    Shape,
    /// Its layer was matched by another of its tensors.
    Layer,
    /// The n-th of its shape and slot on either side, as was asked for.
    Order,
    /// It shares its storage with another target.
    Tie,
}

impl Rule {
    /// Its stable name, as in JSON.
    pub fn id(self) -> &'static str {
        match self {
            Rule::Name => "name",
            Rule::Spelling => "spelling",
            Rule::Use => "use",
            Rule::Prefix => "prefix",
            Rule::Flat => "flat",
            Rule::Shape => "shape",
            Rule::Layer => "layer",
            Rule::Order => "order",
            Rule::Tie => "tie",
        }
    }

    /// The rule for people, as in "matched by …".
    pub fn told(self) -> &'static str {
        match self {
            Rule::Name => "name",
            Rule::Spelling => "name, spelled otherwise",
            Rule::Use => "where it is used",
            Rule::Prefix => "name below a prefix",
            Rule::Flat => "name with other separators",
            Rule::Shape => "the only one of its shape",
            Rule::Layer => "the rest of its layer",
            Rule::Order => "order among those of its shape, as asked",
            Rule::Tie => "a target that shares its storage",
        }
    }
}

/// A target and what becomes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Index of the target.
    pub target: TensorId,
    /// The source's tensor.
    pub source: TensorId,
    /// Why these two.
    pub rule: Rule,
    /// What is done to the source's dimensions, in order.
    pub steps: Vec<Step>,
    /// The shape that it arrives with.
    pub shape: Vec<u64>,
}

/// A target that stays as it is, and why that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Index of the target.
    pub target: TensorId,
    /// Why no source is needed.
    pub why: &'static str,
    /// Whether its values are one instead of its own: the factor of a Caffe BatchNorm.
    pub one: bool,
}

/// A target without a source, or with one that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Index of the target.
    pub target: TensorId,
    /// The target's name.
    pub name: String,
    /// What was found for it and does not fit.
    pub source: Option<TensorId>,
    /// What is missing, or does not fit.
    pub why: String,
    /// Whether nothing was found for it; otherwise something was, and it does not fit or is not the only one.
    pub missing: bool,
}

/// A tensor that a target without values asks for: a Caffe net as text.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// Its sizes, as far as they are known.
    pub shape: Option<Vec<Option<u64>>>,
    /// What it is for, where that is told.
    pub role: Option<Role>,
}

/// How matching goes.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Also by order, among those of one shape and slot.
    pub by_order: bool,
    /// Sources whose order of dimensions was asked for: they are taken as they are.
    pub arranged: HashSet<TensorId>,
    /// Sources that have a new name: it says where they belong, and their own still says what they are.
    pub renamed: HashMap<TensorId, String>,
    /// What the target asks for, where its model has no tensors.
    pub asked: Vec<Asked>,
}

/// Which tensor of one model is which of another.
#[derive(Debug, Clone, Default)]
pub struct Match {
    /// What was matched, in the order of the targets.
    pub pairs: Vec<Pair>,
    /// Targets that need no source.
    pub own: Vec<Own>,
    /// Targets that cannot be given one, in order.
    pub faults: Vec<Fault>,
    /// Sources that no target takes, in order.
    pub unused: Vec<TensorId>,
    /// Those of them that must not be lost in silence, each with the reason: running statistics, without which the
    /// others mean something else.
    pub stranded: Vec<(String, String)>,
}

impl Match {
    /// Matches the tensors of `source` with those that `target` has or asks for.
    pub fn of(source: &Model, target: &Model, options: &Options) -> Match {
        let mut sources = subject::of(source);
        for subject in &mut sources {
            subject.arranged = options.arranged.contains(&subject.id);
            if let Some(name) = options.renamed.get(&subject.id) {
                subject.rename(name);
            }
        }
        let targets = if target.tensors.is_empty() && !options.asked.is_empty() {
            subject::asked(target, &options.asked)
        } else {
            subject::of(target)
        };
        let mut work = Work::new(&sources, &targets);
        work.constants();
        by_name::run(&mut work);
        by_shape::unique(&mut work);
        by_shape::layers(&mut work);
        if options.by_order {
            by_shape::in_order(&mut work);
            by_shape::layers(&mut work);
        }
        work.ties();
        work.finish()
    }

    /// Why the match cannot be carried out; `keep_missing` lets targets without a source keep their values.
    ///
    /// # Errors
    /// [`Error::Refused`] with every target that has no source or one that does not fit, and sources that must not be
    /// lost.
    pub fn check(&self, keep_missing: bool) -> weighbridge_model::Result<()> {
        let faults = self.faults.iter().filter(|f| !(keep_missing && f.missing));
        let mut reasons: Vec<_> = faults.clone().map(|f| (f.name.clone(), f.why.clone())).collect();
        let missing = reasons.len();
        reasons.extend(self.stranded.iter().cloned());
        if faults.into_iter().all(|f| f.missing) {
            // What is stranded explains what is missing.
            reasons.rotate_left(missing);
        }
        if reasons.is_empty() {
            return Ok(());
        }
        let what = match missing {
            0 => "sources that the target has no place for".to_owned(),
            n => format!("{n} of the target's tensors cannot be given a source"),
        };
        let help = "--rename and --strip-prefix make names alike, --transpose and --permute say how dimensions lie, \
                    --by-order takes those of one shape in order, --keep-missing leaves the target's own values, \
                    --drop says that a source is not wanted";
        Err(Error::Refused { what, reasons, help: Some(help.to_owned()) })
    }
}
