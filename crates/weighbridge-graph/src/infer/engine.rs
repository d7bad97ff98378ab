//! Goes through graphs, and applies rules to nodes.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use weighbridge_model::{Attribute, Function, Graph, GraphValue, Model, Node, TensorId, ValueId, ValueType};

use super::attributes;
use super::call::Call;
use super::constant;
use super::fact::{Elements, Fact, sizes};
use super::order::{Makers, order, subgraphs};
use super::size::{Size, Symbol};
use super::table;
use super::{Facts, Fault, GraphFacts, Inside, Options};

/// Deepest nesting of graphs and functions that is followed.
const DEEPEST: usize = 100;
/// How often each node may be gone through, on average: in rounds of loops, and in calls of functions.
const ROUNDS: usize = 32;
/// As many nodes more, however small the graph.
const SLACK: usize = 100_000;
/// Most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 64;
/// How many elements are kept for each node and value, on average.
const ELEMENTS: usize = 32;
/// Most faults that are told.
const MOST_FAULTS: usize = 1000;
/// The operator set that is meant where a graph names none.
const NEWEST: i64 = 28;

/// Makes symbols.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    next: u32,
}

impl Fresh {
    /// A size that nothing is known of.
    pub(super) fn size(&mut self) -> Size {
        self.symbol(true)
    }

    /// A number that nothing is known of.
    pub(super) fn number(&mut self) -> Size {
        self.symbol(false)
    }

    /// The moment, to tell later symbols by.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.next)
    }

    fn symbol(&mut self, size: bool) -> Size {
        self.next = self.next.wrapping_add(1);
        Symbol::Fresh { id: self.next, size }.into()
    }
}

/// A moment between symbols that are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u32);

impl Mark {
    /// Whether the size is a symbol that was made later.
    pub(super) fn is_before(self, size: &Size) -> bool {
        matches!(size.symbol(), Some(Symbol::Fresh { id, .. }) if *id > self.0)
    }
}

/// A graph, what is known of its values so far, and the graphs around it.
pub(super) struct Scope<'s, 'm> {
    graph: &'m Graph,
    values: &'s [Fact],
    names: &'s OnceCell<HashMap<&'m str, ValueId>>,
    outer: Option<&'s Scope<'s, 'm>>,
}

impl<'m> Scope<'_, 'm> {
    /// The value of this name, here or further out.
    fn find(&self, name: &str) -> Option<&Fact> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some(id) = names(here.names, here.graph).get(name)
                && here.values[id.0 as usize] != Fact::Unknown
            {
                return Some(&here.values[id.0 as usize]);
            }
            scope = here.outer;
        }
        None
    }
}

fn names<'s, 'm>(
    cell: &'s OnceCell<HashMap<&'m str, ValueId>>,
    graph: &'m Graph,
) -> &'s HashMap<&'m str, ValueId> {
    cell.get_or_init(|| {
        let named = graph.values.iter().zip(0..).filter(|(value, _)| !value.name.is_empty());
        named.map(|(value, id)| (value.name.as_str(), ValueId(id))).collect()
    })
}

/// Versions of operators by domain.
type Versions<'m> = Rc<HashMap<&'m str, i64>>;

fn versions(opsets: &[(String, i64)]) -> Versions<'_> {
    // The first counts.
    Rc::new(opsets.iter().rev().map(|(domain, version)| (domain.as_str(), *version)).collect())
}

/// The function that a graph is the body of, or the model itself.
#[derive(Clone)]
pub(super) struct Frame<'m> {
    /// What a function's attributes are at this call.
    pub(super) attributes: Rc<HashMap<&'m str, &'m Attribute>>,
    versions: Versions<'m>,
    /// How many graphs and functions are around it.
    depth: usize,
    is_function: bool,
}

impl Frame<'_> {
    /// The version of a domain's operators.
    fn version(&self, domain: &str) -> i64 {
        self.versions.get(domain).copied().unwrap_or(NEWEST)
    }
}

