//! What became of a tensor, and by how much.

use weighbridge_measure::Compared;

/// What became of tensors of one model in the other, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Relation {
    /// The same bits under the same name.
    Same,
    /// The same values under another name.
    Renamed,
    /// The same values, their dimensions in another order.
    Transposed,
    /// The values of one side are those of the other, each rounded to nearest, ties to even.
    Cast,
    /// Several tensors side by side became one, or one became several.
    Merged,
    /// What was computed from several is what is there, but for the rounding of each element.
    Folded,
    /// Codes whose values are within a step of their source's.
    Quantized,
    /// Something else.
    Changed,
}

impl Relation {
    /// All of them, in order.
    pub const ALL: [Relation; 8] = [
        Relation::Same,
        Relation::Renamed,
        Relation::Transposed,
        Relation::Cast,
        Relation::Merged,
        Relation::Folded,
        Relation::Quantized,
        Relation::Changed,
    ];

    /// The JSON contract's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Relation::Same => "same",
            Relation::Renamed => "renamed",
            Relation::Transposed => "transposed",
            Relation::Cast => "cast",
            Relation::Merged => "merged",
            Relation::Folded => "folded",
            Relation::Quantized => "quantized",
            Relation::Changed => "changed",
        }
    }
}

/// How far two tensors lie apart; the first is the one that the other was made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Elements.
    pub count: u64,
    /// Elements whose values are not equal.
    pub unequal: u64,
    /// Elements that differ by more than the relation allows.
    pub off: u64,
    /// The first of those: its row-major index in the second, what should be there, and what is.
    pub first: Option<(Vec<u64>, f64, f64)>,
    /// Largest difference.
    pub max_abs: f64,
    /// That, relative to the largest magnitude.
    pub max_rel: f64,
    /// Cosine of the angle between both.
    pub cosine: f64,
    /// Norm of the difference relative to that of the source.
    pub relative_change: f64,
    /// Of codes: largest error in units of their step.
    pub steps: Option<f64>,
    /// Of codes: power of the values over that of the error, in decibels.
    pub sqnr_db: Option<f64>,
}

impl Figures {
    /// What a comparison found, in a tensor of this shape.
    pub(super) fn of(compared: &Compared, shape: &[u64]) -> Self {
        Figures {
            count: compared.count,
            unequal: compared.unequal,
            off: compared.off,
            first: compared.shown.first().map(|&(at, a, b)| (position(at, shape), a, b)),
            max_abs: compared.max_abs,
            max_rel: compared.max_rel(),
            cosine: compared.cosine(),
            relative_change: compared.relative_change(),
            steps: None,
            sqnr_db: None,
        }
    }

    /// Of two tensors that are the same.
    pub(super) fn same(count: u64) -> Self {
        Figures { count, cosine: 1.0, ..Figures::default() }
    }

    /// Where the first element that differs stands and what is there, for people.
    pub fn told(&self) -> String {
        let Some((at, a, b)) = &self.first else { return String::new() };
        let at = at.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let which = if self.off == 1 { "the one at" } else { "first at" };
        format!("{} of {} elements differ, {which} [{at}]: {a:e} -> {b:e}", self.off, self.count)
    }
}

/// The index along each dimension.
fn position(mut at: u64, shape: &[u64]) -> Vec<u64> {
    let mut indices: Vec<u64> = Vec::with_capacity(shape.len());
    for &size in shape.iter().rev() {
        indices.push(at % size.max(1));
        at /= size.max(1);
    }
    indices.reverse();
    indices
}
