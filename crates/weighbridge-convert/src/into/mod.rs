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
mod graph;
mod keras;
mod kinds;
mod names;
mod subject;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Error, Model, Role, TensorId, nearest};

pub use fit::Step;
use fit::{Misfit, fit};
use names::Slot;
use subject::Subject;

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
        let mut reasons: Vec<_> = faults.map(|f| (f.name.clone(), f.why.clone())).collect();
        let missing = reasons.len();
        reasons.extend(self.stranded.iter().cloned());
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

/// A match in the making.
struct Work<'a> {
    sources: &'a [Subject],
    targets: &'a [Subject],
    /// For each target: its source and the rule.
    found: Vec<Option<(usize, Rule)>>,
    /// Sources that are taken.
    taken: Vec<bool>,
    /// Targets that need none, or can have none, whatever comes.
    settled: Vec<Option<Settled>>,
}

enum Settled {
    Own(&'static str, bool),
    Fault(String),
}

impl<'a> Work<'a> {
    fn new(sources: &'a [Subject], targets: &'a [Subject]) -> Self {
        Work {
            sources,
            targets,
            found: vec![None; targets.len()],
            taken: vec![false; sources.len()],
            settled: targets.iter().map(|_| None).collect(),
        }
    }

    fn open_targets(&self) -> Vec<usize> {
        (0..self.targets.len()).filter(|&t| self.found[t].is_none() && self.settled[t].is_none()).collect()
    }

    fn open_sources(&self) -> Vec<usize> {
        (0..self.sources.len()).filter(|&s| !self.taken[s]).collect()
    }

    fn pair(&mut self, target: usize, source: usize, rule: Rule) {
        self.found[target] = Some((source, rule));
        self.taken[source] = true;
    }

    /// Numbers that are part of a graph's computation stay the graph's.
    fn constants(&mut self) {
        for (t, target) in self.targets.iter().enumerate() {
            if target.role == Role::Constant {
                self.settled[t] = Some(Settled::Own("part of the target's computation", false));
            }
        }
    }

    /// Targets that share a storage have the same source.
    fn ties(&mut self) {
        let mut first: HashMap<_, usize> = HashMap::new();
        for t in 0..self.targets.len() {
            let Some(storage) = self.targets[t].storage else { continue };
            let before = *first.entry((storage, self.targets[t].shape.clone())).or_insert(t);
            if before == t {
                continue;
            }
            match (self.found[before], self.found[t]) {
                (Some((a, _)), Some((b, _))) if a != b && !self.sources[a].shares(&self.sources[b]) => {
                    let why = format!(
                        "it shares its storage with '{}', and '{}' and '{}' are two",
                        self.targets[before].name, self.sources[a].name, self.sources[b].name
                    );
                    self.settled[t] = Some(Settled::Fault(why));
                    self.found[t] = None;
                }
                (Some((a, _)), None) if self.settled[t].is_none() => self.found[t] = Some((a, Rule::Tie)),
                (None, Some((b, _))) if self.settled[before].is_none() => {
                    self.found[before] = Some((b, Rule::Tie));
                }
                _ => {}
            }
        }
    }

