//! Operators that make tensors from sizes and bounds, and tell of them.

use weighbridge_model::DType;

use super::array::{Data, counted};
use super::{Array, Call, Evaluate};

pub(super) fn operator(op: &str) -> Option<Evaluate> {
    Some(match op {
        "Shape" => shape,
        "Size" => |call| Ok(vec![Array::ints(DType::I64, vec![], vec![call.input(0)?.count() as i64])]),
        "Range" => range,
        "ConstantOfShape" => constant_of_shape,
        "Trilu" => trilu,
        "NonZero" => non_zero,
        _ => return None,
    })
}

fn shape(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let shape = &call.input(0)?.shape;
    let rank = shape.len() as i64;
    let bound = |index: i64| (if index < 0 { index + rank } else { index }).clamp(0, rank) as usize;
    let (start, end) = (bound(call.int("start").unwrap_or(0)), bound(call.int("end").unwrap_or(rank)));
    let sizes: Vec<i64> = shape[start..end.max(start)].iter().map(|&n| n as i64).collect();
    Ok(vec![Array::ints(DType::I64, vec![sizes.len()], sizes)])
}

fn range(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (start, limit, delta) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let count = |n: f64| -> Result<usize, String> {
        let n = if n > 0.0 { n } else { 0.0 };
        counted(&[if n < 1e15 { n as usize } else { usize::MAX }])
    };
    match (&start.data, &limit.data, &delta.data) {
        (Data::Ints(a), Data::Ints(b), Data::Ints(d)) => {
            let [a, b, d] = [a, b, d].map(|x| i128::from(x.first().copied().unwrap_or_default()));
            if d == 0 {
                return Err("a range with steps of 0".into());
            }
            let n = (b - a + d - d.signum()) / d;
            let n = count(n as f64)?;
            let all = (0..n as i128).map(|i| (a + i * d) as i64).collect();
            Ok(vec![Array::ints(start.dtype, vec![n], all)])
        }
        (Data::Floats(a), Data::Floats(b), Data::Floats(d))
            if start.dtype == DType::F64 || exact(&[a, b, d]) =>
        {
            let [a, b, d] = [a, b, d].map(|x| x.first().copied().unwrap_or_default());
            let n = count(((b - a) / d).ceil())?;
            Ok(vec![Array::floats(start.dtype, vec![n], (0..n).map(|i| a + i as f64 * d).collect())])
        }
        _ => Err("a range of fractions, which runtimes round differently".into()),
    }
}

/// Whether sums of these are whole numbers that even F32 holds.
fn exact(all: &[&Vec<f64>]) -> bool {
    all.iter().all(|x| x.first().is_some_and(|x| x.fract() == 0.0 && x.abs() < 16_777_216.0))
}

fn constant_of_shape(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let sizes = call.input(0)?.integers().ok_or("sizes that are no whole numbers")?;
    let shape: Option<Vec<usize>> = sizes.iter().map(|&n| usize::try_from(n).ok()).collect();
    let shape = shape.ok_or("a negative size")?;
    let count = counted(&shape)?;
    let has_value = !call.node.attributes.is_empty();
    let value = match call.attribute_tensor("value") {
        Some(value) => value,
        None if has_value => return Err("a value that is not read".into()),
        None => Array::floats(DType::F32, vec![1], vec![0.0]),
    };
    if value.count() != 1 {
        return Err("a value that is not one number".into());
    }
    Ok(vec![value.pick(shape, std::iter::repeat_n(0, count))])
}

fn trilu(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let [.., rows, columns] = x.shape[..] else { return Err("fewer than two dimensions".into()) };
    let k = call.optional(1).and_then(|k| k.integers()?.first().copied()).unwrap_or(0);
    let upper = call.int("upper").unwrap_or(1) != 0;
    let kept = |i: usize| {
        let (row, column) = ((i / columns % rows) as i64, (i % columns) as i64);
        if upper { column >= row + k } else { column <= row + k }
    };
    let mut result = x.clone();
    match &mut result.data {
        Data::Ints(all) => all.iter_mut().enumerate().filter(|(i, _)| !kept(*i)).for_each(|(_, x)| *x = 0),
        Data::Floats(all) => {
            all.iter_mut().enumerate().filter(|(i, _)| !kept(*i)).for_each(|(_, x)| *x = 0.0)
        }
    }
    Ok(vec![result])
}

fn non_zero(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let places: Vec<usize> = match &x.data {
        Data::Ints(all) => (0..all.len()).filter(|&i| all[i] != 0).collect(),
        Data::Floats(all) => (0..all.len()).filter(|&i| all[i] != 0.0).collect(),
    };
    let rank = x.shape.len();
    if rank == 0 {
        return Err("NonZero of a scalar".into());
    }
    let mut all = Vec::with_capacity(rank * places.len());
    let strides = super::array::strides(&x.shape);
    for (stride, size) in strides.iter().zip(&x.shape) {
        all.extend(places.iter().map(|p| (p / stride % size) as i64));
    }
    Ok(vec![Array::ints(DType::I64, vec![rank, places.len()], all)])
}
