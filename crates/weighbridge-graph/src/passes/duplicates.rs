//! Initializers with the same content are one.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

use weighbridge_model::{DType, Layout, Result, Tensor, ValueId};

use super::{Pass, Report};
use crate::edit::Edit;

/// Elements that are looked at before whole tensors are.
const SAMPLE: u64 = 256;

/// Tensors with the same sample that another one is compared with: more are made to take time.
const ALIKE: usize = 64;

/// Elements that are compared at a time.
const BLOCK: u64 = 65_536;

pub(super) struct DuplicateInitializers;

impl Pass for DuplicateInitializers {
    fn name(&self) -> &'static str {
        "duplicate-initializers"
    }

    fn about(&self) -> &'static str {
        "Initializers of the same type, shape and bytes become one; those that are inputs or outputs stay."
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, _: &mut Report) -> Result<usize> {
        let mut alike: HashMap<(DType, Vec<u64>, u64), Vec<ValueId>> = HashMap::new();
        let values: Vec<ValueId> = edit.graph().initializers.iter().map(|(value, _)| *value).collect();
        let mut merged = Vec::new();
        for value in values {
            if !edit.is_initializer(value) || edit.is_output(value) || edit.uses(value) == 0 {
                continue;
            }
            let Some(tensor) =
                edit.constant(value).filter(|t| matches!(t.layout, Layout::Strided(_)) && t.dtype.bits() > 0)
            else {
                continue;
            };
            let key = (tensor.dtype, tensor.shape.clone(), sample(tensor)?);
            let others = alike.entry(key).or_default();
            let mut same = None;
            for &other in others.iter().take(ALIKE) {
                let Some(first) = edit.constant(other) else { continue };
                if equal(first, tensor)? {
                    same = Some(other);
                    break;
                }
            }
            match same {
                None => others.push(value),
                Some(first) => merged.push((value, first)),
            }
        }
        edit.merge(&merged);
        edit.remove_unread_initializers();
        Ok(merged.len())
    }
}

/// A hash of the first, middle and last elements.
fn sample(tensor: &Tensor) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    let count = tensor.count();
    for start in [0, count / 2, count.saturating_sub(SAMPLE)] {
        tensor.visit(start..count.min(start + SAMPLE), &mut |chunk| {
            hasher.write(chunk.bytes);
            Ok(())
        })?;
    }
    Ok(hasher.finish())
}

fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    if weighbridge_model::storage::identity(&a.storage) == weighbridge_model::storage::identity(&b.storage)
        && a.layout == b.layout
        && std::sync::Arc::ptr_eq(&a.storage, &b.storage)
    {
        return Ok(true);
    }
    let bytes = |tensor: &Tensor, start: u64| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        tensor.visit(start..tensor.count().min(start + BLOCK), &mut |chunk| {
            bytes.extend_from_slice(chunk.bytes);
            Ok(())
        })?;
        Ok(bytes)
    };
    let mut start = 0;
    while start < a.count() {
        if bytes(a, start)? != bytes(b, start)? {
            return Ok(false);
        }
        start += BLOCK;
    }
    Ok(true)
}