/// What goes through graphs.
pub(super) struct Engine<'m> {
    pub(super) model: &'m Model,
    pub(super) fresh: Fresh,
    options: &'m Options,
    functions: HashMap<(&'m str, &'m str, &'m str), (usize, &'m Function, Versions<'m>)>,
    called: Vec<Option<GraphFacts>>,
    faults: Vec<Fault>,
    /// Nodes that may still be gone through; `None` once there were too many.
    left: Option<usize>,
    /// Elements that may still be kept of values.
    elements_left: usize,
    /// Whether initializers that are also inputs stand for what they hold: the case before version 4 of the format, which
    /// lists all of them as inputs.
    fixed_initializers: bool,
}

impl<'m> Engine<'m> {
    pub(super) fn new(model: &'m Model, graph: &'m Graph, options: &'m Options) -> Self {
        let program = graph.program.as_deref();
        let functions = program.map_or(&[][..], |program| &program.functions);
        let by_name = |(i, f): (usize, &'m Function)| {
            ((f.domain.as_str(), f.name.as_str(), f.overload.as_str()), (i, f, versions(&f.body.opsets)))
        };
        let all = functions.iter().map(|f| &f.body).chain([graph]);
        let cost = all.map(cost_of).fold(0, usize::saturating_add);
        Engine {
            model,
            fresh: Fresh::default(),
            options,
            functions: functions.iter().enumerate().map(by_name).collect(),
            called: vec![None; functions.len()],
            faults: Vec::new(),
            left: Some(cost.saturating_mul(ROUNDS).saturating_add(SLACK)),
            elements_left: cost.saturating_mul(ELEMENTS).saturating_add(10 * SLACK),
            fixed_initializers: program.and_then(|p| p.ir_version).is_some_and(|version| version < 4),
        }
    }

    pub(super) fn run(mut self, graph: &'m Graph) -> Facts {
        let frame = Frame {
            attributes: Rc::default(),
            versions: versions(&graph.opsets),
            depth: 0,
            is_function: false,
        };
        let facts = self.graph(graph, None, None, &frame);
        if self.left.is_none() {
            let what = format!("loops and functions ask for more than {ROUNDS} rounds of all nodes");
            self.fault(String::new(), what);
        }
        Facts { graph: facts, functions: self.called, faults: self.faults }
    }

    /// Goes through a graph. `given` are its inputs where something around it gives them.
    pub(super) fn graph(
        &mut self,
        graph: &'m Graph,
        outer: Option<&Scope<'_, 'm>>,
        given: Option<&[Fact]>,
        frame: &Frame<'m>,
    ) -> GraphFacts {
        let mut values = vec![Fact::Unknown; graph.values.len()];
        if frame.depth > DEEPEST {
            let what = format!("more than {DEEPEST} graphs and functions stand within each other");
            self.add_fault(Fault { node: String::new(), what, malformed: true });
            return GraphFacts { values, ..GraphFacts::default() };
        }
        if !self.take(graph.values.len()) {
            return GraphFacts { values, ..GraphFacts::default() };
        }
        let makers = Makers::of(graph);
        for &(value, tensor) in &graph.initializers {
            values[value.0 as usize] = self.constant(tensor);
        }
        for (value, sparse) in &graph.sparse {
            let dtype = self.model.tensors.get(sparse.values.0 as usize).map(|tensor| tensor.dtype);
            let dims = sparse.dims.iter().map(|&n| Size::from(n as i64)).collect();
            values[value.0 as usize] = Fact::tensor(dtype, Some(dims));
        }
        for (i, &input) in graph.inputs.iter().enumerate() {
            let slot = &mut values[input.0 as usize];
            let default = std::mem::take(slot);
            let fixed = self.fixed_initializers && outer.is_none() && !frame.is_function;
            if default != Fact::Unknown && fixed {
                values[input.0 as usize] = default;
                continue;
            }
            let declared = self.declared(graph.value(input));
            let declared = self.kept(declared, || graph.value(input).name.clone());
            values[input.0 as usize] = match given.and_then(|given| given.get(i)) {
                Some(fact) => self.refined(fact.clone(), &declared, || graph.value(input).name.clone()),
                None => self.with_elements(declared),
            };
        }
        for (value, id) in graph.values.iter().zip(0..).filter(|(_, id)| !makers.gives(ValueId(*id))) {
            if let Some(found) = outer.and_then(|outer| outer.find(&value.name)) {
                values[id as usize] = found.clone();
            }
        }
        let cell = OnceCell::new();
        let (order, faults) = order(graph, &makers, || names(&cell, graph), outer.is_some());
        faults.into_iter().for_each(|fault| self.add_fault(fault));
        let (mut inner, mut faulty) = (BTreeMap::new(), Vec::new());
        for index in order {
            if !self.take(1) {
                break;
            }
            let node = &graph.nodes[index];
            let before = self.faults.len();
            let scope = Scope { graph, values: &values, names: &cell, outer };
            let (outputs, inside) = self.node(index, node, &scope, frame);
            inner.extend(inside);
            let mut outputs = outputs.into_iter();
            for &output in &node.outputs {
                let Some(fact) = outputs.next() else { break };
                let Some(id) = output else { continue };
                let declared = match self.options.ignore_declared || frame.is_function {
                    true => Fact::Unknown,
                    false => self.declared(graph.value(id)),
                };
                let fact = self.kept(fact, || label(graph, node));
                values[id.0 as usize] = self.refined(fact, &declared, || label(graph, node));
            }
            // Once there are too many to be told, none is sound.
            if self.faults.len() > before || before == MOST_FAULTS {
                faulty.push(index);
                for output in node.outputs.iter().flatten() {
                    values[output.0 as usize] = Fact::Unknown;
                }
            }
        }
        faulty.sort_unstable();
        GraphFacts { values, faulty, inner }
    }

