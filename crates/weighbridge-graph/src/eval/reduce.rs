//! Sums, products and extremes along dimensions.

use super::array::{Data, counted, strides, walk};
use super::{Array, Call, Evaluate, at};

pub(super) fn operator(op: &str) -> Option<Evaluate> {
    match op {
        "ReduceSum" | "ReduceProd" | "ReduceMax" | "ReduceMin" | "ReduceMean" => Some(reduce),
        "CumSum" => Some(cumulated),
        _ => None,
    }
}

fn reduce(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (op, x) = (call.node.op.as_str(), call.input(0)?);
    let rank = x.shape.len();
    let axes = call.ints_or_input("axes", 1).unwrap_or_default();
    if axes.is_empty() && call.int("noop_with_empty_axes") == Some(1) {
        return Ok(vec![x.clone()]);
    }
    let mut along = vec![axes.is_empty(); rank];
    for axis in axes {
        along[at(axis, rank)?] = true;
    }
    let keep = call.int("keepdims").unwrap_or(1) != 0;
    let own = strides(&x.shape);
    let of = |within: bool| -> (Vec<usize>, Vec<isize>) {
        let picked = (0..rank).filter(|&i| along[i] == within);
        picked.map(|i| (x.shape[i], own[i] as isize)).unzip()
    };
    let ((outer, outer_strides), (inner, inner_strides)) = (of(false), of(true));
    let shape: Vec<usize> =
        (0..rank).filter(|&i| keep || !along[i]).map(|i| if along[i] { 1 } else { x.shape[i] }).collect();
    counted(&shape)?;
    let within = walk(&inner, 0, &inner_strides);
    if within.is_empty() {
        return Err("a reduction over nothing".into());
    }
    let starts = walk(&outer, 0, &outer_strides);
    match &x.data {
        Data::Ints(all) => {
            let one = |start: &usize| {
                let items = within.iter().map(|i| all[start + i]);
                match op {
                    "ReduceSum" => Some(items.fold(0, i64::wrapping_add)),
                    "ReduceProd" => Some(items.fold(1, i64::wrapping_mul)),
                    "ReduceMax" => items.max(),
                    "ReduceMin" => items.min(),
                    _ => None,
                }
            };
            let all: Option<Vec<i64>> = starts.iter().map(one).collect();
            Ok(vec![Array::ints(x.dtype, shape, all.ok_or("a mean of whole numbers")?)])
        }
        Data::Floats(all) => {
            let one = |start: &usize| {
                let items = within.iter().map(|i| all[start + i]);
                match op {
                    "ReduceSum" => items.sum(),
                    "ReduceProd" => items.product(),
                    "ReduceMax" => items.fold(f64::NEG_INFINITY, f64::max),
                    "ReduceMin" => items.fold(f64::INFINITY, f64::min),
                    _ => items.sum::<f64>() / within.len() as f64,
                }
            };
            if all.iter().any(|x| x.is_nan()) {
                return Err("a reduction over NaN".into());
            }
            let result = Array::floats(x.dtype, shape, starts.iter().map(one).collect());
            if result.has_infinite() && !x.has_infinite() {
                return Err(format!("it would overflow {}", x.dtype));
            }
            Ok(vec![result])
        }
    }
}

fn cumulated(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (x, axis) = (call.input(0)?, call.input(1)?);
    let axis = axis.integers().and_then(|a| a.first().copied()).ok_or("no axis")?;
    let axis = at(axis, x.shape.len())?;
    if call.int("exclusive").unwrap_or(0) != 0 || call.int("reverse").unwrap_or(0) != 0 {
        return Err("exclusive or reverse".into());
    }
    let step = strides(&x.shape)[axis];
    let Data::Ints(all) = &x.data else { return Err("running sums of fractions".into()) };
    let mut all = all.clone();
    for i in 0..all.len() {
        if !(i / step).is_multiple_of(x.shape[axis]) {
            all[i] = all[i].wrapping_add(all[i - step]);
        }
    }
    Ok(vec![Array::ints(x.dtype, x.shape.clone(), all)])
}
