//! What constants alone make is a constant, where that does not make the file larger.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use weighbridge_model::{Result, Tensor, TensorId, ValueId};

use super::{Pass, Report};
use crate::edit::{Edit, NodeId, Patch};
use crate::eval::{Array, Call, LARGEST, operator};

mod views;

/// Elements that are held at a time.
const HELD: usize = 1 << 24;

/// Tensors of more bytes than this are not read where a view of them will do.
const READ: u64 = 4096;

/// Operators whose results repeat what they are made from: these are folded where what makes them takes as much.
const REPEATING: [&str; 4] = ["Expand", "Tile", "ConstantOfShape", "Range"];

/// Bytes that a folded repetition may take beyond what makes it.
const SLACK: i64 = 1024;

/// Bytes that an initializer takes at most beside its name and its elements, with few dimensions.
const HEADER: i64 = 32;

pub(super) struct FoldConstants;

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn about(&self) -> &'static str {
        "Nodes that read nothing but constants become initializers, computed in the model's own types; large tensors \
         are reshaped, transposed, cast and sliced without being read. Never where the file would grow, or F16 \
         overflow; random and quantizing operators stay."
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, report: &mut Report) -> Result<usize> {
        if edit.is_function() {
            return Ok(0);
        }
        let folded = Folded::of(edit)?;
        folded.apply(self.name(), edit, report)
    }
}

/// What a value always is.
#[derive(Clone)]
enum Known {
    /// An initializer as it stands.
    Stored(TensorId),
    /// A tensor that is made of one as it is read.
    View(Box<Tensor>),
    /// Elements at hand.
    Array(Rc<Array>),
}

impl Known {
    fn bytes(&self, edit: &Edit<'_, '_>) -> u64 {
        match self {
            Known::Stored(id) => edit.model().tensor(*id).bytes(),
            Known::View(tensor) => tensor.bytes(),
            Known::Array(array) => (array.count() * array.dtype.chunk_bytes()) as u64,
        }
    }

    fn tensor(&self, edit: &Edit<'_, '_>, name: &str) -> Result<Tensor> {
        match self {
            Known::Stored(id) => Ok(edit.model().tensor(*id).clone()),
            Known::View(tensor) => Ok(Tensor { name: name.to_owned(), ..(**tensor).clone() }),
            Known::Array(array) => array.tensor(name),
        }
    }

    fn array(&self, edit: &Edit<'_, '_>) -> Result<Option<Rc<Array>>> {
        match self {
            Known::Stored(id) => Ok(Array::read(edit.model().tensor(*id))?.map(Rc::new)),
            Known::View(tensor) => Ok(Array::read(tensor)?.map(Rc::new)),
            Known::Array(array) => Ok(Some(Rc::clone(array))),
        }
    }
}

/// Which nodes become initializers.
struct Choice {
    /// Nodes, and those of their outputs that nodes which stay read; last ones first.
    put: Vec<(NodeId, Vec<ValueId>)>,
    /// Nodes that stay, and what they would have taken.
    left: Vec<(NodeId, i64)>,
    /// Bytes that the file is then smaller by than it was, about.
    credit: i64,
}

/// Everything that follows from constants.
#[derive(Default)]
struct Folded {
    known: HashMap<ValueId, Known>,
    /// Nodes whose outputs are known, in order.
    nodes: Vec<NodeId>,
    refused: Vec<(NodeId, String)>,
    held: usize,
}

impl Folded {
    fn of(edit: &Edit<'_, '_>) -> Result<Self> {
        let mut folded = Folded::default();
        let mut read: HashMap<TensorId, Rc<Array>> = HashMap::new();
        for id in edit.nodes() {
            let node = edit.node(id);
            if !edit.is_plain(id) || node.inputs.iter().flatten().next().is_none() {
                continue;
            }
            // What hands a constant on as an output of the graph is as simple as it gets.
            let output = node.outputs.iter().flatten().any(|&v| edit.is_output(v));
            if node.op == "Identity" && output {
                continue;
            }
            let Some(inputs) = folded.inputs(edit, id) else { continue };
            match folded.node(edit, id, &inputs, &mut read)? {
                None => {}
                Some(Err(why)) => folded.refused.push((id, why)),
                Some(Ok(results)) => {
                    let outputs = node.outputs.iter().zip(results);
                    let named = outputs.filter_map(|(value, known)| Some(((*value)?, known)));
                    folded.known.extend(named);
                    folded.nodes.push(id);
                }
            }
        }
        Ok(folded)
    }

