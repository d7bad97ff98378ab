//! Folding: what does the same to every element of a channel goes into the weight and the bias of the linear operator
//! beside it.
//!
//! The algebra is written once ([`Affine`], all in `f64`, rounded once to the tensor's own type), and so is the search
//! for what can be folded ([`find`]): for passes, for the comparison of models, and for verdicts on what will run.

mod affine;
mod edges;
mod find;
pub mod linear;
mod step;
mod view;

use weighbridge_model::dtype::{FloatFormat, push};
use weighbridge_model::storage::Channels;
use weighbridge_model::{DType, Error, Model, Place, Result, Role, Tensor, TensorId, ValueId};

pub(crate) use find::{chain, onnx};

pub use affine::{Affine, scaled};
pub use edges::Edges;
pub use find::{Found, Left, Names, find, find_by_names, find_in};
pub use step::{Does, Step, values};
pub use view::{Still, View};

use crate::build::in_memory;

/// A linear operator and what is folded into it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// The linear operator's node, where there is a graph; otherwise the path of the layer.
    pub name: String,
    /// Index of its node in the graph.
    pub node: Option<usize>,
    /// Its weight.
    pub weight: TensorId,
    /// Its bias, with an element for each output or one for all.
    pub bias: Option<TensorId>,
    /// What the operator itself multiplies the weight by (Gemm's `alpha`).
    pub weight_gain: f64,
    /// What the operator itself multiplies the bias by (Gemm's `beta`).
    pub bias_gain: f64,
    /// Which input an element of the weight belongs to; needed where something stands before.
    pub inputs: Option<Channels>,
    /// Which output an element of the weight belongs to.
    pub outputs: Channels,
    /// What stands before it, in the order of computation.
    pub before: Vec<Step>,
    /// What follows it, in the order of computation.
    pub after: Vec<Step>,
    /// The value that all of it is applied to, in a graph.
    pub input: Option<ValueId>,
    /// The value that all of it gives, in a graph.
    pub output: Option<ValueId>,
    /// Whether names and order alone say that these belong together.
    pub guessed: bool,
}

impl Fold {
    /// All tensors that take part, the weight first, then the bias.
    pub fn tensors(&self) -> Vec<TensorId> {
        let steps = self.before.iter().chain(&self.after).flat_map(Step::tensors);
        [self.weight].into_iter().chain(self.bias).chain(steps).collect()
    }

    /// What follows, in one.
    ///
    /// # Errors
    /// A failed read; tensors whose sizes do not go together.
    pub fn affine(&self, model: &Model) -> Result<Affine> {
        chain(model, &self.after, self.outputs.count())
    }

    /// The weight with everything in it, computed as it is read.
    ///
    /// # Errors
    /// As [`Fold::affine`].
    pub fn folded_weight(&self, model: &Model) -> Result<Tensor> {
        let mut after = self.affine(model)?.scale;
        after.iter_mut().for_each(|x| *x *= self.weight_gain);
        let mut scales = vec![(self.outputs.clone(), after)];
        if let Some((inputs, before)) = self.chain_before(model)? {
            scales.push((inputs, before.scale));
        }
        scaled(model.tensor(self.weight), scales)
    }

    /// The bias with everything in it, an element for each output, of the weight's type. It is named after the old one,
    /// or after the weight.
    ///
    /// # Errors
    /// As [`Fold::affine`].
    pub fn folded_bias(&self, model: &Model) -> Result<Tensor> {
        let weight = model.tensor(self.weight);
        let dtype = weight.dtype.in_chunks();
        let bias = self.bias_values(model)?;
        let mut bytes = Vec::with_capacity(bias.len() * dtype.chunk_bytes());
        bias.iter().for_each(|&x| push(dtype, x, &mut bytes));
        let name = match self.bias {
            Some(bias) => model.tensor(bias).name.clone(),
            None => bias_name(&weight.name),
        };
        let tensor = in_memory(&name, dtype, vec![bias.len() as u64], bytes)?;
        Ok(tensor.with_role(Role::Parameter, weight.role_guessed))
    }

    /// The values of [`Fold::folded_bias`], not yet rounded.
    ///
    /// # Errors
    /// As [`Fold::affine`].
    pub fn bias_values(&self, model: &Model) -> Result<Vec<f64>> {
        let after = self.affine(model)?;
        let channels = self.outputs.count();
        let bias = self.bias.map(|id| step::per_channel(model.tensor(id), channels)).transpose()?;
        let mut bias: Vec<f64> = match bias {
            Some(bias) => bias.iter().map(|b| b * self.bias_gain).collect(),
            None => vec![0.0; channels as usize],
        };
        if let Some((inputs, before)) = self.chain_before(model)?
            && before.shift.iter().any(|&x| x != 0.0)
        {
            let sums = before.shift_through(model.tensor(self.weight), &inputs, &self.outputs)?;
            bias.iter_mut().zip(sums).for_each(|(b, sum)| *b += sum * self.weight_gain);
        }
        Ok(after.bias(Some(&bias)))
    }

