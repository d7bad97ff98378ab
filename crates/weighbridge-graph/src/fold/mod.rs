//! The algebra of folding: a BatchNorm is one scale and one shift for each channel, and goes into the weights and the
//! bias of the linear operator beside it.
//!
//! Written once, for passes, for the comparison of models, and for verdicts on what will run. All in `f64`, rounded
//! once to the tensor's own type.

use std::sync::Arc;

use weighbridge_model::storage::ScaledAxis;
use weighbridge_model::{Place, Result, Tensor};

/// `y = scale * x + shift` for each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// Factor of each channel.
    pub scale: Vec<f64>,
    /// What is added to each channel.
    pub shift: Vec<f64>,
}

impl Affine {
    /// What a BatchNorm does in inference: `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, with `gamma` 1 and
    /// `beta` 0 where there is none. All of one length.
    pub fn batch_norm(
        gamma: Option<&[f64]>,
        beta: Option<&[f64]>,
        mean: &[f64],
        variance: &[f64],
        epsilon: f64,
    ) -> Self {
        let scale: Vec<f64> = variance
            .iter()
            .enumerate()
            .map(|(c, v)| gamma.map_or(1.0, |g| g[c]) / (v + epsilon).sqrt())
            .collect();
        let shift = scale.iter().enumerate().map(|(c, s)| beta.map_or(0.0, |b| b[c]) - mean[c] * s).collect();
        Affine { scale, shift }
    }

    /// This one, then `next`.
    #[must_use]
    pub fn then(&self, next: &Affine) -> Affine {
        let of = |f: &dyn Fn(usize) -> f64| (0..self.scale.len()).map(f).collect();
        Affine {
            scale: of(&|c| self.scale[c] * next.scale[c]),
            shift: of(&|c| self.shift[c] * next.scale[c] + next.shift[c]),
        }
    }

    /// The bias of a linear operator that this follows: `bias * scale + shift`, with a bias of 0 where there is none.
    pub fn bias(&self, bias: Option<&[f64]>) -> Vec<f64> {
        (0..self.scale.len()).map(|c| bias.map_or(0.0, |b| b[c]) * self.scale[c] + self.shift[c]).collect()
    }

    /// The weight of a linear operator that this follows, whose output channels lie along `axis`: scaled as it is read,
    /// with nothing held in memory.
    ///
    /// # Errors
    /// None but those of [`Tensor::contiguous`].
    pub fn weight(&self, weight: &Tensor, axis: usize) -> Result<Tensor> {
        let storage = Arc::new(ScaledAxis::new(weight.clone(), axis, self.scale.clone()));
        let (dtype, shape) = (weight.dtype.in_chunks(), weight.shape.clone());
        let folded = Tensor::contiguous(
            &weight.name,
            dtype,
            shape,
            storage,
            &Place::source("a fold").tensor(&weight.name),
        )?;
        Ok(folded.with_role(weight.role, weight.role_guessed))
    }
}
