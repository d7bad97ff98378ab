//! What flows between layers: numbers of a shape, in double precision.

use std::sync::Arc;

use super::fault::Fault;

/// Most elements of one blob: 1 GiB. What real nets compute is a tenth of it.
pub(super) const MOST: usize = 1 << 27;

/// A blob. Its elements are shared where a layer only gives them another shape or another name.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) shape: Vec<usize>,
    pub(super) data: Arc<Vec<f64>>,
}

impl Blob {
    /// Elements of a shape that has as many.
    pub(super) fn new(shape: Vec<usize>, data: Vec<f64>) -> Blob {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Blob { shape, data: Arc::new(data) }
    }

    /// The same elements under another shape.
    pub(super) fn reshaped(&self, shape: Vec<usize>) -> Blob {
        debug_assert_eq!(shape.iter().product::<usize>(), self.data.len());
        Blob { shape, data: self.data.clone() }
    }

    /// How many dimensions there are.
    pub(super) fn axes(&self) -> usize {
        self.shape.len()
    }

    /// Elements of the dimensions from `axis` on.
    pub(super) fn inner(&self, axis: usize) -> usize {
        self.shape[axis.min(self.axes())..].iter().product()
    }

    /// Elements of the dimensions before `axis`.
    pub(super) fn outer(&self, axis: usize) -> usize {
        self.shape[..axis.min(self.axes())].iter().product()
    }

    /// A dimension that may be counted from the end, as an index.
    pub(super) fn axis(&self, axis: i64) -> Result<usize, Fault> {
        let axes = self.axes() as i64;
        let from_start = if axis < 0 { axis + axes } else { axis };
        if (0..axes).contains(&from_start) {
            return Ok(from_start as usize);
        }
        Err(format!("axis {axis} of a blob of shape {:?}", self.shape).into())
    }

    /// The four sizes of a picture: number, channels, height, width.
    pub(super) fn picture(&self) -> Result<[usize; 4], Fault> {
        self.shape
            .as_slice()
            .try_into()
            .map_err(|_| format!("a blob of shape {:?}, where four dimensions belong", self.shape).into())
    }

    /// Four sizes as Caffe had them before there were shapes: ones where there are fewer dimensions.
    pub(super) fn legacy(&self) -> Result<[usize; 4], Fault> {
        if self.axes() > 4 {
            return Err(
                format!("a blob of shape {:?}, where at most four dimensions belong", self.shape).into()
            );
        }
        let mut sizes = [1; 4];
        sizes[..self.axes()].copy_from_slice(&self.shape);
        Ok(sizes)
    }

    /// A blob of the same shape, each element made from that of this one.
    pub(super) fn map(&self, f: impl Fn(f64) -> f64) -> Blob {
        Blob::new(self.shape.clone(), self.data.iter().map(|&x| f(x)).collect())
    }
}

/// Elements of a shape, held against the limit.
pub(super) fn count(shape: &[usize]) -> Result<usize, Fault> {
    let product = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
    match product {
        Some(n) if n <= MOST => Ok(n),
        _ => {
            Err(format!("a blob of shape {shape:?} is more than the {MOST} elements that are computed")
                .into())
        }
    }
}

/// Zeros of a shape.
pub(super) fn zeros(shape: &[usize]) -> Result<Vec<f64>, Fault> {
    Ok(vec![0.0; count(shape)?])
}