    /// The magnitudes that each element of [`Fold::bias_values`] is a sum of before what stands behind: of the bias, and of
    /// what goes through the weight. How far roundings may be apart is in proportion to them.
    ///
    /// # Errors
    /// As [`Fold::affine`].
    pub fn bias_terms(&self, model: &Model) -> Result<Vec<f64>> {
        let channels = self.outputs.count();
        let bias = self.bias.map(|id| step::per_channel(model.tensor(id), channels)).transpose()?;
        let mut terms = match bias {
            Some(bias) => bias.iter().map(|b| (b * self.bias_gain).abs()).collect(),
            None => vec![0.0; channels as usize],
        };
        if let Some((inputs, before)) = self.chain_before(model)? {
            let weight = model.tensor(self.weight);
            weight.visit_values(0..weight.count(), &mut |first, values| {
                for (index, value) in (first..).zip(values) {
                    let shift = before.shift[inputs.at(index)] * self.weight_gain;
                    terms[self.outputs.at(index)] += (value * shift).abs();
                }
                Ok(())
            })?;
        }
        Ok(terms)
    }

    /// Why the folded weight or bias would not be numbers of the weight's type: variances below zero, values beyond the
    /// type's range. Reads the weight.
    ///
    /// # Errors
    /// As [`Fold::affine`].
    pub fn overflow(&self, model: &Model) -> Result<Option<String>> {
        let weight = model.tensor(self.weight);
        let from = overflow_from(weight.dtype);
        let after = self.affine(model)?;
        let before = self.chain_before(model)?;
        if !after.is_finite() || before.as_ref().is_some_and(|(_, b)| !b.is_finite()) {
            return Ok(Some(
                "its scale or shift is no finite number: a variance is negative, or a divisor 0".into(),
            ));
        }
        if self.bias_values(model)?.iter().any(|b| b.abs() >= from) {
            return Ok(Some(format!("the folded bias leaves {}'s range", weight.dtype)));
        }
        let mut beyond = 0u64;
        weight.visit_values(0..weight.count(), &mut |first, values| {
            for (index, value) in (first..).zip(values) {
                let mut x = value * self.weight_gain * after.scale[self.outputs.at(index)];
                if let Some((inputs, before)) = &before {
                    x *= before.scale[inputs.at(index)];
                }
                beyond += u64::from(x.abs() >= from && value.is_finite());
            }
            Ok(())
        })?;
        let told = || format!("{beyond} values of the folded weight leave {}'s range", weight.dtype);
        Ok((beyond > 0).then(told))
    }

    fn chain_before(&self, model: &Model) -> Result<Option<(Channels, Affine)>> {
        let Some(inputs) = self.inputs.clone().filter(|_| !self.before.is_empty()) else { return Ok(None) };
        let affine = chain(model, &self.before, inputs.count())?;
        Ok(Some((inputs, affine)))
    }
}

fn chain(model: &Model, steps: &[Step], channels: u64) -> Result<Affine> {
    // Sizes that a file claims are held against tensors that it has before anything is allocated.
    let most = steps.iter().flat_map(Step::tensors).map(|id| model.tensor(id).count()).max().unwrap_or(1);
    if channels > most.max(MOST_WITHOUT_TENSORS) {
        let what = format!("{channels} channels, and no tensor that has as many elements");
        return Err(Error::malformed(Place::source("a fold"), what));
    }
    let mut whole = Affine::identity(channels as usize);
    for step in steps {
        whole = whole.then(&step.affine(model, channels).map_err(|e| e.in_node(&step.name))?);
    }
    Ok(whole)
}

/// Most channels that scalars alone may be spread over.
const MOST_WITHOUT_TENSORS: u64 = 1 << 24;

/// From which magnitude on a value is infinite in this type.
fn overflow_from(dtype: DType) -> f64 {
    FloatFormat::of(dtype).map_or(f64::INFINITY, FloatFormat::overflow_from)
}

/// What a bias beside a weight of this name is called.
fn bias_name(weight: &str) -> String {
    const BESIDE: [(&str, &str); 7] = [
        ("weight", "bias"),
        ("kernel", "bias"),
        ("kernel:0", "bias:0"),
        ("depthwise_kernel", "bias"),
        ("weights", "biases"),
        ("depthwise_weights", "biases"),
        // Keras 3 numbers them.
        ("vars/0", "vars/1"),
    ];
    for (leaf, with) in BESIDE {
        if let Some(path) = weight.strip_suffix(leaf)
            && (path.is_empty() || path.ends_with(['.', '/', '_']))
        {
            return format!("{path}{with}");
        }
    }
    format!("{weight}.bias")
}
