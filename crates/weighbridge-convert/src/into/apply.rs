//! Carries a match out: the target's tensors, in its order, with the source's elements behind them. Nothing is read but
//! single numbers.

use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_model::storage::{Cast, ScaledAxis};
use weighbridge_model::{
    DType, Dim, Error, GraphValue, Layout, Memory, Model, Place, Result, Role, Tensor, TensorId, ValueId,
    View,
};

use super::names::{self, Slot};
use super::{Asked, Match, Pair, Step};
use crate::cast::as_type;
use crate::permute::permuted;
use crate::transfer::{Moved, Transfer};

impl Transfer {
    /// Puts the tensors on their way into the place of `target`'s: its names, order and shapes. `source` is the model
    /// that `found` was matched from, whose tensors are this transfer's.
    ///
    /// # Errors
    /// [`Error::Refused`] with every tensor that cannot be seen in the order or the shape that it takes; a failed read
    /// of a Caffe factor.
    pub fn in_place_of(
        &self,
        source: &Model,
        target: &Model,
        asked: &[Asked],
        found: &Match,
    ) -> Result<Transfer> {
        let pairs: HashMap<TensorId, &Pair> = found.pairs.iter().map(|p| (p.target, p)).collect();
        let own: HashMap<TensorId, _> = found.own.iter().map(|o| (o.target, o)).collect();
        let sums = Sums::of(source, target)?;
        let mut result = Transfer { moved: Vec::new(), left: self.left.clone() };
        let mut refused = Vec::new();
        let listed: Vec<(TensorId, String, Role)> = if target.tensors.is_empty() {
            let role = |a: &Asked| a.role.unwrap_or(Role::Parameter);
            asked.iter().enumerate().map(|(i, a)| (TensorId(i as u32), a.name.clone(), role(a))).collect()
        } else {
            target.tensors.iter().map(|t| (t.id, t.name.clone(), t.role)).collect()
        };
        for (id, name, role) in listed {
            let there = target.tensors.get(id.0 as usize);
            let Some(pair) = pairs.get(&id) else {
                let own = own.get(&id);
                let tensor = match (there, own.is_some_and(|o| o.one)) {
                    (_, true) => one(&name, there)?,
                    (Some(there), false) => there.clone(),
                    // A net without values has none to keep.
                    (None, false) => continue,
                };
                let why = own.map_or("it has no source, and stays as it was", |o| o.why);
                let mut moved = Moved::of(&tensor);
                moved.changes.push(format!("the target's own: {why}"));
                result.moved.push(moved);
                continue;
            };
            let before = &self.moved[pair.source.0 as usize];
            let mut moved = before.clone();
            let applied = arranged(&before.target, &pair.steps, &mut moved.changes)
                .and_then(|t| sums.mean(t, pair.source, &mut moved.changes))
                .and_then(|t| demanded(t, there, target, &mut moved.changes));
            match applied {
                Ok(tensor) => {
                    moved.target = Tensor { name, role, role_guessed: false, ..tensor };
                    moved.matched = Some(pair.rule);
                    result.moved.push(moved);
                }
                Err(why) => refused.push((name, why)),
            }
        }
        for &id in &found.unused {
            let moved = &self.moved[id.0 as usize];
            result.left.push((moved.source.name.clone(), "the target has no place for it".into()));
        }
        if refused.is_empty() {
            return Ok(result);
        }
        Err(Error::Refused {
            what: "these tensors cannot take the target's form".into(),
            reasons: refused,
            help: Some("--dtype casts, and dequantizes what is quantized".into()),
        })
    }

    /// The model to write: `target`, with the tensors on their way in the place of its own.
    pub fn model_into(&self, target: &Model) -> Model {
        let mut model = Model { graph: target.graph.clone(), ..self.model(target) };
        let Some(graph) = model.graph.as_mut().filter(|_| target.tensors.is_empty()) else { return model };
        let mut layers: HashMap<String, usize> = HashMap::new();
        for (i, node) in graph.nodes.iter().enumerate() {
            layers.entry(node.name.clone()).or_insert(i);
        }
        // A net without weights has no values for them either: they follow what its layers read.
        for tensor in &model.tensors {
            let layer = weighbridge_model::roles::split(&tensor.name).0;
            if let Some(node) = layers.get(layer).map(|&i| &mut graph.nodes[i]) {
                let value = ValueId(graph.values.len() as u32);
                let (dtype, shape) =
                    (Some(tensor.dtype), tensor.shape.iter().map(|&d| Dim::Known(d)).collect());
                graph.values.push(GraphValue {
                    name: tensor.name.clone(),
                    dtype,
                    shape: Some(shape),
                    ..GraphValue::default()
                });
                graph.initializers.push((value, tensor.id));
                node.inputs.push(Some(value));
            }
        }
        model
    }
}

/// A tensor after these steps; `changes` is told each.
///
/// # Errors
/// The reason why it cannot be seen so: packed or quantized elements have no place of their own.
pub fn arranged(source: &Tensor, steps: &[Step], changes: &mut Vec<String>) -> Result<Tensor, String> {
    let mut tensor = source.clone();
    for step in steps {
        match step {
            Step::Permute(axes) => {
                tensor = permuted(&tensor, axes)?;
                changes.push(format!("its dimensions are in the order {axes:?}"));
            }
            Step::Reshape(shape) => {
                changes.push(format!("{:?} is {shape:?}", tensor.shape));
                tensor = reshaped(tensor, shape)?;
            }
        }
    }
    Ok(tensor)
}

