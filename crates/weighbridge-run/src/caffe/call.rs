//! What a layer's function is given: the layer, its bottoms, its weights.

use std::cell::Cell;

use weighbridge_model::{Model, Tensor, TensorId, dtype};

use super::blob::Blob;
use super::fault::Fault;
use super::filler::Filler;
use super::net::Layer;
use super::settings::Settings;

/// Most steps of arithmetic of a run: minutes of them. Real nets take a tenth, and a text may ask for any number.
const STEPS: u64 = 1 << 39;

/// What a layer gives.
pub(super) type Tops = Result<Vec<Blob>, Fault>;

/// One layer at work.
pub(super) struct Call<'a> {
    pub(super) layer: &'a Layer<'a>,
    /// Values of its bottoms, in order.
    pub(super) bottoms: Vec<Blob>,
    pub(super) model: &'a Model,
    /// Steps that are left for the rest of the run.
    pub(super) steps: &'a Cell<u64>,
}

impl<'a> Call<'a> {
    /// The settings in one of the layer's messages.
    pub(super) fn settings(&self, message: &'a str) -> Settings<'a> {
        Settings::of(self.layer.node, message)
    }

    /// A bottom.
    pub(super) fn bottom(&self, index: usize) -> Result<&Blob, Fault> {
        self.bottoms.get(index).ok_or_else(|| {
            let has = self.bottoms.len();
            format!("{has} bottom{} and no {}", if has == 1 { "" } else { "s" }, ordinal(index)).into()
        })
    }

    /// Takes steps of arithmetic from those that a run may take.
    pub(super) fn take(&self, factors: &[usize]) -> Result<(), Fault> {
        let steps = factors.iter().try_fold(1u64, |n, &factor| n.checked_mul(factor as u64));
        match steps.and_then(|steps| self.steps.get().checked_sub(steps)) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(format!("the net takes more than the {STEPS} steps that are computed").into()),
        }
    }

    /// How many blobs of weights there are.
    pub(super) fn weights(&self) -> usize {
        self.layer.blobs.len()
    }

    /// A blob of weights, in single precision as Caffe holds them, of the shape that the layer asks for. A layer that
    /// has none at all is filled, if there are weights for others or its text tells how.
    pub(super) fn weight(&self, index: usize, shape: &[usize], filler: Filler) -> Result<Vec<f32>, Fault> {
        let settings = self.settings(filler.0);
        if self.weights() == 0 && (!self.model.tensors.is_empty() || filler.is_told(&settings)) {
            return filler.fill(&settings, shape);
        }
        let tensor = self.tensor(index)?;
        let have = &tensor.shape;
        let same = |have: &[u64]| {
            have.len() == shape.len() && have.iter().zip(shape).all(|(&have, &want)| have == want as u64)
        };
        // The four sizes of old files have ones in front of what they mean, all four for a scalar.
        let leading = have.len().saturating_sub(shape.len());
        let old = have.len() == 4 && have[..leading].iter().all(|&size| size == 1);
        if !(same(have) || old && same(&have[leading..])) {
            return Err(format!("blob {index} is {have:?}, where {shape:?} belongs").into());
        }
        values(tensor)
    }

    /// A blob of weights whose shape the layer does not tell.
    pub(super) fn any_weight(&self, index: usize) -> Result<Blob, Fault> {
        let tensor = self.tensor(index)?;
        let shape: Vec<usize> = tensor.shape.iter().map(|&size| size as usize).collect();
        super::blob::count(&shape)?;
        Ok(Blob::new(shape, values(tensor)?.into_iter().map(f64::from).collect()))
    }

    fn tensor(&self, index: usize) -> Result<&'a Tensor, Fault> {
        let id: Option<&TensorId> = self.layer.blobs.get(index);
        id.map(|id| self.model.tensor(*id)).ok_or_else(|| match self.layer.blobs.len() {
            0 => "it has no weights: a .caffemodel belongs beside its .prototxt".into(),
            n => format!("{n} blobs of weights, and no {}", ordinal(index)).into(),
        })
    }
}

/// The steps that a run begins with.
pub(super) fn steps() -> Cell<u64> {
    Cell::new(STEPS)
}

fn ordinal(index: usize) -> String {
    ["first", "second", "third", "fourth"]
        .get(index)
        .map_or_else(|| format!("number {index}"), |o| (*o).into())
}

fn values(tensor: &Tensor) -> Result<Vec<f32>, Fault> {
    let mut values = Vec::new();
    let width = tensor.dtype.chunk_bytes().max(1);
    tensor.visit(0..tensor.count(), &mut |chunk| {
        let numbers = chunk.bytes.chunks_exact(width);
        values.extend(numbers.map(|element| dtype::to_f64(tensor.dtype, element) as f32));
        Ok(())
    })?;
    Ok(values)
}
