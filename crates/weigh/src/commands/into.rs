//! `weigh convert … --into MODEL`: which tensor becomes which of the other model's.

use std::collections::HashSet;
use std::path::PathBuf;

use weighbridge_convert::Transfer;
use weighbridge_convert::into::{Asked, Match, Options};
use weighbridge_formats::declared;
use weighbridge_model::{Error, Model, Result, Tensor, TensorId};

use super::convert::weights;
use crate::args::{ConvertArgs, InputArgs};
use crate::{input, printer};

/// A match that was found good.
pub(super) struct Found {
    /// The model whose form is taken.
    pub target: Model,
    /// The files that it was read from.
    pub files: Vec<PathBuf>,
    source: Model,
    asked: Vec<Asked>,
    matched: Match,
    used: HashSet<TensorId>,
}

/// Matches the tensors of `transfer`, which are from `model`, with those of the model that is named.
pub(super) fn matched(transfer: &Transfer, model: &Model, into: &str, args: &ConvertArgs) -> Result<Found> {
    let named = InputArgs {
        files: vec![into.to_owned()],
        format: None,
        no_mmap: args.input.no_mmap,
        json: args.input.json,
    };
    let opened = input::read(&named)?;
    // A net without weights is just what may be meant here.
    let notes = opened.model.findings.iter().filter(|f| f.code != "C107").cloned();
    printer::findings(&notes.collect::<Vec<_>>());
    let (target, _) = weights(&opened.model, false)?;
    // A graph counts its tensors; elsewhere those outside of the state dict are nobody's target.
    let target = match target.graph {
        Some(_) => target,
        None => Transfer::of(&target).model(&target),
    };
    let mut asked = Vec::new();
    if let (true, Some(graph)) = (target.tensors.is_empty(), &target.graph) {
        let ask = |d: weighbridge_formats::Declared| Asked { name: d.name, shape: d.shape, role: d.role };
        asked = declared(graph).into_iter().map(ask).collect();
    }
    if target.tensors.is_empty() && asked.is_empty() {
        return Err(Error::Usage { what: format!("{into} has no tensors whose names could be taken") });
    }
    let source = transfer.as_source(model);
    let at = |(i, _): (usize, _)| TensorId(i as u32);
    let options = Options {
        by_order: args.by_order,
        arranged: transfer.moved.iter().enumerate().filter(|(_, m)| m.arranged).map(at).collect(),
        renamed: transfer
            .moved
            .iter()
            .enumerate()
            .filter(|(_, m)| m.source.name != m.target.name)
            .map(|(i, m)| (TensorId(i as u32), m.target.name.clone()))
            .collect(),
        asked: asked.clone(),
    };
    let matched = Match::of(&source, &target, &options);
    matched.check(args.keep_missing && !target.tensors.is_empty())?;
    let used = matched.pairs.iter().map(|p| transfer.moved[p.source.0 as usize].source.id).collect();
    let files = opened.model.files.clone();
    Ok(Found { target, files, source, asked, matched, used })
}

impl Found {
    /// Whether a tensor on its way becomes a target.
    pub(super) fn uses(&self, tensor: &Tensor) -> bool {
        self.used.contains(&tensor.id)
    }

    /// The tensors in the target's form.
    pub(super) fn apply(&self, transfer: &Transfer) -> Result<Transfer> {
        transfer.in_place_of(&self.source, &self.target, &self.asked, &self.matched)
    }
}
