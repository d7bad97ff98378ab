//! Tensors: what the header tells of each, and where their data is.

use std::collections::HashSet;
use std::sync::Arc;

use weighbridge_model::{
    BlockType, DType, Error, Finding, Limits, Model, PerUnit, Result, Role, Severity, Storage, Tensor, Value,
    element_count,
};

use super::cursor::Cursor;
use super::{order, types};
use crate::source::Source;

/// What the header tells of one tensor.
pub(super) struct Info {
    pub(super) name: String,
    /// Row-major.
    pub(super) shape: Vec<u64>,
    /// `None` for a type that is not read.
    pub(super) dtype: Option<DType>,
    number: u32,
    /// From the start of the data.
    offset: u64,
    /// Where this was told.
    told_at: u64,
}

impl Info {
    /// Bytes of data; `None` where they cannot be counted.
    fn bytes(&self) -> Option<u64> {
        self.dtype?.packed_bytes(element_count(&self.shape)?)
    }
}

/// Reads what is told of `count` tensors.
///
/// # Errors
/// A name that comes twice, too many dimensions.
pub(super) fn infos(cursor: &mut Cursor<'_>, count: u64, limits: &Limits) -> Result<Vec<Info>> {
    let mut infos = Vec::new();
    let mut seen = HashSet::new();
    for _ in 0..count {
        let told_at = cursor.at();
        let name = cursor.name("a tensor's name")?;
        let place = cursor.place().tensor(&name);
        if !seen.insert(name.clone()) {
            return Err(Error::malformed(place, "the name comes twice"));
        }
        let dims = cursor.u32()?;
        if dims as usize > limits.dims {
            let (asked, allowed) = (dims.into(), limits.dims as u64);
            return Err(Error::Limit { place, what: "dimensions", asked, allowed });
        }
        let mut shape = (0..dims).map(|_| cursor.wide()).collect::<Result<Vec<_>>>()?;
        shape.reverse();
        let number = cursor.u32()?;
        let offset = cursor.u64()?;
        let dtype = types::of(number).and_then(|(_, dtype)| dtype);
        infos.push(Info { name, shape, dtype, number, offset, told_at });
    }
    Ok(infos)
}

/// Gives the model its tensors, with their data behind the cursor.
///
/// # Errors
/// Data that leaves the file, rows that are no whole blocks.
pub(super) fn place(
    model: &mut Model,
    mut infos: Vec<Info>,
    cursor: &Cursor<'_>,
    alignment: u64,
) -> Result<()> {
    let source = cursor.source;
    let data = cursor.at().next_multiple_of(alignment);
    let ends = ends(&infos, source.len().saturating_sub(data));
    for (info, end) in infos.iter_mut().zip(&ends) {
        choose_q8_1(info, *end, alignment);
    }
    model.findings.extend(laid_out(&infos, alignment));
    model.findings.extend(unknown(&infos));
    let mut tensors = Vec::with_capacity(infos.len());
    for (info, end) in infos.into_iter().zip(ends) {
        let at = data.saturating_add(info.offset);
        let place = source.place(at).tensor(&info.name);
        if info.dtype.is_none() {
            let bytes = end.saturating_sub(info.offset);
            let storage = source.storage(at.min(source.len()), bytes).map_err(|e| e.in_tensor(&info.name))?;
            let tensor = Tensor::contiguous(info.name, DType::U8, vec![bytes], storage, &place)?;
            model.push(tensor.with_role(Role::Packed, false));
            continue;
        }
        let bytes = info.bytes().ok_or_else(|| {
            let what = format!("shape {:?} has more elements than can be counted", info.shape);
            Error::malformed(source.place(info.told_at).tensor(&info.name), what)
        })?;
        let storage = source.storage(at, bytes).map_err(|_| cut_off(source, at, bytes, &info))?;
        tensors.push((info, storage, place));
        let (info, storage, place) = tensors.last().expect("just pushed");
        model.push(tensor(info, storage.clone(), place)?);
    }
    if cursor.version.big_endian {
        let stored: Vec<_> = tensors.iter().map(|(info, storage, _)| (info.dtype, storage)).collect();
        let blocks_are_little = order::blocks_are_little(&stored)?;
        for tensor in &mut model.tensors {
            swap(tensor, blocks_are_little);
        }
        model.findings.extend(blocks_are_little.then(order::finding));
    }
    Ok(())
}

