//! Editing a graph: which node makes a value, which nodes read it, kept up to date while nodes come and go.
//!
//! One [`Edit`] is one graph; its subgraphs are edited on their own, and what they take from it by name counts as read
//! by the node that holds them. Graph inputs and outputs keep their names and ids.

mod bytes;
mod captures;
mod compact;
mod facts;
mod inline;
mod order;
mod patch;
mod view;

use std::collections::{HashMap, HashSet};

use weighbridge_model::{
    Dim, Error, Graph, GraphValue, Model, Node, Place, Result, Tensor, TensorId, ValueId,
};

use crate::infer::GraphFacts;

pub use captures::{free_names, subgraphs, subgraphs_mut};
pub use compact::compact;
pub use facts::{Fact, Size, same_shape};
pub use order::sort;
pub use patch::Patch;

/// Index of a node within its [`Edit`]; it stays the same as others come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// What all graphs of a model share while they are edited.
#[derive(Debug)]
pub struct Shared<'a> {
    /// The tensors; the graph that is edited has been taken out.
    pub model: &'a mut Model,
    /// Bytes of what has been saved that folding leaves to other passes.
    pub reserve: i64,
    /// Names that some value of some graph has.
    names: HashSet<String>,
    /// The number that the last name like this one got.
    numbers: HashMap<String, u64>,
}

impl<'a> Shared<'a> {
    /// For `model` and its outermost `graph`, which was taken out of it.
    pub fn new(model: &'a mut Model, graph: &Graph) -> Self {
        let mut names = HashSet::new();
        let mut open = vec![graph];
        while let Some(graph) = open.pop() {
            names.extend(graph.values.iter().map(|value| value.name.clone()));
            open.extend(graph.nodes.iter().flat_map(subgraphs));
            if let Some(program) = &graph.program {
                open.extend(program.functions.iter().map(|function| &function.body));
                let training = program.training.iter();
                open.extend(training.flat_map(|t| t.initialization.iter().chain(&t.algorithm)));
            }
        }
        Shared { model, reserve: 0, names, numbers: HashMap::new() }
    }

