//! How elements lie in their storage.

use crate::dtype::BlockType;

/// A strided view: logical element `(i, j, …)` stands at `offset + i*strides[0] + j*strides[1] + …`.
/// All in elements, as frameworks count them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Position of the first logical element.
    pub offset: u64,
    /// One stride a dimension; 0 repeats an element, negative walks backwards.
    pub strides: Vec<i64>,
}

impl View {
    /// The row-major view of `shape` that starts at `offset`.
    pub fn contiguous(shape: &[u64], offset: u64) -> Self {
        let mut strides = vec![1i64; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = strides[i].saturating_mul(shape[i].max(1).min(i64::MAX as u64) as i64);
        }
        View { offset, strides }
    }

    /// Whether logical order is storage order, without gaps or repeats.
    pub fn is_contiguous(&self, shape: &[u64]) -> bool {
        let mut expected = 1i64;
        for (&n, &stride) in shape.iter().zip(&self.strides).rev() {
            if n == 1 {
                continue;
            }
            if stride != expected {
                return false;
            }
            expected = expected.saturating_mul(n.min(i64::MAX as u64) as i64);
        }
        true
    }

    /// Lowest and one past the highest element that the view touches; `None` if it leaves `0..u64::MAX`
    /// or touches nothing.
    pub fn bounds(&self, shape: &[u64]) -> Option<(u64, u64)> {
        let (mut low, mut high) = (i128::from(self.offset), i128::from(self.offset));
        for (&n, &stride) in shape.iter().zip(&self.strides) {
            if n == 0 {
                return None;
            }
            let reach = i128::from(n - 1).checked_mul(i128::from(stride))?;
            if reach < 0 {
                low = low.checked_add(reach)?;
            } else {
                high = high.checked_add(reach)?;
            }
        }
        Some((u64::try_from(low).ok()?, u64::try_from(high.checked_add(1)?).ok()?))
    }
}

/// How to get logical elements from storage.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Layout {
    /// Plain elements under a strided view.
    Strided(View),
    /// Integer codes under a strided view, with real value `(code - zero_point) * scale`.
    Quantized {
        /// Where the codes stand.
        view: View,
        /// One scale, or one for each index along `axis`.
        scales: Vec<f64>,
        /// As many zero points as scales.
        zero_points: Vec<i64>,
        /// The dimension that scales and zero points vary along; `None` for one scale a tensor.
        axis: Option<usize>,
    },
    /// Whole blocks from the start of the storage on, row-major, each of which holds elements side by side in the last
    /// dimension and what they are scaled by.
    Blocks {
        /// What a block's bytes mean.
        scheme: BlockType,
    },
    /// Strings and objects: present, and not numbers.
    Opaque,
}

impl Layout {
    /// The strided view, where there is one.
    pub fn view(&self) -> Option<&View> {
        match self {
            Layout::Strided(view) | Layout::Quantized { view, .. } => Some(view),
            Layout::Blocks { .. } | Layout::Opaque => None,
        }
    }
}