    /// What a node reads, where all of it is known.
    fn inputs(&self, edit: &Edit<'_, '_>, id: NodeId) -> Option<Vec<Option<Known>>> {
        let of = |value: ValueId| {
            self.known.get(&value).cloned().or_else(|| edit.constant_id(value).map(Known::Stored))
        };
        edit.node(id)
            .inputs
            .iter()
            .map(|input| input.map_or(Some(None), |value| of(value).map(Some)))
            .collect()
    }

    fn node(
        &mut self,
        edit: &Edit<'_, '_>,
        id: NodeId,
        inputs: &[Option<Known>],
        read: &mut HashMap<TensorId, Rc<Array>>,
    ) -> Result<Option<Result<Vec<Known>, String>>> {
        let node = edit.node(id);
        if let Some(first @ (Known::Stored(_) | Known::View(_))) = inputs.first().and_then(Option::as_ref)
            && first.bytes(edit) > READ
            && let Some(tensor) = views::of(edit, id, &first.tensor(edit, "")?)
        {
            return Ok(Some(Ok(vec![Known::View(Box::new(tensor))])));
        }
        let Some(evaluate) = operator(&node.op) else { return Ok(None) };
        let largest = inputs.iter().flatten().map(|known| known.bytes(edit)).max().unwrap_or(0);
        if largest > 8 * LARGEST {
            return Ok(Some(Err(format!("it reads {largest} bytes, more than are folded"))));
        }
        if self.held > HELD {
            return Ok(Some(Err("more elements would be held at a time than are".into())));
        }
        let mut arrays = Vec::with_capacity(inputs.len());
        for known in inputs {
            arrays.push(match known {
                None => None,
                Some(Known::Stored(id)) if read.contains_key(id) => read.get(id).cloned(),
                Some(known) => {
                    let Some(array) = known.array(edit)? else { return Ok(None) };
                    if let (Known::Stored(id), true) = (known, array.count() <= 4096) {
                        read.insert(*id, Rc::clone(&array));
                    }
                    Some(array)
                }
            });
        }
        let tensor = |id: TensorId| Array::read(edit.model().tensor(id)).ok().flatten();
        let call = Call {
            node,
            opset: edit.opset,
            inputs: arrays.iter().map(Option::as_deref).collect(),
            tensor: &tensor,
        };
        Ok(Some(evaluate(&call).map(|results| {
            self.held += results.iter().map(Array::count).sum::<usize>();
            results.into_iter().map(|array| Known::Array(Rc::new(array))).collect()
        })))
    }

    /// Puts in what is read by nodes that stay.
    fn apply(self, pass: &'static str, edit: &mut Edit<'_, '_>, report: &mut Report) -> Result<usize> {
        let Choice { put, left, .. } = self.within_budget(edit);
        for (id, cost) in left {
            let why = format!("folded it would take {cost} bytes, and the file would grow");
            report.left(pass, edit.label(id), why);
        }
        let count = put.len();
        for (_, needed) in put {
            for value in needed {
                let name = edit.value(value).name.clone();
                let tensor = self.known[&value].tensor(edit, &name)?;
                let mut patch = Patch::new(edit);
                let constant = patch.constant(tensor);
                patch.replace(value, constant);
                edit.apply(patch);
            }
        }
        for (id, why) in self.refused {
            if edit.has(id) {
                report.left(pass, edit.label(id), why);
            }
        }
        Ok(count)
    }

