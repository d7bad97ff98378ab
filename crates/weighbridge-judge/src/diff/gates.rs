//! Gates of recurrent layers, which frameworks keep in orders of their own: torch's LSTM has input, forget, cell and output,
//! Keras the same, ONNX input, output, forget and cell; torch's GRU has reset, update and new, Keras and ONNX update first.
//! ONNX puts directions into a first dimension and both biases into one tensor; Keras keeps matrices the other way round
//! and, of an LSTM, the sum of both biases.
//!
//! Each gate of a tensor is looked for among those of the other side, by its values. An order that no two frameworks have
//! between them is a change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use weighbridge_convert::into::{Kind, Step};
use weighbridge_measure::fingerprints;
use weighbridge_model::dtype::push;
use weighbridge_model::{DType, Layout, Memory, Place, Result, Tensor, View};

use super::arrange::{agreement, apply, close};
use super::bound::{computed, judged};
use super::pair::Relation;
use super::side::{Side, is_coded};
use super::work::{Explained, Work};

/// Gates of LSTM and of GRU.
const GATES: [u64; 2] = [4, 3];
/// Where the gates of one framework stand in another: alike; ONNX (i, o, f, c) beside torch and Keras (i, f, c, o), both ways
/// round; Caffe (i, f, o, c) beside either; of GRU, reset first and update first.
const ORDERS: [&[usize]; 7] =
    [&[0, 1, 2, 3], &[0, 3, 1, 2], &[0, 2, 3, 1], &[0, 1, 3, 2], &[0, 2, 1, 3], &[0, 1, 2], &[1, 0, 2]];
/// Gates that are looked at for each: those whose magnitudes are nearest.
const MOST: usize = 16;
/// How far sums of magnitudes may lie apart.
const WINDOW: f64 = 1e-2;
/// Share of sampled elements that must agree.
const AGREE: f64 = 0.5;
/// Elements of a recurrent layer's tensor at most: what it should be is put together in memory.
const LARGEST: u64 = 1 << 28;

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    for one_is_target in [true, false] {
        let (wholes, pieces) =
            if one_is_target { (work.target, work.source) } else { (work.source, work.target) };
        let open = |work: &Work<'_>, target: bool| {
            if target { work.open_targets() } else { work.open_sources() }
        };
        let fits = |side: &Side, i: &usize| plain(side.tensor(*i)) && !side.excused.contains_key(i);
        let mut whole: Vec<usize> = open(work, one_is_target);
        let mut parts: Vec<usize> = open(work, !one_is_target);
        whole.retain(|i| fits(wholes, i));
        parts.retain(|i| fits(pieces, i));
        // Where one side tells that it is recurrent, the other need not.
        let (whole_told, parts_told) = (recurrent(wholes), recurrent(pieces));
        if whole.iter().any(|i| whole_told.contains(i)) {
            whole.retain(|i| whole_told.contains(i));
        } else if parts.iter().any(|i| parts_told.contains(i)) {
            parts.retain(|i| parts_told.contains(i));
        } else {
            continue;
        }
        let index = Gates::of(pieces, &parts)?;
        let mut taken = HashSet::new();
        for &one in &whole {
            let Some(found) = index.of_whole(wholes.tensor(one), &taken)? else { continue };
            let judged = if found.summed {
                computed(&found.expected, wholes.tensor(one), None)?
            } else if one_is_target {
                judged(&found.expected, wholes.tensor(one))?
            } else {
                judged(wholes.tensor(one), &found.expected)?
            };
            taken.extend(found.parts.iter().copied());
            let mut why = vec![found.why];
            let relation = match found.parts.len() {
                _ if !judged.holds() || !found.known => Relation::Changed,
                _ if found.summed => Relation::Folded,
                1 => Relation::Transposed.max(judged.relation),
                _ => Relation::Merged.max(judged.relation),
            };
            if let (false, Some(figures)) = (judged.holds(), &judged.figures) {
                why.push(figures.told());
            }
            if !found.known {
                why.push("an order of gates that no framework has: exchanged".into());
            }
            let figures = judged.figures.filter(|_| found.known);
            let (source, target) =
                if one_is_target { (found.parts, vec![one]) } else { (vec![one], found.parts) };
            work.explain(Explained { source, target, relation, figures, why, guess: false });
        }
    }
    Ok(())
}

