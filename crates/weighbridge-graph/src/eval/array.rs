//! Elements at hand.

use weighbridge_model::{Class, DType, Result, Tensor, dtype};

use crate::build::in_memory;

/// Most elements of an array.
pub const LARGEST: u64 = 1 << 22;

/// Elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Whole numbers and truth values.
    Ints(Vec<i64>),
    /// Floating-point numbers, each one of its type.
    Floats(Vec<f64>),
}

/// A tensor's elements in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Data,
}

/// Whether elements of this type are computed with.
fn handled(dtype: DType) -> bool {
    matches!(
        dtype,
        DType::F64
            | DType::F32
            | DType::F16
            | DType::BF16
            | DType::I64
            | DType::I32
            | DType::I16
            | DType::I8
            | DType::U64
            | DType::U32
            | DType::U16
            | DType::U8
            | DType::Bool
    )
}

impl Array {
    /// Whole numbers of this type, each wrapped into it.
    pub fn ints(dtype: DType, shape: Vec<usize>, mut elements: Vec<i64>) -> Self {
        elements.iter_mut().for_each(|i| *i = wrap(dtype, *i));
        Array { dtype, shape, data: Data::Ints(elements) }
    }

    /// Floating-point numbers of this type, each rounded to it.
    pub fn floats(dtype: DType, shape: Vec<usize>, mut elements: Vec<f64>) -> Self {
        elements.iter_mut().for_each(|x| *x = round(dtype, *x));
        Array { dtype, shape, data: Data::Floats(elements) }
    }

    /// The elements of a tensor; `None` for more than [`LARGEST`], and for types that are not computed with.
    ///
    /// # Errors
    /// A failed read.
    pub fn read(tensor: &Tensor) -> Result<Option<Self>> {
        let large = tensor.count() > LARGEST || tensor.shape.iter().any(|&n| n > LARGEST);
        if large || !handled(tensor.dtype) {
            return Ok(None);
        }
        let shape = tensor.shape.iter().map(|&n| n as usize).collect();
        let width = tensor.dtype.chunk_bytes();
        let mut fits = true;
        let data = if tensor.dtype.is_float() {
            let mut all = Vec::with_capacity(tensor.count() as usize);
            tensor.visit_values(0..tensor.count(), &mut |_, values| {
                all.extend_from_slice(values);
                Ok(())
            })?;
            Data::Floats(all)
        } else {
            let mut all = Vec::with_capacity(tensor.count() as usize);
            tensor.visit(0..tensor.count(), &mut |chunk| {
                for element in chunk.bytes.chunks_exact(width) {
                    let i = dtype::to_integer(tensor.dtype, element).and_then(|i| i64::try_from(i).ok());
                    fits &= i.is_some();
                    all.push(i.unwrap_or_default());
                }
                Ok(())
            })?;
            Data::Ints(all)
        };
        Ok(fits.then_some(Array { dtype: tensor.dtype, shape, data }))
    }

    /// A tensor with these elements.
    ///
    /// # Errors
    /// None: it has as many as its shape.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let width = self.dtype.chunk_bytes();
        let mut bytes = Vec::with_capacity(self.count() * width);
        match &self.data {
            Data::Ints(all) => all.iter().for_each(|i| bytes.extend(&i.to_le_bytes()[..width])),
            Data::Floats(all) => all.iter().for_each(|&x| dtype::push(self.dtype, x, &mut bytes)),
        }
        in_memory(name, self.dtype, self.shape.iter().map(|&n| n as u64).collect(), bytes)
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        match &self.data {
            Data::Ints(all) => all.len(),
            Data::Floats(all) => all.len(),
        }
    }

    /// The elements, where they are whole numbers.
    pub fn integers(&self) -> Option<&[i64]> {
        if let Data::Ints(all) = &self.data { Some(all) } else { None }
    }

    /// The element at each of these places, in a new shape.
    pub fn pick(&self, shape: Vec<usize>, places: impl Iterator<Item = usize>) -> Array {
        let data = match &self.data {
            Data::Ints(all) => Data::Ints(places.map(|i| all[i]).collect()),
            Data::Floats(all) => Data::Floats(places.map(|i| all[i]).collect()),
        };
        Array { dtype: self.dtype, shape, data }
    }

    /// Whether some element is infinite.
    pub fn has_infinite(&self) -> bool {
        matches!(&self.data, Data::Floats(all) if all.iter().any(|x| x.is_infinite()))
    }
}

/// A number as its type holds it: wrapped around.
pub(super) fn wrap(dtype: DType, i: i64) -> i64 {
    match (dtype.class(), dtype.bits()) {
        (Class::Bool, _) => i64::from(i != 0),
        (Class::Signed, bits @ 1..64) => i << (64 - bits) >> (64 - bits),
        (Class::Unsigned, bits @ 1..64) => i & ((1i64 << bits) - 1),
        _ => i,
    }
}

/// A number rounded to its type.
pub(super) fn round(dtype: DType, x: f64) -> f64 {
    match dtype {
        DType::F64 => x,
        DType::F32 => f64::from(x as f32),
        _ => {
            let mut bytes = Vec::with_capacity(8);
            dtype::push(dtype, x, &mut bytes);
            dtype::to_f64(dtype, &bytes)
        }
    }
}

/// Number of elements, where they are no more than [`LARGEST`].
pub(super) fn counted(shape: &[usize]) -> Result<usize, String> {
    let count =
        if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) };
    count
        .filter(|&n| n as u64 <= LARGEST)
        .ok_or_else(|| format!("{shape:?} has more elements than are folded"))
}

/// Elements between neighbours along each dimension.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// Places, in row-major order of `shape`, of elements that stand `strides` apart from `start` on.
pub(super) fn walk(shape: &[usize], start: isize, strides: &[isize]) -> Vec<usize> {
    let count = shape.iter().product();
    let mut places = Vec::with_capacity(count);
    let mut index = vec![0usize; shape.len()];
    let mut place = start;
    for _ in 0..count {
        places.push(place as usize);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * shape[axis] as isize;
            index[axis] = 0;
        }
    }
    places
}

/// The shape that two shapes are broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    let each = (0..rank).map(|i| match (size(a, i), size(b, i)) {
        (x, y) if x == y => Ok(x),
        (1, y) => Ok(y),
        (x, 1) => Ok(x),
        _ => Err(format!("{a:?} and {b:?} do not go together")),
    });
    each.collect()
}

/// Strides of `shape` read as if it were `to`: 0 where it is repeated.
pub(super) fn broadcast_strides(shape: &[usize], to: &[usize]) -> Vec<isize> {
    let own = strides(shape);
    let missing = to.len() - shape.len();
    (0..to.len())
        .map(|i| if i < missing || shape[i - missing] == 1 { 0 } else { own[i - missing] as isize })
        .collect()
}
