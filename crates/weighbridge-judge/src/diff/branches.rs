//! Branches of a graph that sum, which became one convolution on the other side: merged as `reparameterize` merges them,
//! then compared.

use std::collections::{HashMap, HashSet};

use weighbridge_graph::passes::{Choice, simplify};
use weighbridge_measure::fingerprints;
use weighbridge_model::storage::identity;
use weighbridge_model::{Graph, Model, Result, Tensor, TensorId, ValueId};

use super::arrange::{agreement, apply, ways};
use super::bound::computed;
use super::folded::Biases;
use super::near::Nearest;
use super::pair::Relation;
use super::work::{Explained, Work};

/// Share of sampled elements that must agree.
const AGREE: f64 = 0.5;

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let graph = work.source.model.graph.as_ref().filter(|graph| graph.program.is_some());
    let Some(graph) = graph.filter(|_| !work.open_sources().is_empty()) else { return Ok(()) };
    let open = work.open_targets();
    if open.iter().all(|&t| work.target.tensor(t).shape.len() < 3) {
        return Ok(());
    }
    let mut merged = work.source.model.clone();
    let choice = Choice { only: vec!["reparameterize".into()], ..Choice::default() };
    // What passes cannot go through has no branches that they could tell of.
    let Ok(_) = simplify(&mut merged, &choice) else { return Ok(()) };
    let made = made(&work.source.model, &merged);
    if made.is_empty() {
        return Ok(());
    }
    let (nearest, biases) = (Nearest::of(work, &open)?, Biases::of(work)?);
    let origins = Origins::of(graph);
    for made in made {
        let source = origins.between(&made.input, &made.output);
        let source: Vec<usize> = source.into_iter().filter(|s| !work.source_done[*s]).collect();
        if source.is_empty() {
            continue;
        }
        compare(work, &nearest, &biases, source, &made)?;
    }
    Ok(())
}

/// A convolution that branches became.
struct Made {
    input: String,
    output: String,
    weight: Tensor,
    bias: Option<Tensor>,
}

/// The convolutions of a model whose weights the other does not have.
fn made(before: &Model, after: &Model) -> Vec<Made> {
    let Some(graph) = &after.graph else { return Vec::new() };
    let there: HashSet<usize> = before.tensors.iter().map(|t| identity(&t.storage)).collect();
    let given: HashMap<ValueId, TensorId> = graph.constants().into_iter().collect();
    let mut made = Vec::new();
    for node in graph.nodes.iter().filter(|node| node.op == "Conv") {
        let input = |i: usize| node.inputs.get(i).copied().flatten();
        let tensor = |i: usize| Some(after.tensor(*given.get(&input(i)?)?));
        let output = node.outputs.first().copied().flatten();
        if let (Some(from), Some(output), Some(weight)) = (input(0), output, tensor(1))
            && !there.contains(&identity(&weight.storage))
        {
            made.push(Made {
                input: graph.value(from).name.clone(),
                output: graph.value(output).name.clone(),
                weight: weight.clone(),
                bias: tensor(2).cloned(),
            });
        }
    }
    made
}

/// What values of a graph are made of.
struct Origins<'a> {
    graph: &'a Graph,
    by_name: HashMap<&'a str, ValueId>,
    maker: HashMap<ValueId, usize>,
    given: HashMap<ValueId, TensorId>,
}

impl<'a> Origins<'a> {
    fn of(graph: &'a Graph) -> Self {
        let makers = graph.nodes.iter().enumerate();
        let names = graph.values.iter().enumerate();
        Origins {
            graph,
            by_name: names.map(|(i, v)| (v.name.as_str(), ValueId(i as u32))).collect(),
            maker: makers.flat_map(|(i, n)| n.outputs.iter().flatten().map(move |v| (*v, i))).collect(),
            given: graph.constants().into_iter().collect(),
        }
    }

    /// The tensors that nodes between two values take, in the order of the graph's nodes.
    fn between(&self, from: &str, to: &str) -> Vec<usize> {
        let (Some(from), Some(to)) = (self.by_name.get(from), self.by_name.get(to)) else {
            return Vec::new();
        };
        let (mut open, mut nodes) = (vec![*to], HashSet::new());
        while let Some(value) = open.pop() {
            if let Some(&node) = self.maker.get(&value).filter(|_| value != *from)
                && nodes.insert(node)
            {
                open.extend(self.graph.nodes[node].inputs.iter().flatten());
            }
        }
        let mut nodes: Vec<usize> = nodes.into_iter().collect();
        nodes.sort_unstable();
        let mut tensors: Vec<usize> = Vec::new();
        let taken = nodes.iter().flat_map(|&n| self.graph.nodes[n].inputs.iter().flatten());
        for tensor in taken.filter_map(|v| self.given.get(v)) {
            let tensor = tensor.0 as usize;
            if !tensors.contains(&tensor) {
                tensors.push(tensor);
            }
        }
        tensors
    }
}

fn compare(
    work: &mut Work<'_>,
    nearest: &Nearest,
    biases: &Biases,
    source: Vec<usize>,
    made: &Made,
) -> Result<()> {
    // What sums may cancel; what they were sums of is about as large as the largest of what is left.
    let largest = |tensor: &Tensor| -> Result<f64> {
        let mut most = 0.0f64;
        tensor.visit_values(0..tensor.count(), &mut |_, values| {
            most = values.iter().fold(most, |most, x| most.max(x.abs()));
            Ok(())
        })?;
        Ok(most)
    };
    let most = largest(&made.weight)?;
    let mut best: Option<(f64, usize, Tensor)> = None;
    for t in nearest.of_tensor(&made.weight)?.into_iter().filter(|t| !work.target_done[*t]) {
        let theirs = work.target.tensor(t);
        for steps in ways(&made.weight.shape, &theirs.shape) {
            let Some(expected) = apply(&made.weight, &steps)? else { continue };
            let close = super::arrange::close(theirs);
            let near = |i: u64, x: f64, y: f64| close(i, x, y) || (x - y).abs() <= 1e-6 * most;
            let agreement = agreement(&expected, theirs, &near)?;
            if best.as_ref().is_none_or(|(other, ..)| agreement > *other) {
                best = Some((agreement, t, expected));
            }
        }
    }
    let Some((_, t, expected)) = best.filter(|(agreement, ..)| *agreement >= AGREE) else { return Ok(()) };
    let weight = computed(&expected, work.target.tensor(t), Some(&[most]))?;
    let mut why = vec![format!("branches up to '{}' became one convolution", made.output)];
    let mut relation = if weight.holds() { Relation::Merged.max(weight.relation) } else { Relation::Changed };
    if let (false, Some(figures)) = (weight.holds(), &weight.figures) {
        why.push(figures.told());
    }
    let mut target = vec![t];
    if let Some(bias) = &made.bias {
        let terms = vec![largest(bias)?; bias.count() as usize];
        match biases.beside(work, t, bias, &terms)? {
            Some(b) => {
                let judged = computed(bias, work.target.tensor(b), Some(&terms))?;
                if let (false, Some(figures)) = (judged.holds(), &judged.figures) {
                    why.push(format!("bias '{}': {}", work.target.tensor(b).name, figures.told()));
                    relation = Relation::Changed;
                }
                target.push(b);
            }
            None if fingerprints(&[(bias, None)]).remove(0)?.magnitude > 0.0 => {
                why.push("no bias was found".into());
                relation = Relation::Changed;
            }
            None => {}
        }
    }
    if relation == Relation::Folded {
        relation = Relation::Merged;
    }
    let figures = weight.figures;
    work.explain(Explained { source, target, relation, figures, why, guess: false });
    Ok(())
}
