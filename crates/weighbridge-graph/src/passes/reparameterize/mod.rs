//! Parallel linear branches that sum become one convolution, and so do a convolution of single points and the one before
//! or after it. docs/reparameterize.md has the algebra and its bounds.

mod branch;
mod kernel;

use std::collections::{HashMap, HashSet};

use weighbridge_model::dtype::{FloatFormat, push};
use weighbridge_model::{Attribute, DType, Node, Result, Role, Tensor, Value, ValueId, element_count};

use super::{Pass, Report};
use crate::build::in_memory;
use crate::edit::{Edit, Fact, NodeId, Patch};
use crate::fold::onnx::Onnx;
use crate::fold::{Left, View};
use branch::{Branches, Frame, Link};
use kernel::{Axis, Kernel};

/// How much larger a merged kernel may be than those that it is made of: a 1×7 and a 7×1 become a 7×7.
const GROWTH: usize = 4;

/// Linear branches that sum, and sequences with single points.
pub(super) struct Reparameterize;

impl Pass for Reparameterize {
    fn name(&self) -> &'static str {
        "reparameterize"
    }

    fn about(&self) -> &'static str {
        "merges parallel linear branches that sum, and a convolution of single points with the one beside it, into one \
         convolution"
    }

    fn by_default(&self) -> bool {
        false
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, report: &mut Report) -> Result<usize> {
        let mut left = Vec::new();
        let merged = found(&*edit, &mut left)?;
        left.into_iter().for_each(|left| report.left(self.name(), left.name, left.why));
        let done = merged.len();
        for convolution in merged {
            let patch = patch(edit, convolution);
            edit.apply(patch);
        }
        Ok(done)
    }
}

/// A convolution that takes the place of nodes.
struct Merged {
    source: ValueId,
    weight: Tensor,
    bias: Option<Tensor>,
    attributes: Vec<(String, Attribute)>,
    /// The name of a convolution that goes.
    name: String,
    /// The node whose place it takes, with what that gives.
    at: usize,
    /// What the sum had beside the branches: operands, to be added to what the convolution gives.
    rest: Vec<ValueId>,
}

/// What can be merged, in order, and what nearly can.
fn found(view: &dyn View, left: &mut Vec<Left>) -> Result<Vec<Merged>> {
    let branches = Branches { onnx: Onnx { view, version: view.version() } };
    let mut taken = HashSet::new();
    let mut merged = Vec::new();
    for root in 0..view.bound() {
        if let Some(leaves) = sum(&branches, root) {
            merged.extend(merge(&branches, root, &leaves, &mut taken, left)?);
        }
    }
    for index in 0..view.bound() {
        merged.extend(sequence(&branches, index, &mut taken)?);
    }
    Ok(merged)
}

/// An operand of a sum, and the nodes that add it up from others, within one.
struct Leaves {
    values: Vec<ValueId>,
    /// Adds and sums between the operands and the root; the root not among them.
    inner: Vec<usize>,
}

/// Whether a node adds up what nodes make.
fn adds<'a>(branches: &'a Branches<'_>, index: usize) -> Option<&'a Node> {
    let node = branches.onnx.node(index)?;
    let varies = |value: &Option<ValueId>| value.is_some_and(|v| branches.onnx.constant(v).is_none());
    let sums = matches!(node.op.as_str(), "Add" | "Sum") && branches.onnx.version >= 7;
    (sums && node.inputs.len() >= 2 && node.inputs.iter().all(varies)).then_some(node)
}

/// The operands of a sum that is no part of a larger one.
fn sum(branches: &Branches<'_>, root: usize) -> Option<Leaves> {
    let node = adds(branches, root)?;
    let view = branches.view();
    let output = node.outputs.first().copied().flatten()?;
    if view.only_reader(output).is_some_and(|reader| adds(branches, reader).is_some()) {
        return None;
    }
    let mut leaves = Leaves { values: Vec::new(), inner: Vec::new() };
    let mut open: Vec<ValueId> = node.inputs.iter().rev().flatten().copied().collect();
    while let Some(value) = open.pop() {
        let maker = view.maker(value).filter(|_| view.only_reader(value).is_some());
        match maker.and_then(|maker| Some((maker, adds(branches, maker)?))) {
            Some((maker, node)) => {
                leaves.inner.push(maker);
                open.extend(node.inputs.iter().rev().flatten());
            }
            None => leaves.values.push(value),
        }
    }
    Some(leaves)
}