    /// As many folds as what has been saved in the whole file pays for, those that cost least first.
    fn within_budget(&self, edit: &Edit<'_, '_>) -> Choice {
        let freed = self.freed(edit);
        let growth = |&id: &NodeId| {
            let node = edit.node(id);
            let alone = node.inputs.iter().flatten().filter(|value| edit.uses(**value) == 1);
            let own: i64 = alone.filter_map(|value| freed.get(value)).sum();
            let outputs = node.outputs.iter().flatten().filter(|value| edit.uses(**value) > 0);
            outputs.map(|&value| self.cost(edit, value)).sum::<i64>() - own - edit.bytes_of(node)
        };
        let growths: Vec<i64> = self.nodes.iter().map(growth).collect();
        let mut costly: Vec<usize> = (0..growths.len()).filter(|&at| growths[at] > 0).collect();
        costly.sort_by_key(|&at| growths[at]);
        let mut allowed = vec![true; self.nodes.len()];
        costly.retain(|&at| {
            let repeats = REPEATING.contains(&edit.node(self.nodes[at]).op.as_str());
            allowed[at] = !(repeats && growths[at] > SLACK);
            allowed[at]
        });
        let mut first = |count: usize| {
            costly.iter().enumerate().for_each(|(rank, &at)| allowed[at] = rank < count);
            self.choose(edit, &freed, &allowed)
        };
        let reserve = edit.shared.reserve;
        let all = first(costly.len());
        if all.credit >= reserve {
            return all;
        }
        let (mut fits, mut fails) = (0, costly.len());
        while fails - fits > 1 {
            let middle = fits.midpoint(fails);
            if first(middle).credit >= reserve { fits = middle } else { fails = middle }
        }
        first(fits)
    }

    /// Bytes that a value takes as an initializer.
    fn cost(&self, edit: &Edit<'_, '_>, value: ValueId) -> i64 {
        let bytes = i64::try_from(self.known[&value].bytes(edit)).unwrap_or(i64::MAX / 4);
        bytes + edit.value(value).name.len() as i64 + HEADER
    }

    /// What is put in if these of the nodes, and no others, may be.
    fn choose(&self, edit: &Edit<'_, '_>, freed: &HashMap<ValueId, i64>, allowed: &[bool]) -> Choice {
        let mut folded = self.folded(edit);
        let mut back: HashSet<ValueId> = HashSet::new();
        let mut choice = Choice { put: Vec::new(), left: Vec::new(), credit: edit.saved() };
        choice.credit += freed.values().sum::<i64>();
        choice.credit += self.nodes.iter().map(|&id| edit.bytes_of(edit.node(id))).sum::<i64>();
        for (&id, allowed) in self.nodes.iter().zip(allowed).rev() {
            let node = edit.node(id);
            let stays = |value: ValueId| {
                let readers = edit.consumers(value);
                edit.is_output(value)
                    || edit.uses(value) > 0 && readers.is_empty()
                    || readers.iter().any(|reader| !folded[reader.0 as usize])
            };
            let needed: Vec<ValueId> = node.outputs.iter().flatten().copied().filter(|&v| stays(v)).collect();
            if needed.is_empty() {
                continue;
            }
            let cost: i64 = needed.iter().map(|&value| self.cost(edit, value)).sum();
            if *allowed {
                choice.credit -= cost;
                choice.put.push((id, needed));
                continue;
            }
            folded[id.0 as usize] = false;
            let read = node.inputs.iter().flatten().filter(|value| back.insert(**value));
            choice.credit -= edit.bytes_of(node) + read.filter_map(|value| freed.get(value)).sum::<i64>();
            choice.left.push((id, cost));
        }
        choice
    }

    /// Which nodes are known, by their ids.
    fn folded(&self, edit: &Edit<'_, '_>) -> Vec<bool> {
        let mut folded = vec![false; edit.node_bound()];
        self.nodes.iter().for_each(|id| folded[id.0 as usize] = true);
        folded
    }

    /// Bytes of initializers that only folded nodes read.
    fn freed(&self, edit: &Edit<'_, '_>) -> HashMap<ValueId, i64> {
        let folded = self.folded(edit);
        let mut freed = HashMap::new();
        for &id in &self.nodes {
            for &value in edit.node(id).inputs.iter().flatten() {
                if !edit.is_initializer(value) || edit.is_output(value) || freed.contains_key(&value) {
                    continue;
                }
                // A value that very many read is freed by none.
                let few = edit.uses(value) <= 64;
                if few && edit.consumers(value).iter().all(|reader| folded[reader.0 as usize]) {
                    let tensor = edit.constant(value).map_or(0, Tensor::bytes);
                    freed.insert(value, i64::try_from(tensor).unwrap_or(i64::MAX / 4));
                }
            }
        }
        freed
    }
}
