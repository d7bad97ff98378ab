//! Normalizations on their way: folded into the layers before them, or brought from sums to means.

use std::collections::{HashMap, HashSet};

use weighbridge_graph::fold::{Does, Fold, Left, Names, find, find_by_names, scaled, values};
use weighbridge_model::layers::caffe_type;
use weighbridge_model::storage::Channels;
use weighbridge_model::{Model, Result, Tensor, TensorId};

use crate::{Moved, Transfer};

impl Transfer {
    /// Folds each normalization, and what scales and shifts beside it, into the linear layer before it: by the graph
    /// where `model`, whose tensors are on their way, has one, otherwise by names, which is a guess and told as one.
    /// `epsilon` is for normalizations whose own is not told. Gives how many were folded, and what is left as it is.
    ///
    /// # Errors
    /// A failed read.
    pub fn fold_bn(&mut self, model: &Model, epsilon: Option<f64>) -> Result<(usize, Vec<Left>)> {
        let found = match &model.graph {
            Some(_) => find(model),
            None => find_by_names(model, &Names { epsilon }),
        };
        let mut left = found.left;
        let places: HashMap<TensorId, usize> =
            self.moved.iter().zip(0..).map(|(moved, at)| (moved.source.id, at)).collect();
        let mut gone: HashMap<TensorId, String> = HashMap::new();
        let mut layers: HashMap<String, String> = HashMap::new();
        let mut added: Vec<(TensorId, Moved)> = Vec::new();
        let mut folded = 0;
        for fold in &found.folds {
            if fold.tensors().iter().any(|id| !places.contains_key(id)) {
                continue;
            }
            if let Some(why) = fold.overflow(model)? {
                left.extend(fold.after.iter().map(|step| Left { name: step.name.clone(), why: why.clone() }));
                continue;
            }
            folded += 1;
            let (weight, bias) = (fold.folded_weight(model)?, fold.folded_bias(model)?);
            let into = weight.name.clone();
            let told = told(fold);
            let moved = &mut self.moved[places[&fold.weight]];
            moved.changes.push(told.clone());
            moved.target = Tensor { id: fold.weight, ..weight };
            match fold.bias {
                Some(id) => {
                    let moved = &mut self.moved[places[&id]];
                    moved.changes.push(told);
                    moved.target = Tensor { id, ..bias };
                }
                None => {
                    let Some(shift) = shift_of(fold) else { continue };
                    let source = Tensor { name: bias.name.clone(), ..model.tensor(shift).clone() };
                    let target = Tensor { id: shift, ..bias };
                    let changes = vec![told];
                    added.push((fold.weight, Moved { target, changes, ..Moved::of(&source) }));
                }
            }
            for step in &fold.after {
                gone.extend(step.tensors().into_iter().map(|id| (id, into.clone())));
                layers.insert(step.name.clone(), into.clone());
            }
        }
        let given = &mut self.left;
        self.moved.retain(|moved| {
            // A counter of steps goes with its layer.
            let layer = moved.source.name.rsplit_once(['.', '/']).and_then(|(path, _)| layers.get(path));
            match gone.get(&moved.source.id).or(layer) {
                Some(into) => {
                    given.push((moved.source.name.clone(), format!("folded into '{into}'")));
                    false
                }
                None => true,
            }
        });
        let mut beside: HashMap<TensorId, Moved> = added.into_iter().collect();
        let mut moved = Vec::with_capacity(self.moved.len() + beside.len());
        for each in self.moved.drain(..) {
            let bias = beside.remove(&each.source.id);
            moved.push(each);
            moved.extend(bias);
        }
        self.moved = moved;
        Ok((folded, left))
    }

    /// Divides the means and variances of Caffe's BatchNorm layers by their factors, which become 1. A factor of 0, of a
    /// layer that never saw a sample, makes zeros of them and stays. Gives how many layers were changed.
    ///
    /// # Errors
    /// A failed read.
    pub fn normalize_bn(&mut self, model: &Model) -> Result<usize> {
        let Some(graph) = &model.graph else { return Ok(0) };
        let tensors: HashMap<_, TensorId> = graph.initializers.iter().copied().collect();
        let places: HashMap<TensorId, usize> =
            self.moved.iter().zip(0..).map(|(moved, at)| (moved.source.id, at)).collect();
        let mut layers = 0;
        let mut seen = HashSet::new();
        for node in graph.nodes.iter().filter(|n| n.domain == "caffe" && caffe_type(&n.op) == "BatchNorm") {
            let blobs: Vec<TensorId> =
                node.inputs.iter().flatten().filter_map(|v| tensors.get(v).copied()).collect();
            let [mean, variance, factor, ..] = blobs[..] else { continue };
            if model.tensor(factor).count() != 1 || !seen.insert(factor) {
                continue;
            }
            let by = values(model.tensor(factor))?[0];
            let Some(_) = places.get(&factor).filter(|_| by != 1.0) else { continue };
            layers += 1;
            let inverse = if by == 0.0 { 0.0 } else { 1.0 / by };
            for id in [mean, variance] {
                self.scale(&places, id, inverse, &format!("a sum, divided by the layer's factor {by}"))?;
            }
            if by != 0.0 {
                self.scale(
                    &places,
                    factor,
                    inverse,
                    &format!("the factor {by}, by which others were divided"),
                )?;
            }
        }
        Ok(layers)
    }

    fn scale(&mut self, places: &HashMap<TensorId, usize>, id: TensorId, by: f64, why: &str) -> Result<()> {
        let Some(&at) = places.get(&id) else { return Ok(()) };
        let moved = &mut self.moved[at];
        let all = Channels::of(&moved.target.shape, &[]).expect("a tensor's elements were counted");
        moved.target = Tensor { id, ..scaled(&moved.target, vec![(all, vec![by])])? };
        moved.changes.push(why.to_owned());
        moved.in_graph = true;
        Ok(())
    }
}

/// What was folded, for people.
fn told(fold: &Fold) -> String {
    let steps: Vec<String> = fold
        .after
        .iter()
        .map(|step| match step.does {
            Does::Norm { epsilon, .. } => format!("'{}' (eps {epsilon:e})", step.name),
            _ => format!("'{}'", step.name),
        })
        .collect();
    let guess = if fold.guessed { ", which names alone say belongs to it" } else { "" };
    format!("takes in {}{guess}", steps.join(" and "))
}

/// The tensor that a bias which was not there before comes from.
fn shift_of(fold: &Fold) -> Option<TensorId> {
    let of = |does: &Does| match *does {
        Does::Norm { beta, mean, .. } => Some(beta.unwrap_or(mean)),
        Does::Scale { shift, .. } => shift,
        Does::Subtract(id) | Does::SubtractFrom(id) => Some(id),
        Does::Divide(_) => None,
    };
    fold.after.iter().rev().find_map(|step| of(&step.does))
}
