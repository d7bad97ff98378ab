//! A comparison in the making: what is explained, what is suspected, what is left.

use std::collections::{HashMap, HashSet};

use weighbridge_convert::into::{Rule, Step, prefixes};
use weighbridge_model::TensorId;
use weighbridge_model::storage::identity;

use super::bound::Judged;
use super::pair::{Figures, Relation};
use super::side::Side;
use super::{Aside, Diff, Options, Pair};

/// Something explained, or settled as changed.
pub(super) struct Explained {
    pub(super) source: Vec<usize>,
    pub(super) target: Vec<usize>,
    pub(super) relation: Relation,
    pub(super) figures: Option<Figures>,
    pub(super) why: Vec<String>,
    pub(super) guess: bool,
}

/// A pair that names or shapes suggest and values do not bear out, or not yet.
#[derive(Debug, Clone)]
pub(super) struct Suspected {
    pub(super) source: usize,
    pub(super) rule: Rule,
    /// How the source's dimensions become the target's, or why they do not.
    pub(super) steps: Result<Vec<Step>, String>,
    /// What comparing them came to.
    pub(super) judged: Option<Judged>,
    /// What else is to be said in the end.
    pub(super) why: Vec<String>,
}

impl Suspected {
    /// Whether a name or a use says that they belong together, rather than shape or order.
    pub(super) fn is_named(&self) -> bool {
        self.rule <= Rule::Flat
    }
}

pub(super) struct Work<'a> {
    pub(super) source: &'a Side,
    pub(super) target: &'a Side,
    pub(super) source_done: Vec<bool>,
    pub(super) target_done: Vec<bool>,
    pub(super) explained: Vec<Explained>,
    /// By target.
    pub(super) suspected: HashMap<usize, Suspected>,
    /// Biases of the source and of the target that are all zeros and have no counterpart.
    pub(super) zeros: [Vec<usize>; 2],
    /// Tensors of the source's and of the target's graph that are one number throughout and no layer's.
    pub(super) numbers: [Vec<usize>; 2],
    /// How often these prefixes stood before names that are the same otherwise.
    pub(super) prefixes: HashMap<(String, String), usize>,
}

impl<'a> Work<'a> {
    pub(super) fn new(source: &'a Side, target: &'a Side) -> Self {
        Work {
            source,
            target,
            source_done: vec![false; source.len()],
            target_done: vec![false; target.len()],
            explained: Vec::new(),
            suspected: HashMap::new(),
            zeros: Default::default(),
            numbers: Default::default(),
            prefixes: HashMap::new(),
        }
    }

    pub(super) fn open_sources(&self) -> Vec<usize> {
        (0..self.source.len()).filter(|&s| !self.source_done[s]).collect()
    }

    pub(super) fn open_targets(&self) -> Vec<usize> {
        (0..self.target.len()).filter(|&t| !self.target_done[t]).collect()
    }

    /// The target whose name or use is this source's, if that is not settled.
    pub(super) fn namesakes(&self) -> HashMap<usize, usize> {
        let named = self.suspected.iter().filter(|(_, s)| s.is_named());
        let mut namesakes: HashMap<usize, usize> = HashMap::new();
        for (&target, suspected) in named {
            let first = namesakes.entry(suspected.source).or_insert(target);
            *first = target.min(*first);
        }
        namesakes
    }

    /// Takes it that these belong together.
    pub(super) fn explain(&mut self, explained: Explained) {
        explained.source.iter().for_each(|&s| self.source_done[s] = true);
        explained.target.iter().for_each(|&t| self.target_done[t] = true);
        self.explained.push(explained);
    }

    /// Whether the layers of two tensors are called alike, prefixes aside.
    pub(super) fn same_leaf(&self, s: usize, t: usize) -> bool {
        let leaf = |side: &'a Side, i: usize| side.sketches[i].layer.rsplit(['.', '/']).next();
        leaf(self.source, s) == leaf(self.target, t)
    }

    /// Notes what stands before the names of two tensors that are the same otherwise.
    pub(super) fn see_through(&mut self, s: usize, t: usize) {
        if let Some(both) = prefixes(&self.source.tensor(s).name, &self.target.tensor(t).name) {
            *self.prefixes.entry(both).or_default() += 1;
        }
    }

