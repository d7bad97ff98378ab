//! BatchNormalization, and Mul, Div, Add and Sub with constants, go into the weight and the bias of the Conv,
//! ConvTranspose, Gemm or MatMul beside them.

use std::collections::HashMap;

use weighbridge_model::{Node, Result, Tensor, TensorId, ValueId};

use super::{Pass, Report};
use crate::edit::{Edit, NodeId, Patch};
use crate::fold::{Does, Fold, find_in};

/// Normalizations.
pub(super) struct FoldBn;

/// Everything else that does the same to a whole channel.
pub(super) struct FoldAffine;

impl Pass for FoldBn {
    fn name(&self) -> &'static str {
        "fold-bn"
    }

    fn about(&self) -> &'static str {
        "puts BatchNormalization into the weights of the Conv, ConvTranspose, Gemm or MatMul beside it"
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, report: &mut Report) -> Result<usize> {
        sweep(edit, report, self.name(), has_norm)
    }
}

impl Pass for FoldAffine {
    fn name(&self) -> &'static str {
        "fold-affine"
    }

    fn about(&self) -> &'static str {
        "puts Mul, Div, Add and Sub with constants into the weights and the bias of the linear operator beside them"
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, report: &mut Report) -> Result<usize> {
        sweep(edit, report, self.name(), |fold| !has_norm(fold))
    }
}

fn has_norm(fold: &Fold) -> bool {
    fold.before.iter().chain(&fold.after).any(|step| matches!(step.does, Does::Norm { .. }))
}

fn sweep(
    edit: &mut Edit<'_, '_>,
    report: &mut Report,
    pass: &'static str,
    mine: impl Fn(&Fold) -> bool,
) -> Result<usize> {
    let found = find_in(&*edit);
    if pass == FoldBn.name() {
        found.left.into_iter().for_each(|left| report.left(pass, left.name, left.why));
    }
    let mut values: HashMap<TensorId, u32> = HashMap::new();
    for (_, tensor) in &edit.graph().initializers {
        *values.entry(*tensor).or_default() += 1;
    }
    let mut done = 0;
    for fold in found.folds.iter().filter(|fold| mine(fold)) {
        if let Some(why) = fold.overflow(edit.model())? {
            report.left(pass, fold.name.clone(), why);
            continue;
        }
        apply(edit, fold, &values)?;
        done += 1;
    }
    Ok(done)
}

/// Folds. `values` tells by how many values each tensor is given.
fn apply(edit: &mut Edit<'_, '_>, fold: &Fold, values: &HashMap<TensorId, u32>) -> Result<()> {
    let (Some(linear), Some(input), Some(result)) = (fold.node, fold.input, fold.output) else {
        return Ok(());
    };
    let linear = NodeId(linear as u32);
    let Some(output) = edit.output(linear, 0) else { return Ok(()) };
    let (weight, bias) = (fold.folded_weight(edit.model())?, fold.folded_bias(edit.model())?);
    let shifts = fold.bias.is_some() || fold.bias_values(edit.model())?.iter().any(|&b| b != 0.0);
    let mut node = edit.node(linear).clone();
    let mut change = Change { patch: Patch::new(edit), edit, values, in_place: Vec::new() };

    node.inputs[0] = Some(input);
    node.inputs[1] = Some(change.put(change.edit.input(linear, 1), Some(fold.weight), weight));
    node.attributes.retain(|(name, _)| name != "alpha" && name != "beta");
    let adds = shifts && node.op == "MatMul";
    if shifts && !adds {
        let bias = change.put(change.edit.input(linear, 2), fold.bias, bias.clone());
        node.inputs.resize(3, None);
        node.inputs[2] = Some(bias);
    }
    match fold.after.last().and_then(|step| step.node).map(|number| NodeId(number as u32)) {
        // It has no bias of its own: the last of the steps adds what all of them come to.
        Some(last) if adds => {
            let bias = change.patch.constant(bias);
            let inputs = vec![Some(output), Some(bias)];
            let old = change.edit.node(last).clone();
            change.patch.rewrite(linear, node);
            let node = Node { op: "Add".to_owned(), inputs, attributes: Vec::new(), ..old };
            change.patch.rewrite(last, node);
        }
        // In the place of the last step, with what that gives; the others go, as nothing reads them.
        Some(last) => change.patch.rewrite(last, Node { outputs: vec![Some(result)], ..node }),
        None => change.patch.rewrite(linear, node),
    }
    let Change { patch, in_place, .. } = change;
    for (id, tensor) in in_place {
        edit.shared.model.tensors[id.0 as usize] = Tensor { id, ..tensor };
    }
    edit.apply(patch);
    Ok(())
}

/// A patch, and the tensors that change where they are.
struct Change<'c, 's, 'm> {
    patch: Patch,
    edit: &'c Edit<'s, 'm>,
    values: &'c HashMap<TensorId, u32>,
    in_place: Vec<(TensorId, Tensor)>,
}

impl Change<'_, '_, '_> {
    /// The value that `new` is given by: the old one, which keeps its name, where nothing else needs that.
    fn put(&mut self, old: Option<ValueId>, id: Option<TensorId>, new: Tensor) -> ValueId {
        if let (Some(old), Some(id)) = (old, id)
            && self.values.get(&id) == Some(&1)
            && self.edit.is_initializer(old)
            && self.edit.uses(old) == 1
            && self.edit.model().tensor(id).shape == new.shape
        {
            let name = self.edit.model().tensor(id).name.clone();
            self.in_place.push((id, Tensor { name, ..new }));
            return old;
        }
        self.patch.constant(new)
    }
}
