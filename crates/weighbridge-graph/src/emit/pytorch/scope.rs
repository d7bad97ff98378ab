//! What a rule works with: a node's inputs as Python expressions, its attributes, what is known of types and shapes,
//! and ways to add modules, helpers and statements.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use weighbridge_model::{
    Attribute, DType, Dim, Error, Graph, Layout, Model, Node, Role, Tensor, TensorId, Value, ValueId, dtype,
};

use super::names::{Names, escaped, path_of_node, path_of_tensor, variable};
use super::text;
use super::tree::{At, Tree};

/// Most elements of a constant that is written into the source where a rule asks for numbers.
const READ: u64 = 4096;
/// Most elements of a whole-number constant that stands in `forward` rather than in a buffer.
const INLINE: u64 = 16;

/// Most dimensions of a value that anything is concluded from; torch itself has 64.
const DIMENSIONS: usize = 64;

/// Parts of a module whose names tell its path, the surest first.
const TELLING: [&str; 3] = ["running_mean", "weight", "bias"];

/// Why a node is not expressed.
#[derive(Debug)]
pub(super) enum Fault {
    /// Its operator, or this use of it, has no rule.
    Cannot(String),
    /// A constant could not be read.
    Failed(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Failed(error)
    }
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Fault::Cannot(why)
    }
}

impl From<&str> for Fault {
    fn from(why: &str) -> Self {
        Fault::Cannot(why.to_owned())
    }
}

/// What a rule returns.
pub(super) type Ruled<T = ()> = Result<T, Fault>;

/// What is known of a value before it is computed.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) dtype: Option<DType>,
    /// Sizes, with `None` for an open one.
    pub(super) dims: Option<Vec<Option<u64>>>,
}

/// A tensor of the state dict.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The module or tensor of the tree.
    pub(super) at: At,
    /// The name within the module; empty for a tensor of the tree itself.
    pub(super) suffix: &'static str,
    /// The tensor as the module takes it.
    pub(super) tensor: Tensor,
    /// The tensor that it was, where the file has it.
    pub(super) from: Option<TensorId>,
    /// What was done to it.
    pub(super) change: Option<&'static str>,
}

/// A tensor that a module asks for.
pub(super) struct Part {
    pub(super) suffix: &'static str,
    pub(super) tensor: Tensor,
    pub(super) change: Option<&'static str>,
    /// Whether no tensor of the file is behind it.
    pub(super) made: bool,
}

impl Part {
    /// A constant as it is.
    pub(super) fn of(suffix: &'static str, tensor: &Tensor) -> Self {
        Part { suffix, tensor: tensor.clone(), change: None, made: false }
    }
}

/// A line of `forward`.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) comment: Option<String>,
    pub(super) text: String,
}

