//! The identity of a tensor's values.

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use weighbridge_model::{Class, Layout, Limits, Result, Tensor};

use crate::views::check_expansion;

/// The sha256 of each tensor's contiguous little-endian stored values, in hexadecimal; sub-byte types
/// unpacked, one code a byte; blocks as their bytes; `None` for opaque elements. `progress` is told the bytes that were hashed.
///
/// # Errors
/// A failed read, or a view that repeats its storage beyond [`Limits::view_expansion`].
pub fn sha256(tensors: &[&Tensor], progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<Option<String>>> {
    tensors
        .par_iter()
        .map(|tensor| {
            if tensor.dtype.class() == Class::Opaque {
                return opaque(tensor, progress);
            }
            check_expansion(tensor, &Limits::default())?;
            let mut hasher = Sha256::new();
            // A code of fewer than eight bits counts as its bits, not as the sign-extended byte of a visit.
            let mask = (tensor.dtype.is_sub_byte() && tensor.dtype.class() == Class::Signed)
                .then(|| (1u8 << tensor.dtype.bits()) - 1);
            let hex = |hasher: Sha256| hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
            if let Layout::Blocks { .. } = tensor.layout {
                tensor.storage.visit(0..tensor.bytes(), &mut |_, bytes| {
                    hasher.update(bytes);
                    progress(bytes.len() as u64);
                    Ok(())
                })?;
                return Ok(Some(hex(hasher)));
            }
            let mut codes = Vec::new();
            tensor.visit(0..tensor.count(), &mut |chunk| {
                match mask {
                    None => hasher.update(chunk.bytes),
                    Some(mask) => {
                        codes.clear();
                        codes.extend(chunk.bytes.iter().map(|code| code & mask));
                        hasher.update(&codes);
                    }
                }
                progress(chunk.bytes.len() as u64);
                Ok(())
            })?;
            Ok(Some(hex(hasher)))
        })
        .collect()
}

/// Text of a fixed width is hashed as it is stored; opaque elements without bytes are not.
fn opaque(tensor: &Tensor, progress: &(dyn Fn(u64) + Sync)) -> Result<Option<String>> {
    if tensor.storage.is_empty() {
        return Ok(None);
    }
    let mut hasher = Sha256::new();
    tensor.storage.visit(0..tensor.storage.len(), &mut |_, chunk| {
        hasher.update(chunk);
        progress(chunk.len() as u64);
        Ok(())
    })?;
    Ok(Some(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()))
}