    /// Takes it that one tensor became another.
    pub(super) fn one(
        &mut self,
        s: usize,
        t: usize,
        judged: Judged,
        turned: bool,
        why: Vec<String>,
        guess: bool,
    ) {
        let (ours, theirs) = (self.source.tensor(s), self.target.tensor(t));
        let mut why = why;
        let renamed = ours.name != theirs.name;
        let relation = match judged.relation {
            Relation::Same if turned => Relation::Transposed,
            Relation::Same if renamed => Relation::Renamed,
            other => {
                if turned {
                    why.insert(0, "dimensions in another order".into());
                }
                other
            }
        };
        if ours.dtype != theirs.dtype {
            why.push(format!("{} -> {}", ours.dtype, theirs.dtype));
        }
        if relation == Relation::Changed
            && let Some(figures) = &judged.figures
        {
            why.push(figures.told());
        }
        self.explain(Explained {
            source: vec![s],
            target: vec![t],
            relation,
            figures: judged.figures,
            why,
            guess,
        });
    }

    /// The result, from the first model to the second again where they changed places.
    pub(super) fn finish(self, flipped: bool, options: &Options) -> Diff {
        let ids = |list: Vec<usize>| list.into_iter().map(|i| TensorId(i as u32)).collect::<Vec<_>>();
        let mut diff = Diff::default();
        // Tensors that share their elements with one that is explained are explained with it.
        let shared = |side: &Side, done: &[bool]| -> HashSet<(usize, u64, Vec<u64>)> {
            let done = side.model.tensors.iter().zip(done).filter(|(_, done)| **done);
            done.map(|(t, _)| (identity(&t.storage), t.storage_offset(), t.shape.clone())).collect()
        };
        let mut left = [Vec::new(), Vec::new()];
        for (i, (side, done)) in
            [(self.source, &self.source_done), (self.target, &self.target_done)].into_iter().enumerate()
        {
            let shared = shared(side, done);
            let of_a = (i == 0) != flipped;
            for (index, tensor) in side.model.tensors.iter().enumerate().filter(|(index, _)| !done[*index]) {
                let place = (identity(&tensor.storage), tensor.storage_offset(), tensor.shape.clone());
                let why = match side.excused.get(&index) {
                    Some(why) => Some(why.clone()),
                    None if self.zeros[i].contains(&index) => Some("is all zeros, which adds nothing".into()),
                    None if self.numbers[i].contains(&index) => {
                        Some("one number throughout, and no layer's: part of the graph's computation".into())
                    }
                    None if shared.contains(&place) => {
                        Some("shares its elements with one that is there".into())
                    }
                    None => None,
                };
                match why {
                    Some(why) => diff.aside.push(Aside { of_a, tensor: tensor.id, why }),
                    None => left[usize::from(!of_a)].push(tensor.id),
                }
            }
        }
        [diff.only_a, diff.only_b] = left;
        diff.aside.sort_by_key(|a| (!a.of_a, a.tensor));
        for found in self.explained {
            let tolerated = found.figures.as_ref().is_some_and(|f| f.max_rel <= options.tolerance);
            let ok = found.relation != Relation::Changed || tolerated;
            let mut why = found.why;
            if let ([s], [t], None) = (&found.source[..], &found.target[..], &found.figures) {
                let shapes = [&self.source.tensor(*s).shape, &self.target.tensor(*t).shape];
                let [first, second] = if flipped { [shapes[1], shapes[0]] } else { shapes };
                if first != second && found.relation == Relation::Changed {
                    why = vec![format!("shapes differ: {first:?} -> {second:?}")];
                }
            }
            let why = why.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join("; ");
            let (mut a, mut b) = (ids(found.source), ids(found.target));
            if flipped {
                std::mem::swap(&mut a, &mut b);
            }
            diff.pairs.push(Pair {
                a,
                b,
                relation: found.relation,
                figures: found.figures,
                why,
                guess: found.guess,
                ok,
            });
        }
        diff.pairs.sort_by(|x, y| (&x.a, &x.b).cmp(&(&y.a, &y.b)));
        let swap = |((a, b), n): ((String, String), usize)| if flipped { (b, a, n) } else { (a, b, n) };
        // A single name is a renaming.
        diff.prefixes = self.prefixes.into_iter().filter(|(_, n)| *n > 1).map(swap).collect();
        diff.prefixes.sort_by(|x, y| y.2.cmp(&x.2).then_with(|| (&x.0, &x.1).cmp(&(&y.0, &y.1))));
        diff
    }
}