/// The source as it grows.
pub(super) struct Scope<'a> {
    pub(super) model: &'a Model,
    pub(super) graph: &'a Graph,
    /// Version of ONNX's operators.
    pub(super) opset: i64,
    /// How many nodes, and outputs of the graph, read each value.
    pub(super) uses: Vec<u32>,
    /// The last node that reads each value.
    readers: Vec<Option<u32>>,
    /// Nodes that an earlier one's rule has expressed along with its own.
    pub(super) absorbed: HashSet<usize>,
    pub(super) known: Vec<Known>,
    /// Tensors of values that do not depend on inputs.
    pub(super) constants: HashMap<ValueId, Tensor>,
    /// How `forward` writes each value that it has.
    pub(super) written: Vec<Option<String>>,
    pub(super) variables: Names,
    pub(super) tree: Tree,
    pub(super) entries: Vec<Entry>,
    /// Modules by what they are made of, so that one that is used twice is one.
    shared: HashMap<String, At>,
    pub(super) lines: Vec<Line>,
    pub(super) helpers: BTreeSet<&'static str>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(model: &'a Model, graph: &'a Graph) -> Self {
        let opset = graph
            .opsets
            .iter()
            .find(|(domain, _)| matches!(&**domain, "" | "ai.onnx"))
            .map_or(1, |(_, v)| *v);
        let mut uses = vec![0u32; graph.values.len()];
        let read = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&graph.outputs);
        read.for_each(|id| uses[id.0 as usize] = uses[id.0 as usize].saturating_add(1));
        let mut readers = vec![None; graph.values.len()];
        for (at, node) in (0..).zip(&graph.nodes) {
            node.inputs.iter().flatten().for_each(|id| readers[id.0 as usize] = Some(at));
        }
        let known = graph.values.iter().map(|value| Known {
            dtype: value.dtype,
            dims: value.shape.as_ref().map(|dims| {
                dims.iter().map(|d| if let Dim::Known(n) = d { Some(*n) } else { None }).collect()
            }),
        });
        let mut scope = Scope {
            model,
            graph,
            opset,
            uses,
            readers,
            absorbed: HashSet::new(),
            known: known.collect(),
            constants: HashMap::new(),
            written: vec![None; graph.values.len()],
            variables: Names::default(),
            tree: Tree::new(),
            entries: Vec::new(),
            shared: HashMap::new(),
            lines: Vec::new(),
            helpers: BTreeSet::new(),
        };
        // A variable would hide the function that it is called like.
        super::helpers::HELPERS.iter().for_each(|(name, _)| drop(scope.variables.unique(name)));
        for &(value, tensor) in &graph.initializers {
            scope.constant(value, model.tensor(tensor).clone());
        }
        scope
    }

    /// Says that a value is this tensor.
    pub(super) fn constant(&mut self, value: ValueId, tensor: Tensor) {
        self.known[value.0 as usize] =
            Known { dtype: Some(tensor.dtype), dims: Some(tensor.shape.iter().map(|&n| Some(n)).collect()) };
        self.constants.insert(value, tensor);
    }

    /// The node that alone reads a value, where nothing else does.
    pub(super) fn only_reader(&self, value: ValueId) -> Option<(usize, &'a Node)> {
        let at = self.readers[value.0 as usize].filter(|_| self.uses[value.0 as usize] == 1)? as usize;
        Some((at, &self.graph.nodes[at]))
    }

    /// A variable for a value, named after it.
    pub(super) fn variable(&mut self, value: ValueId) -> String {
        let (short, long) = variable(&self.graph.value(value).name);
        let wanted = match long {
            Some(long) if !self.variables.is_free(&short) => long,
            _ => short,
        };
        let name = self.variables.unique(&wanted);
        self.written[value.0 as usize] = Some(name.clone());
        name
    }

    /// The expression of a value: a variable, or what holds a constant, made when it is first asked for.
    pub(super) fn expression(&mut self, value: ValueId) -> Ruled<String> {
        if let Some(text) = &self.written[value.0 as usize] {
            return Ok(text.clone());
        }
        let name = &self.graph.value(value).name;
        let Some(tensor) = self.constants.get(&value).cloned() else {
            return Err(format!("'{name}' is given by nothing before it").into());
        };
        let kind = text::dtype(tensor.dtype)
            .filter(|_| matches!(tensor.layout, Layout::Strided(_)))
            .ok_or_else(|| format!("'{name}' is {}, which torch does not compute with", tensor.dtype))?;
        let small = tensor.dtype == DType::I64 && tensor.shape.len() <= 1 && tensor.count() <= INLINE;
        // A number of a Constant is part of the computation; an initializer may be a weight.
        let constant = tensor.name.is_empty() || tensor.name.contains('@');
        let number = constant
            && matches!(tensor.dtype, DType::F32 | DType::F64)
            && tensor.shape.len() <= 1
            && tensor.count() == 1;
        let text = if small {
            let numbers = integers(&tensor)?;
            match tensor.shape.len() {
                0 => format!("torch.tensor({})", numbers[0]),
                _ if numbers.is_empty() => "torch.tensor([], dtype=torch.int64)".to_owned(),
                _ => format!("torch.tensor({})", text::list(&numbers)),
            }
        } else if number {
            let number = text::float(numbers(&tensor)?[0]);
            let number = if tensor.shape.is_empty() { number } else { format!("[{number}]") };
            let of_type = if tensor.dtype == DType::F32 { String::new() } else { format!(", dtype={kind}") };
            format!("torch.tensor({number}{of_type})")
        } else {
            // An alias that the exporter made may be where a module of its own is, or have no name that says so.
            let is_path = |name: &str| !path_of_tensor(name).0.is_empty();
            let name =
                if is_path(&tensor.name) && !is_path(name) { tensor.name.clone() } else { name.clone() };
            self.hold(&name, &tensor, kind)
        };
        self.written[value.0 as usize] = Some(text.clone());
        Ok(text)
    }

    /// A parameter or a buffer of this name; its expression.
    fn hold(&mut self, name: &str, tensor: &Tensor, kind: &str) -> String {
        let place = std::sync::Arc::as_ptr(&tensor.storage).cast::<u8>();
        let identity = format!("{name}|{place:p}{:?}{:?}", tensor.shape, tensor.layout);
        if let Some(&at) = self.shared.get(&identity) {
            return token(at);
        }
        let (above, last) = path_of_tensor(name);
        let of_type = if tensor.dtype == DType::F32 { String::new() } else { format!(", dtype={kind}") };
        let sizes = if tensor.shape.is_empty() { "()".into() } else { text::joined(&tensor.shape) };
        let made = format!("torch.empty({sizes}{of_type})");
        let trained = tensor.dtype.is_float()
            && tensor.role == Role::Parameter
            && (!tensor.shape.is_empty() || is_weight(tensor));
        let at = match trained && tensor.dtype.bits() >= 16 {
            true => self.tree.parameter(&above, &last, made),
            false => self.tree.buffer(&above, &last, made),
        };
        self.shared.insert(identity, at);
        let (from, change) = (self.source_of(tensor), None);
        self.entries.push(Entry { at, suffix: "", tensor: tensor.clone(), from, change });
        token(at)
    }

    /// The expression of a tensor that its own name gives a place other than a module's weight or bias: keys are to be
    /// what they were.
    pub(super) fn own(&mut self, tensor: &Tensor) -> Option<String> {
        let (path, last) = path_of_tensor(&tensor.name);
        if path.is_empty() || matches!(&*last, "weight" | "bias") {
            return None;
        }
        self.held(&tensor.name, tensor)
    }

    /// The expression of a tensor under this name.
    pub(super) fn held(&mut self, name: &str, tensor: &Tensor) -> Option<String> {
        text::dtype(tensor.dtype).map(|kind| self.hold(name, tensor, kind))
    }

    /// The tensor of the file that this one is, or is a view of.
    fn source_of(&self, tensor: &Tensor) -> Option<TensorId> {
        self.model.tensors.get(tensor.id.0 as usize).filter(|t| t.name == tensor.name).map(|t| t.id)
    }

    /// The expression of a module, made of `parts`: an earlier one where it is the same.
    pub(super) fn module(&mut self, node: &Node, made: &str, parts: Vec<Part>) -> String {
        // Where the exporter says which module a node is in, equal tensors do not make two of them one.
        let owner =
            node.name.strip_prefix('/').and_then(|name| name.rsplit_once('/')).map_or("", |(owner, _)| owner);
        let mut identity = format!("{owner}|{made}");
        for part in &parts {
            let place = std::sync::Arc::as_ptr(&part.tensor.storage).cast::<u8>();
            write!(identity, "|{}{place:p}{:?}", part.suffix, part.tensor.layout)
                .expect("a String takes all");
        }
        let sharable = parts.iter().any(|p| !p.made);
        if let Some(&at) = self.shared.get(&identity).filter(|_| sharable) {
            return token(at);
        }
        // Exporters let equal tensors of several modules be one: statistics are a module's own more often than weights.
        let told =
            TELLING.iter().filter_map(|suffix| parts.iter().find(|p| p.suffix == *suffix)).find_map(|part| {
                let (path, last) = path_of_tensor(&part.tensor.name);
                (last == part.suffix && !path.is_empty() && self.tree.is_free(&path)).then_some(path)
            });
        let named = if node.name.is_empty() {
            node.outputs
                .iter()
                .flatten()
                .next()
                .map(|&id| self.graph.value(id).name.clone())
                .unwrap_or_default()
        } else {
            node.name.clone()
        };
        let named =
            named.rsplit_once("_output_").filter(|_| named.starts_with('/')).map_or(&*named, |(n, _)| n);
        let by_name = told.is_none();
        let path = told.unwrap_or_else(|| path_of_node(named, &node.op));
        let comment = (by_name && !named.starts_with('/') && [named] != *path).then(|| escaped(named));
        let at = self.tree.module(&path, made.to_owned(), comment);
        self.shared.insert(identity, at);
        for Part { suffix, tensor, change, made } in parts {
            let from = if made { None } else { self.source_of(&tensor) };
            self.entries.push(Entry { at, suffix, tensor, from, change });
        }
        token(at)
    }
}

