//! Values out of nothing: constants, ranges, grids.

use weighbridge_model::{Attribute, DType, Value};

use super::Row;
use super::elementwise::type_of;
use crate::build::in_memory;
use crate::emit::pytorch::scope::{Ruled, Work, integers, numbers};
use crate::emit::pytorch::text;

pub(super) const RULES: &[Row] = &[
    ("Constant", constant),
    ("ConstantOfShape", constant_of_shape),
    ("Range", range),
    ("EyeLike", eye_like),
    ("HannWindow", |w| cosine_window(w, &[0.5, 0.5])),
    ("HammingWindow", |w| cosine_window(w, &[25.0 / 46.0, 21.0 / 46.0])),
    ("BlackmanWindow", |w| cosine_window(w, &[0.42, 0.5, 0.08])),
];

fn constant(w: &mut Work<'_, '_>) -> Ruled {
    let output = w.output(0).ok_or("it has no output")?;
    let tensor = match w.node.attributes.first() {
        Some((_, Attribute::Tensor(id))) => w.scope.model.tensor(*id).clone(),
        Some((_, Attribute::Sparse(sparse))) => {
            let dense = sparse.dense.ok_or("its sparse tensor is too large to be made dense")?;
            w.scope.model.tensor(dense).clone()
        }
        Some((name, _)) => {
            let value = w.node.attribute(name);
            let items = match value {
                Some(Value::List(items)) => items.clone(),
                Some(item) => vec![item.clone()],
                None => return Err(format!("its attribute '{name}' is of a kind that torch has not").into()),
            };
            let shape = if matches!(value, Some(Value::List(_))) { vec![items.len() as u64] } else { vec![] };
            let name = w.scope.graph.value(output).name.clone();
            let whole = w.node.attributes[0].0.starts_with("value_int");
            if whole {
                let bytes = items.iter().filter_map(Value::as_int).flat_map(i64::to_le_bytes).collect();
                in_memory(&name, DType::I64, shape, bytes)?
            } else if w.node.attributes[0].0.starts_with("value_float") {
                let bytes =
                    items.iter().filter_map(Value::as_float).flat_map(|x| (x as f32).to_le_bytes()).collect();
                in_memory(&name, DType::F32, shape, bytes)?
            } else {
                return Err("torch has no strings".into());
            }
        }
        None => return Err("it has no value".into()),
    };
    w.scope.constant(output, tensor);
    if w.scope.graph.outputs.contains(&output) {
        let x = w.scope.expression(output)?;
        return w.give(x);
    }
    Ok(())
}

fn constant_of_shape(w: &mut Work<'_, '_>) -> Ruled {
    let sizes = w.list(0)?;
    let rank = w.known(0).dims.and_then(|d| d.first().copied().flatten());
    let (dtype, value) = match w.tensor("value").cloned() {
        None => (DType::F32, "0.0".to_owned()),
        Some(tensor) if tensor.dtype == DType::Bool => {
            (DType::Bool, text::truth(integers(&tensor)? != [0]).to_owned())
        }
        Some(tensor) if tensor.dtype.is_integer() => (tensor.dtype, first(&integers(&tensor)?)?.to_string()),
        Some(tensor) => (tensor.dtype, text::float(*first(&numbers(&tensor)?)?)),
    };
    let spelled = text::dtype(dtype).ok_or_else(|| format!("torch has no {dtype}"))?;
    w.learn(0, Some(dtype), rank.map(|r| r as usize));
    let of_type = if dtype == DType::F32 { String::new() } else { format!(", dtype={spelled}") };
    w.give(format!("torch.full({sizes}, {value}{of_type})"))
}

fn first<T>(items: &[T]) -> Ruled<&T> {
    items.first().ok_or_else(|| "its value has no element".into())
}

fn range(w: &mut Work<'_, '_>) -> Ruled {
    let (start, limit, delta, dtype) = (w.x(0)?, w.x(1)?, w.x(2)?, w.dtype(0));
    w.learn(0, dtype, Some(1));
    let help = w.help("range_");
    w.give(format!("{help}({start}, {limit}, {delta})"))
}

fn eye_like(w: &mut Work<'_, '_>) -> Ruled {
    let x = w.x(0)?;
    let of_type = match w.node.attribute("dtype") {
        Some(_) => type_of(w, "dtype", DType::F32)?.1.to_owned(),
        None => format!("{x}.dtype"),
    };
    let help = w.help("eye_like");
    w.give(format!("{help}({x}, {}, {of_type})", w.int("k", 0)))
}

/// `a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N)`; N is one less where the window is symmetric.
fn cosine_window(w: &mut Work<'_, '_>, terms: &[f64]) -> Ruled {
    let (size, (_, spelled)) = (w.x(0)?, type_of(w, "output_datatype", DType::F32)?);
    let periodic = text::truth(w.int("periodic", 1) != 0);
    let help = w.help("cosine_window");
    let terms = super::index::floats(terms);
    w.give(format!("{help}(int({size}), {terms}, {periodic}, {spelled})"))
}