    fn finish(self) -> Match {
        let mut result = Match::default();
        // What shares its elements with a source that is taken is not lost.
        let used: HashSet<_> =
            self.found.iter().flatten().filter_map(|&(s, _)| self.sources[s].storage).collect();
        let unused: Vec<usize> = self.open_sources();
        let unused: Vec<usize> = unused
            .into_iter()
            .filter(|&s| self.sources[s].storage.is_none_or(|o| !used.contains(&o)))
            .collect();
        for (t, target) in self.targets.iter().enumerate() {
            let mut fault = |why: String, missing: bool| {
                result.faults.push(Fault { target: target.id, name: target.name.clone(), why, missing });
            };
            match (&self.settled[t], self.found[t]) {
                (Some(Settled::Own(why, one)), _) => {
                    result.own.push(Own { target: target.id, why, one: *one });
                }
                (Some(Settled::Fault(why)), _) => fault(why.clone(), false),
                (None, Some((s, _))) if self.also(target, s).is_some() => {
                    let other = self.also(target, s).map_or("", |o| &o.name);
                    let why = format!(
                        "the target has one tensor where the source has '{}' and '{other}': what was equal when it was \
                         exported was kept once; export it with these weights, or others that differ",
                        self.sources[s].name
                    );
                    fault(why, false);
                }
                (None, Some((s, rule))) => match fit(&self.sources[s], target, rule) {
                    Ok((steps, shape)) => {
                        let source = self.sources[s].id;
                        result.pairs.push(Pair { target: target.id, source, rule, steps, shape });
                    }
                    Err(Misfit(why)) => fault(format!("'{}' {why}", self.sources[s].name), false),
                },
                (None, None) => match target.slot {
                    Slot::Batches => result.own.push(Own {
                        target: target.id,
                        why: "counts batches, which no figure of the network depends on",
                        one: false,
                    }),
                    Slot::Factor => result.own.push(Own {
                        target: target.id,
                        why: "the factor of sums becomes 1, since the source keeps means",
                        one: true,
                    }),
                    _ => fault(self.near(target, &unused), true),
                },
            }
        }
        let mut stranded: Vec<&str> = Vec::new();
        for s in unused {
            let source = &self.sources[s];
            result.unused.push(source.id);
            if matches!(source.slot, Slot::Mean | Slot::Variance) {
                stranded.push(&source.name);
            }
        }
        if let [first, rest @ ..] = stranded.as_slice() {
            let names = match rest {
                [] => (*first).to_owned(),
                [one] => format!("{first}, {one}"),
                more => format!("{first} and {} more", more.len()),
            };
            let why = "no target takes these running statistics: is the normalization folded into the target's weights? \
                       Then these weights are not its; --drop says that they are not wanted";
            result.stranded.push((names, why.to_owned()));
        }
        result
    }

    /// A tensor of the sources that a target stands for as well: exporters keep equal tensors once, and what was equal
    /// there may differ here.
    fn also(&self, target: &Subject, taken: usize) -> Option<&Subject> {
        let key = |path: &str, slot: &Slot| {
            (names::below_prefixes(path).unwrap_or_else(|| path.to_owned()), slot.clone())
        };
        let aliases: HashSet<_> = target.aliases.iter().map(|(path, slot)| key(path, slot)).collect();
        let source = &self.sources[taken];
        let other =
            |s: &&Subject| s.id != source.id && !s.shares(source) && aliases.contains(&key(&s.path, &s.slot));
        if aliases.is_empty() { None } else { self.sources.iter().find(other) }
    }

    /// What a target without a source is told: the nearest names that are left, and those of its shape.
    fn near(&self, target: &Subject, unused: &[usize]) -> String {
        let mut near = nearest(&target.name, unused.iter().map(|&s| self.sources[s].name.as_str()));
        for &s in unused {
            let source = &self.sources[s];
            if near.len() < 3 && source.bulk() == target.bulk() && !near.contains(&source.name) {
                near.push(source.name.clone());
            }
        }
        let shown = |name: &String| {
            let source = unused.iter().map(|&s| &self.sources[s]).find(|s| s.name == *name);
            format!("'{name}' {}", source.map(Subject::sizes).unwrap_or_default())
        };
        let fused = names::fused(&target.name, unused.iter().map(|&s| self.sources[s].name.as_str()));
        let fused = fused.map(|why| format!("; {why}")).unwrap_or_default();
        match near.as_slice() {
            [] => format!("nothing is left that resembles it or has its shape {}{fused}", target.sizes()),
            near => {
                let near: Vec<String> = near.iter().map(shown).collect();
                format!("{} has no source; the nearest left: {}{fused}", target.sizes(), near.join(", "))
            }
        }
    }
}
