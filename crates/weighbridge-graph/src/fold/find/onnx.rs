//! ONNX: Conv, ConvTranspose, Gemm and MatMul; BatchNormalization, Mul, Div, Add and Sub with constants.

use weighbridge_model::{Node, Tensor, Value, ValueId};

use super::chain::{Before, Domain, Linear, Operand};
use crate::fold::linear::{
    column_inputs, column_outputs, conv_inputs, conv_outputs, transposed_inputs, transposed_outputs,
};
use crate::fold::step::is_plain;
use crate::fold::{Does, View};

/// A graph of ONNX's operators.
pub(crate) struct Onnx<'a> {
    pub view: &'a dyn View,
    /// Of ONNX's default operators.
    pub version: i64,
}

fn int(node: &Node, name: &str, otherwise: i64) -> i64 {
    node.attribute(name).and_then(Value::as_int).unwrap_or(otherwise)
}

fn float(node: &Node, name: &str, otherwise: f64) -> f64 {
    node.attribute(name).and_then(Value::as_float).unwrap_or(otherwise)
}

/// Whether a convolution's kernel never meets what is padded.
fn is_unpadded(node: &Node) -> bool {
    let padded = match node.attribute("pads") {
        Some(Value::List(pads)) => pads.iter().any(|p| p.as_int() != Some(0)),
        Some(_) => true,
        None => false,
    };
    match node.attribute("auto_pad").and_then(Value::as_str) {
        None | Some("" | "NOTSET") => !padded,
        Some("VALID") => true,
        Some(_) => false,
    }
}

impl Onnx<'_> {
    /// A node of the default domain.
    pub(crate) fn node(&self, index: usize) -> Option<&Node> {
        self.view.node(index).filter(|node| matches!(node.domain.as_str(), "" | "ai.onnx"))
    }

    /// The tensor that a value always is.
    pub(crate) fn constant(&self, value: ValueId) -> Option<&Tensor> {
        self.view.constant(value).map(|id| self.view.model().tensor(id))
    }

    /// The same, where its elements are floating-point numbers that stand for themselves.
    pub(crate) fn plain(&self, value: ValueId) -> Option<&Tensor> {
        self.constant(value).filter(|tensor| is_plain(tensor))
    }

    fn rank(&self, value: ValueId) -> Option<usize> {
        self.view.sizes(value).map(|sizes| sizes.len())
    }

    /// The shape of a weight: of its initializer, constant or not.
    fn weight_shape(&self, value: ValueId) -> Option<Vec<u64>> {
        if let Some(tensor) = self.constant(value) {
            return Some(tensor.shape.clone());
        }
        self.view.sizes(value)?.into_iter().collect()
    }

    fn norm(&self, node: &Node, value: ValueId, of: &Operand) -> Result<Option<Does>, String> {
        let [Some(input), Some(gamma), Some(beta), Some(mean), Some(variance)] = node.inputs[..] else {
            return Ok(None);
        };
        if input != value {
            return Ok(None);
        }
        let more = node.outputs.iter().skip(1).any(Option::is_some);
        let in_test = self.version >= 7 || int(node, "is_test", 0) != 0;
        if more || int(node, "training_mode", 0) != 0 || !in_test {
            return Err("it is in training mode: it normalizes by what it is given".into());
        }
        if int(node, "spatial", 1) == 0 {
            return Err("it normalizes each point by itself".into());
        }
        // It counts its channels from the first dimension.
        if of.rank != Some(of.channel + 1) {
            return Err("it is not known to normalize the channels of the operator before it".into());
        }
        let mut ids = [None; 4];
        for (id, value) in ids.iter_mut().zip([gamma, beta, mean, variance]) {
            let tensor = self.constant(value).filter(|t| t.count() == of.count && is_plain(t));
            if tensor.is_none() {
                let name = &self.view.value(value).name;
                return Err(format!(
                    "'{name}' is no constant with an element for each of {} channels",
                    of.count
                ));
            }
            *id = self.view.constant(value);
        }
        let [gamma, beta, Some(mean), Some(variance)] = ids else { return Ok(None) };
        let epsilon = float(node, "epsilon", 1e-5);
        Ok(Some(Does::Norm { gamma, beta, mean, variance, factor: None, epsilon }))
    }

    /// Whether a constant beside a value scales or shifts its channels, and leaves its shape.
    fn is_per_channel(&self, tensor: &Tensor, of: &Operand) -> bool {
        let rank = tensor.shape.len();
        let fits = of.rank.map_or(rank <= of.channel, |of| rank <= of);
        let dims = tensor.shape.iter().rev().zip(1usize..);
        let spreads = |(&n, from_end): (&u64, usize)| match n {
            1 => false,
            n => !(from_end == of.channel && n == of.count && of.certain),
        };
        fits && is_plain(tensor) && !dims.into_iter().any(spreads)
    }
}

