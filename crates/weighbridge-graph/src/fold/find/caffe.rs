//! Caffe: Convolution, Deconvolution and InnerProduct; BatchNorm, Scale and Bias with blobs of their own.

use weighbridge_model::layers::{caffe_setting, caffe_type};
use weighbridge_model::storage::Channels;
use weighbridge_model::{Node, Value, ValueId};

use super::chain::{Before, Domain, Linear, Operand};
use crate::fold::linear::transposed_outputs;
use crate::fold::{Does, View};

pub(super) struct Caffe<'a> {
    pub view: &'a dyn View,
}

impl Caffe<'_> {
    fn node(&self, index: usize) -> Option<(&Node, &str)> {
        let node = self.view.node(index).filter(|node| node.domain == "caffe")?;
        Some((node, caffe_type(&node.op)))
    }

    /// Inputs that layers before it make, and its own blobs.
    fn parts_of(&self, node: &Node) -> (Vec<ValueId>, Vec<ValueId>) {
        node.inputs.iter().flatten().partition(|&&value| self.view.constant(value).is_none())
    }
}

fn int(node: &Node, message: &str, name: &str, otherwise: i64) -> i64 {
    caffe_setting(node, message, name).and_then(Value::as_int).unwrap_or(otherwise)
}

impl Domain for Caffe<'_> {
    fn view(&self) -> &dyn View {
        self.view
    }

    fn linear(&self, index: usize) -> Option<Linear> {
        let (node, kind) = self.node(index)?;
        let (bottoms, blobs) = self.parts_of(node);
        let ([input], [weight, rest @ ..]) = (&bottoms[..], &blobs[..]) else { return None };
        let [output] = node.outputs[..] else { return None };
        let shape = &self.view.model().tensor(self.view.constant(*weight)?).shape;
        let rank = shape.len();
        let (outputs, axis) = match kind {
            _ if kind.contains("Deconvolution") && rank >= 3 => {
                let groups = u64::try_from(int(node, "convolution_param", "group", 1)).ok()?;
                (transposed_outputs(shape, groups)?, int(node, "convolution_param", "axis", 1))
            }
            _ if kind.contains("Convolution") && rank >= 3 => {
                (Channels::of(shape, &[0])?, int(node, "convolution_param", "axis", 1))
            }
            "InnerProduct" if rank >= 2 => {
                let turned = caffe_setting(node, "inner_product_param", "transpose").and_then(Value::as_int);
                let dim = if turned == Some(1) { rank - 1 } else { rank - 2 };
                (Channels::of(shape, &[dim])?, int(node, "inner_product_param", "axis", 1))
            }
            _ => return None,
        };
        (axis == 1).then_some(Linear {
            input: *input,
            output: output?,
            weight: Some(*weight),
            bias: rest.first().copied(),
            weight_gain: 1.0,
            bias_gain: 1.0,
            inputs: None,
            outputs,
            channel: 1,
            rank: None,
            takes_bias: true,
            before: Before::Nothing,
        })
    }

    fn step(&self, index: usize, value: ValueId, of: &Operand) -> Result<Option<Does>, String> {
        let Some((node, kind)) = self.node(index) else { return Ok(None) };
        if !matches!(kind, "BatchNorm" | "BN" | "Scale" | "Bias") {
            return Ok(None);
        }
        let (bottoms, blobs) = self.parts_of(node);
        if bottoms != [value] {
            return Err("it takes its numbers from another layer".into());
        }
        let ids: Vec<_> = blobs.iter().filter_map(|&blob| self.view.constant(blob)).collect();
        let per_channel = |at: usize| match ids.get(at) {
            Some(&id) if self.view.model().tensor(id).count() == of.count => Ok(id),
            Some(&id) => {
                let (tensor, n) = (self.view.model().tensor(id), of.count);
                Err(format!("'{}' has {} elements beside {n} channels", tensor.name, tensor.count()))
            }
            None => Err("a blob of it is missing".to_owned()),
        };
        let axis = |message| match int(node, message, "axis", 1) {
            1 => Ok(()),
            axis => Err(format!("it goes along axis {axis}")),
        };
        match kind {
            "BatchNorm" => {
                let given =
                    caffe_setting(node, "batch_norm_param", "use_global_stats").and_then(Value::as_int);
                if given == Some(0) {
                    return Err("it normalizes by what it is given: use_global_stats is false".into());
                }
                let epsilon = caffe_setting(node, "batch_norm_param", "eps").and_then(Value::as_float);
                let affine = |at: usize| (ids.len() > at).then(|| per_channel(at)).transpose();
                Ok(Some(Does::Norm {
                    gamma: affine(3)?,
                    beta: affine(4)?,
                    mean: per_channel(0)?,
                    variance: per_channel(1)?,
                    factor: ids.get(2).copied().filter(|&id| self.view.model().tensor(id).count() == 1),
                    epsilon: epsilon.unwrap_or(1e-5),
                }))
            }
            "Scale" => {
                axis("scale_param")?;
                let shift = (ids.len() > 1).then(|| per_channel(1)).transpose()?;
                Ok(Some(Does::Scale { scale: Some(per_channel(0)?), shift }))
            }
            "Bias" => {
                axis("bias_param")?;
                Ok(Some(Does::Scale { scale: None, shift: Some(per_channel(0)?) }))
            }
            _ => Err("BN layers of forks differ in what they keep".into()),
        }
    }

    fn applied_to(&self, _: usize) -> Option<ValueId> {
        None
    }

    fn is_norm(&self, index: usize) -> bool {
        self.node(index).is_some_and(|(_, kind)| matches!(kind, "BatchNorm" | "BN"))
    }

    fn has_channels(&self, _: ValueId, _: usize, _: u64) -> bool {
        false
    }
}
