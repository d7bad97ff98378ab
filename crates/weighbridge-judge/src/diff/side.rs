//! A model as comparison sees it.

use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_convert::into::{Sketch, Slot, means, sketches};
use weighbridge_model::storage::{Cast, ScaledAxis};
use weighbridge_model::{DType, Layout, Model, Place, Result, Role, Tensor};

use super::quantization;

pub(super) struct Side {
    /// The model, its quantized initializers as such.
    pub(super) model: Model,
    /// A sketch for each tensor.
    pub(super) sketches: Vec<Sketch>,
    /// Tensors that need no counterpart, with the reason.
    pub(super) excused: HashMap<usize, String>,
    /// What Caffe's sums of statistics are to be multiplied by.
    means: HashMap<usize, f64>,
}

impl Side {
    pub(super) fn of(model: &Model) -> Result<Self> {
        let mut model = model.clone();
        let mut excused = quantization::resolve(&mut model)?;
        let sketches = sketches(&model);
        for (i, (tensor, sketch)) in model.tensors.iter().zip(&sketches).enumerate() {
            let why = match (&sketch.slot, tensor.role) {
                (Slot::Batches, _) => "counts batches, which no figure of the network depends on",
                (Slot::Factor, _) => "what sums of statistics are divided by, which was done",
                (_, Role::Constant) => "part of the graph's computation",
                (Slot::Other(leaf), _) if leaf == "seed_generator_state" => "the state of random numbers",
                _ if !tensor.in_state_dict => "outside of the state dict",
                _ if matches!(tensor.layout, Layout::Opaque) => "holds no numbers",
                _ if tensor.count() == 0 => "has no elements",
                _ => continue,
            };
            excused.entry(i).or_insert_with(|| why.to_owned());
        }
        let means = means(&model)?.into_iter().map(|(id, by)| (id.0 as usize, by)).filter(|m| m.1 != 1.0);
        let means = means.collect();
        Ok(Side { model, sketches, excused, means })
    }

    pub(super) fn tensor(&self, index: usize) -> &Tensor {
        &self.model.tensors[index]
    }

    pub(super) fn len(&self) -> usize {
        self.model.tensors.len()
    }

    /// How many tensors hold codes for real values.
    pub(super) fn quantized(&self) -> usize {
        self.model.tensors.iter().filter(|t| is_coded(t)).count()
    }

    /// How many normalizations with running statistics there are.
    pub(super) fn normalizations(&self) -> usize {
        self.sketches.iter().filter(|s| s.slot == Slot::Variance).count()
    }

    /// The tensor as its values are meant: Caffe's sums as means; and what was done to them.
    pub(super) fn meant(&self, index: usize) -> Result<(Tensor, Option<f64>)> {
        let tensor = self.tensor(index);
        let axis = tensor.shape.len().checked_sub(1);
        let (Some(&by), Some(axis)) = (self.means.get(&index), axis) else {
            return Ok((tensor.clone(), None));
        };
        let factors = vec![by; tensor.shape[axis] as usize];
        let storage = Arc::new(ScaledAxis::new(tensor.clone(), axis, factors));
        Ok((with_storage(tensor, tensor.dtype.in_chunks(), storage)?, Some(by)))
    }
}

/// Whether elements are codes for real values.
pub(super) fn is_coded(tensor: &Tensor) -> bool {
    matches!(tensor.layout, Layout::Quantized { .. } | Layout::Blocks { .. })
}

/// The real values of a tensor of codes, as they are read; any other tensor as it is.
pub(super) fn decoded(tensor: &Tensor) -> Result<Tensor> {
    if !is_coded(tensor) {
        return Ok(tensor.clone());
    }
    with_storage(tensor, DType::F64, Arc::new(Cast::new(tensor.clone(), DType::F64)))
}

fn with_storage(
    tensor: &Tensor,
    dtype: DType,
    storage: Arc<dyn weighbridge_model::Storage>,
) -> Result<Tensor> {
    let made = Tensor::contiguous(&tensor.name, dtype, tensor.shape.clone(), storage, &Place::default())?;
    Ok(Tensor { id: tensor.id, ..made })
}
