//! Tensors of a subgraph: those with bytes go into the model, all become values of the graph.

use std::sync::Arc;

use weighbridge_model::{
    DType, Dim, Error, Finding, GraphValue, Layout, Limits, Model, Place, Result, Role, Severity, Storage,
    Tensor, TensorId, View, element_count,
};

use super::{Buffers, sparse};
use crate::flatbuffer::Table;
use crate::refused::Refused;
use crate::strings::{Form, Strings};

/// A value of a subgraph, with the tensor that gives it.
pub(super) struct SubgraphValue {
    pub value: GraphValue,
    pub tensor: Option<TensorId>,
}

/// The element type of a code; `None` for what has no elements in a file.
fn dtype(code: u8) -> Option<DType> {
    Some(match code {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::I32,
        3 => DType::U8,
        4 => DType::I64,
        5 => DType::Str,
        6 => DType::Bool,
        7 => DType::I16,
        8 => DType::C64,
        9 => DType::I8,
        10 => DType::F64,
        11 => DType::C128,
        12 => DType::U64,
        15 => DType::U32,
        16 => DType::U16,
        17 => DType::I4,
        18 => DType::BF16,
        19 => DType::I2,
        20 => DType::U4,
        _ => return None,
    })
}

/// Reads a subgraph's tensors in order.
pub(super) fn read(
    subgraph: &Table<'_>,
    buffers: &mut Buffers<'_>,
    model: &mut Model,
    limits: &Limits,
) -> Result<Vec<SubgraphValue>> {
    let mut values = Vec::new();
    for table in subgraph.tables(0)? {
        let table = table?;
        let name = table.text(3)?.unwrap_or_default();
        let place = table.place().tensor(&name);
        let shape = shape(&table, &place, limits)?;
        let code = table.u8(1)?;
        let dtype = dtype(code);
        let tensor = match buffers.get(table.u32(2)?).map_err(|e| e.in_tensor(&name))? {
            Some(storage) => {
                let dtype = dtype.ok_or_else(|| {
                    Error::unsupported(place.clone(), format!("elements of type {code}, which is not known"))
                })?;
                if model.tensors.len() as u64 >= limits.items {
                    let (asked, allowed) = (limits.items.saturating_add(1), limits.items);
                    return Err(Error::Limit { place, what: "tensors", asked, allowed });
                }
                let storage = dense(&table, dtype, &shape, storage, buffers, &place, model)?;
                let tensor = with_bytes(&table, &name, dtype, &shape, storage, &place, model)?;
                Some(model.push(tensor))
            }
            None => None,
        };
        let shape = Some(shape.into_iter().map(Dim::Known).collect());
        values.push(SubgraphValue {
            value: GraphValue { name, dtype, shape, ..GraphValue::default() },
            tensor,
        });
    }
    Ok(values)
}

fn shape(table: &Table<'_>, place: &Place, limits: &Limits) -> Result<Vec<u64>> {
    let dims = table.i32s(0)?;
    if dims.len() > limits.dims {
        let (asked, allowed) = (dims.len() as u64, limits.dims as u64);
        return Err(Error::Limit { place: place.clone(), what: "dimensions", asked, allowed });
    }
    let size = |d: i32| {
        u64::try_from(d).map_err(|_| Error::malformed(place.clone(), format!("a dimension of {d} elements")))
    };
    dims.into_iter().map(size).collect()
}