    /// Counts nodes and values that are gone through; whether there were not too many yet.
    fn take(&mut self, cost: usize) -> bool {
        self.left = self.left.and_then(|left| left.checked_sub(cost));
        self.left.is_some()
    }

    /// A fact as it is kept of a value: of not too many dimensions, and elements as long as not too many are kept in all.
    fn kept(&mut self, fact: Fact, node: impl FnOnce() -> String) -> Fact {
        let Fact::Tensor(tensor) = &fact else { return fact };
        if let Some(shape) = tensor.shape.as_ref().filter(|shape| shape.len() > MOST_DIMENSIONS) {
            let what = format!("it gives {} dimensions, more than {MOST_DIMENSIONS}", shape.len());
            self.fault(node(), what);
            return Fact::tensor(tensor.dtype, None);
        }
        let elements = match &tensor.elements {
            Some(Elements::Whole(of)) => of.len(),
            Some(Elements::Real(of)) => of.len(),
            None => 0,
        };
        match self.elements_left.checked_sub(elements) {
            Some(left) => self.elements_left = left,
            None => return fact.without_elements(),
        }
        fact
    }

    /// What the outputs of a node are, and what is known within its subgraphs.
    fn node(
        &mut self,
        index: usize,
        node: &'m Node,
        scope: &Scope<'_, 'm>,
        frame: &Frame<'m>,
    ) -> (Vec<Fact>, Vec<(Inside, GraphFacts)>) {
        static ABSENT: Fact = Fact::Unknown;
        let inputs: Vec<&Fact> = node
            .inputs
            .iter()
            .map(|input| input.map_or(&ABSENT, |id| &scope.values[id.0 as usize]))
            .collect();
        let key = (node.domain.as_str(), node.op.as_str(), node.overload.as_str());
        let mut outcome = Ok(Vec::new());
        let mut inside = Vec::new();
        if let Some((number, function, versions)) = self.functions.get(&key) {
            let (number, function, versions) = (*number, *function, versions.clone());
            outcome = Ok(self.call_function(number, function, versions, node, &inputs, frame));
        } else {
            let version = frame.version(&node.domain);
            let mut call = Call { engine: self, node, version, inputs, scope, index, frame, inside };
            for what in attributes::odd(&call) {
                let node = label(scope.graph, node);
                call.engine.add_fault(Fault { node, what, malformed: true });
            }
            if let Some(rule) = table::rule(&node.domain, &node.op) {
                outcome = rule(&mut call);
            }
            call.visit_remaining();
            inside = call.inside;
        }
        let mut facts = outcome.unwrap_or_else(|what| {
            self.fault(label(scope.graph, node), what);
            Vec::new()
        });
        facts.resize(node.outputs.len(), Fact::Unknown);
        (facts, inside)
    }