/// The same elements under another shape: a view where strides allow it, otherwise put in order as they are read.
fn reshaped(tensor: Tensor, shape: &[u64]) -> Result<Tensor, String> {
    let view = match &tensor.layout {
        Layout::Strided(view) if !tensor.dtype.is_sub_byte() => view,
        Layout::Quantized { .. } | Layout::Blocks { .. } => {
            return Err("its codes have their scales by shape".into());
        }
        _ => return Err("its elements are not laid out by strides".into()),
    };
    // Ones have any stride.
    let kept = |shape: &[u64]| shape.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
    let strides = if view.is_contiguous(&tensor.shape) {
        Some(View::contiguous(shape, 0).strides)
    } else if kept(shape) == kept(&tensor.shape) {
        let mut left = tensor.shape.iter().zip(&view.strides).filter(|(d, _)| **d != 1).map(|(_, &s)| s);
        Some(shape.iter().map(|&d| if d == 1 { 0 } else { left.next().unwrap_or(0) }).collect())
    } else {
        None
    };
    match strides {
        Some(strides) => {
            let layout = Layout::Strided(View { offset: view.offset, strides });
            Ok(Tensor { shape: shape.to_vec(), layout, ..tensor })
        }
        None => {
            let storage = Arc::new(Cast::new(tensor.clone(), tensor.dtype));
            let made =
                Tensor::contiguous(&tensor.name, tensor.dtype, shape.to_vec(), storage, &Place::default());
            made.map_err(|e| e.to_string())
        }
    }
}

/// A graph declares the types of what it computes with: what is exact is cast, what is not has to be asked for.
fn demanded(
    tensor: Tensor,
    there: Option<&Tensor>,
    target: &Model,
    changes: &mut Vec<String>,
) -> Result<Tensor, String> {
    let typed = target.graph.as_ref().is_some_and(|g| g.nodes.iter().all(|n| n.domain != "caffe"));
    let Some(there) = there.filter(|t| typed && t.dtype != tensor.dtype) else { return Ok(tensor) };
    let (from, to) = (tensor.dtype, there.dtype);
    let widens =
        matches!((from, to), (DType::F16 | DType::BF16, DType::F32 | DType::F64) | (DType::F32, DType::F64));
    if !widens {
        return Err(format!(
            "is {from}, and the target's graph computes with {to}: --dtype says that it may be cast"
        ));
    }
    changes.push(format!("{from} -> {to}, which the target's graph computes with: exact"));
    as_type(&tensor, to).map_err(|e| e.to_string())
}

/// The factor of a Caffe BatchNorm whose blobs are means.
fn one(name: &str, there: Option<&Tensor>) -> Result<Tensor> {
    let shape = there.map_or(vec![1], |t| t.shape.clone());
    let storage = Arc::new(Memory::new(1f32.to_le_bytes().to_vec()));
    Ok(Tensor::contiguous(name, DType::F32, shape, storage, &Place::default())?
        .with_role(Role::Buffer, false))
}

/// Caffe keeps sums of means and variances, and what they are to be divided by.
struct Sums(HashMap<TensorId, f64>);

impl Sums {
    /// What each such tensor is to be multiplied with, where the target keeps means.
    fn of(source: &Model, target: &Model) -> Result<Self> {
        if target.format == "caffe" {
            return Ok(Sums(HashMap::new()));
        }
        means(source).map(Sums)
    }

    fn mean(&self, tensor: Tensor, source: TensorId, changes: &mut Vec<String>) -> Result<Tensor, String> {
        let Some(&factor) = self.0.get(&source).filter(|&&f| f != 1.0) else { return Ok(tensor) };
        // Without elements, any size may stand beside the zero.
        if tensor.count() == 0 {
            return Ok(tensor);
        }
        let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
        let Some(axis) = shape.len().checked_sub(1) else { return Ok(tensor) };
        changes.push(format!("a sum, multiplied by {factor} as its layer's factor says"));
        let storage = Arc::new(ScaledAxis::new(tensor.clone(), axis, vec![factor; shape[axis] as usize]));
        Tensor::contiguous(&tensor.name, dtype, shape, storage, &Place::default()).map_err(|e| e.to_string())
    }
}

/// What each sum of a Caffe BatchNorm is to be multiplied with to become a mean or a variance; nothing for other models.
///
/// # Errors
/// A failed read of a factor.
pub fn means(source: &Model) -> Result<HashMap<TensorId, f64>> {
    let mut factors = HashMap::new();
    if source.format != "caffe" {
        return Ok(factors);
    }
    let place = |t: &Tensor| names::path_and_slot(&t.name);
    let mut by_layer = HashMap::new();
    for tensor in &source.tensors {
        if let (path, Slot::Factor) = place(tensor)
            && tensor.count() == 1
        {
            let mut factor = 0.0;
            tensor.visit_values(0..1, &mut |_, values| {
                factor = values.first().copied().unwrap_or(0.0);
                Ok(())
            })?;
            by_layer.insert(path, if factor == 0.0 { 0.0 } else { 1.0 / factor });
        }
    }
    for tensor in &source.tensors {
        if let (path, Slot::Mean | Slot::Variance) = place(tensor)
            && let Some(&factor) = by_layer.get(&path)
        {
            factors.insert(tensor.id, factor);
        }
    }
    Ok(factors)
}