/// Whether elements are stored numbers of floating point, in as many dimensions as gates have.
fn plain(tensor: &Tensor) -> bool {
    let ranks = (1..=3).contains(&tensor.shape.len());
    let numbers = tensor.dtype.is_float() && !tensor.dtype.is_sub_byte() && !is_coded(tensor);
    ranks && numbers && (1..=LARGEST).contains(&tensor.count())
}

/// The tensors of recurrent layers: all beside one that is known for it.
fn recurrent(side: &Side) -> HashSet<usize> {
    const LEAVES: [&str; 5] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "recurrent_kernel"];
    let split = |i: usize| side.tensor(i).name.rsplit_once(['.', '/']).unwrap_or(("", &side.tensor(i).name));
    let named = |i: &usize| LEAVES.iter().any(|start| split(*i).1.starts_with(start));
    let layers: HashSet<&str> = (0..side.len()).filter(named).map(|i| split(i).0).collect();
    let told = |i: &usize| side.sketches[*i].kind == Kind::Recurrent || layers.contains(split(*i).0);
    (0..side.len()).filter(told).collect()
}

/// A tensor as directions, rows of gates, and a width; and the way back to its own shape.
struct Stack {
    tensor: Tensor,
    back: Vec<Step>,
}

/// Every way in which a tensor may be a stack of gates.
fn stacks(tensor: &Tensor) -> Result<Vec<Stack>> {
    let whole = Step::Reshape(tensor.shape.clone());
    let plain = |to: Vec<u64>| (vec![Step::Reshape(to)], vec![whole.clone()]);
    let ways = match tensor.shape[..] {
        [rows] => vec![plain(vec![1, rows, 1])],
        [a, b] => vec![
            plain(vec![1, a, b]),
            (
                vec![Step::Permute(vec![1, 0]), Step::Reshape(vec![1, b, a])],
                vec![Step::Reshape(vec![b, a]), Step::Permute(vec![1, 0])],
            ),
            plain(vec![a, b, 1]),
        ],
        [_, _, _] => vec![(Vec::new(), Vec::new())],
        _ => Vec::new(),
    };
    let mut stacks = Vec::new();
    for (to, back) in ways {
        stacks.extend(apply(tensor, &to)?.map(|tensor| Stack { tensor, back }));
    }
    Ok(stacks)
}

/// The gates of a stack: so many in each direction, of these many rows each.
fn blocks(stack: &Tensor, gates: u64) -> Option<Vec<Tensor>> {
    let (&[directions, rows, width], Layout::Strided(view)) = (&stack.shape[..], &stack.layout) else {
        return None;
    };
    if rows % gates != 0 || rows == 0 || directions > 4 {
        return None;
    }
    let high = rows / gates;
    let block = |direction: u64, gate: u64| {
        let at = direction as i64 * view.strides[0] + (gate * high) as i64 * view.strides[1];
        let offset = (view.offset as i64 + at) as u64;
        let layout = Layout::Strided(View { offset, strides: view.strides[1..].to_vec() });
        Tensor { shape: vec![high, width], layout, ..stack.clone() }
    };
    Some((0..directions).flat_map(|d| (0..gates).map(move |g| (d, g))).map(|(d, g)| block(d, g)).collect())
}

/// A gate of a part.
struct Gate {
    magnitude: f64,
    part: usize,
    /// Which it is there.
    at: usize,
    tensor: Tensor,
}

/// What a tensor may be put together from: one of the other side, or the sum of two.
struct Part {
    tensors: Vec<usize>,
    name: String,
    /// Its gates, of all directions.
    blocks: usize,
}