    /// A name like `wanted` that no value has.
    pub fn fresh_name(&mut self, wanted: &str) -> String {
        if !wanted.is_empty() && self.names.insert(wanted.to_owned()) {
            return wanted.to_owned();
        }
        // It goes on from where it stopped, since thousands of values may want one name.
        let number = self.numbers.entry(wanted.to_owned()).or_insert(1);
        loop {
            *number += 1;
            let name = format!("{wanted}_{number}");
            if self.names.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// What the graphs around one give to it, by name.
pub type Outer = HashMap<String, Given>;

/// A value of a graph around this one.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// What is known of it.
    pub fact: Fact,
    /// The tensor that it always is.
    pub tensor: Option<TensorId>,
}

/// A node and where it stands.
#[derive(Debug, Clone)]
struct Slot {
    node: Option<Node>,
    /// Nodes stand in the order of these: the place of a node of the file, and a count.
    order: (u32, u32),
    /// Values that its subgraphs read, each once.
    captured: Vec<ValueId>,
}

/// What is known of a value's place in the graph.
#[derive(Debug, Clone, Default)]
struct Links {
    producer: Option<NodeId>,
    /// Nodes that read it or did so once.
    readers: Vec<NodeId>,
    /// How often it is read, by nodes, by outputs and by what describes quantization.
    uses: u32,
    /// How many nodes read it in a subgraph.
    captures: u32,
    input: bool,
    output: bool,
    tensor: Option<TensorId>,
    sparse: bool,
}

/// Where a graph belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Outermost, or within a node of another.
    Graph,
    /// The body of a function, which has neither initializers nor declared types.
    Function,
}

/// A graph that is being edited.
#[derive(Debug)]
pub struct Edit<'s, 'm> {
    /// The tensors, and names that are taken.
    pub shared: &'s mut Shared<'m>,
    /// Version of ONNX's operators.
    pub opset: i64,
    kind: Kind,
    graph: Graph,
    slots: Vec<Slot>,
    links: Vec<Links>,
    facts: Vec<Fact>,
    outer: Outer,
    added: u32,
    /// Bytes that the file has become smaller by since the edit began, about.
    saved: i64,
    /// Names of this graph's values, once they are asked for.
    own_names: Option<HashSet<String>>,
    /// Nodes that were removed.
    removed: Vec<NodeId>,
    /// Nodes that are left as they are.
    faulty: HashSet<NodeId>,
}

impl<'s, 'm> Edit<'s, 'm> {
    /// Takes a graph to edit. `opset` is the version of ONNX's operators in it, `outer` what it may take from around
    /// it, `facts` what inference shows of its values.
    ///
    /// # Errors
    /// Nodes in a cycle.
    pub fn new(
        shared: &'s mut Shared<'m>,
        mut graph: Graph,
        kind: Kind,
        opset: i64,
        outer: Outer,
        facts: Option<&GraphFacts>,
    ) -> Result<Self> {
        let nodes = order::sorted(&mut graph)?;
        let count = graph.values.len();
        let mut edit = Edit {
            shared,
            opset,
            kind,
            slots: Vec::with_capacity(nodes.len()),
            links: vec![Links::default(); count],
            facts: Vec::with_capacity(count),
            outer,
            added: 0,
            saved: 0,
            own_names: None,
            removed: Vec::new(),
            faulty: facts.iter().flat_map(|facts| &facts.faulty).map(|&index| NodeId(index as u32)).collect(),
            graph,
        };
        let trained = edit.graph.program.as_ref().is_some_and(|program| !program.training.is_empty());
        for &(value, tensor) in &edit.graph.initializers {
            let links = &mut edit.links[value.0 as usize];
            links.tensor.get_or_insert(tensor);
            // A trainer writes them.
            links.input |= trained;
        }
        for (value, _) in &edit.graph.sparse {
            edit.links[value.0 as usize].sparse = true;
        }
        for value in &edit.graph.inputs {
            edit.links[value.0 as usize].input = true;
        }
        for value in &edit.graph.outputs {
            let links = &mut edit.links[value.0 as usize];
            links.output = true;
            links.uses += 1;
        }
        for value in edit.graph.quantization.iter().flat_map(|(of, by)| by.iter().map(|(_, v)| v).chain([of]))
        {
            edit.links[value.0 as usize].uses += 1;
        }
        for ((value, links), id) in edit.graph.values.iter().zip(&edit.links).zip(0..) {
            // Inference knows what is declared, and where not to believe it.
            let mut fact = match facts {
                Some(facts) => Fact::inferred(facts.of(ValueId(id))),
                None => Fact::declared(value),
            };
            if let Some(tensor) = links.tensor {
                fact.merge(&Fact::of(edit.shared.model.tensor(tensor)));
            } else if let Some(given) = edit.outer.get(&value.name).filter(|_| links.producer.is_none()) {
                fact.merge(&given.fact);
            }
            edit.facts.push(fact);
        }
        let named = captures::by_name(&edit.graph, &nodes);
        for (node, order) in nodes.into_iter().zip(0..) {
            edit.place(node, (order, 0), &named);
        }
        edit.check()?;
        Ok(edit)
    }

    /// Whether everything that is read is given.
    fn check(&self) -> Result<()> {
        let given = |value: ValueId| {
            let links = &self.links[value.0 as usize];
            let inside = links.producer.is_some() || links.tensor.is_some() || links.input || links.sparse;
            inside || self.outer.contains_key(&self.value(value).name)
        };
        for Slot { node, captured, .. } in &self.slots {
            let Some(node) = node else { continue };
            if let Some(missing) = node.inputs.iter().flatten().chain(captured).find(|value| !given(**value))
            {
                let what = format!("it reads '{}', which nothing gives", self.value(*missing).name);
                return Err(fault(what, &self.name_of(node)));
            }
        }
        match self.graph.outputs.iter().find(|value| !given(**value)) {
            Some(missing) => {
                let what = format!("'{}' is an output, and nothing gives it", self.value(*missing).name);
                Err(Error::malformed(Place::source("the graph"), what))
            }
            None => Ok(()),
        }
    }

