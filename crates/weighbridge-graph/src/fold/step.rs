//! What stands beside a linear operator and does the same to every element of a channel.

use weighbridge_model::{DType, Error, Layout, Model, Place, Result, Tensor, TensorId};

use super::Affine;

/// An operation on channels that a fold takes in.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The node, where there is a graph; otherwise the path of the layer.
    pub name: String,
    /// Index of the node in the graph.
    pub node: Option<usize>,
    /// What it does.
    pub does: Does,
}

/// What a [`Step`] does. Tensors have one element, or one for each channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Does {
    /// A normalization by statistics that are known.
    Norm {
        /// Multiplied with; 1 where there is none.
        gamma: Option<TensorId>,
        /// Added; 0 where there is none.
        beta: Option<TensorId>,
        /// Means.
        mean: TensorId,
        /// Variances.
        variance: TensorId,
        /// What Caffe divides means and variances by, one element; 0 makes 0 of both.
        factor: Option<TensorId>,
        /// Added to variances.
        epsilon: f64,
    },
    /// `x * scale + shift`.
    Scale {
        /// Factors.
        scale: Option<TensorId>,
        /// What is added.
        shift: Option<TensorId>,
    },
    /// `x / tensor`.
    Divide(TensorId),
    /// `x - tensor`.
    Subtract(TensorId),
    /// `tensor - x`.
    SubtractFrom(TensorId),
}

impl Step {
    /// The tensors that take part.
    pub fn tensors(&self) -> Vec<TensorId> {
        match self.does {
            Does::Norm { gamma, beta, mean, variance, factor, .. } => {
                [gamma, beta, Some(mean), Some(variance), factor].into_iter().flatten().collect()
            }
            Does::Scale { scale, shift } => [scale, shift].into_iter().flatten().collect(),
            Does::Divide(t) | Does::Subtract(t) | Does::SubtractFrom(t) => vec![t],
        }
    }

    /// Its scale and shift of each of so many channels.
    ///
    /// # Errors
    /// A failed read; tensors of another size.
    pub fn affine(&self, model: &Model, channels: u64) -> Result<Affine> {
        let read = |id: TensorId| per_channel(model.tensor(id), channels);
        let maybe = |id: Option<TensorId>| id.map(read).transpose();
        let ones = || vec![1.0; channels as usize];
        let zeros = || vec![0.0; channels as usize];
        Ok(match self.does {
            Does::Norm { gamma, beta, mean, variance, factor, epsilon } => {
                let (mut mean, mut variance) = (read(mean)?, read(variance)?);
                if let Some(factor) = factor {
                    let factor = per_channel(model.tensor(factor), 1)?[0];
                    let by = if factor == 0.0 { 0.0 } else { 1.0 / factor };
                    mean.iter_mut().chain(&mut variance).for_each(|x| *x *= by);
                }
                Affine::batch_norm(
                    maybe(gamma)?.as_deref(),
                    maybe(beta)?.as_deref(),
                    &mean,
                    &variance,
                    epsilon,
                )
            }
            Does::Scale { scale, shift } => Affine {
                scale: maybe(scale)?.unwrap_or_else(ones),
                shift: maybe(shift)?.unwrap_or_else(zeros),
            },
            Does::Divide(by) => {
                Affine { scale: read(by)?.into_iter().map(|x| 1.0 / x).collect(), shift: zeros() }
            }
            Does::Subtract(what) => {
                Affine { scale: ones(), shift: read(what)?.into_iter().map(|x| -x).collect() }
            }
            Does::SubtractFrom(from) => Affine { scale: vec![-1.0; channels as usize], shift: read(from)? },
        })
    }
}

/// All values of a tensor of real numbers.
///
/// # Errors
/// Elements that are no real numbers; a failed read.
pub fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    tensor.visit_values(0..tensor.count(), &mut |_, values| {
        all.extend_from_slice(values);
        Ok(())
    })?;
    Ok(all)
}

/// A value for each channel, from as many or from one.
pub(super) fn per_channel(tensor: &Tensor, channels: u64) -> Result<Vec<f64>> {
    match tensor.count() {
        n if n == channels => values(tensor),
        1 => Ok(vec![values(tensor)?[0]; channels as usize]),
        n => Err(Error::malformed(
            Place::default().tensor(&tensor.name),
            format!("{n} elements beside {channels} channels"),
        )),
    }
}

/// Whether a tensor's elements are floating-point numbers that stand for themselves.
pub(super) fn is_plain(tensor: &Tensor) -> bool {
    matches!(tensor.dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
        && matches!(tensor.layout, Layout::Strided(_))
}
