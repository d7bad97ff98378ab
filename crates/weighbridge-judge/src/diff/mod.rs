//! Two models beside each other: which tensors of one are which of the other, and what became of them on the way.
//!
//! One side is taken for the source, the other for what was made of it (the side that is quantized, or has fewer
//! normalizations). Stages, each of which sees only what those before it could not explain:
//!
//! | stage | explains |
//! |---|---|
//! | `named` | what names, uses and shapes pair, where the values bear it out |
//! | `folded` | normalizations that went into the linear layer before them, computed and compared |
//! | `branches` | branches of a graph that became one convolution |
//! | `content` | the same values under other names, in another order of dimensions, in another type |
//! | `merged` | several tensors that became one, or one that became several |
//! | `gates` | recurrent layers whose gates come in another order |
//! | `constants` | rows of a table that an index picks, and what is repeated: computed and compared |
//! | `near` | nearly the same values under other names |
//! | `rest` | pairs by name whose values differ; then what has no counterpart |

mod arrange;
mod bound;
mod branches;
mod constants;
mod content;
mod folded;
mod gates;
mod merged;
mod named;
mod near;
mod pair;
mod quantization;
mod rest;
mod series;
mod side;
#[cfg(test)]
mod tests;
mod work;

use weighbridge_model::{Model, Result, TensorId};

pub use pair::{Figures, Relation};
pub use series::{Layer, Series, over_time};
use side::Side;
use work::Work;

/// How models are compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Largest difference of a changed tensor to let pass, relative to the tensor's largest magnitude.
    pub tolerance: f64,
}

/// Tensors of one model, those of the other that they became, and how.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Those of the first model.
    pub a: Vec<TensorId>,
    /// Those of the second.
    pub b: Vec<TensorId>,
    /// What became of them.
    pub relation: Relation,
    /// How far they lie apart; `None` where elements have no real value, or shapes do not go together.
    pub figures: Option<Figures>,
    /// What was done, or what differs, for people; may be empty.
    pub why: String,
    /// Whether shape or order alone, or equal values among several, say that these belong together.
    pub guess: bool,
    /// Whether this is no difference, or one that is tolerated.
    pub ok: bool,
}

/// A tensor without a counterpart that is none the worse for it.
#[derive(Debug, Clone)]
pub struct Aside {
    /// Whether it is the first model's.
    pub of_a: bool,
    /// Its index there.
    pub tensor: TensorId,
    /// Why it needs no counterpart.
    pub why: String,
}

/// What two models have in common, and what they do not.
#[derive(Debug, Clone, Default)]
pub struct Diff {
    /// In the order of the first model's tensors.
    pub pairs: Vec<Pair>,
    /// Tensors of the first model that are missing in the second, in file order.
    pub only_a: Vec<TensorId>,
    /// Tensors of the second that are missing in the first.
    pub only_b: Vec<TensorId>,
    /// Tensors that need no counterpart.
    pub aside: Vec<Aside>,
    /// Prefixes that were seen through: the first's, the second's, and in how many names.
    pub prefixes: Vec<(String, String, usize)>,
}

impl Diff {
    /// Whether nothing differs beyond the tolerance and nothing is missing.
    pub fn ok(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.pairs.iter().all(|p| p.ok)
    }
}

/// Compares two models. Nothing is held in memory but single blocks, vectors of normalizations, and folded weights whose
/// dimensions are in another order.
///
/// # Errors
/// A failed read.
pub fn diff(a: &Model, b: &Model, options: &Options) -> Result<Diff> {
    let (a, b) = (Side::of(a)?, Side::of(b)?);
    // What was made of the other: it has codes for values, or normalizations less.
    let rank = |side: &Side| (side.quantized(), std::cmp::Reverse(side.normalizations()));
    let flipped = rank(&a) > rank(&b);
    let (source, target) = if flipped { (&b, &a) } else { (&a, &b) };
    let mut work = Work::new(source, target);
    named::run(&mut work)?;
    folded::run(&mut work)?;
    branches::run(&mut work)?;
    content::run(&mut work)?;
    merged::run(&mut work)?;
    gates::run(&mut work)?;
    constants::run(&mut work)?;
    near::run(&mut work)?;
    rest::run(&mut work)?;
    Ok(work.finish(flipped, options))
}