fn tensor(info: &Info, storage: Arc<dyn Storage>, place: &weighbridge_model::Place) -> Result<Tensor> {
    let (name, shape) = (info.name.clone(), info.shape.clone());
    let tensor = match info.dtype {
        Some(DType::Block(block)) => Tensor::blocks(name, block, shape, storage, place)?,
        dtype => Tensor::contiguous(name, dtype.unwrap_or(DType::U8), shape, storage, place)?,
    };
    // What rotary embeddings are computed with is saved beside the weights.
    let is_table = info.name.starts_with("rope_f") || info.name.contains(".rope_f");
    Ok(if is_table { tensor.with_role(Role::Buffer, true) } else { tensor })
}

/// The elements in little-endian order.
fn swap(tensor: &mut Tensor, blocks_are_little: bool) {
    let inner = tensor.storage.clone();
    tensor.storage = match tensor.dtype {
        DType::BF16 | DType::Block(_) if blocks_are_little => return,
        DType::Block(block) if block.fields().is_empty() => return,
        DType::Block(block) => Arc::new(PerUnit::swapped_blocks(inner, block)),
        dtype if dtype.swap_width() < 2 => return,
        dtype => Arc::new(PerUnit::swapped(inner, dtype.swap_width())),
    };
}

/// For each tensor the offset at which its data ends at the latest: where another's begins, or the data does.
fn ends(infos: &[Info], len: u64) -> Vec<u64> {
    let mut offsets: Vec<u64> = infos.iter().map(|i| i.offset).collect();
    offsets.sort_unstable();
    offsets.dedup();
    let next = |offset: u64| offsets.get(offsets.partition_point(|&o| o <= offset)).copied();
    infos.iter().map(|i| next(i.offset).unwrap_or(len).min(len)).collect()
}

/// `Q8_1` had wider scales once, and `gguf-py` still counts its bytes so: the room that a tensor has tells which it is.
/// Where it has room for either, it is `gguf-py`'s: GGML keeps none in files.
fn choose_q8_1(info: &mut Info, end: u64, alignment: u64) {
    if info.dtype != Some(DType::Block(BlockType::Q8_1)) {
        return;
    }
    let room = end.saturating_sub(info.offset);
    let fits = |dtype: DType| {
        let bytes = element_count(&info.shape).and_then(|n| dtype.packed_bytes(n));
        bytes.is_some_and(|bytes| bytes == room || bytes.checked_next_multiple_of(alignment) == Some(room))
    };
    let wide = DType::Block(BlockType::Q8_1Wide);
    if fits(wide) {
        info.dtype = Some(wide);
    }
}

/// llama.cpp takes only data that stands in the tensors' order, each padded to the alignment.
fn laid_out(infos: &[Info], alignment: u64) -> Option<Finding> {
    let mut expected = Some(0);
    let wrong = infos.iter().find(|info| {
        let is_wrong = expected.is_some_and(|at| at != info.offset);
        let end = info.bytes().and_then(|n| info.offset.checked_add(n));
        expected = end.and_then(|end| end.checked_next_multiple_of(alignment));
        is_wrong
    })?;
    let what = "its data does not follow that of the tensor before it";
    let help = "llama.cpp refuses the file: write it anew with its gguf scripts";
    Some(Finding::new("G102", Severity::Warning, what, help).with_tensor(&wrong.name))
}

/// Says which tensors are of a type that is not read.
fn unknown(infos: &[Info]) -> Option<Finding> {
    let unknown: Vec<&Info> = infos.iter().filter(|info| info.dtype.is_none()).collect();
    let first = unknown.first()?;
    let (name, help) = match types::of(first.number) {
        Some((name, _)) => {
            (format!(" ({name})"), "llama.cpp no longer reads it either: quantize the model anew")
        }
        None => (String::new(), "it may be newer than this program, or the file is damaged"),
    };
    let others = match unknown.len() - 1 {
        0 => String::new(),
        n => format!("; so are {n} other tensors"),
    };
    let what = format!("type {}{name} is not known: its bytes are listed as they are{others}", first.number);
    let shape = first.shape.iter().map(|&n| i64::try_from(n).map_or(Value::Null, Value::Int)).collect();
    Some(
        Finding::new("G103", Severity::Warning, what, help)
            .with_tensor(&first.name)
            .with_figure("type", Value::Int(first.number.into()))
            .with_figure("shape", Value::List(shape)),
    )
}

fn cut_off(source: &Source, at: u64, bytes: u64, info: &Info) -> Error {
    let what = format!(
        "needs {bytes} bytes of data, and the file has {} left: it is cut off, or its header is damaged",
        source.len().saturating_sub(at)
    );
    Error::malformed(source.place(at).tensor(&info.name), what)
}
