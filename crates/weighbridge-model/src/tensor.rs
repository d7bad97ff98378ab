//! A tensor: a name, a type, a shape, and a way to its bytes. Never the bytes themselves.

use std::ops::Range;
use std::sync::Arc;

use crate::dtype::BlockType;
use crate::{DType, Error, Layout, Place, Result, Storage, View};

/// Index of a tensor within its [`crate::Model`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Trained.
    Parameter,
    /// Kept beside the parameters and saved with them: running statistics, position ids, masks.
    Buffer,
    /// Part of the computation, not of training: shapes, indices, folded numbers.
    Constant,
    /// An optimizer's memory of a parameter (momentum, second moments, step counts).
    OptimizerState,
    /// Integer codes or scales of a packed quantization scheme: raw figures say nothing about weights.
    Packed,
    /// Anything else that was saved: random states, metrics, samples.
    Other,
}

impl Role {
    /// The JSON contract's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Parameter => "parameter",
            Role::Buffer => "buffer",
            Role::Constant => "constant",
            Role::OptimizerState => "optimizer",
            Role::Packed => "packed",
            Role::Other => "other",
        }
    }
}

/// A tensor of a model.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Its index in the model; file order.
    pub id: TensorId,
    /// Its display name, as its framework spells it. Need be neither unique nor non-empty.
    pub name: String,
    /// Element type, as stored.
    pub dtype: DType,
    /// Logical shape; empty for a scalar.
    pub shape: Vec<u64>,
    /// What it is for.
    pub role: Role,
    /// Whether `role` was inferred from names and shapes rather than told by the file.
    pub role_guessed: bool,
    /// Whether the framework's own `state_dict()` would hold it. Non-persistent buffers and tensors in
    /// plain attributes of a pickled module are in the file, and outside of it.
    pub in_state_dict: bool,
    /// Where the bytes are.
    pub storage: Arc<dyn Storage>,
    /// How elements lie in them.
    pub layout: Layout,
}

impl Tensor {
    /// A tensor under a strided view, checked: the view must stay within its storage.
    ///
    /// Its id is given when a [`crate::Model`] takes it; its role starts as a guessed parameter.
    ///
    /// # Errors
    /// Shapes whose element count overflows, strides that do not fit the shape, views that leave the storage.
    pub fn strided(
        name: impl Into<String>,
        dtype: DType,
        shape: Vec<u64>,
        view: View,
        storage: Arc<dyn Storage>,
        place: &Place,
    ) -> Result<Self> {
        let name = name.into();
        let fault = |what: String| Error::malformed(place.clone().tensor(&name), what);
        let count = element_count(&shape)
            .ok_or_else(|| fault(format!("shape {shape:?} has more elements than can be counted")))?;
        if let DType::Block(block) = dtype {
            return Err(fault(format!("strides for {block}, whose elements have no place of their own")));
        }
        if view.strides.len() != shape.len() {
            return Err(fault(format!("{} strides for {} dimensions", view.strides.len(), shape.len())));
        }
        if count > 0 {
            let (_, end) = view
                .bounds(&shape)
                .ok_or_else(|| fault(format!("strides {:?} lead outside of any storage", view.strides)))?;
            let needed = dtype.packed_bytes(end).unwrap_or(u64::MAX);
            if needed > storage.len() {
                return Err(fault(format!(
                    "{dtype} {shape:?} at element {} needs {needed} bytes of a storage that has {}",
                    view.offset,
                    storage.len()
                )));
            }
        }
        Ok(Tensor {
            id: TensorId(0),
            name,
            dtype,
            shape,
            role: Role::Parameter,
            role_guessed: true,
            in_state_dict: true,
            storage,
            layout: Layout::Strided(view),
        })
    }

    /// A row-major tensor that begins its storage; otherwise as [`Tensor::strided`].
    ///
    /// # Errors
    /// As [`Tensor::strided`].
    pub fn contiguous(
        name: impl Into<String>,
        dtype: DType,
        shape: Vec<u64>,
        storage: Arc<dyn Storage>,
        place: &Place,
    ) -> Result<Self> {
        let view = View::contiguous(&shape, 0);
        Tensor::strided(name, dtype, shape, view, storage, place)
    }

    /// A tensor of whole blocks, checked: rows must be whole blocks, and all of them within the storage.
    ///
    /// # Errors
    /// Shapes whose element count overflows, rows that are no whole blocks, a storage that is too short.
    pub fn blocks(
        name: impl Into<String>,
        scheme: BlockType,
        shape: Vec<u64>,
        storage: Arc<dyn Storage>,
        place: &Place,
    ) -> Result<Self> {
        let name = name.into();
        let dtype = DType::Block(scheme);
        let fault = |what: String| Error::malformed(place.clone().tensor(&name), what);
        let count = element_count(&shape)
            .ok_or_else(|| fault(format!("shape {shape:?} has more elements than can be counted")))?;
        let row = shape.last().copied().unwrap_or(1);
        if row % scheme.elements() != 0 {
            return Err(fault(format!(
                "rows of {row} elements are no whole blocks: {scheme} has {} in each",
                scheme.elements()
            )));
        }
        let needed = dtype.packed_bytes(count).unwrap_or(u64::MAX);
        if needed > storage.len() {
            return Err(fault(format!(
                "{dtype} {shape:?} needs {needed} bytes of a storage that has {}",
                storage.len()
            )));
        }
        Ok(Tensor {
            id: TensorId(0),
            name,
            dtype,
            shape,
            role: Role::Parameter,
            role_guessed: true,
            in_state_dict: true,
            storage,
            layout: Layout::Blocks { scheme },
        })
    }

    /// The same tensor with a role that is known (`guessed: false`) or inferred.
    #[must_use]
    pub fn with_role(mut self, role: Role, guessed: bool) -> Self {
        self.role = role;
        self.role_guessed = guessed;
        self
    }

    /// Number of logical elements. Checked when the tensor was made.
    pub fn count(&self) -> u64 {
        element_count(&self.shape).unwrap_or(u64::MAX)
    }

    /// Bytes that the logical elements take when packed contiguously.
    pub fn bytes(&self) -> u64 {
        self.dtype.packed_bytes(self.count()).unwrap_or(u64::MAX)
    }

    /// Where a run of logical elements stands in the storage, in bytes; `None` where they are not side by side. Bytes
    /// that hold other elements too are within.
    pub fn stored_at(&self, elements: &Range<u64>) -> Option<Range<u64>> {
        match &self.layout {
            Layout::Strided(view) | Layout::Quantized { view, .. } => {
                let bits = u64::from(self.dtype.bits());
                view.is_contiguous(&self.shape).then(|| {
                    (view.offset + elements.start) * bits / 8
                        ..((view.offset + elements.end) * bits).div_ceil(8)
                })
            }
            Layout::Blocks { scheme } => {
                let (n, bytes) = (scheme.elements(), scheme.bytes());
                Some(elements.start / n * bytes..elements.end.div_ceil(n) * bytes)
            }
            Layout::Opaque => None,
        }
    }

    /// Byte offset of the first logical element within the storage.
    pub fn storage_offset(&self) -> u64 {
        self.layout.view().map_or(0, |v| v.offset.saturating_mul(u64::from(self.dtype.bits())) / 8)
    }
}

/// Product of the sizes; `None` on overflow of `u64`, where a size of 0 makes 0 of anything.
pub fn element_count(shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d))
}
