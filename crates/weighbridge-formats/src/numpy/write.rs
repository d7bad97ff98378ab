//! Writes `.npy` files, version 1.0, and `.npz` archives of them.
//!
//! | bytes | what |
//! |---|---|
//! | 6 | `\x93NUMPY` |
//! | 2 | version 1, 0 |
//! | 2 | little-endian length of the header |
//! | n | a Python dict literal: `descr`, `fortran_order`, `shape`; padded with blanks to a multiple of 64 in all, then a newline |
//! | rest | the elements, row-major |
//!
//! A `.npz` is a zip of such files, `NAME.npy` each.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use weighbridge_model::storage::Cast;
use weighbridge_model::{DType, Error, Layout, Model, Place, Result, Tensor};

use crate::output::Output;
use crate::plan::{Change, FilePlan, Plan, WriteOptions};
use crate::zip::write::{Archive, archive_len};

/// Longest name: a zip entry's has 16 bits for its length, and ends in `.npy`.
const LONGEST: usize = u16::MAX as usize - 4;

/// Plans the file for `model` at `path`: the one tensor as `.npy`, or all of them as `.npz`. Types that NumPy lacks
/// (BF16, FP8, sub-byte) are widened exactly. Codes of a quantized tensor are written as they are stored; blocks are dequantized.
///
/// # Errors
/// [`Error::Refused`] with every tensor that NumPy cannot carry; several tensors for one `.npy`.
pub fn write(model: &Model, path: &Path, _: &WriteOptions) -> Result<Plan> {
    let single = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"));
    if single && model.tensors.len() != 1 {
        let what = format!("a .npy holds one tensor, and {} are to be written", model.tensors.len());
        return Err(Error::Usage { what: what + ": --select one, or write .npz" });
    }
    let (mut plan, mut tensors) = carry_all(&model.tensors)?;
    plan.dropped =
        model.metadata.iter().map(|(key, _)| Change::new(key, "metadata: arrays have none")).collect();
    plan.files.push(match tensors.pop() {
        Some(tensor) if single => npy(tensor, path),
        last => {
            tensors.extend(last);
            npz(tensors, path)
        }
    });
    Ok(plan)
}

/// Plans one tensor as `.npy`, whatever the path's extension.
///
/// # Errors
/// As [`write`].
pub fn write_array(tensor: &Tensor, path: &Path) -> Result<Plan> {
    let (mut plan, tensors) = carry_all(std::slice::from_ref(tensor))?;
    plan.files.extend(tensors.into_iter().map(|tensor| npy(tensor, path)));
    Ok(plan)
}

fn carry_all(tensors: &[Tensor]) -> Result<(Plan, Vec<Tensor>)> {
    let (mut plan, mut all) = (Plan::default(), Vec::new());
    let (mut refused, mut seen) = (Vec::new(), HashSet::new());
    for tensor in tensors {
        if !seen.insert(tensor.name.as_str()) {
            refused.push((tensor.name.clone(), "the name comes twice".to_owned()));
            continue;
        }
        if tensor.name.len() > LONGEST {
            refused.push((
                tensor.name.clone(),
                "a name of more bytes than an archive's entry may have".to_owned(),
            ));
            continue;
        }
        if tensor.name.contains('\0') {
            let why = "a name with a zero byte, at which readers of archives end it";
            refused.push((tensor.name.clone(), why.to_owned()));
            continue;
        }
        match carried(tensor) {
            Ok((carried, why)) => {
                match why {
                    None => plan.kept.push(tensor.name.clone()),
                    Some(why) => plan.changed.push(Change::new(&tensor.name, why)),
                }
                all.push(carried);
            }
            Err(why) => refused.push((tensor.name.clone(), why)),
        }
    }
    if refused.is_empty() {
        return Ok((plan, all));
    }
    Err(Error::Refused {
        what: "NumPy cannot carry these tensors".into(),
        reasons: refused,
        help: Some("--drop leaves tensors out, --rename renames".into()),
    })
}