/// The links behind a value that nothing else reads, from the last one back.
fn chain(branches: &Branches<'_>, leaf: ValueId, taken: &HashSet<usize>) -> Vec<Link> {
    let mut links = Vec::new();
    let mut value = leaf;
    while branches.view().only_reader(value).is_some() {
        let Some(link) = branches.link(value).filter(|link| !taken.contains(&link.node)) else { break };
        links.push(link);
        value = link.from;
    }
    links
}

/// A branch from a source to a sum.
struct Branch {
    leaf: ValueId,
    /// In the order of computation.
    links: Vec<Link>,
    convolves: bool,
}

fn merge(
    branches: &Branches<'_>,
    root: usize,
    leaves: &Leaves,
    taken: &mut HashSet<usize>,
    left: &mut Vec<Left>,
) -> Result<Option<Merged>> {
    let chains: Vec<Vec<Link>> = leaves.values.iter().map(|&leaf| chain(branches, leaf, taken)).collect();
    let Some(source) = source(&leaves.values, &chains) else { return Ok(None) };
    let mut parallel: Vec<Branch> = Vec::new();
    for (&leaf, links) in leaves.values.iter().zip(&chains) {
        let length = if leaf == source {
            Some(0)
        } else {
            links.iter().position(|l| l.from == source).map(|at| at + 1)
        };
        let Some(length) = length else { continue };
        let links: Vec<Link> = links[..length].iter().rev().copied().collect();
        let convolves = links.iter().any(|link| branches.node(link.node).op == "Conv");
        parallel.push(Branch { leaf, links, convolves });
    }
    // Convolutions first: the others have the form that they need.
    parallel.sort_by_key(|branch| !branch.convolves);
    if parallel.len() < 2 || !parallel[0].convolves {
        return Ok(None);
    }
    let told = parallel.iter().filter_map(|b| b.links.first()).map(|&link| branches.frame(link));
    let channels = told.clone().find_map(|(channels, _)| channels);
    let convolution = parallel[0].links.iter().find(|link| branches.node(link.node).op == "Conv");
    let spatial = convolution.and_then(|&link| branches.frame(link).1);
    let (Some(channels), Some(spatial)) = (channels, spatial) else { return Ok(None) };
    let frame = Frame { channels, spatial };

    let root_name = branches.view().label(root);
    let mut refuse = |branch: &Branch, why: String| {
        let from = match branch.links.last() {
            Some(link) => format!("the branch of '{}'", branches.view().label(link.node)),
            None => format!("'{}'", branches.view().value(branch.leaf).name),
        };
        left.push(Left { name: root_name.clone(), why: format!("{from} is not merged: {why}") });
    };
    let mut whole: Option<(Kernel, usize)> = None;
    let mut used: Vec<&Branch> = Vec::new();
    for branch in &parallel {
        let kernel = match branches.kernel(&branch.links, frame) {
            Ok(kernel) => kernel,
            Err(why) => {
                refuse(branch, why);
                continue;
            }
        };
        match &mut whole {
            None if !branch.convolves => continue,
            None => {
                let numbers = kernel.weight.len();
                whole = Some((kernel, numbers));
            }
            Some((whole, numbers)) => match together(whole, &kernel, *numbers) {
                Ok(sum) => {
                    *numbers += kernel.weight.len();
                    *whole = sum;
                }
                Err(why) => {
                    refuse(branch, why);
                    continue;
                }
            },
        }
        used.push(branch);
    }
    let weights = weights(branches, used.iter().flat_map(|branch| &branch.links));
    let (Some((kernel, _)), Some((dtype, weights)), true) = (whole, weights, used.len() >= 2) else {
        return Ok(None);
    };
    if let Some(why) = overflow(&kernel, dtype) {
        left.push(Left { name: root_name.clone(), why });
        return Ok(None);
    }
    let Form { weight, bias, attributes } = form(&kernel, dtype, &weights)?;
    let mut merged: HashMap<ValueId, usize> = HashMap::new();
    used.iter().for_each(|branch| *merged.entry(branch.leaf).or_default() += 1);
    // An operand may stand in a sum more often than it was merged.
    let remains = |leaf: &ValueId| match merged.get_mut(leaf) {
        Some(count @ 1..) => {
            *count -= 1;
            false
        }
        _ => true,
    };
    let rest: Vec<ValueId> = leaves.values.iter().copied().filter(remains).collect();
    taken.extend(used.iter().flat_map(|branch| branch.links.iter().map(|link| link.node)));
    taken.extend(leaves.inner.iter().copied().chain([root]));
    let name = convolution.map(|link| branches.node(link.node).name.clone()).unwrap_or_default();
    Ok(Some(Merged { source, weight, bias, attributes, name, at: root, rest }))
}

