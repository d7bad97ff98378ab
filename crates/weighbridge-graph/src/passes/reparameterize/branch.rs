//! Linear branches: chains of nodes that come to one kernel.

use weighbridge_model::{Node, Tensor, Value, ValueId};

use super::kernel::{Axis, Kernel, MOST, taps};
use crate::fold::chain::{Domain, Operand};
use crate::fold::onnx::Onnx;
use crate::fold::{Step, View, values};

/// What a branch does to what it is applied to, a node at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub node: usize,
    /// What the node is applied to.
    pub from: ValueId,
}

/// The graph that branches are looked for in.
pub(super) struct Branches<'a> {
    pub onnx: Onnx<'a>,
}

/// Channels and spatial dimensions of what branches are applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub channels: usize,
    pub spatial: usize,
}

impl Branches<'_> {
    pub fn view(&self) -> &dyn View {
        self.onnx.view
    }

    /// A node of a link.
    pub fn node(&self, index: usize) -> &Node {
        self.onnx.view.node(index).expect("links are of nodes that are there")
    }

    /// The link that makes a value, where its node is one.
    pub fn link(&self, value: ValueId) -> Option<Link> {
        let index = self.onnx.view.maker(value)?;
        let node = self.onnx.node(index)?;
        let from = match node.op.as_str() {
            "Conv" => {
                self.weight(node)?;
                node.inputs[0]?
            }
            "AveragePool" | "Pad" | "Identity" => node.inputs.first().copied().flatten()?,
            "BatchNormalization" | "Mul" | "Div" | "Add" | "Sub" => self.onnx.applied_to(index)?,
            _ => return None,
        };
        (node.outputs.first().copied().flatten() == Some(value)).then_some(Link { node: index, from })
    }

    /// The weight of a convolution, where it and the bias are constants.
    pub fn weight(&self, node: &Node) -> Option<&Tensor> {
        let input = |i: usize| node.inputs.get(i).copied().flatten();
        let bias = input(2);
        if bias.is_some_and(|b| self.onnx.plain(b).is_none()) {
            return None;
        }
        self.onnx.plain(input(1)?).filter(|t| t.shape.len() >= 3)
    }

    /// What a link tells of what it is applied to.
    pub fn frame(&self, link: Link) -> (Option<usize>, Option<usize>) {
        let node = self.node(link.node);
        match node.op.as_str() {
            "Conv" => {
                let Some(weight) = self.weight(node) else { return (None, None) };
                let groups = groups(node).unwrap_or(1);
                (Some(weight.shape[1] as usize * groups), Some(weight.shape.len() - 2))
            }
            "BatchNormalization" => {
                let gamma = node.inputs.get(1).copied().flatten().and_then(|v| self.onnx.plain(v));
                (gamma.map(|t| t.count() as usize), None)
            }
            _ => (None, None),
        }
    }

    /// What a chain comes to, in the order of computation.
    pub fn kernel(&self, links: &[Link], frame: Frame) -> Result<Kernel, String> {
        let Frame { channels, spatial } = frame;
        let mut whole = Kernel::diagonal(vec![1.0; channels], vec![0.0; channels], spatial);
        for link in links {
            let node = self.node(link.node);
            let next = match node.op.as_str() {
                "Identity" => continue,
                "Conv" => self.convolution(node)?,
                "AveragePool" => average(node, whole.out, spatial)?,
                "Pad" => self.padding(node, whole.out, spatial)?,
                _ => {
                    self.affine(*link, &mut whole, spatial)?;
                    continue;
                }
            };
            whole = whole.then(&next).map_err(|why| format!("'{}': {why}", node.name))?;
        }
        Ok(whole)
    }

    fn affine(&self, link: Link, whole: &mut Kernel, spatial: usize) -> Result<(), String> {
        let count = whole.out as u64;
        let operand = Operand { count, channel: spatial + 1, rank: Some(spatial + 2), certain: true };
        let node = self.node(link.node);
        let step = self.onnx.step(link.node, link.from, &operand)?;
        let step = step.ok_or_else(|| format!("'{}' does not do the same to a whole channel", node.name))?;
        let step = Step { name: node.name.clone(), node: Some(link.node), does: step };
        let affine = step.affine(self.view().model(), count).map_err(|e| e.to_string())?;
        if !affine.is_finite() {
            return Err(format!("'{}' has a scale that is no finite number", node.name));
        }
        whole.affine(&affine.scale, &affine.shift);
        Ok(())
    }

    fn convolution(&self, node: &Node) -> Result<Kernel, String> {
        let weight = self.weight(node).ok_or("its weight is no constant")?;
        if weight.count() > MOST as u64 || weight.count() == 0 {
            return Err(format!("'{}' is too large to be put together", weight.name));
        }
        let groups = groups(node).filter(|&g| weight.shape[0].is_multiple_of(g as u64));
        let groups =
            groups.ok_or_else(|| format!("'{}' has groups that do not fit its weight", node.name))?;
        let sizes: Vec<usize> = weight.shape.iter().map(|&n| n as usize).collect();
        let window = window(node, &sizes[2..])?;
        let read = |tensor: &Tensor| values(tensor).map_err(|e| e.to_string());
        let bias = match node.inputs.get(2).copied().flatten().and_then(|b| self.onnx.plain(b)) {
            Some(bias) => read(bias)?,
            None => vec![0.0; sizes[0]],
        };
        if bias.len() != sizes[0] {
            return Err(format!("'{}' has {} biases for {} outputs", node.name, bias.len(), sizes[0]));
        }
        Ok(Kernel { weight: read(weight)?, out: sizes[0], per_group: sizes[1], groups, window, bias })
    }

    fn padding(&self, node: &Node, channels: usize, spatial: usize) -> Result<Kernel, String> {
        let fault = |what: &str| format!("'{}' {what}", node.name);
        if node.attribute("mode").and_then(Value::as_str).is_some_and(|mode| mode != "constant") {
            return Err(fault("does not pad with zeros"));
        }
        let constant = |i: usize| {
            let value = node.inputs.get(i).copied().flatten();
            value.map(|v| {
                self.onnx.constant(v).and_then(|t| values(t).ok()).ok_or(fault("has no constant pads"))
            })
        };
        let (pads, with) = match self.onnx.version {
            ..11 => {
                let with = node.attribute("value").and_then(Value::as_float).unwrap_or(0.0);
                let pads = node.attribute("pads").or_else(|| node.attribute("paddings"));
                (pads.and_then(numbers).unwrap_or_default(), with)
            }
            _ => {
                if constant(3).is_some() {
                    return Err(fault("pads axes that it names"));
                }
                let pads = constant(1).transpose()?.unwrap_or_default();
                let with = constant(2).transpose()?.and_then(|v| v.first().copied()).unwrap_or(0.0);
                (pads.into_iter().map(|p| p as i64).collect(), with)
            }
        };
        let rank = spatial + 2;
        let outside = |at: usize| at % rank < 2;
        if pads.len() != 2 * rank || (0..pads.len()).any(|at| pads[at] < 0 || (outside(at) && pads[at] != 0))
        {
            return Err(fault("does not pad the spatial dimensions alone"));
        }
        if with != 0.0 {
            return Err(fault("does not pad with zeros"));
        }
        let mut kernel = Kernel::diagonal(vec![1.0; channels], vec![0.0; channels], spatial);
        for (d, axis) in kernel.window.iter_mut().enumerate() {
            axis.pads = (pads[d + 2] as usize, pads[rank + d + 2] as usize);
        }
        Ok(kernel)
    }
}