impl Domain for Onnx<'_> {
    fn view(&self) -> &dyn View {
        self.view
    }

    fn linear(&self, index: usize) -> Option<Linear> {
        let node = self.node(index)?;
        let input = |i: usize| node.inputs.get(i).copied().flatten();
        let output = node.outputs.first().copied().flatten()?;
        let (x, weight) = (input(0)?, input(1)?);
        let shape = self.weight_shape(weight)?;
        let rank = shape.len();
        let plain = |inputs, outputs| Linear {
            input: x,
            output,
            weight: Some(weight),
            bias: None,
            weight_gain: 1.0,
            bias_gain: 1.0,
            inputs,
            outputs,
            channel: 1,
            rank: Some(rank),
            takes_bias: true,
            before: Before::All,
        };
        let groups = u64::try_from(int(node, "group", 1)).ok()?;
        match node.op.as_str() {
            "Conv" if rank >= 3 => Some(Linear {
                bias: input(2),
                channel: rank - 1,
                before: if is_unpadded(node) { Before::All } else { Before::Scales },
                ..plain(conv_inputs(&shape, groups), conv_outputs(&shape)?)
            }),
            "ConvTranspose" if rank >= 3 => Some(Linear {
                bias: input(2),
                channel: rank - 1,
                before: Before::Scales,
                ..plain(transposed_inputs(&shape), transposed_outputs(&shape, groups)?)
            }),
            "Gemm" if rank == 2 => {
                let rows = int(node, "transB", 0) != 0;
                let (inputs, outputs) = match rows {
                    true => (conv_inputs(&shape, 1), conv_outputs(&shape)?),
                    false => (column_inputs(&shape), column_outputs(&shape)?),
                };
                let bias = input(2);
                // A bias that differs from row to row stays as it is, and so does everything after it.
                let outward = |b: ValueId| {
                    self.weight_shape(b).is_none_or(|shape| !matches!(shape[..], [] | [_] | [1, _]))
                };
                if bias.is_some_and(outward) {
                    return None;
                }
                Some(Linear {
                    bias,
                    weight_gain: float(node, "alpha", 1.0),
                    bias_gain: float(node, "beta", 1.0),
                    before: if int(node, "transA", 0) != 0 { Before::Nothing } else { Before::All },
                    ..plain(inputs, outputs)
                })
            }
            // Of a weight with more dimensions, several lie behind one output.
            "MatMul" if rank >= 2 && self.constant(weight).is_some() => Some(Linear {
                rank: self.rank(output),
                takes_bias: false,
                // Without a bias of its own, a shift has no place in it.
                before: Before::Scales,
                ..plain(column_inputs(&shape), column_outputs(&shape)?)
            }),
            _ => None,
        }
    }

    fn step(&self, index: usize, value: ValueId, of: &Operand) -> Result<Option<Does>, String> {
        let Some(node) = self.node(index) else { return Ok(None) };
        if node.op == "BatchNormalization" {
            return self.norm(node, value, of);
        }
        if !matches!(node.op.as_str(), "Mul" | "Div" | "Add" | "Sub") {
            return Ok(None);
        }
        let [Some(a), Some(b)] = node.inputs[..] else { return Ok(None) };
        let (first, other) = if a == value { (true, b) } else { (false, a) };
        // The old operators say by attributes where a shape belongs.
        if self.version < 7 && self.constant(other).is_none_or(|t| t.count() != 1) {
            return Ok(None);
        }
        let fits = self.constant(other).is_some_and(|tensor| self.is_per_channel(tensor, of));
        let Some(tensor) = self.view.constant(other).filter(|_| fits) else { return Ok(None) };
        Ok(match (node.op.as_str(), first) {
            ("Mul", _) => Some(Does::Scale { scale: Some(tensor), shift: None }),
            ("Add", _) => Some(Does::Scale { scale: None, shift: Some(tensor) }),
            ("Div", true) => Some(Does::Divide(tensor)),
            ("Sub", true) => Some(Does::Subtract(tensor)),
            ("Sub", false) => Some(Does::SubtractFrom(tensor)),
            _ => None,
        })
    }

    fn applied_to(&self, index: usize) -> Option<ValueId> {
        let node = self.node(index)?;
        if node.op == "BatchNormalization" {
            return node.inputs.first().copied().flatten();
        }
        match node.inputs[..] {
            [Some(a), Some(b)] => match (self.constant(a), self.constant(b)) {
                (None, Some(_)) => Some(a),
                (Some(_), None) => Some(b),
                _ => None,
            },
            _ => None,
        }
    }

    fn is_norm(&self, index: usize) -> bool {
        self.node(index).is_some_and(|node| node.op == "BatchNormalization")
    }

    fn has_channels(&self, value: ValueId, channel: usize, count: u64) -> bool {
        let Some(sizes) = self.view.sizes(value) else { return false };
        let at = sizes.len().checked_sub(channel);
        at.and_then(|at| sizes.get(at)) == Some(&Some(count))
    }
}