/// The value that most operands come from, the nearest one where several are.
fn source(leaves: &[ValueId], chains: &[Vec<Link>]) -> Option<ValueId> {
    let mut counts: HashMap<ValueId, (usize, usize)> = HashMap::new();
    for (&leaf, links) in leaves.iter().zip(chains) {
        for (far, value) in [leaf].into_iter().chain(links.iter().map(|link| link.from)).enumerate() {
            let (count, distance) = counts.entry(value).or_default();
            *count += 1;
            *distance += far;
        }
    }
    let several = counts.into_iter().filter(|(_, (count, _))| *count >= 2);
    let best = several.min_by_key(|&(value, (count, distance))| (std::cmp::Reverse(count), distance, value));
    best.map(|(value, _)| value)
}

fn together(a: &Kernel, b: &Kernel, numbers: usize) -> Result<Kernel, String> {
    let window = a.aligned(b)?;
    let groups = gcd(a.groups, b.groups);
    let each = (a.inputs() / groups).checked_mul(kernel::taps(&window));
    let size = each.and_then(|each| each.checked_mul(a.out)).filter(|&size| size <= kernel::MOST);
    let Some(size) = size else { return Err("the kernel of all together is too large".into()) };
    if size > GROWTH * (numbers + b.weight.len()) {
        let (g, h) = (a.groups, b.groups);
        let groups = if g == h { String::new() } else { format!(" (their groups differ, {g} and {h})") };
        return Err(format!(
            "the kernel of all together has {size} numbers instead of {}{groups}",
            numbers + b.weight.len()
        ));
    }
    let mut sum = a.within(&window, groups);
    sum.add(&b.within(&window, groups));
    Ok(sum)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A convolution and the one that it alone is read by, where one of them has single points and the kernel of both is no
/// larger than the two.
fn sequence(branches: &Branches<'_>, index: usize, taken: &mut HashSet<usize>) -> Result<Option<Merged>> {
    let Some((middle, second, frame)) = pair(branches, index, taken) else { return Ok(None) };
    let links = [middle, second];
    let Some((dtype, weights)) = weights(branches, links.iter()) else { return Ok(None) };
    let Ok(kernel) = branches.kernel(&links, frame) else { return Ok(None) };
    let size = |link: &Link| branches.weight(branches.node(link.node)).map_or(0, Tensor::count);
    let numbers: u64 = links.iter().map(size).sum();
    if kernel.weight.len() as u64 > numbers || overflow(&kernel, dtype).is_some() {
        return Ok(None);
    }
    taken.extend([middle.node, index]);
    let Form { weight, bias, attributes } = form(&kernel, dtype, &weights)?;
    let name = branches.node(index).name.clone();
    Ok(Some(Merged { source: middle.from, weight, bias, attributes, name, at: index, rest: Vec::new() }))
}

/// Both links of such a sequence, told from sizes alone.
fn pair(branches: &Branches<'_>, index: usize, taken: &HashSet<usize>) -> Option<(Link, Link, Frame)> {
    let node = branches.onnx.node(index).filter(|node| node.op == "Conv" && !taken.contains(&index))?;
    let second = branches.link(node.outputs.first().copied().flatten()?)?;
    branches.view().only_reader(second.from)?;
    let middle = branches.link(second.from).filter(|link| !taken.contains(&link.node))?;
    let before = Some(branches.node(middle.node)).filter(|node| node.op == "Conv")?;
    let (a, b) = (branches.weight(before)?, branches.weight(node)?);
    let points = |tensor: &Tensor| tensor.shape[2..].iter().all(|&n| n == 1);
    if !points(a) && !points(b) || a.shape.len() != b.shape.len() {
        return None;
    }
    let (Some(channels), Some(spatial)) = branches.frame(middle) else { return None };
    let taps = element_count(&a.shape[2..])?.max(element_count(&b.shape[2..])?);
    // As few inputs as each output can have: those of a group of the first.
    let least = b.shape[0].checked_mul(a.shape[1])?.checked_mul(taps)?;
    let frame = Frame { channels, spatial };
    (least <= a.count().checked_add(b.count())?).then_some((middle, second, frame))
}

/// The type that all weights have, and their names.
fn weights<'a>(
    branches: &Branches<'_>,
    links: impl Iterator<Item = &'a Link>,
) -> Option<(DType, Vec<String>)> {
    let tensors = links.filter_map(|link| branches.weight(branches.node(link.node)));
    let mut dtype = None;
    let mut names = Vec::new();
    for tensor in tensors {
        if *dtype.get_or_insert(tensor.dtype) != tensor.dtype {
            return None;
        }
        names.push(tensor.name.clone());
    }
    Some((dtype?, names))
}

