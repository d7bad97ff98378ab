//! Inputs of fixed shapes: `x=1,3,224,224`.

use std::collections::BTreeMap;

use weighbridge_model::{Attribute, Dim, Error, Graph, GraphValue, Result, ValueType, nearest_or_all};

/// Shapes that inputs are to have, and sizes that symbols stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// Shapes by the input's name.
    pub inputs: BTreeMap<String, Vec<u64>>,
    /// Sizes by the symbol's name.
    pub symbols: BTreeMap<String, u64>,
}

impl Pins {
    /// Reads `name=sizes`, where sizes are separated by commas; a scalar has none.
    ///
    /// # Errors
    /// Text of another form.
    pub fn add(&mut self, text: &str) -> Result<()> {
        let fault =
            || Error::Usage { what: format!("'{text}' is no input with its shape, such as x=1,3,224,224") };
        let (name, sizes) = text.rsplit_once('=').ok_or_else(fault)?;
        let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
        let sizes = sizes.map(|size| size.parse().map_err(|_| fault())).collect::<Result<_>>()?;
        self.inputs.insert(name.to_owned(), sizes);
        Ok(())
    }
}

/// Gives inputs of a graph the shapes that they are to have, and every symbol of those shapes its size wherever it stands,
/// in subgraphs too.
///
/// # Errors
/// Inputs that are not there; shapes of another number of dimensions, or against declared sizes; a symbol that two inputs
/// give different sizes.
pub fn pin(graph: &mut Graph, pins: &Pins) -> Result<()> {
    let mut symbols = pins.symbols.clone();
    for (name, sizes) in &pins.inputs {
        let Some(&id) = graph.inputs.iter().find(|&&id| graph.value(id).name == *name) else {
            let names: Vec<&str> = graph.inputs.iter().map(|&id| graph.value(id).name.as_str()).collect();
            return Err(Error::NotFound {
                kind: "input",
                name: name.clone(),
                near: nearest_or_all(name, names.iter().copied()),
            });
        };
        let value = graph.value(id);
        if value.dtype.is_none() && !matches!(value.declared, None | Some(ValueType::Tensor { .. })) {
            return Err(Error::Usage {
                what: format!("input '{name}' is no tensor that could have a shape"),
            });
        }
        for (dim, size) in bound(name, value.shape.as_deref(), sizes)? {
            match symbols.insert(dim.to_owned(), size) {
                Some(before) if before != size => {
                    let what = format!(
                        "'{dim}' cannot be both {before} and {size}, as input '{name}' would have it"
                    );
                    return Err(Error::Usage { what });
                }
                _ => {}
            }
        }
        let pinned: Vec<Dim> = sizes.iter().map(|&size| Dim::Known(size)).collect();
        let value = &mut graph.values[id.0 as usize];
        value.shape = Some(pinned.clone());
        if let Some(ValueType::Tensor { shape, .. }) = &mut value.declared {
            *shape = Some(pinned);
        }
    }
    substitute(graph, &symbols);
    Ok(())
}

/// Symbols of a declared shape with the sizes that they are given.
fn bound<'s>(name: &str, declared: Option<&'s [Dim]>, sizes: &[u64]) -> Result<Vec<(&'s str, u64)>> {
    let Some(declared) = declared else { return Ok(Vec::new()) };
    let against = |what: String| Err(Error::Usage { what: format!("input '{name}' {what}") });
    if declared.len() != sizes.len() {
        return against(format!("has {} dimensions, and {} sizes are given", declared.len(), sizes.len()));
    }
    let mut symbols = Vec::new();
    for (axis, (dim, &size)) in declared.iter().zip(sizes).enumerate() {
        match dim {
            Dim::Known(known) if *known != size => {
                return against(format!("has size {known} in dimension {axis}, and {size} is given"));
            }
            Dim::Symbol(symbol) => symbols.push((symbol.as_str(), size)),
            _ => {}
        }
    }
    Ok(symbols)
}

/// Puts sizes in the place of symbols, in all declarations of a graph and of those within it.
fn substitute(graph: &mut Graph, symbols: &BTreeMap<String, u64>) {
    let mut graphs = vec![graph];
    while let Some(graph) = graphs.pop() {
        graph.values.iter_mut().for_each(|value| substitute_in(value, symbols));
        for (_, attribute) in graph.nodes.iter_mut().flat_map(|node| &mut node.attributes) {
            match attribute {
                Attribute::Graph(inner) => graphs.push(inner),
                Attribute::Graphs(inner) => graphs.extend(inner),
                _ => {}
            }
        }
    }
}

fn substitute_in(value: &mut GraphValue, symbols: &BTreeMap<String, u64>) {
    let replace = |shape: &mut Option<Vec<Dim>>| {
        for dim in shape.iter_mut().flatten() {
            if let Dim::Symbol(name) = dim
                && let Some(&size) = symbols.get(name)
            {
                *dim = Dim::Known(size);
            }
        }
    };
    replace(&mut value.shape);
    let mut declared = value.declared.as_mut();
    while let Some(inner) = declared {
        declared = match inner {
            ValueType::Tensor { shape, .. } | ValueType::SparseTensor { shape, .. } => {
                replace(shape);
                None
            }
            ValueType::Sequence(of) | ValueType::Optional(of) | ValueType::Map { value: of, .. } => Some(of),
            _ => None,
        };
    }
}
