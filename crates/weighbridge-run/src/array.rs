//! A tensor at hand: what goes into an engine and what comes out.

use weighbridge_model::{DType, Result, Tensor, dtype};

/// Elements at hand, row-major and little-endian, none of less than a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Element type.
    pub dtype: DType,
    /// Shape; empty for a scalar.
    pub shape: Vec<u64>,
    /// The elements.
    pub bytes: Vec<u8>,
}

impl Array {
    /// The elements of a tensor.
    ///
    /// # Errors
    /// A failed read; elements that are no numbers.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let mut bytes = Vec::new();
        tensor.visit(0..tensor.count(), &mut |chunk| {
            bytes.extend_from_slice(chunk.bytes);
            Ok(())
        })?;
        Ok(Array { dtype: tensor.dtype, shape: tensor.shape.clone(), bytes })
    }

    /// The elements as numbers, which all types but the widest integers have exactly.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.bytes
            .chunks_exact(self.dtype.chunk_bytes().max(1))
            .map(|element| dtype::to_f64(self.dtype, element))
    }

    /// How many elements there are.
    pub fn count(&self) -> u64 {
        self.shape.iter().product()
    }
}
