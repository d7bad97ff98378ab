//! `weigh convert --fold-bn` from graph to graph: the pass of `weigh simplify`, and the one that takes away what is left
//! unread.

use std::collections::{HashMap, HashSet};

use weighbridge_graph::passes::{Choice, simplify};
use weighbridge_model::storage::identity;
use weighbridge_model::{Error, Model, Result};
use weighbridge_report::table::clean;

use super::account::Told;
use super::convert::NAMED;
use crate::printer;

/// The model with its normalizations in the weights beside them, and what that did to its tensors, added to `told`.
///
/// # Errors
/// Nothing to fold; an EPSILON, which each node of a graph has; a malformed graph; a failed read.
pub(super) fn folded(mut model: Model, epsilon: Option<f64>, mut told: Told) -> Result<(Model, Told)> {
    const PASS: &str = "fold-bn";
    if epsilon.is_some() {
        return Err(Error::Usage {
            what: "each node of a graph has its own epsilon: give --fold-bn none".into(),
        });
    }
    let of = |model: &Model| -> Vec<(String, usize)> {
        model.tensors.iter().map(|t| (t.name.clone(), identity(&t.storage))).collect()
    };
    let before = of(&model);
    let report = simplify(
        &mut model,
        &Choice { only: [PASS, "dead"].map(str::to_owned).to_vec(), ..Choice::default() },
    )?;
    let left: Vec<_> = report.refused.iter().filter(|refusal| refusal.pass == PASS).collect();
    for stays in left.iter().take(NAMED) {
        printer::note(&format!("'{}' is not folded: {}", clean(&stays.node), clean(&stays.why)));
    }
    if left.len() > NAMED {
        printer::note(&format!("and {} more are not", left.len() - NAMED));
    }
    if report.applied.iter().all(|applied| applied.pass != PASS) {
        return Err(Error::Usage { what: "--fold-bn finds nothing to fold".into() });
    }
    let after = of(&model);
    let (old, new): (HashMap<&str, usize>, HashSet<&str>) = (
        before.iter().map(|(name, id)| (&**name, *id)).collect(),
        after.iter().map(|(name, _)| &**name).collect(),
    );
    for (name, id) in &after {
        match old.get(&**name) {
            Some(was) if was == id => {}
            Some(_) => {
                told.changed.push((name.clone(), "normalizations beside it are folded into it".into()))
            }
            None => told.added.push((name.clone(), "what normalizations scale and shift by".into())),
        }
    }
    let gone = before.iter().filter(|(name, _)| !new.contains(&**name));
    told.dropped.extend(gone.map(|(name, _)| (name.clone(), "folded into the layer beside it".into())));
    Ok((model, told))
}
