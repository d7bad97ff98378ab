//! Tensors that share bytes, for writers whose files cannot.

use std::collections::HashMap;

use weighbridge_model::storage::identity;
use weighbridge_model::{Layout, Tensor};

/// For each tensor the index of an earlier one that has bytes in common with it.
pub(crate) fn lost_ties(tensors: &[Tensor]) -> Vec<Option<usize>> {
    let mut groups: HashMap<usize, Vec<(u64, u64, usize)>> = HashMap::new();
    for (i, tensor) in tensors.iter().enumerate().filter(|(_, t)| t.count() > 0) {
        if let Some((start, end)) = bytes(tensor) {
            groups.entry(identity(&tensor.storage)).or_default().push((start, end, i));
        }
    }
    let mut ties = vec![None; tensors.len()];
    for mut group in groups.into_values().filter(|g| g.len() > 1) {
        group.sort_unstable();
        let (mut reached, mut by) = (0, 0);
        for (start, end, i) in group {
            if start < reached {
                let (first, later): (usize, usize) = (i.min(by), i.max(by));
                ties[later] = Some(first);
            }
            if end > reached {
                (reached, by) = (end, i);
            }
        }
    }
    ties
}

/// The bytes of its storage that a tensor touches, from the first to one past the last.
fn bytes(tensor: &Tensor) -> Option<(u64, u64)> {
    match &tensor.layout {
        Layout::Strided(view) | Layout::Quantized { view, .. } => {
            let (low, high) = view.bounds(&tensor.shape)?;
            let bits = u64::from(tensor.dtype.bits());
            Some((low.checked_mul(bits)? / 8, high.checked_mul(bits)?.div_ceil(8)))
        }
        Layout::Blocks { .. } => Some((0, tensor.bytes())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weighbridge_model::{DType, Memory, Place, Storage, View};

    use super::*;

    #[test]
    fn only_common_bytes_are_a_tie() {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new(vec![0; 32]));
        let part = |name, dtype, count: u64, offset| {
            let view = View::contiguous(&[count], offset);
            Tensor::strided(name, dtype, vec![count], view, storage.clone(), &Place::default()).unwrap()
        };
        // The first half, the second, the same bytes in another type, and nothing.
        let tensors = [
            part("a", DType::F32, 4, 0),
            part("b", DType::F32, 4, 4),
            part("c", DType::F64, 2, 2),
            part("d", DType::F32, 0, 0),
        ];
        assert_eq!(lost_ties(&tensors), [None, None, Some(1), None]);
        let other: Arc<dyn Storage> = Arc::new(Memory::new(vec![0; 32]));
        let apart = Tensor::contiguous("e", DType::F32, vec![8], other, &Place::default()).unwrap();
        assert_eq!(lost_ties(&[tensors[0].clone(), apart]), [None, None]);
    }
}
