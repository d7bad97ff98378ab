//! What is left: pairs by name whose values differ.

use super::arrange::turns;
use super::bound::Judged;
use super::pair::Relation;
use super::work::{Explained, Work};

pub(super) fn run(work: &mut Work<'_>) {
    let mut suspected: Vec<_> = std::mem::take(&mut work.suspected).into_iter().collect();
    suspected.sort_by_key(|(target, _)| *target);
    for (t, mut suspected) in suspected {
        let s = suspected.source;
        // By shape alone only what neither side has explained otherwise.
        if work.target_done[t] || work.source_done[s] && !suspected.is_named() {
            continue;
        }
        let guess = !suspected.is_named();
        if guess {
            suspected.why.push("paired by shape alone".into());
        }
        match (suspected.judged, suspected.steps) {
            (Some(judged), Ok(steps)) => {
                let turned = turns(&steps, &work.source.tensor(s).shape);
                let judged = Judged { relation: Relation::Changed, ..judged };
                work.one(s, t, judged, turned, suspected.why, guess);
            }
            _ => work.explain(Explained {
                source: vec![s],
                target: vec![t],
                relation: Relation::Changed,
                figures: None,
                why: suspected.why,
                guess,
            }),
        }
    }
}