fn npy(tensor: Tensor, path: &Path) -> FilePlan {
    let head = header(descr(tensor.dtype).expect("carried"), &tensor.shape);
    FilePlan {
        path: path.to_owned(),
        len: Some(head.len() as u64 + tensor.bytes()),
        content: Box::new(move |output: &mut Output<'_>| {
            output.bytes(&head)?;
            output.elements(&tensor, &mut |_| {})
        }),
    }
}

fn npz(tensors: Vec<Tensor>, path: &Path) -> FilePlan {
    let entries: Vec<(String, Vec<u8>, Tensor)> = tensors
        .into_iter()
        .map(|t| (format!("{}.npy", t.name), header(descr(t.dtype).expect("carried"), &t.shape), t))
        .collect();
    FilePlan {
        path: path.to_owned(),
        len: Some(archive_len(
            entries.iter().map(|(n, head, t)| (n.as_str(), head.len() as u64 + t.bytes())),
        )),
        content: Box::new(move |output: &mut Output<'_>| {
            let mut archive = Archive::default();
            for (name, head, tensor) in &entries {
                archive.entry(output, name, head.len() as u64 + tensor.bytes(), |output, each| {
                    each(head);
                    output.bytes(head)?;
                    output.elements(tensor, each)
                })?;
            }
            archive.finish(output)
        }),
    }
}

/// The tensor in a type that NumPy has, and what was changed for that.
fn carried(tensor: &Tensor) -> Result<(Tensor, Option<String>), String> {
    if tensor.layout.view().is_none() && tensor.dtype.class() == weighbridge_model::Class::Opaque {
        return Err(format!("{} elements that are no numbers", tensor.dtype));
    }
    let scales = matches!(tensor.layout, Layout::Quantized { .. });
    let scales =
        scales.then_some("the codes as they are; scales and zero points stay behind: --dtype dequantizes");
    let wide = match tensor.dtype {
        d if descr(d).is_some() => return Ok((tensor.clone(), scales.map(str::to_owned))),
        d if d.is_float() => DType::F32,
        DType::I4 | DType::I2 => DType::I8,
        DType::U4 | DType::U2 => DType::U8,
        d => return Err(format!("it has no type {d}")),
    };
    let mut codes = tensor.clone();
    if let Layout::Quantized { view, .. } = &tensor.layout {
        codes.layout = Layout::Strided(view.clone());
    }
    let storage = Arc::new(Cast::new(codes, wide));
    let cast = Tensor::contiguous(&tensor.name, wide, tensor.shape.clone(), storage, &Place::default())
        .map_err(|e| e.to_string())?;
    let how = if tensor.dtype.block().is_some() { "dequantized" } else { "exactly" };
    let widened = format!("{} -> {wide}, {how}: NumPy has no {}", tensor.dtype, tensor.dtype);
    let whys: Vec<&str> = std::iter::once(&*widened).chain(scales).collect();
    Ok((cast, Some(whys.join("; "))))
}

fn descr(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F64 => "<f8",
        DType::F32 => "<f4",
        DType::F16 => "<f2",
        DType::I64 => "<i8",
        DType::I32 => "<i4",
        DType::I16 => "<i2",
        DType::I8 => "|i1",
        DType::U64 => "<u8",
        DType::U32 => "<u4",
        DType::U16 => "<u2",
        DType::U8 => "|u1",
        DType::Bool => "|b1",
        DType::C64 => "<c8",
        DType::C128 => "<c16",
        _ => return None,
    })
}

fn header(descr: &str, shape: &[u64]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|n| format!("{n}, ")).collect();
    // A tuple of one keeps its comma; longer ones may keep it too.
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", sizes.trim_end());
    let padded = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded as u16).to_le_bytes());
    bytes.extend(dict.as_bytes());
    bytes.resize(10 + padded - 1, b' ');
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_on_a_multiple_of_64_with_a_newline() {
        for shape in [&[][..], &[3], &[2, 3, 4]] {
            let bytes = header("<f4", shape);
            assert_eq!(bytes.len() % 64, 0);
            assert_eq!(bytes.last(), Some(&b'\n'));
        }
        assert!(String::from_utf8_lossy(&header("<f4", &[3])).contains("(3,)"));
    }
}
