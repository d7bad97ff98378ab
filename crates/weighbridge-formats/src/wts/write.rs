//! Writes `.wts` as the usual Python script does, byte for byte, or as `nvidia` in the form of NVIDIA's samples; and a
//! JSON beside it with what the text cannot say.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use weighbridge_model::storage::Cast;
use weighbridge_model::{Class, DType, Error, Layout, Model, Place, Result, Tensor, Value};

use crate::output::Output;
use crate::plan::{Change, FilePlan, Plan, WriteOptions};

/// Attributes of a normalisation that a network built from the weights has to be told.
const ATTRIBUTES: &[&str] = &["eps", "momentum", "affine", "track_running_stats"];

/// Plans the text for `model` at `path`: F32 words, whatever the tensors' own types; NVIDIA's form has F16 too.
///
/// # Errors
/// [`Error::Refused`] with every tensor whose name has white space or comes twice, that is no numbers, or that has
/// values beyond F32's range; a failed read.
pub fn write(model: &Model, path: &Path, options: &WriteOptions) -> Result<Plan> {
    let nvidia = options.variant == Some("nvidia");
    let mut plan = Plan::default();
    let (mut lines, mut refused, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
    for tensor in &model.tensors {
        let name = &tensor.name;
        let written = if nvidia { name.replace('/', "_") } else { name.clone() };
        if let Some(other) = seen.insert(written.clone(), name) {
            let why = match name == other {
                true => "the name comes twice".to_owned(),
                false => format!("it would be written as '{written}', and so would '{other}'"),
            };
            refused.push((name.clone(), why));
            continue;
        }
        if name.is_empty() || name.contains(char::is_whitespace) {
            refused.push((
                name.clone(),
                "a name that is empty or has white space ends where it should not".to_owned(),
            ));
            continue;
        }
        match carried(tensor, nvidia)? {
            Ok((mut words, why)) => {
                let spelled = (*name != written).then(|| format!("written as '{written}'"));
                let whys: Vec<String> = spelled.into_iter().chain(why).collect();
                match whys.is_empty() {
                    true => plan.kept.push(name.clone()),
                    false => plan.changed.push(Change::new(name, whys.join("; "))),
                }
                words.name = written;
                lines.push(words);
            }
            Err(why) => refused.push((name.clone(), why)),
        }
    }
    if !refused.is_empty() {
        return Err(Error::Refused {
            what: ".wts cannot carry these tensors".into(),
            reasons: refused,
            help: Some("--drop leaves tensors out, --rename renames, --dtype f32 dequantizes".into()),
        });
    }
    plan.dropped =
        model.metadata.iter().map(|(key, _)| Change::new(key, "metadata: the text has none")).collect();
    let sidecar = sidecar(model);
    let head = format!("{}\n", lines.len());
    // Words without leading zeros are as long as their values say.
    let len = (!nvidia).then(|| head.len() as u64 + lines.iter().map(line_len).sum::<u64>());
    plan.files.push(FilePlan {
        path: sidecar_path(path),
        len: Some(sidecar.len() as u64),
        content: Box::new(move |output: &mut Output<'_>| output.bytes(sidecar.as_bytes())),
    });
    plan.files.push(FilePlan {
        path: path.to_owned(),
        len,
        content: Box::new(move |output: &mut Output<'_>| {
            output.bytes(head.as_bytes())?;
            let line = if nvidia { nvidia_line } else { line };
            lines.iter().try_for_each(|tensor| line(tensor, output))
        }),
    });
    Ok(plan)
}

fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

/// Shapes, types, and what normalisations were configured with.
fn sidecar(model: &Model) -> String {
    let tensors: Map<String, Json> = model
        .tensors
        .iter()
        .map(|t| (t.name.clone(), json!({"shape": t.shape, "dtype": t.dtype.name()})))
        .collect();
    let mut modules = Map::new();
    for module in &model.modules {
        let known = module.attributes.iter().filter(|(name, _)| ATTRIBUTES.contains(&name.as_str()));
        let mut entry: Map<String, Json> = known
            .filter_map(|(name, value)| {
                let value = match value {
                    Value::Float(x) => json!(x),
                    Value::Bool(b) => json!(b),
                    Value::Int(i) => json!(i),
                    _ => return None,
                };
                Some((name.clone(), value))
            })
            .collect();
        if entry.contains_key("eps") {
            entry.insert("class".into(), module.class.as_str().into());
            modules.insert(module.path.clone(), entry.into());
        }
    }
    let document = json!({"tensors": tensors, "modules": modules});
    serde_json::to_string_pretty(&document).expect("JSON of plain values") + "\n"
}

type Carried = std::result::Result<(Tensor, Option<String>), String>;

/// The tensor as F32, or as F16 where that is kept, and what that changes.
fn carried(tensor: &Tensor, halves: bool) -> Result<Carried> {
    if matches!(tensor.layout, Layout::Quantized { .. }) {
        return Ok(Err("quantized codes, whose scales it has no place for".into()));
    }
    let strided = matches!(tensor.layout, Layout::Strided(_));
    if !strided || matches!(tensor.dtype.class(), Class::Complex | Class::Opaque) {
        return Ok(Err(format!("{} elements that are no plain numbers", tensor.dtype)));
    }
    if tensor.dtype == DType::F32 || halves && tensor.dtype == DType::F16 {
        return Ok(Ok((tensor.clone(), None)));
    }
    let why = match tensor.dtype {
        DType::F64 | DType::I64 | DType::U64 | DType::I32 | DType::U32 => {
            let (beyond, rounded) = losses(tensor)?;
            if beyond > 0 {
                return Ok(Err(format!("{beyond} of {} values are beyond F32's range", tensor.count())));
            }
            match rounded {
                0 => format!("{} -> F32, exactly", tensor.dtype),
                n => format!("{} -> F32: {n} of {} values are rounded", tensor.dtype, tensor.count()),
            }
        }
        _ => format!("{} -> F32, exactly", tensor.dtype),
    };
    let storage = Arc::new(Cast::new(tensor.clone(), DType::F32));
    let words =
        Tensor::contiguous(&tensor.name, DType::F32, tensor.shape.clone(), storage, &Place::default())?;
    Ok(Ok((words, Some(why))))
}

/// How many finite values become infinite as F32, and how many others are not the same number then.
fn losses(tensor: &Tensor) -> Result<(u64, u64)> {
    let (mut beyond, mut rounded) = (0, 0);
    let (tensor, times) = once(tensor);
    let dtype = tensor.dtype;
    tensor.visit(0..tensor.count(), &mut |chunk| {
        for element in chunk.bytes.chunks_exact(dtype.chunk_bytes()) {
            let exact = weighbridge_model::dtype::to_f64(dtype, element);
            let single = exact as f32;
            beyond += u64::from(exact.is_finite() && single.is_infinite());
            let same = match weighbridge_model::dtype::to_integer(dtype, element) {
                Some(whole) => single as i128 == whole,
                None => f64::from(single) == exact || exact.is_nan(),
            };
            rounded += u64::from(!same);
        }
        Ok(())
    })?;
    Ok((beyond * times, (rounded - beyond.min(rounded)) * times))
}

/// The tensor without the dimensions that repeat it, and how often they do.
fn once(tensor: &Tensor) -> (Tensor, u64) {
    let (mut once, mut times) = (tensor.clone(), 1);
    if let (Layout::Strided(view), true) = (&tensor.layout, tensor.count() > 0) {
        for (size, _) in once.shape.iter_mut().zip(&view.strides).filter(|(_, stride)| **stride == 0) {
            times *= std::mem::replace(size, 1);
        }
    }
    (once, times)
}

fn line_len(tensor: &Tensor) -> u64 {
    let count = tensor.count();
    (tensor.name.len() + count.to_string().len() + 3) as u64 + 9 * count
}

/// `name count `, then each word behind a space.
fn line(tensor: &Tensor, output: &mut Output<'_>) -> Result<()> {
    output.bytes(format!("{} {} ", tensor.name, tensor.count()).as_bytes())?;
    let mut text = Vec::new();
    tensor.visit(0..tensor.count(), &mut |chunk| {
        text.clear();
        text.extend(
            chunk.bytes.as_chunks::<4>().0.iter().flat_map(|&word| spelled(u32::from_le_bytes(word))),
        );
        output.bytes(&text)
    })?;
    output.bytes(b"\n")
}

/// `name type count`, then each word behind a space, without leading zeros.
fn nvidia_line(tensor: &Tensor, output: &mut Output<'_>) -> Result<()> {
    let kind = u8::from(tensor.dtype == DType::F16);
    output.bytes(format!("{} {kind} {}", tensor.name, tensor.count()).as_bytes())?;
    let mut text = String::new();
    tensor.visit(0..tensor.count(), &mut |chunk| {
        text.clear();
        for element in chunk.bytes.chunks_exact(tensor.dtype.chunk_bytes()) {
            let word = element.iter().rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
            write!(text, " {word:x}").expect("text takes it");
        }
        output.bytes(text.as_bytes())
    })?;
    output.bytes(b"\n")
}

/// A space and eight hexadecimal digits.
#[inline(always)]
fn spelled(word: u32) -> [u8; 9] {
    // A digit a byte, the highest first in memory.
    let halves = u64::from(word);
    let quads = (halves << 32 | halves >> 16) & 0x0000_ffff_0000_ffff;
    let pairs = (quads << 16 | quads >> 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (pairs << 8 | pairs >> 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    let text = nibbles + 0x3030_3030_3030_3030 + letters * 39;
    let mut spelled = [b' '; 9];
    spelled[1..].copy_from_slice(&text.to_le_bytes());
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_spelled_as_python_does() {
        for word in [0u32, 0x3f80_0000, 0xdead_beef, 0x0123_4567, 0x89ab_cdef, u32::MAX] {
            assert_eq!(spelled(word)[..], *format!(" {word:08x}").as_bytes());
        }
    }
}
