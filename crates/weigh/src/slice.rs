//! `NAME[0,:,3:5]`: NumPy's basic indexing, as a view of the tensor.

use std::sync::Arc;

use weighbridge_model::storage::Cast;
use weighbridge_model::{DType, Error, Layout, Place, Result, Tensor, View};

/// Splits `NAME[SLICE]` at its last bracket.
pub fn split(text: &str) -> (&str, Option<&str>) {
    match text.strip_suffix(']').and_then(|t| t.rsplit_once('[')) {
        Some((name, slice)) => (name, Some(slice)),
        None => (text, None),
    }
}

/// The tensor under the slice; nothing is read.
pub fn apply(tensor: &Tensor, slice: &str) -> Result<Tensor> {
    let usage = |what: String| Error::Usage { what: format!("[{slice}]: {what}") };
    // Packed elements have no strides of their own: give them a byte each first. Quantized ones lose their
    // channel with an index along its axis: take their real values.
    let quantized = matches!(tensor.layout, Layout::Quantized { .. } | Layout::Blocks { .. });
    let unpacked;
    let tensor = if tensor.dtype.is_sub_byte() || quantized {
        let wide = if tensor.dtype.is_float() || quantized { DType::F32 } else { DType::I8 };
        let storage = Arc::new(Cast::new(tensor.clone(), wide));
        unpacked = Tensor::contiguous(&tensor.name, wide, tensor.shape.clone(), storage, &Place::default())?;
        &unpacked
    } else {
        tensor
    };
    let view = tensor.layout.view().ok_or_else(|| usage("this tensor has no numbers".into()))?;
    let mut items: Vec<&str> = slice.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
    let rank = tensor.shape.len();
    if let Some(at) = items.iter().position(|&i| i == "...") {
        let missing = (rank + 1).checked_sub(items.len()).ok_or_else(|| usage("too many indices".into()))?;
        items.splice(at..=at, std::iter::repeat_n(":", missing));
    }
    if items.len() > rank {
        return Err(usage(format!("{} indices for {rank} dimensions", items.len())));
    }
    items.resize(rank, ":");
    let (mut shape, mut strides) = (Vec::new(), Vec::new());
    let mut offset = view.offset as i64;
    for (d, item) in items.iter().enumerate() {
        let (n, stride) = (tensor.shape[d], view.strides[d]);
        let number = |text: &str| {
            text.trim().parse::<i64>().map_err(|_| usage(format!("'{text}' is no whole number")))
        };
        if let Some((from, rest)) = item.split_once(':') {
            let (to, step) = rest.split_once(':').unwrap_or((rest, ""));
            let step = if step.trim().is_empty() { 1 } else { number(step)? };
            if step < 1 {
                return Err(usage("steps are positive".into()));
            }
            let bound = |text: &str, default: i64| -> Result<i64> {
                if text.trim().is_empty() {
                    return Ok(default);
                }
                let i = number(text)?;
                Ok((if i < 0 { i.saturating_add(n as i64) } else { i }).clamp(0, n as i64))
            };
            let (from, to) = (bound(from, 0)?, bound(to, n as i64)?);
            let count = (to - from).max(0).unsigned_abs().div_ceil(step.unsigned_abs());
            if count > 0 {
                offset = offset.saturating_add(from.saturating_mul(stride));
            }
            shape.push(count);
            strides.push(stride.saturating_mul(step));
        } else {
            let i = number(item)?;
            let i = if i < 0 { i.saturating_add(n as i64) } else { i };
            if i < 0 || i as u64 >= n {
                return Err(usage(format!("index {item} of dimension {d}, which has {n}")));
            }
            offset = offset.saturating_add(i.saturating_mul(stride));
        }
    }
    let view = View { offset: offset.max(0) as u64, strides };
    Tensor::strided(&tensor.name, tensor.dtype, shape, view, tensor.storage.clone(), &Place::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weighbridge_model::storage::Memory;

    fn values(slice: &str) -> (Vec<u64>, Vec<u8>) {
        let storage = Arc::new(Memory::new((0..24).collect::<Vec<u8>>()));
        let t = Tensor::contiguous("t", DType::U8, vec![2, 3, 4], storage, &Place::default()).unwrap();
        let t = apply(&t, slice).unwrap();
        let mut out = Vec::new();
        t.visit(0..t.count(), &mut |c| {
            out.extend_from_slice(c.bytes);
            Ok(())
        })
        .unwrap();
        (t.shape, out)
    }

    #[test]
    fn slices_are_those_of_numpy() {
        assert_eq!(values("0,:,1:3"), (vec![3, 2], vec![1, 2, 5, 6, 9, 10]));
        assert_eq!(values("-1,-1,-1"), (vec![], vec![23]));
        assert_eq!(values("...,0"), (vec![2, 3], vec![0, 4, 8, 12, 16, 20]));
        assert_eq!(values("1,::2"), (vec![2, 4], vec![12, 13, 14, 15, 20, 21, 22, 23]));
        assert_eq!(values("0,2:1"), (vec![0, 4], vec![]));
    }

    #[test]
    fn the_slice_is_what_stands_in_the_last_brackets() {
        assert_eq!(split("a[b].c[0]"), ("a[b].c", Some("0")));
        assert_eq!(split("a.b"), ("a.b", None));
    }
}
