//! A match in the making: what is paired, what is settled otherwise, and what is told in the end.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Role, nearest};

use super::fit::{Misfit, fit};
use super::names::{self, Slot};
use super::subject::Subject;
use super::{Fault, Match, Own, Pair, Rule};

/// For so many targets without a source the nearest are looked for: more of them are a mistake of another kind.
const NEAR: usize = 100;
/// As many names are compared for that in all.
const COMPARED: usize = 1_000_000;

/// Indices of tensors that have something in common. The first few tell as much as all: whether there are two, and
/// whether two of them are not the same elements.
#[derive(Debug, Default)]
pub(super) struct Few(Vec<usize>);

impl Few {
    const MOST: usize = 16;

    /// Adds one of the `subjects`. Beyond the first few, one that is not the first's tie takes the last one's place.
    pub(super) fn push(&mut self, index: usize, subjects: &[Subject]) {
        if self.0.len() < Self::MOST {
            self.0.push(index);
        } else if !subjects[index].shares(&subjects[self.0[0]]) {
            self.0[Self::MOST - 1] = index;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().copied()
    }
}

/// A match in the making.
pub(super) struct Work<'a> {
    pub(super) sources: &'a [Subject],
    pub(super) targets: &'a [Subject],
    /// For each target: its source and the rule.
    pub(super) found: Vec<Option<(usize, Rule)>>,
    /// Sources that are taken.
    pub(super) taken: Vec<bool>,
    /// Targets that need none, or can have none, whatever comes.
    pub(super) settled: Vec<Option<Settled>>,
}

/// What becomes of a target that is not to be paired.
pub(super) enum Settled {
    Own(&'static str, bool),
    Fault(String),
}

impl<'a> Work<'a> {
    pub(super) fn new(sources: &'a [Subject], targets: &'a [Subject]) -> Self {
        Work {
            sources,
            targets,
            found: vec![None; targets.len()],
            taken: vec![false; sources.len()],
            settled: targets.iter().map(|_| None).collect(),
        }
    }

    pub(super) fn open_targets(&self) -> Vec<usize> {
        (0..self.targets.len()).filter(|&t| self.found[t].is_none() && self.settled[t].is_none()).collect()
    }

    pub(super) fn open_sources(&self) -> Vec<usize> {
        (0..self.sources.len()).filter(|&s| !self.taken[s]).collect()
    }

    pub(super) fn pair(&mut self, target: usize, source: usize, rule: Rule) {
        self.found[target] = Some((source, rule));
        self.taken[source] = true;
    }

    /// Numbers that are part of a graph's computation stay the graph's.
    pub(super) fn constants(&mut self) {
        for (t, target) in self.targets.iter().enumerate() {
            if target.role == Role::Constant {
                self.settled[t] = Some(Settled::Own("part of the target's computation", false));
            }
        }
    }

    /// Targets that share a storage have the same source.
    pub(super) fn ties(&mut self) {
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

    pub(super) fn finish(self) -> Match {
        let mut result = Match::default();
        // What shares its elements with a source that is taken is not lost.
        let used: HashSet<_> =
            self.found.iter().flatten().filter_map(|&(s, _)| self.sources[s].storage).collect();
        let unused: Vec<usize> = self.open_sources();
        let unused: Vec<usize> = unused
            .into_iter()
            .filter(|&s| self.sources[s].storage.is_none_or(|o| !used.contains(&o)))
            .collect();
        let alike = self.alike();
        let (mut named, most) = (0, (COMPARED / unused.len().max(1)).clamp(1, NEAR));
        for (t, target) in self.targets.iter().enumerate() {
            let also = self.found[t].and_then(|(s, _)| self.also(target, s, &alike));
            let source = self.found[t].map(|(s, _)| self.sources[s].id);
            let mut fault = |why: String, missing: bool| {
                result.faults.push(Fault {
                    target: target.id,
                    name: target.name.clone(),
                    source,
                    why,
                    missing,
                });
            };
            match (&self.settled[t], self.found[t]) {
                (Some(Settled::Own(why, one)), _) => {
                    result.own.push(Own { target: target.id, why, one: *one });
                }
                (Some(Settled::Fault(why)), _) => fault(why.clone(), false),
                (None, Some((s, _))) if also.is_some() => {
                    let other = also.map_or("", |o| &o.name);
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
                    _ => {
                        named += 1;
                        let why = if named > most {
                            "has no source".to_owned()
                        } else {
                            self.near(target, &unused)
                        };
                        fault(why, true);
                    }
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
                       Then these weights are not its: export it without folding (torch.onnx: \
                       training=TrainingMode.PRESERVE, or optimize=False); --drop says that they are not wanted";
            result.stranded.push((names, why.to_owned()));
        }
        result
    }

    /// The sources by place, where targets have others than their own.
    fn alike(&self) -> HashMap<Place, Few> {
        let mut alike: HashMap<Place, Few> = HashMap::new();
        if self.targets.iter().any(|t| !t.aliases.is_empty()) {
            for (i, source) in self.sources.iter().enumerate() {
                alike.entry(place(&source.path, &source.slot)).or_default().push(i, self.sources);
            }
        }
        alike
    }

    /// A tensor of the sources that a target stands for as well: exporters keep equal tensors once, and what was equal
    /// there may differ here.
    fn also(&self, target: &Subject, taken: usize, alike: &HashMap<Place, Few>) -> Option<&Subject> {
        let source = &self.sources[taken];
        let there = target.aliases.iter().filter_map(|(path, slot)| alike.get(&place(path, slot)));
        let others = there.flat_map(Few::iter).filter(|&s| s != taken && !self.sources[s].shares(source));
        others.min().map(|s| &self.sources[s])
    }

    /// What a target without a source is told: the nearest names that are left, and those of its shape.
    fn near(&self, target: &Subject, unused: &[usize]) -> String {
        let unused: Vec<usize> =
            unused.iter().copied().filter(|&s| self.sources[s].role != Role::OptimizerState).collect();
        let mut near = nearest(&target.name, unused.iter().map(|&s| self.sources[s].name.as_str()));
        for &s in &unused {
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

/// A place whatever prefixes stand before it.
type Place = (String, Slot);

fn place(path: &str, slot: &Slot) -> Place {
    (names::below_prefixes(path).unwrap_or_else(|| path.to_owned()), slot.clone())
}
