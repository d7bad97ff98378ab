//! Matching by shape, where names say nothing: only what is alone with its shape, what is left of a layer, and, if asked
//! for, what comes in the same order.

use std::collections::HashMap;

use super::Rule;
use super::kinds::Kind;
use super::names::Slot;
use super::subject::{Subject, layer};
use super::work::Work;

/// What tensors must have in common to be matched by shape.
type Group = (Vec<u64>, Slot, bool);

/// The group of a tensor; `None` for those whose meaning no shape tells: gates, slots of unknown names, square
/// matrices unless `square` says that their order is known otherwise.
fn group(subject: &Subject, square: bool) -> Option<Group> {
    let sizes = subject.bulk()?;
    let is_square = matches!(sizes.as_slice(), [a, b] if a == b);
    if sizes.is_empty() || subject.is_recurrent() || is_square && !square {
        return None;
    }
    match subject.slot {
        Slot::Other(_) | Slot::Batches | Slot::Factor => None,
        _ => Some((sizes, subject.slot.clone(), subject.kind == Kind::Norm)),
    }
}

/// Whether one is a normalization's and the other another layer's.
fn apart(a: &Subject, b: &Subject) -> bool {
    let known = a.kind != Kind::Unknown && b.kind != Kind::Unknown;
    known && (a.kind == Kind::Norm) != (b.kind == Kind::Norm)
}

/// Pairs what no other tensor of its model, matched or not, could be taken for.
pub(super) fn unique(work: &mut Work<'_>) {
    let count = |subjects: &[Subject]| {
        let mut groups: HashMap<(Vec<u64>, Slot), Vec<usize>> = HashMap::new();
        for (i, subject) in subjects.iter().enumerate() {
            if let Some((sizes, slot, _)) = group(subject, false) {
                groups.entry((sizes, slot)).or_default().push(i);
            }
        }
        groups
    };
    let (sources, targets) = (count(work.sources), count(work.targets));
    for t in work.open_targets() {
        let Some((sizes, slot, _)) = group(&work.targets[t], false) else { continue };
        let key = (sizes, slot);
        if let (Some([s]), Some([_])) =
            (sources.get(&key).map(Vec::as_slice), targets.get(&key).map(Vec::as_slice))
            && !work.taken[*s]
            && !apart(&work.sources[*s], &work.targets[t])
        {
            work.pair(t, *s, Rule::Shape);
        }
    }
}

/// Pairs what is left of layers of which other tensors were matched with one layer and no other.
pub(super) fn layers(work: &mut Work<'_>) {
    let mut of: HashMap<String, Vec<String>> = HashMap::new();
    for (t, found) in work.found.iter().enumerate() {
        if let Some((s, _)) = found {
            let layers = of.entry(layer(&work.targets[t])).or_default();
            let source = layer(&work.sources[*s]);
            // Of more than one no further matters.
            if layers.len() < 2 && !layers.contains(&source) {
                layers.push(source);
            }
        }
    }
    let mut left: HashMap<(String, &Slot), Vec<usize>> = HashMap::new();
    let sources = work.sources;
    for s in work.open_sources() {
        left.entry((layer(&sources[s]), &sources[s].slot)).or_default().push(s);
    }
    for t in work.open_targets() {
        let target = &work.targets[t];
        let Some([source]) = of.get(&layer(target)).map(Vec::as_slice) else { continue };
        if let Some([s]) = left.get(&(source.clone(), &target.slot)).map(Vec::as_slice)
            && !work.taken[*s]
            && !apart(&sources[*s], target)
        {
            work.pair(t, *s, Rule::Layer);
        }
    }
}

/// Pairs in order what has one shape and slot, where both sides have as many of them.
pub(super) fn in_order(work: &mut Work<'_>) {
    let by_group = |subjects: &[Subject], open: Vec<usize>| {
        let mut groups: HashMap<Group, Vec<usize>> = HashMap::new();
        for i in open {
            if let Some(group) = group(&subjects[i], true) {
                groups.entry(group).or_default().push(i);
            }
        }
        for members in groups.values_mut() {
            members.sort_by_key(|&i| subjects[i].place);
        }
        groups
    };
    let sources = by_group(work.sources, work.open_sources());
    let targets = by_group(work.targets, work.open_targets());
    for (group, targets) in targets {
        if let Some(sources) = sources.get(&group)
            && sources.len() == targets.len()
        {
            for (&t, &s) in targets.iter().zip(sources) {
                work.pair(t, s, Rule::Order);
            }
        }
    }
}