    /// Goes through a subgraph of a node.
    pub(super) fn subgraph(
        &mut self,
        graph: &'m Graph,
        scope: &Scope<'_, 'm>,
        given: &[Fact],
        frame: &Frame<'m>,
    ) -> GraphFacts {
        let frame = Frame { depth: frame.depth + 1, ..frame.clone() };
        self.graph(graph, Some(scope), Some(given), &frame)
    }

    fn call_function(
        &mut self,
        number: usize,
        function: &'m Function,
        versions: Versions<'m>,
        node: &'m Node,
        inputs: &[&Fact],
        frame: &Frame<'m>,
    ) -> Vec<Fact> {
        let defaults = function.defaults.iter().map(|(name, default)| (name.as_str(), default));
        let mut attributes: HashMap<&str, &Attribute> = defaults.collect();
        for (name, attribute) in &node.attributes {
            let resolved = match attribute {
                Attribute::Reference { to, .. } => frame.attributes.get(to.as_str()).copied(),
                other => Some(other),
            };
            attributes.extend(resolved.map(|resolved| (name.as_str(), resolved)));
        }
        let body = &function.body;
        let inner = Frame {
            attributes: Rc::new(attributes),
            versions: if body.opsets.is_empty() { frame.versions.clone() } else { versions },
            depth: frame.depth + 1,
            is_function: true,
        };
        let mut given: Vec<Fact> = inputs.iter().map(|&fact| fact.clone()).collect();
        given.resize(body.inputs.len(), Fact::Unknown);
        let facts = self.graph(body, None, Some(&given), &inner);
        let outputs = body.outputs.iter().map(|&id| facts.of(id).clone()).collect();
        self.called[number] = Some(match self.called[number].take() {
            Some(before) => before.join(&facts, &mut self.fresh),
            None => facts,
        });
        outputs
    }

    /// What a tensor of the model is.
    pub(super) fn constant(&self, tensor: TensorId) -> Fact {
        self.model.tensors.get(tensor.0 as usize).map_or(Fact::Unknown, constant::fact)
    }

    fn declared(&mut self, value: &GraphValue) -> Fact {
        match &value.declared {
            Some(ValueType::Opaque(_)) | None if value.dtype.is_none() && value.shape.is_none() => {
                Fact::Unknown
            }
            Some(ValueType::Opaque(_)) | None => {
                let shape = value.shape.as_ref().map(|dims| sizes(dims, &mut self.fresh));
                Fact::tensor(value.dtype, shape)
            }
            Some(declared) => Fact::declared(declared, &mut self.fresh),
        }
    }

    /// A value that only running gives: of a few integers, each is a symbol.
    pub(super) fn with_elements(&mut self, fact: Fact) -> Fact {
        constant::unknown_elements(fact, &mut self.fresh)
    }

    fn refined(&mut self, inferred: Fact, declared: &Fact, node: impl FnOnce() -> String) -> Fact {
        match inferred.refine(declared) {
            Ok(fact) => fact,
            Err(what) => {
                self.fault(node(), what);
                Fact::Unknown
            }
        }
    }

    pub(super) fn fault(&mut self, node: String, what: String) {
        self.add_fault(Fault { node, what, malformed: false });
    }

    fn add_fault(&mut self, fault: Fault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        }
    }

    /// How many faults there are; with [`Engine::forget_faults`], for what is gone through again.
    pub(super) fn faults(&self) -> usize {
        self.faults.len()
    }

    pub(super) fn forget_faults(&mut self, down_to: usize) {
        self.faults.truncate(down_to);
    }
}

/// Nodes and values of a graph and of those within it.
fn cost_of(graph: &Graph) -> usize {
    let (mut cost, mut graphs) = (0, vec![graph]);
    while let Some(graph) = graphs.pop() {
        cost += graph.nodes.len() + graph.values.len();
        graphs.extend(graph.nodes.iter().flat_map(subgraphs));
    }
    cost
}

/// A node's name; its first output's where it has none, or else its operator.
pub(super) fn label(graph: &Graph, node: &Node) -> String {
    let output = || node.outputs.iter().flatten().next().map(|&id| graph.value(id).name.clone());
    if node.name.is_empty() { output().unwrap_or_else(|| node.op.clone()) } else { node.name.clone() }
}
