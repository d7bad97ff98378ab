//! A layer's weights as initializers: in the shape that its type asks for, in single precision, or as its filler makes
//! them where the file has none.

use std::sync::Arc;

use weighbridge_model::storage::{Cast, ScaledAxis};
use weighbridge_model::{
    DType, Layout, Place, Result, Role, Tensor, TensorId, Value, ValueId, View, element_count,
};

use super::work::Job;
use crate::build::in_memory;

/// A blob that a layer's type asks for.
pub(super) struct Asked<'n> {
    /// Its place among the layer's blobs.
    pub(super) index: usize,
    /// Its shape by Caffe's rules.
    pub(super) shape: &'n [u64],
    /// Where its filler is: message and name.
    pub(super) filler: (&'n str, &'n str),
    /// What it is filled with where no filler is named.
    pub(super) otherwise: f64,
}

impl Job<'_, '_> {
    /// Holds the number of the layer's blobs against what its type asks for. None at all are filled.
    pub(super) fn blobs(&self, asked: usize) -> Result<()> {
        match self.layer.blobs.len() {
            0 => Ok(()),
            n if n == asked => Ok(()),
            n => Err(self.layer.malformed(format!("its settings ask for {asked} blobs, and it has {n}"))),
        }
    }

    /// The tensor of a blob, in the shape that is asked for and in single precision.
    pub(super) fn tensor(&mut self, asked: &Asked<'_>) -> Result<Tensor> {
        let Some(&id) = self.layer.blobs.get(asked.index) else { return self.filled(asked) };
        let given = self.work.source.tensor(id);
        let (name, shape) = (given.name.clone(), given.shape.clone());
        if matches!(given.layout, Layout::Opaque) {
            return Err(self.layer.malformed(format!("'{name}' has a shape and no values")));
        }
        // The four old sizes have ones in front of what they mean.
        let bare = |shape: &[u64]| shape.iter().copied().skip_while(|&n| n == 1).collect::<Vec<_>>();
        if bare(&shape) != bare(asked.shape) {
            let what = format!("'{name}' is {shape:?}, and its settings ask for {:?}", asked.shape);
            return Err(self.layer.malformed(what));
        }
        self.work.used.insert(id);
        let mut tensor = given.clone();
        if shape != asked.shape {
            let note = format!("{shape:?} -> {:?}, as its settings have it", asked.shape);
            self.work.changed.push((name.clone(), note));
            tensor = shaped(tensor, asked.shape)?;
        }
        if tensor.dtype != DType::F32 {
            let note = format!("{} -> F32, in which Caffe computes", tensor.dtype);
            self.work.changed.push((name.clone(), note));
            let storage = Arc::new(Cast::new(tensor.clone(), DType::F32));
            let (role, guessed) = (tensor.role, tensor.role_guessed);
            tensor = Tensor::contiguous(&name, DType::F32, asked.shape.to_vec(), storage, &Place::default())?
                .with_role(role, guessed);
        }
        Ok(tensor)
    }

    /// The blob as an initializer, in this shape of as many elements.
    pub(super) fn weight(&mut self, asked: &Asked<'_>, shape: &[u64]) -> Result<ValueId> {
        let tensor = self.tensor(asked)?;
        let tensor = shaped(tensor, shape)?;
        Ok(self.hold(tensor))
    }

    /// A tensor as an initializer.
    pub(super) fn hold(&mut self, tensor: Tensor) -> ValueId {
        let shape = tensor.shape.clone();
        let value = self.work.build.initializer(tensor);
        self.work.shapes.insert(value, shape);
        value
    }

    /// Every element multiplied, in double precision and rounded once, as it is read.
    pub(super) fn scaled(&mut self, tensor: &Tensor, factor: f64) -> Result<Tensor> {
        let shape = tensor.shape.clone();
        let (factors, axis) = match shape.as_slice() {
            [] => return Ok(tensor.clone()),
            sizes => (vec![factor; sizes[0] as usize], 0),
        };
        let storage = Arc::new(ScaledAxis::new(tensor.clone(), axis, factors));
        let scaled = Tensor::contiguous(&tensor.name, DType::F32, shape, storage, &Place::default())?;
        Ok(scaled.with_role(tensor.role, tensor.role_guessed))
    }