/// The elements that a tensor's bytes stand for, where it is sparse; those bytes themselves otherwise. Sparse tensors
/// that are not understood are listed, and refused when they are measured.
fn dense(
    table: &Table<'_>,
    dtype: DType,
    shape: &[u64],
    storage: Arc<dyn Storage>,
    buffers: &mut Buffers<'_>,
    place: &Place,
    model: &mut Model,
) -> Result<Arc<dyn Storage>> {
    let Some(sparsity) = table.table(6)? else { return Ok(storage) };
    let stored = storage.len();
    let left = element_count(shape).and_then(|n| buffers.elements.checked_sub(n));
    let what = if let Some(left) = left {
        buffers.elements = left;
        None
    } else {
        Some("all sparse tensors together have too many zeros for a file of this size".to_owned())
    };
    let what = if let Some(what) = what {
        what
    } else if dtype.is_sub_byte() || dtype == DType::Str {
        format!("sparse elements of {dtype}")
    } else {
        match sparse::storage(&sparsity, buffers.source, shape, storage, dtype.chunk_bytes() as u64, place) {
            Err(Error::Unsupported { what, .. }) => what,
            found => return found,
        }
    };
    let len = element_count(shape).and_then(|n| dtype.packed_bytes(n)).unwrap_or(u64::MAX);
    let message = format!("a sparse tensor of which {stored} bytes are stored is not measured: {what}");
    let help = "convert the model without sparsity to have it measured";
    let name = place.tensor.clone().unwrap_or_default();
    model.findings.push(Finding::new("F112", Severity::Info, message, help).with_tensor(name));
    Ok(Arc::new(Refused::new(len, place.clone(), what, help)))
}

fn with_bytes(
    table: &Table<'_>,
    name: &str,
    dtype: DType,
    shape: &[u64],
    storage: Arc<dyn Storage>,
    place: &Place,
    model: &mut Model,
) -> Result<Tensor> {
    if dtype == DType::Str {
        let strings = Strings::of(storage, Form::Offsets);
        let mut tensor = Tensor::contiguous(name, dtype, shape.to_vec(), strings, place)?;
        tensor.layout = Layout::Opaque;
        return Ok(tensor.with_role(Role::Constant, false));
    }
    let mut tensor = Tensor::contiguous(name, dtype, shape.to_vec(), storage, place)?;
    if table.u8(5)? != 0 {
        tensor = tensor.with_role(Role::Buffer, false);
    }
    if dtype.is_float() || !dtype.is_real() {
        return Ok(tensor);
    }
    match quantized(table, shape)? {
        Quantization::None => {}
        Quantization::Known(layout) => tensor.layout = layout,
        Quantization::Odd(what) => {
            let help = "its codes are shown and measured as they are";
            let mut finding = Finding::new("F113", Severity::Warning, what, help);
            finding.tensor = Some(name.to_owned());
            model.findings.push(finding);
        }
    }
    Ok(tensor)
}

enum Quantization {
    None,
    Known(Layout),
    Odd(String),
}

/// Scales and zero points, where they fit the shape.
fn quantized(table: &Table<'_>, shape: &[u64]) -> Result<Quantization> {
    let Some(quantization) = table.table(4)? else { return Ok(Quantization::None) };
    match quantization.u8(4)? {
        0 => {}
        2 => return Ok(Quantization::Odd("its scales are given by block, in another tensor".into())),
        _ => return Ok(Quantization::Odd("it is quantized in a way of its own".into())),
    }
    let scales: Vec<f64> = quantization.f32s(2)?.into_iter().map(f64::from).collect();
    let mut zero_points = quantization.i64s(3)?;
    if scales.is_empty() {
        return Ok(Quantization::None);
    }
    if zero_points.len() <= 1 {
        zero_points = vec![zero_points.first().copied().unwrap_or(0); scales.len()];
    }
    let dimension = quantization.i32(6, 0)?;
    let axis = usize::try_from(dimension).ok().filter(|&a| shape.get(a) == Some(&(scales.len() as u64)));
    let axis = if scales.len() == 1 { None } else { axis };
    if zero_points.len() != scales.len() || scales.len() > 1 && axis.is_none() {
        return Ok(Quantization::Odd(format!(
            "{} scales and {} zero points along dimension {dimension} of shape {shape:?}",
            scales.len(),
            zero_points.len()
        )));
    }
    Ok(Quantization::Known(Layout::Quantized { view: View::contiguous(shape, 0), scales, zero_points, axis }))
}