/// A pooling that takes means, as a convolution of each channel by itself.
fn average(node: &Node, channels: usize, spatial: usize) -> Result<Kernel, String> {
    let fault = |what: &str| format!("'{}' {what}", node.name);
    let sizes = node.attribute("kernel_shape").and_then(numbers).unwrap_or_default();
    let sizes: Option<Vec<usize>> =
        sizes.iter().map(|&n| usize::try_from(n).ok().filter(|&n| n > 0)).collect();
    let sizes =
        sizes.filter(|sizes| sizes.len() == spatial).ok_or_else(|| fault("has no kernel of this rank"))?;
    let window = window(node, &sizes)?;
    let flag = |name: &str| node.attribute(name).and_then(Value::as_int).unwrap_or(0) != 0;
    if flag("ceil_mode") {
        return Err(fault("rounds its size up"));
    }
    if window.iter().any(|axis| axis.pads != (0, 0)) && !flag("count_include_pad") {
        return Err(fault("divides by fewer elements at the border"));
    }
    let n = taps(&window);
    let size = channels.checked_mul(n).filter(|&size| size <= MOST);
    let size = size.ok_or_else(|| fault("has a kernel that is too large"))?;
    Ok(Kernel {
        weight: vec![1.0 / n as f64; size],
        out: channels,
        per_group: 1,
        groups: channels,
        window,
        bias: vec![0.0; channels],
    })
}

fn numbers(value: &Value) -> Option<Vec<i64>> {
    value.as_list()?.iter().map(Value::as_int).collect()
}

fn groups(node: &Node) -> Option<usize> {
    let groups = node.attribute("group").and_then(Value::as_int).unwrap_or(1);
    usize::try_from(groups).ok().filter(|&g| g > 0)
}

/// Largest stride, dilation or padding that is reckoned with.
const FAR: i64 = 1 << 20;

/// How a convolution or a pooling of these sizes goes along each dimension.
fn window(node: &Node, sizes: &[usize]) -> Result<Vec<Axis>, String> {
    let fault = |what: &str| format!("'{}' has {what}", node.name);
    let list = |name: &str, otherwise: i64, n: usize| {
        let list = node.attribute(name).map_or(Some(vec![otherwise; n]), numbers);
        let fits = |list: &Vec<i64>| list.len() == n && list.iter().all(|&x| (0..=FAR).contains(&x));
        list.filter(fits).ok_or_else(|| fault(&format!("{name} that do not fit its kernel")))
    };
    let n = sizes.len();
    let (strides, dilations) = (list("strides", 1, n)?, list("dilations", 1, n)?);
    let pads = list("pads", 0, 2 * n)?;
    if strides.iter().chain(&dilations).any(|&x| x == 0) || sizes.contains(&0) {
        return Err(fault("a stride, dilation or size of 0"));
    }
    let auto = node.attribute("auto_pad").and_then(Value::as_str).unwrap_or("NOTSET");
    let axis = |d: usize| {
        let axis = Axis {
            taps: sizes[d],
            stride: strides[d] as usize,
            dilation: if sizes[d] == 1 { 1 } else { dilations[d] as usize },
            pads: (0, 0),
        };
        let all = (axis.taps - 1) * axis.dilation;
        let pads = match auto {
            "" | "NOTSET" => (pads[d] as usize, pads[n + d] as usize),
            "VALID" => (0, 0),
            // As many outputs as inputs.
            "SAME_UPPER" if axis.stride == 1 => (all / 2, all - all / 2),
            "SAME_LOWER" if axis.stride == 1 => (all - all / 2, all / 2),
            _ => return Err(fault("padding that depends on the size of what it is given")),
        };
        Ok(Axis { pads, ..axis })
    };
    (0..n).map(axis).collect()
}