/// Gates by their number, rows and width, each in order of magnitude.
struct Gates {
    parts: Vec<Part>,
    by_size: HashMap<(u64, u64, u64), Vec<Gate>>,
}

/// What a tensor was put together from.
struct Found {
    parts: Vec<usize>,
    expected: Tensor,
    summed: bool,
    /// Whether all gates stand as frameworks have them.
    known: bool,
    why: String,
}

impl Gates {
    fn of(side: &Side, open: &[usize]) -> Result<Self> {
        let mut all: Vec<(Vec<usize>, Tensor)> =
            open.iter().map(|&i| (vec![i], side.tensor(i).clone())).collect();
        all.extend(sums(side, open)?);
        let mut gates = Gates { parts: Vec::new(), by_size: HashMap::new() };
        for (tensors, tensor) in all {
            for number in GATES {
                for stack in stacks(&tensor)? {
                    let Some(blocks) = blocks(&stack.tensor, number) else { continue };
                    let part = gates.parts.len();
                    gates.parts.push(Part {
                        tensors: tensors.clone(),
                        name: tensor.name.clone(),
                        blocks: blocks.len(),
                    });
                    let found = fingerprints(&blocks.iter().map(|b| (b, None)).collect::<Vec<_>>());
                    for (at, (tensor, found)) in blocks.into_iter().zip(found).enumerate() {
                        let key = (number, tensor.shape[0], tensor.shape[1]);
                        let gate = Gate { magnitude: found?.magnitude, part, at, tensor };
                        gates.by_size.entry(key).or_default().push(gate);
                    }
                }
            }
        }
        for list in gates.by_size.values_mut() {
            list.sort_by(|a, b| {
                a.magnitude.total_cmp(&b.magnitude).then((a.part, a.at).cmp(&(b.part, b.at)))
            });
        }
        Ok(gates)
    }