    fn place(&mut self, node: Node, order: (u32, u32), named: &HashMap<String, ValueId>) -> NodeId {
        let id = NodeId(self.slots.len() as u32);
        for &output in node.outputs.iter().flatten() {
            self.links[output.0 as usize].producer = Some(id);
        }
        let captured = captures::of(&node, named);
        self.slots.push(Slot { node: Some(node), order, captured });
        self.link(id);
        id
    }

    /// Notes what a node reads.
    fn link(&mut self, id: NodeId) {
        for value in self.reads(id) {
            let links = &mut self.links[value.0 as usize];
            links.uses += 1;
            if links.readers.last() != Some(&id) {
                links.readers.push(id);
            }
            self.forget_readers(value);
        }
        self.slots[id.0 as usize].captured.iter().for_each(|v| self.links[v.0 as usize].captures += 1);
    }

    /// Takes back what [`Edit::link`] notes; readers are left to be told by looking.
    fn unlink(&mut self, id: NodeId) {
        for value in self.reads(id) {
            self.links[value.0 as usize].uses -= 1;
            self.forget_readers(value);
        }
        self.slots[id.0 as usize].captured.iter().for_each(|v| self.links[v.0 as usize].captures -= 1);
    }

    /// Drops nodes that read a value once, where most of its list are such: a chain of nodes that go one by one must not
    /// leave a list as long as the chain.
    fn forget_readers(&mut self, value: ValueId) {
        let links = &self.links[value.0 as usize];
        if links.readers.len() > 2 * links.uses as usize + FEW_READERS {
            self.links[value.0 as usize].readers = self.consumers(value);
        }
    }

    /// What a node reads, as often as it does, its subgraphs included.
    fn reads(&self, id: NodeId) -> Vec<ValueId> {
        let slot = &self.slots[id.0 as usize];
        let inputs = slot.node.iter().flat_map(|node| node.inputs.iter().flatten());
        inputs.chain(&slot.captured).copied().collect()
    }

    fn new_value(&mut self, wanted: &str, fact: Fact) -> ValueId {
        let name = self.shared.fresh_name(wanted);
        self.graph.values.push(GraphValue { name, ..GraphValue::default() });
        self.links.push(Links::default());
        self.facts.push(fact);
        ValueId(self.graph.values.len() as u32 - 1)
    }

