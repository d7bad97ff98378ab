//! Writes one tensor as a `.npy` file, version 1.0.
//!
//! | bytes | what |
//! |---|---|
//! | 6 | `\x93NUMPY` |
//! | 2 | version 1, 0 |
//! | 2 | little-endian length of the header |
//! | n | a Python dict literal: `descr`, `fortran_order`, `shape`; padded with blanks to a multiple of 64 in all, then a newline |
//! | rest | the elements, row-major |

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use weighbridge_model::storage::Cast;
use weighbridge_model::{DType, Error, Layout, Place, Result, Tensor};

/// Writes `tensor`'s logical elements to `path`, streaming, beside the target and renamed into place. Types that
/// NumPy lacks (BF16, FP8, sub-byte) are widened exactly; the sentence returned says so. Codes of a quantized
/// tensor are written as they are stored.
///
/// # Errors
/// Opaque elements, an existing file without `force`, a failed write.
pub fn write(tensor: &Tensor, path: &Path, force: bool) -> Result<String> {
    let io = |cause| Error::io(path.display().to_string(), cause);
    if path.exists() && !force {
        return Err(Error::Usage { what: format!("{} exists: --force replaces it", path.display()) });
    }
    let (tensor, said) = carried(tensor)?;
    let descr = descr(tensor.dtype)
        .ok_or_else(|| Error::unsupported(Place::default().tensor(&tensor.name), "NumPy has no such type"))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".weighbridge-tmp");
    let written = (|| {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&temporary).map_err(io)?);
        out.write_all(&header(descr, &tensor.shape)).map_err(io)?;
        tensor.visit(0..tensor.count(), &mut |chunk| out.write_all(chunk.bytes).map_err(io))?;
        out.into_inner().map_err(|e| io(e.into_error()))?;
        std::fs::rename(&temporary, path).map_err(io)
    })();
    if written.is_err() {
        // The failure itself is what matters; a leftover is removed as far as that goes.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map(|()| said)
}

/// The tensor in a type that NumPy has.
fn carried(tensor: &Tensor) -> Result<(Tensor, String)> {
    let wide = match tensor.dtype {
        d if descr(d).is_some() => return Ok((tensor.clone(), format!("{} {:?}", d, tensor.shape))),
        d if d.is_float() => DType::F32,
        DType::I4 | DType::I2 => DType::I8,
        DType::U4 | DType::U2 => DType::U8,
        d => {
            return Err(Error::unsupported(
                Place::default().tensor(&tensor.name),
                format!("{d} cannot be written as .npy"),
            ));
        }
    };
    let mut codes = tensor.clone();
    if let Layout::Quantized { view, .. } = &tensor.layout {
        codes.layout = Layout::Strided(view.clone());
    }
    let storage = Arc::new(Cast::new(codes, wide));
    let cast = Tensor::contiguous(&tensor.name, wide, tensor.shape.clone(), storage, &Place::default())?;
    Ok((
        cast,
        format!("{} {:?}, widened to {wide}: NumPy has no {}", tensor.dtype, tensor.shape, tensor.dtype),
    ))
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
