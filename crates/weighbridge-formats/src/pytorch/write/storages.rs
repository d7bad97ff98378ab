//! Which storages a file gets, and which of them each tensor is a view of.

use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_model::storage::identity;
use weighbridge_model::{DType, Layout, Memory, Place, Result, Tensor, View};

use super::super::names::{code_class, storage_class};

/// A storage to write.
pub(super) struct Stored {
    /// All of it, as a vector, or as the one tensor that is in it.
    pub tensor: Tensor,
    /// Its class, where its elements have one.
    pub class: Option<&'static str>,
}

impl Stored {
    fn new(tensor: Tensor) -> Self {
        let class = match tensor.layout {
            Layout::Quantized { .. } => code_class(tensor.dtype),
            _ => storage_class(tensor.dtype),
        };
        Stored { tensor, class }
    }

    /// How many elements of its class it has; bytes, where there is none.
    pub fn count(&self) -> u64 {
        if self.class.is_some() { self.tensor.count() } else { self.tensor.bytes() }
    }
}

/// A tensor's place among the storages.
pub(super) struct Placed {
    /// The storage's number, which is its key.
    pub key: usize,
    /// The view of it.
    pub view: View,
    /// Numbers of the storages of scales and zero points, where there is one for each channel.
    pub channels: Option<(usize, usize)>,
}

/// The storages of `tensors`, and the place of each. Tensors over one storage share it again, where that takes no more
/// bytes than they do on their own.
pub(super) fn storages(tensors: &[Tensor]) -> Result<(Vec<Stored>, Vec<Placed>)> {
    let mut groups: HashMap<usize, Vec<&Tensor>> = HashMap::new();
    for tensor in tensors.iter().filter(|t| t.count() > 0) {
        groups.entry(identity(&tensor.storage)).or_default().push(tensor);
    }
    let mut keys: HashMap<usize, usize> = HashMap::new();
    let (mut storages, mut places) = (Vec::new(), Vec::new());
    for tensor in tensors {
        let id = identity(&tensor.storage);
        let whole = tensor.count() > 0 && groups.get(&id).is_some_and(|group| is_shared(group));
        let key = match keys.get(&id).filter(|_| whole) {
            Some(&key) => key,
            None => {
                storages.push(Stored::new(if whole { all_of(tensor)? } else { tensor.clone() }));
                let key = storages.len() - 1;
                keys.insert(id, key);
                key
            }
        };
        let view = match (&tensor.layout, whole) {
            (Layout::Strided(view) | Layout::Quantized { view, .. }, true) => view.clone(),
            _ => View::contiguous(&tensor.shape, 0),
        };
        let channels = match &tensor.layout {
            Layout::Quantized { scales, zero_points, axis: Some(_), .. } => {
                storages.push(numbers(DType::F64, scales.iter().flat_map(|x| x.to_le_bytes()))?);
                storages.push(numbers(DType::I64, zero_points.iter().flat_map(|x| x.to_le_bytes()))?);
                Some((storages.len() - 2, storages.len() - 1))
            }
            _ => None,
        };
        places.push(Placed { key, view, channels });
    }
    Ok((storages, places))
}

/// Whether tensors of one storage can have it in common in the file too.
fn is_shared(group: &[&Tensor]) -> bool {
    let first = group[0];
    let own: u64 = group.iter().map(|t| t.bytes()).fold(0, u64::saturating_add);
    let is_code = |t: &Tensor| matches!(t.layout, Layout::Quantized { .. });
    group.len() > 1
        && !first.dtype.is_sub_byte()
        && group.iter().all(|t| {
            // A storage has one class.
            t.dtype == first.dtype && is_code(t) == is_code(first) && Arc::ptr_eq(&t.storage, &first.storage)
        })
        && first.storage.len() <= own
        && group.iter().all(|t| t.layout.view().is_some_and(|v| v.strides.iter().all(|&s| s >= 0)))
}

/// The whole storage of a tensor, as a vector.
fn all_of(tensor: &Tensor) -> Result<Tensor> {
    let count = tensor.storage.len() / tensor.dtype.chunk_bytes() as u64;
    let storage = tensor.storage.clone();
    let mut all = Tensor::contiguous("", tensor.dtype, vec![count], storage, &Place::default())?;
    if let Layout::Quantized { .. } = tensor.layout {
        let (view, scales, zero_points) = (View::contiguous(&all.shape, 0), vec![], vec![]);
        all.layout = Layout::Quantized { view, scales, zero_points, axis: None };
    }
    Ok(all)
}

fn numbers(dtype: DType, bytes: impl Iterator<Item = u8>) -> Result<Stored> {
    let bytes: Vec<u8> = bytes.collect();
    let count = bytes.len() as u64 / 8;
    let storage = Arc::new(Memory::new(bytes));
    Ok(Stored::new(Tensor::contiguous("", dtype, vec![count], storage, &Place::default())?))
}