    /// Does what a patch says, and gives the nodes that it made or changed or whose surroundings it changed.
    pub fn apply(&mut self, patch: Patch) -> Vec<NodeId> {
        debug_assert_eq!(
            patch.base as usize,
            self.graph.values.len(),
            "a patch is for the graph it looked at"
        );
        let Patch { values, constants, nodes, rewritten, replaced, .. } = patch;
        let mut touched = Vec::new();
        let ids: Vec<ValueId> = values.into_iter().map(|(name, fact)| self.new_value(&name, fact)).collect();
        for (value, tensor) in constants {
            let known = &mut self.graph.values[value.0 as usize];
            known.dtype = Some(tensor.dtype);
            known.shape = Some(tensor.shape.iter().map(|&n| Dim::Known(n)).collect());
            let name = known.name.clone();
            self.saved -= bytes::of_tensor(&tensor, &name);
            let id = self.shared.model.push(Tensor { name, ..tensor });
            self.links[value.0 as usize].tensor = Some(id);
            self.graph.initializers.push((value, id));
        }
        for (at, node) in nodes {
            self.added += 1;
            self.saved -= self.bytes_of(&node);
            let order = (self.slots[at.0 as usize].order.0, self.added);
            touched.push(self.place(node, order, &HashMap::new()));
        }
        let mut orphans: Vec<ValueId> = Vec::new();
        for (id, node) in rewritten {
            orphans.extend(self.reads(id));
            self.unlink(id);
            self.saved += self.bytes_of(self.node(id)) - self.bytes_of(&node);
            let old = self.slots[id.0 as usize].node.replace(node);
            for output in old.into_iter().flat_map(|node| node.outputs).flatten() {
                self.links[output.0 as usize].producer = None;
            }
            let outputs = self.node(id).outputs.clone();
            for output in outputs.into_iter().flatten() {
                self.links[output.0 as usize].producer = Some(id);
                touched.extend(self.consumers(output));
            }
            self.link(id);
            touched.push(id);
        }
        for (old, new) in replaced {
            touched.extend(self.replace(old, new, &mut orphans));
            orphans.push(old);
        }
        self.drop_unread(orphans.into_iter().chain(ids).collect(), &mut touched);
        touched.retain(|id| self.slots[id.0 as usize].node.is_some());
        let few = |id: &&NodeId| self.node(**id).inputs.len() <= FEW_INPUTS;
        let read = touched.iter().filter(few).flat_map(|&id| self.reads(id));
        let near: Vec<NodeId> = read.filter_map(|value| self.producer(value)).collect();
        touched.extend(near);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Lets everything that reads `old` read `new`. A graph's output keeps its name: what makes `new` makes it instead,
    /// or hands it on where that cannot be. What may be read by nothing afterwards is added to `orphans`.
    fn replace(&mut self, old: ValueId, new: ValueId, orphans: &mut Vec<ValueId>) -> Vec<NodeId> {
        let mut touched = Vec::new();
        let (from, to) = (old.0 as usize, new.0 as usize);
        let maker = self.links[to].producer;
        let whole = self.links[to].producer.is_some() && !self.links[to].output && !self.links[to].input;
        let described = self.graph.quantization.iter().any(|(of, _)| *of == old);
        if (self.links[from].output || described) && whole {
            // The other way round: the name that is seen from outside stays.
            orphans.extend(self.take_from_producer(old));
            let maker = maker.expect("it has one");
            if let Some(node) = &mut self.slots[maker.0 as usize].node {
                node.outputs.iter_mut().filter(|o| **o == Some(new)).for_each(|o| *o = Some(old));
            }
            self.links[from].producer = Some(maker);
            self.links[to].producer = None;
            let fact = std::mem::take(&mut self.facts[to]);
            self.facts[from].merge(&fact);
            touched.push(maker);
            touched.extend(self.consumers(old));
            touched.extend(self.read_instead(new, old));
        } else {
            touched.extend(self.read_instead(old, new));
            if self.links[from].uses > 0 {
                let at = self.links[from].producer;
                orphans.extend(self.take_from_producer(old));
                let name = self.graph.value(old).name.clone();
                let node = Node {
                    name,
                    op: "Identity".into(),
                    inputs: vec![Some(new)],
                    outputs: vec![Some(old)],
                    ..Node::default()
                };
                self.added += 1;
                let order = (at.map_or(0, |at| self.slots[at.0 as usize].order.0), self.added);
                touched.push(self.place(node, order, &HashMap::new()));
            }
        }
        touched
    }

    /// What made `value` makes another one in its place, which nothing reads.
    fn take_from_producer(&mut self, value: ValueId) -> Option<ValueId> {
        let maker = self.links[value.0 as usize].producer.take()?;
        let name = format!("{}_unused", self.graph.value(value).name);
        let other = self.new_value(&name, Fact::default());
        if let Some(node) = &mut self.slots[maker.0 as usize].node {
            node.outputs.iter_mut().filter(|o| **o == Some(value)).for_each(|o| *o = Some(other));
        }
        self.links[other.0 as usize].producer = Some(maker);
        Some(other)
    }

    /// Nodes that read `old` read `new`; those whose subgraphs cannot are left as they are. What else they read is not
    /// gone through: a node may have as many inputs as a graph has nodes.
    fn read_instead(&mut self, old: ValueId, new: ValueId) -> Vec<NodeId> {
        let readers = self.consumers(old);
        let (old_name, new_name) = (self.graph.value(old).name.clone(), self.graph.value(new).name.clone());
        for &id in &readers {
            let slot = &mut self.slots[id.0 as usize];
            let node = slot.node.as_mut().expect("readers are there");
            let mut moved = 0;
            for input in node.inputs.iter_mut().filter(|input| **input == Some(old)) {
                *input = Some(new);
                moved += 1;
                self.saved += old_name.len() as i64 - new_name.len() as i64;
            }
            let (mut gone, mut come) = (moved, moved);
            if slot.captured.contains(&old) && captures::rename(node, &old_name, &new_name) {
                let before = slot.captured.contains(&new);
                slot.captured.retain(|&value| value != old && value != new);
                slot.captured.push(new);
                (gone, come) = (gone + 1, come + u32::from(!before));
                self.links[old.0 as usize].captures -= 1;
                self.links[new.0 as usize].captures += u32::from(!before);
            }
            self.links[old.0 as usize].uses -= gone;
            self.links[new.0 as usize].uses += come;
            let known = &mut self.links[new.0 as usize].readers;
            if known.last() != Some(&id) {
                known.push(id);
            }
        }
        self.forget_readers(old);
        self.forget_readers(new);
        readers
    }

    /// Lets everything that reads the first of a pair read the second, each of which stays: no first one is a second one, or
    /// an output. Each reader is gone through once, however many of its inputs are concerned.
    pub fn merge(&mut self, pairs: &[(ValueId, ValueId)]) {
        let instead: HashMap<ValueId, ValueId> = pairs.iter().copied().collect();
        let readers = pairs.iter().flat_map(|(old, _)| &self.links[old.0 as usize].readers);
        let mut readers: Vec<NodeId> = readers.copied().collect();
        readers.sort_unstable();
        readers.dedup();
        for id in readers {
            if self.slots[id.0 as usize].node.is_none() {
                continue;
            }
            self.unlink(id);
            let Slot { node, captured, .. } = &mut self.slots[id.0 as usize];
            let node = node.as_mut().expect("it was looked for");
            let length = |value: ValueId| self.graph.values[value.0 as usize].name.len() as i64;
            for input in node.inputs.iter_mut().flatten() {
                let Some(&new) = instead.get(input) else { continue };
                self.saved += length(*input) - length(new);
                *input = new;
            }
            for value in captured.iter_mut() {
                let Some(&new) = instead.get(value) else { continue };
                let name = |value: ValueId| &self.graph.values[value.0 as usize].name;
                if captures::rename(node, name(*value), name(new)) {
                    *value = new;
                }
            }
            captured.sort_unstable();
            captured.dedup();
            self.link(id);
        }
        self.drop_unread(pairs.iter().map(|(old, _)| *old).collect(), &mut Vec::new());
    }

    /// Removes the nodes that make these values, where nothing reads any of what they make, and so on upwards.
    fn drop_unread(&mut self, mut values: Vec<ValueId>, touched: &mut Vec<NodeId>) {
        while let Some(value) = values.pop() {
            let Some(id) = self.producer(value) else { continue };
            let unread = |v: &ValueId| self.links[v.0 as usize].uses == 0;
            if !self.node(id).outputs.iter().flatten().all(unread) {
                continue;
            }
            let read = self.remove(id);
            // What reads the same may now be the only one to do so.
            for &value in &read {
                if self.links[value.0 as usize].uses == 1 && self.links[value.0 as usize].tensor.is_none() {
                    touched.extend(self.consumers(value));
                }
            }
            values.extend(read);
        }
    }

    /// Removes a node whose outputs nothing reads, and gives what it read.
    fn remove(&mut self, id: NodeId) -> Vec<ValueId> {
        let read = self.reads(id);
        self.unlink(id);
        self.saved += self.bytes_of(self.node(id));
        self.slots[id.0 as usize].captured.clear();
        let node = self.slots[id.0 as usize].node.take();
        for output in node.into_iter().flat_map(|node| node.outputs).flatten() {
            self.links[output.0 as usize].producer = None;
        }
        self.removed.push(id);
        read
    }

    /// Removes every node of whose outputs nothing is read; how many there were.
    pub fn remove_dead(&mut self) -> usize {
        let before = self.removed.len();
        for index in (0..self.slots.len()).rev() {
            let outputs = self.slots[index].node.as_ref().map(|node| node.outputs.iter().flatten().copied());
            let outputs: Option<Vec<ValueId>> = outputs.map(Iterator::collect);
            match outputs {
                Some(outputs) if outputs.iter().all(|v| self.links[v.0 as usize].uses == 0) => {
                    self.remove(NodeId(index as u32));
                }
                _ => {}
            }
        }
        self.removed.len() - before
    }

    /// Takes away initializers that nothing reads and that are no inputs; how many there were.
    pub fn remove_unread_initializers(&mut self) -> usize {
        let before = self.graph.initializers.len();
        let links = &self.links;
        let kept = |value: &ValueId| {
            let links = &links[value.0 as usize];
            links.uses > 0 || links.input
        };
        let tensors = &self.shared.model.tensors;
        let gone = self.graph.initializers.iter().filter(|(value, _)| !kept(value));
        self.saved += gone
            .map(|(_, id)| &tensors[id.0 as usize])
            .map(|tensor| bytes::of_tensor(tensor, &tensor.name))
            .sum::<i64>();
        self.graph.initializers.retain(|(value, _)| kept(value));
        self.graph.sparse.retain(|(value, _)| kept(value));
        let gone: Vec<usize> = (0..self.links.len()).filter(|&i| !kept(&ValueId(i as u32))).collect();
        gone.into_iter().for_each(|i| self.links[i].tensor = None);
        before - self.graph.initializers.len()
    }

    /// Takes a subgraph out of a node to edit it; [`Edit::put_subgraph`] puts it back.
    pub fn take_subgraphs(&mut self, id: NodeId) -> Vec<Graph> {
        let node = self.slots[id.0 as usize].node.as_mut().expect("the node is there");
        subgraphs_mut(node).map(std::mem::take).collect()
    }

    /// Puts the subgraphs of a node back, in order.
    pub fn put_subgraphs(&mut self, id: NodeId, graphs: Vec<Graph>) {
        let captured_before = self.slots[id.0 as usize].captured.clone();
        self.unlink(id);
        let slot = &mut self.slots[id.0 as usize];
        let node = slot.node.as_mut().expect("the node is there");
        for (place, graph) in subgraphs_mut(node).zip(graphs) {
            *place = graph;
        }
        // A subgraph takes nothing new from around it while it is edited, and may take less.
        let free: HashSet<String> = subgraphs(node).flat_map(free_names).collect();
        slot.captured.retain(|&v| free.contains(&self.graph.values[v.0 as usize].name));
        self.link(id);
        self.drop_unread(captured_before, &mut Vec::new());
    }

    /// Counts on from what was saved before.
    pub fn count_on_from(&mut self, saved: i64) {
        self.saved += saved;
    }

    /// Bytes that the file has become smaller by, about; below 0 where it has grown.
    pub fn saved(&self) -> i64 {
        self.saved
    }

    /// The graph as it is now: nodes in order, declarations of values that are gone left out.
    pub fn finish(mut self) -> Graph {
        self.slots.retain(|slot| slot.node.is_some());
        self.slots.sort_by_key(|slot| slot.order);
        let mut graph = self.graph;
        graph.nodes = self.slots.into_iter().filter_map(|slot| slot.node).collect();
        let links = self.links;
        graph
            .declared
            .retain(|v| links[v.0 as usize].producer.is_some() || links[v.0 as usize].tensor.is_some());
        graph
    }
}

/// What nodes of more inputs read is not looked at again with them: no pattern begins there, and each of their inputs may
/// change on its own.
const FEW_INPUTS: usize = 64;

/// Readers of a value that are listed without a look at whether they still read it.
const FEW_READERS: usize = 8;

/// A place in a graph, for errors.
pub(crate) fn fault(what: impl Into<String>, node: &str) -> Error {
    Error::malformed(Place::source("the graph").node(node), what)
}