    /// A blob that the file does not have, as Caffe's filler makes it, where that is no matter of chance.
    fn filled(&mut self, asked: &Asked<'_>) -> Result<Tensor> {
        let (message, field) = asked.filler;
        let filler = self.layer.setting(message, field);
        let of = |name: &str| filler.and_then(|f| f.get(name));
        let kind = of("type").and_then(Value::as_str).unwrap_or("constant").to_owned();
        let value = of("value").and_then(Value::as_float).unwrap_or(0.0);
        let value = if filler.is_some() { value } else { asked.otherwise };
        self.check(asked.shape)?;
        let count = element_count(asked.shape).unwrap_or(0);
        let name = format!("{}.blob{}", self.layer.name(), asked.index);
        let shape = asked.shape.to_vec();
        let tensor = match (kind.as_str(), asked.shape) {
            ("constant", _) => {
                self.choose(format!("blob {} is not in the file: {value} everywhere, as Caffe fills it", asked.index));
                // One number that stands for all.
                let one = in_memory(&name, DType::F32, vec![1], (value as f32).to_le_bytes().to_vec())?;
                let view = View { offset: 0, strides: vec![0; shape.len()] };
                Tensor::strided(&name, DType::F32, shape, view, one.storage, &Place::default())?
            }
            ("bilinear", &[_, _, height, width]) if height == width => {
                self.choose(format!("blob {} is not in the file: bilinear, as Caffe fills it", asked.index));
                self.computed(&[count])?;
                in_memory(&name, DType::F32, shape, bilinear(count, width))?
            }
            _ => {
                return Err(self.layer.malformed(format!(
                    "blob {} is not in the file, and its filler '{kind}' is a matter of chance: name the .caffemodel \
                     of this net",
                    asked.index
                )));
            }
        };
        Ok(tensor.with_role(Role::Parameter, false))
    }

    /// The only element of a blob.
    pub(super) fn number(&mut self, id: TensorId) -> Result<f64> {
        let tensor = self.work.source.tensor(id);
        self.work.used.insert(id);
        if tensor.count() != 1 {
            return Err(self.layer.malformed(format!("'{}' has {} elements, of one", tensor.name, tensor.count())));
        }
        let mut number = 0.0;
        tensor.visit_values(0..1, &mut |_, values| {
            number = values[0];
            Ok(())
        })?;
        Ok(number)
    }
}

/// A tensor's elements in another shape of as many.
pub(super) fn shaped(tensor: Tensor, shape: &[u64]) -> Result<Tensor> {
    if tensor.shape == shape {
        return Ok(tensor);
    }
    let offset = match &tensor.layout {
        Layout::Strided(view) if view.is_contiguous(&tensor.shape) => view.offset,
        // One number that stands for all stays one.
        Layout::Strided(view) => {
            let view = View { offset: view.offset, strides: vec![0; shape.len()] };
            let again = Tensor::strided(
                &tensor.name,
                tensor.dtype,
                shape.to_vec(),
                view,
                tensor.storage.clone(),
                &Place::default(),
            )?;
            return Ok(again.with_role(tensor.role, tensor.role_guessed));
        }
        _ => 0,
    };
    let view = View::contiguous(shape, offset);
    let (role, guessed) = (tensor.role, tensor.role_guessed);
    let again = Tensor::strided(tensor.name, tensor.dtype, shape.to_vec(), view, tensor.storage, &Place::default())?;
    Ok(again.with_role(role, guessed))
}

/// The weights of a linear interpolation in two dimensions, for kernels of `width` by `width`: each falls off linearly
/// from the middle.
fn bilinear(count: u64, width: u64) -> Vec<u8> {
    let factor = width.div_ceil(2);
    let center = (2 * factor - 1 - factor % 2) as f32 / (2 * factor) as f32;
    let fall = |at: u64| 1.0 - (at as f32 / factor as f32 - center).abs();
    (0..count).flat_map(|i| (fall(i % width) * fall(i / width % width)).to_le_bytes()).collect()
}