/// A place of the tree in text that is written before paths are settled. No name of a file has these characters.
pub(super) fn token(at: At) -> String {
    format!("\u{1}{}\u{2}", at.0)
}

/// Whether a tensor, however small, is a layer's: it has the layer's name before its own.
fn is_weight(tensor: &Tensor) -> bool {
    tensor.role == Role::Parameter && tensor.name.contains(['.', '/']) && !tensor.name.contains('@')
}

/// Whole numbers of a tensor.
pub(super) fn integers(tensor: &Tensor) -> Ruled<Vec<i64>> {
    if tensor.count() > READ || !tensor.dtype.is_integer() {
        return Err(format!("'{}' is no short list of whole numbers", tensor.name).into());
    }
    let mut numbers = Vec::new();
    tensor.visit(0..tensor.count(), &mut |chunk| {
        let each = chunk.bytes.chunks_exact(tensor.dtype.chunk_bytes());
        numbers.extend(each.map(|e| dtype::to_integer(tensor.dtype, e).map_or(0, |n| n as i64)));
        Ok(())
    })?;
    Ok(numbers)
}

/// Numbers of a tensor.
pub(super) fn numbers(tensor: &Tensor) -> Ruled<Vec<f64>> {
    if tensor.count() > READ || !tensor.dtype.is_real() || !matches!(tensor.layout, Layout::Strided(_)) {
        return Err(format!("'{}' is no short list of numbers", tensor.name).into());
    }
    let mut numbers = Vec::new();
    tensor.visit(0..tensor.count(), &mut |chunk| {
        let each = chunk.bytes.chunks_exact(tensor.dtype.chunk_bytes());
        numbers.extend(each.map(|e| dtype::to_f64(tensor.dtype, e)));
        Ok(())
    })?;
    Ok(numbers)
}

