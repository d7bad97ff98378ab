//! Matching by names and places: a step takes a pair where the key of both is nobody else's.

use std::collections::{BTreeSet, HashMap};

use super::Rule;
use super::names::{self, Slot};
use super::subject::Subject;
use super::work::{Few, Settled, Work};

/// What two tensors have in common at a step: a path and a slot.
type Key = (String, Slot);

/// Goes through the steps, the surest first.
pub(super) fn run(work: &mut Work<'_>) {
    for rule in [Rule::Name, Rule::Spelling, Rule::Use, Rule::Prefix, Rule::Flat] {
        step(work, rule);
    }
}

fn keys(subject: &Subject, rule: Rule) -> Vec<Key> {
    let whole = |path: &str| (path.to_owned(), subject.slot.clone());
    // `onnx::Conv_497` is no name of a place.
    let numbered = subject.name.starts_with("onnx::");
    let own = || (!numbered).then(|| subject.path.clone());
    let paths = || own().into_iter().chain(subject.used_at.clone());
    // A name without a path may still be a slot's: `weight` of a single layer.
    match rule {
        Rule::Name if subject.name.is_empty() => Vec::new(),
        Rule::Name => vec![(subject.name.clone(), Slot::Other(String::new()))],
        Rule::Spelling => own().iter().map(|p| whole(p)).collect(),
        Rule::Use => paths().map(|p| whole(&p)).collect(),
        Rule::Prefix => paths()
            .flat_map(|p| {
                let below = names::below_prefixes(&p);
                [Some(p), below]
            })
            .flatten()
            .map(|p| whole(&p))
            .collect(),
        Rule::Flat => paths().map(|p| whole(&names::flat(&names::below_prefixes(&p).unwrap_or(p)))).collect(),
        _ => Vec::new(),
    }
}

fn step(work: &mut Work<'_>, rule: Rule) {
    let mut sources: HashMap<Key, Few> = HashMap::new();
    for s in work.open_sources() {
        for key in keys(&work.sources[s], rule) {
            sources.entry(key).or_default().push(s, work.sources);
        }
    }
    let open = work.open_targets();
    let mut wanted: Vec<(usize, BTreeSet<usize>)> = Vec::new();
    // How many targets, ties as one, would take a source.
    let mut takers: HashMap<usize, Few> = HashMap::new();
    for t in open {
        let found: BTreeSet<usize> =
            keys(&work.targets[t], rule).iter().filter_map(|k| sources.get(k)).flat_map(Few::iter).collect();
        for &s in &found {
            takers.entry(s).or_default().push(t, work.targets);
        }
        if !found.is_empty() {
            wanted.push((t, found));
        }
    }
    for (t, found) in wanted {
        let first = *found.first().expect("not empty");
        let one = found.iter().all(|&s| s == first || work.sources[s].shares(&work.sources[first]));
        let other = takers[&first]
            .iter()
            .map(|other| (other, &work.targets[other]))
            .find(|&(other, target)| other != t && !target.shares(&work.targets[t]));
        if !one {
            let names: Vec<String> = found.iter().map(|&s| format!("'{}'", work.sources[s].name)).collect();
            let why = format!("{} could all be it: --select or --drop decides", names.join(", "));
            work.settled[t] = Some(Settled::Fault(why));
        } else if let Some((_, other)) = other {
            let why = format!(
                "'{}' could be it, and '{}' as well: --rename decides",
                work.sources[first].name, other.name
            );
            work.settled[t] = Some(Settled::Fault(why));
        } else {
            work.pair(t, first, rule);
        }
    }
}