    /// The parts that a tensor is made of, each of them wholly.
    fn of_whole(&self, whole: &Tensor, taken: &HashSet<usize>) -> Result<Option<Found>> {
        for stack in stacks(whole)? {
            // ONNX has the biases of inputs and of states one after another.
            let biases = if stack.tensor.shape[2] == 1 { 2 } else { 1 };
            for (gates, times) in GATES.into_iter().flat_map(|g| (1..=biases).map(move |times| (g, times))) {
                let Some(blocks) = blocks(&stack.tensor, gates * times) else { continue };
                if let Some(found) = self.all(&blocks, gates, &stack, whole, taken)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    fn all(
        &self,
        blocks: &[Tensor],
        gates: u64,
        stack: &Stack,
        whole: &Tensor,
        taken: &HashSet<usize>,
    ) -> Result<Option<Found>> {
        let mut used: HashSet<(usize, usize)> = HashSet::new();
        let mut order: Vec<&Gate> = Vec::with_capacity(blocks.len());
        for block in blocks {
            let Some(gate) = self.nearest(block, gates, &used, taken)? else { return Ok(None) };
            used.insert((gate.part, gate.at));
            order.push(gate);
        }
        let mut parts: Vec<usize> = Vec::new();
        for gate in &order {
            if !parts.contains(&gate.part) {
                parts.push(gate.part);
            }
        }
        if parts.iter().map(|&p| self.parts[p].blocks).sum::<usize>() != blocks.len() {
            return Ok(None);
        }
        let Some(expected) = joined(&order, stack, whole)? else { return Ok(None) };
        let told = parts.iter().map(|&p| {
            let at = order.iter().filter(|g| g.part == p).map(|g| g.at.to_string()).collect::<Vec<_>>();
            format!("'{}' gates {}", self.parts[p].name, at.join(", "))
        });
        let why = told.collect::<Vec<_>>().join("; ");
        let in_order = |some: &[&Gate]| {
            let at: Vec<usize> = some.iter().map(|gate| gate.at % some.len()).collect();
            ORDERS.contains(&&at[..])
        };
        let known = order.chunks(gates as usize).all(in_order);
        let summed = parts.iter().any(|&p| self.parts[p].tensors.len() > 1);
        let parts = parts.into_iter().flat_map(|p| self.parts[p].tensors.clone()).collect();
        Ok(Some(Found { parts, expected, summed, known, why }))
    }

    /// The gate that agrees with a block most; of those that agree alike one of the part that was met last.
    fn nearest(
        &self,
        block: &Tensor,
        gates: u64,
        used: &HashSet<(usize, usize)>,
        taken: &HashSet<usize>,
    ) -> Result<Option<&Gate>> {
        let Some(list) = self.by_size.get(&(gates, block.shape[0], block.shape[1])) else { return Ok(None) };
        let sum = fingerprints(&[(block, None)]).remove(0)?.magnitude;
        let from = list.partition_point(|gate| gate.magnitude < sum * (1.0 - WINDOW));
        let free = |gate: &&Gate| {
            let part = &self.parts[gate.part];
            !used.contains(&(gate.part, gate.at)) && part.tensors.iter().all(|t| !taken.contains(t))
        };
        let mut near: Vec<&Gate> = list[from..]
            .iter()
            .take_while(|gate| gate.magnitude <= sum * (1.0 + WINDOW))
            .filter(free)
            .collect();
        let off = |gate: &Gate| (gate.magnitude - sum).abs();
        near.sort_by(|a, b| off(a).total_cmp(&off(b)).then((a.part, a.at).cmp(&(b.part, b.at))));
        let (mut best, mut most) = (None, 0.0);
        for gate in near.into_iter().take(MOST) {
            let share = agreement(&gate.tensor, block, &close(block))?;
            if share >= AGREE && share > most {
                (best, most) = (Some(gate), share);
            }
        }
        Ok(best)
    }
}

/// The sums of biases of inputs and of states, which some frameworks keep in place of both.
fn sums(side: &Side, open: &[usize]) -> Result<Vec<(Vec<usize>, Tensor)>> {
    let names: HashMap<&str, usize> = open.iter().map(|&i| (side.tensor(i).name.as_str(), i)).collect();
    let mut sums = Vec::new();
    for &i in open {
        let ours = side.tensor(i);
        let other = ours.name.replace("bias_ih", "bias_hh");
        let Some(&j) = names.get(other.as_str()).filter(|_| other != ours.name) else { continue };
        let theirs = side.tensor(j);
        if ours.shape != theirs.shape || ours.shape.len() != 1 {
            continue;
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for (tensor, values) in [(ours, &mut a), (theirs, &mut b)] {
            tensor.visit_values(0..tensor.count(), &mut |_, some| {
                values.extend_from_slice(some);
                Ok(())
            })?;
        }
        let mut bytes = Vec::new();
        a.iter().zip(&b).for_each(|(a, b)| push(DType::F64, a + b, &mut bytes));
        let name = format!("{} + {other}", ours.name);
        let (storage, place) = (Arc::new(Memory::new(bytes)), Place::default());
        sums.push((vec![i, j], Tensor::contiguous(&name, DType::F64, ours.shape.clone(), storage, &place)?));
    }
    Ok(sums)
}

/// Gates one after another, in the shape of the whole.
fn joined(order: &[&Gate], stack: &Stack, whole: &Tensor) -> Result<Option<Tensor>> {
    let dtype = order[0].tensor.dtype;
    if order.iter().any(|gate| gate.tensor.dtype != dtype) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    for gate in order {
        gate.tensor.visit(0..gate.tensor.count(), &mut |chunk| {
            bytes.extend_from_slice(chunk.bytes);
            Ok(())
        })?;
    }
    let (storage, place) = (Arc::new(Memory::new(bytes)), Place::default());
    let shape = stack.tensor.shape.clone();
    let made = Tensor::contiguous(&whole.name, dtype.in_chunks(), shape, storage, &place)?;
    apply(&made, &stack.back)
}
