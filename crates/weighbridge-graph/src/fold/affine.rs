//! One scale and one shift for each channel, and what they make of a linear operator's weight and bias.

use std::sync::Arc;

use weighbridge_model::storage::{Channels, ScaledAxis};
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
    /// What changes nothing in so many channels.
    pub fn identity(channels: usize) -> Self {
        Affine { scale: vec![1.0; channels], shift: vec![0.0; channels] }
    }

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
        derived(weight, storage)
    }

    /// As [`Affine::weight`], for channels that lie along more than one dimension, or in none of its own.
    ///
    /// # Errors
    /// None but those of [`Tensor::contiguous`].
    pub fn weight_by(&self, weight: &Tensor, channels: &Channels) -> Result<Tensor> {
        scaled(weight, vec![(channels.clone(), self.scale.clone())])
    }

    /// What the shift of an affine *before* a linear operator adds to its bias: for each output the sum of `shift` over
    /// the inputs and all positions of the kernel, `sum W[o, i, k] * shift[i]`. True wherever the kernel meets no
    /// padding, which the affine would not have shifted.
    ///
    /// # Errors
    /// A failed read.
    pub fn shift_through(&self, weight: &Tensor, inputs: &Channels, outputs: &Channels) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; outputs.count() as usize];
        weight.visit_values(0..weight.count(), &mut |first, values| {
            for (index, value) in (first..).zip(values) {
                sums[outputs.at(index)] += value * self.shift[inputs.at(index)];
            }
            Ok(())
        })?;
        Ok(sums)
    }

    /// Whether every scale and shift is a finite number: a variance below `-epsilon` makes others.
    pub fn is_finite(&self) -> bool {
        self.scale.iter().chain(&self.shift).all(|x| x.is_finite())
    }
}

/// `weight` with each element multiplied by the factors of its channels and rounded once.
///
/// # Errors
/// None but those of [`Tensor::contiguous`].
pub fn scaled(weight: &Tensor, scales: Vec<(Channels, Vec<f64>)>) -> Result<Tensor> {
    derived(weight, Arc::new(ScaledAxis::by_channels(weight.clone(), scales)))
}

fn derived(weight: &Tensor, storage: Arc<ScaledAxis>) -> Result<Tensor> {
    let (dtype, shape) = (weight.dtype.in_chunks(), weight.shape.clone());
    let place = Place::source("a fold").tensor(&weight.name);
    let folded = Tensor::contiguous(&weight.name, dtype, shape, storage, &place)?;
    Ok(folded.with_role(weight.role, weight.role_guessed))
}

#[cfg(test)]
mod tests {
    use weighbridge_model::DType;

    use super::*;
    use crate::build::in_memory;
    use crate::fold::linear::{conv_inputs, conv_outputs, transposed_outputs};
    use crate::fold::values;

    fn weight(shape: Vec<u64>) -> Tensor {
        let count: u64 = shape.iter().product();
        let bytes = (0..count).flat_map(|i| (i as f32 + 1.0).to_le_bytes()).collect();
        in_memory("w", DType::F32, shape, bytes).unwrap()
    }

    #[test]
    fn batch_norms_are_affine_and_compose() {
        let bn = Affine::batch_norm(Some(&[2.0]), Some(&[1.0]), &[3.0], &[3.75], 0.25);
        assert_eq!(bn, Affine { scale: vec![1.0], shift: vec![-2.0] });
        let twice = bn.then(&Affine { scale: vec![3.0], shift: vec![1.0] });
        assert_eq!(twice, Affine { scale: vec![3.0], shift: vec![-5.0] });
        assert_eq!(twice.bias(None), [-5.0]);
        assert_eq!(twice.bias(Some(&[2.0])), [1.0]);
        assert!(!Affine::batch_norm(None, None, &[0.0], &[-1.0], 1e-5).is_finite());
    }

    #[test]
    fn transposed_convolutions_in_groups_are_scaled_by_group_and_output() {
        // 4 inputs, 2 groups, 3 outputs in each.
        let w = weight(vec![4, 3, 2]);
        let affine = Affine { scale: (1..=6).map(f64::from).collect(), shift: vec![0.0; 6] };
        let channels = transposed_outputs(&w.shape, 2).unwrap();
        let folded = values(&affine.weight_by(&w, &channels).unwrap()).unwrap();
        for (i, value) in folded.iter().enumerate() {
            let (input, output) = (i / 6, i / 2 % 3);
            assert_eq!(*value, (i + 1) as f64 * ((input / 2) * 3 + output + 1) as f64);
        }
    }

    #[test]
    fn shifts_before_a_grouped_convolution_go_through_its_own_inputs() {
        // 4 outputs in 2 groups of 2 inputs each, kernel 1.
        let w = weight(vec![4, 2, 1]);
        let before = Affine { scale: vec![1.0; 4], shift: vec![1.0, 10.0, 100.0, 1000.0] };
        let (inputs, outputs) = (conv_inputs(&w.shape, 2).unwrap(), conv_outputs(&w.shape).unwrap());
        let sums = before.shift_through(&w, &inputs, &outputs).unwrap();
        assert_eq!(sums, [21.0, 43.0, 6500.0, 8700.0]);
    }
}