/// A node, and the source that it is expressed in.
pub(super) struct Work<'s, 'a> {
    pub(super) scope: &'s mut Scope<'a>,
    pub(super) node: &'a Node,
}

impl<'a> Work<'_, 'a> {
    /// The value of an input that is there.
    pub(super) fn input(&self, index: usize) -> Option<ValueId> {
        self.node.inputs.get(index).copied().flatten()
    }

    /// Whether an input is there.
    pub(super) fn has(&self, index: usize) -> bool {
        self.input(index).is_some()
    }

    /// The value of an output that something may read.
    pub(super) fn output(&self, index: usize) -> Option<ValueId> {
        self.node.outputs.get(index).copied().flatten()
    }

    /// Whether anything reads an output.
    pub(super) fn wants(&self, index: usize) -> bool {
        self.output(index).is_some_and(|id| self.scope.uses[id.0 as usize] > 0)
    }

    /// An input as an expression that a method can be called on.
    pub(super) fn x(&mut self, index: usize) -> Ruled<String> {
        let value = self.input(index).ok_or_else(|| format!("input {index} is missing"))?;
        self.scope.expression(value)
    }

    /// An optional input, `None` in Python's spelling where it is left out.
    pub(super) fn x_or_none(&mut self, index: usize) -> Ruled<String> {
        if self.has(index) { self.x(index) } else { Ok("None".into()) }
    }

    /// All inputs.
    pub(super) fn all(&mut self) -> Ruled<Vec<String>> {
        (0..self.node.inputs.len()).map(|i| self.x(i)).collect()
    }

    /// An input as an operand: a constant without dimensions is a number.
    pub(super) fn operand(&mut self, index: usize) -> Ruled<String> {
        if let Some(tensor) = self.constant(index)
            && tensor.shape.is_empty()
            && !is_weight(tensor)
        {
            let tensor = tensor.clone();
            if tensor.dtype.is_float() {
                return Ok(text::float(numbers(&tensor)?[0]));
            }
            if matches!(tensor.dtype, DType::I64 | DType::I32) {
                return Ok(integers(&tensor)?[0].to_string());
            }
        }
        self.x(index)
    }

    /// The tensor of an input that is constant.
    pub(super) fn constant(&self, index: usize) -> Option<&Tensor> {
        self.input(index).and_then(|value| self.scope.constants.get(&value))
    }

    /// The whole numbers of an input that is constant.
    pub(super) fn ints(&self, index: usize) -> Ruled<Option<Vec<i64>>> {
        self.constant(index).map(integers).transpose()
    }

    /// The numbers of an input that is constant.
    pub(super) fn floats(&self, index: usize) -> Ruled<Option<Vec<f64>>> {
        self.constant(index).map(numbers).transpose()
    }

    /// An input of whole numbers as a Python list.
    pub(super) fn list(&mut self, index: usize) -> Ruled<String> {
        match self.ints(index)? {
            Some(numbers) => Ok(text::list(&numbers)),
            None => Ok(format!("{}.tolist()", self.x(index)?)),
        }
    }

    /// A whole number as an attribute.
    pub(super) fn int(&self, name: &str, otherwise: i64) -> i64 {
        self.node.attribute(name).and_then(Value::as_int).unwrap_or(otherwise)
    }

    /// A number as an attribute.
    pub(super) fn float(&self, name: &str, otherwise: f64) -> f64 {
        self.node.attribute(name).and_then(Value::as_float).unwrap_or(otherwise)
    }

    /// Text as an attribute.
    pub(super) fn word(&self, name: &str, otherwise: &'static str) -> &'a str {
        self.node.attribute(name).and_then(Value::as_str).unwrap_or(otherwise)
    }

    /// Whole numbers as an attribute.
    pub(super) fn int_list(&self, name: &str) -> Option<Vec<i64>> {
        self.node.attribute(name)?.as_list()?.iter().map(Value::as_int).collect()
    }

    /// The tensor of an attribute.
    pub(super) fn tensor(&self, name: &str) -> Option<&'a Tensor> {
        self.node.attributes.iter().find_map(|(n, a)| match a {
            Attribute::Tensor(id) if n == name => Some(self.scope.model.tensor(*id)),
            _ => None,
        })
    }

    /// What is known of an input.
    pub(super) fn known(&self, index: usize) -> Known {
        self.input(index).map(|value| self.scope.known[value.0 as usize].clone()).unwrap_or_default()
    }

    /// How many dimensions an input has, where that is known.
    pub(super) fn rank(&self, index: usize) -> Option<usize> {
        self.known(index).dims.map(|dims| dims.len())
    }

    /// The type of an input, where that is known.
    pub(super) fn dtype(&self, index: usize) -> Option<DType> {
        self.known(index).dtype
    }

    /// Says what is known of an output, where the file does not.
    pub(super) fn learn(&mut self, output: usize, dtype: Option<DType>, rank: Option<usize>) {
        if let Some(value) = self.output(output) {
            let known = &mut self.scope.known[value.0 as usize];
            known.dtype = known.dtype.or(dtype);
            if known.dims.is_none() {
                known.dims = rank.filter(|&n| n <= DIMENSIONS).map(|n| vec![None; n]);
            }
        }
    }

    /// An axis as it is written: counted from the front where the number of dimensions is known.
    pub(super) fn axis(&self, axis: i64, rank: Option<usize>) -> i64 {
        match rank {
            Some(rank) if axis < 0 && axis + rank as i64 >= 0 => axis + rank as i64,
            _ => axis,
        }
    }

    /// A helper function that the source has then; its name.
    pub(super) fn help(&mut self, name: &'static str) -> &'static str {
        self.scope.helpers.insert(name);
        name
    }

    /// A module of these tensors; its expression.
    pub(super) fn module(&mut self, made: &str, parts: Vec<Part>) -> String {
        self.scope.module(self.node, made, parts)
    }

    /// Gives the first output.
    pub(super) fn give(&mut self, expression: impl AsRef<str>) -> Ruled {
        self.give_first(1, expression)
    }

    /// Gives the first `count` outputs, of an expression that has as many; `_` takes those that nothing reads.
    pub(super) fn give_first(&mut self, count: usize, expression: impl AsRef<str>) -> Ruled {
        let outputs: Vec<Option<ValueId>> = (0..count).map(|i| self.output(i)).collect();
        self.set(&outputs, expression.as_ref())
    }

    /// Gives a value that is another node's, which is absorbed.
    pub(super) fn give_value(&mut self, value: ValueId, expression: impl AsRef<str>) -> Ruled {
        self.set(&[Some(value)], expression.as_ref())
    }

    fn set(&mut self, outputs: &[Option<ValueId>], expression: &str) -> Ruled {
        if outputs.is_empty() {
            return Err("it has no output".into());
        }
        let (mut targets, mut blobs) = (Vec::new(), Vec::new());
        for &output in outputs {
            let Some(value) = output else {
                targets.push("_".to_owned());
                continue;
            };
            let name = self.scope.variable(value);
            blobs.push((name.clone(), self.scope.graph.value(value).name.clone()));
            targets.push(name);
        }
        let comment = self.comment(&blobs);
        let text = format!("{} = {}", targets.join(", "), expression);
        self.scope.lines.push(Line { comment, text });
        Ok(())
    }

    /// The node's name and the values' names, where the line does not show them: `layer -> blob`.
    fn comment(&self, blobs: &[(String, String)]) -> Option<String> {
        let node = &self.node.name;
        let said = |(variable, blob): &(String, String)| {
            let short = blob.rsplit_once("_output_").map_or(&**blob, |(base, _)| base);
            node == variable || node == blob || node == short
        };
        let layer = if node.is_empty() || blobs.iter().any(said) { String::new() } else { escaped(node) };
        let differ = blobs.iter().any(|(variable, blob)| variable != blob);
        let names = blobs.iter().map(|(_, blob)| escaped(blob)).collect::<Vec<_>>().join(", ");
        match (layer.is_empty(), differ) {
            (true, false) => None,
            (true, true) => Some(format!("-> {names}")),
            (false, false) => Some(layer),
            (false, true) => Some(format!("{layer} -> {names}")),
        }
    }
}