fn overflow(kernel: &Kernel, dtype: DType) -> Option<String> {
    let from = FloatFormat::of(dtype).map_or(f64::INFINITY, FloatFormat::overflow_from);
    let beyond = kernel.weight.iter().chain(&kernel.bias).filter(|x| x.abs() >= from).count();
    (beyond > 0).then(|| format!("{beyond} numbers of the kernel of all together leave {dtype}'s range"))
}

/// What the weight of several is called: what their paths have in common, and `merged`.
fn name(weights: &[String]) -> String {
    let first: Vec<&str> = weights[0].split('.').collect();
    let common = weights[1..].iter().fold(first.len() - 1, |most, other| {
        first.iter().zip(other.split('.')).take(most).take_while(|(a, b)| **a == *b).count()
    });
    match first[..common].join(".") {
        path if path.is_empty() => format!("{}.merged", weights[0]),
        path => format!("{path}.merged.weight"),
    }
}

/// Weight and bias in memory, rounded once, and the attributes of the convolution that has them.
struct Form {
    weight: Tensor,
    bias: Option<Tensor>,
    attributes: Vec<(String, Attribute)>,
}

fn form(kernel: &Kernel, dtype: DType, names: &[String]) -> Result<Form> {
    let name = name(names);
    let bias_name = match name.strip_suffix(".weight") {
        Some(path) => format!("{path}.bias"),
        None => format!("{name}.bias"),
    };
    let tensor = |name: &str, shape: Vec<u64>, values: &[f64]| {
        let mut bytes = Vec::with_capacity(values.len() * dtype.chunk_bytes());
        values.iter().for_each(|&x| push(dtype, x, &mut bytes));
        Ok(in_memory(name, dtype, shape, bytes)?.with_role(Role::Parameter, false))
    };
    let mut shape = vec![kernel.out as u64, kernel.per_group as u64];
    shape.extend(kernel.window.iter().map(|axis| axis.taps as u64));
    let has_bias = kernel.bias.iter().any(|&b| b != 0.0);
    let bias = has_bias.then(|| tensor(&bias_name, vec![kernel.out as u64], &kernel.bias)).transpose()?;
    let list = |each: &dyn Fn(&Axis) -> usize| {
        Value::List(kernel.window.iter().map(|axis| Value::Int(each(axis) as i64)).collect())
    };
    let pads = kernel.window.iter().map(|a| a.pads.0).chain(kernel.window.iter().map(|a| a.pads.1));
    let attributes = [
        ("dilations", list(&|axis| axis.dilation)),
        ("group", Value::Int(kernel.groups as i64)),
        ("kernel_shape", list(&|axis| axis.taps)),
        ("pads", Value::List(pads.map(|p| Value::Int(p as i64)).collect())),
        ("strides", list(&|axis| axis.stride)),
    ];
    let attributes = attributes.into_iter().map(|(k, v)| (k.to_owned(), Attribute::Value(v))).collect();
    Ok(Form { weight: tensor(&name, shape, &kernel.weight)?, bias, attributes })
}

/// The convolution in its place, with the sum of it and what remains.
fn patch(edit: &Edit<'_, '_>, merged: Merged) -> Patch {
    let Merged { source, weight, bias, attributes, name, at, rest } = merged;
    let at = NodeId(at as u32);
    let mut patch = Patch::new(edit);
    let wanted = format!("{}_output", weight.name);
    let mut inputs = vec![Some(source), Some(patch.constant(weight))];
    inputs.extend(bias.map(|bias| Some(patch.constant(bias))));
    let (old, output) = (edit.node(at), edit.output(at, 0));
    let conv = |outputs| Node { name, op: "Conv".to_owned(), inputs, outputs, attributes, ..Node::default() };
    if rest.is_empty() {
        patch.rewrite(at, conv(old.outputs.clone()));
        return patch;
    }
    let fact = output.map(|output| edit.fact(output).clone()).unwrap_or_default();
    let typed = Fact { dtype: fact.dtype, ..Fact::default() };
    let (made, sum) = (patch.value(&wanted, typed), patch.value(&format!("{}_sum", old.name), fact));
    let operands: Vec<Option<ValueId>> = [made].into_iter().chain(rest).map(Some).collect();
    let op = if operands.len() == 2 { "Add" } else { "Sum" }.to_owned();
    patch.node(at, conv(vec![Some(made)]));
    patch.node(
        at,
        Node { op, inputs: operands, outputs: vec![Some(sum)], attributes: Vec::new(), ..old.clone() },
    );
    output.into_iter().for_each(|output| patch.replace(output, sum));
    patch
}
