//! Operators that move elements and change none.

use super::array::{Data, broadcast, broadcast_strides, counted, strides, walk};
use super::{Array, Call, Evaluate, at};

pub(super) fn operator(op: &str) -> Option<Evaluate> {
    Some(match op {
        "Reshape" => reshape,
        "Flatten" => flatten,
        "Squeeze" => squeeze,
        "Unsqueeze" => unsqueeze,
        "Transpose" => transpose,
        "Concat" => concat,
        "Slice" => slice,
        "Gather" => gather,
        "GatherND" => gather_nd,
        "GatherElements" => gather_elements,
        "ScatterND" => scatter_nd,
        "Expand" => expand,
        "Tile" => tile,
        "Split" => split,
        "Pad" => pad,
        _ => return None,
    })
}

fn shaped(x: &Array, shape: Vec<usize>) -> Result<Vec<Array>, String> {
    if counted(&shape)? != x.count() {
        return Err(format!("{:?} as {shape:?}", x.shape));
    }
    Ok(vec![Array { dtype: x.dtype, shape, data: x.data.clone() }])
}

fn reshape(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let asked = call.ints_or_input("shape", 1).ok_or("no shape")?;
    shaped(x, sizes(&x.shape, &asked, call.int("allowzero") == Some(1))?)
}

/// The shape that a Reshape gives.
pub(crate) fn sizes(from: &[usize], asked: &[i64], allow_zero: bool) -> Result<Vec<usize>, String> {
    let fault = || format!("{from:?} as {asked:?}");
    let mut open = None;
    let mut shape = Vec::with_capacity(asked.len());
    for (i, &n) in asked.iter().enumerate() {
        shape.push(match n {
            0 if !allow_zero => *from.get(i).ok_or_else(fault)?,
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            n => usize::try_from(n).map_err(|_| fault())?,
        });
    }
    if let Some(open) = open {
        let count: usize = from.iter().product();
        let rest = counted(&shape).ok().filter(|&n| n > 0).ok_or_else(fault)?;
        shape[open] = count / rest;
    }
    Ok(shape)
}

fn flatten(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let rank = x.shape.len() as i64;
    let axis = call.int("axis").unwrap_or(1);
    let axis = if axis < 0 { axis + rank } else { axis };
    if !(0..=rank).contains(&axis) {
        return Err(format!("axis {axis}"));
    }
    let (front, back) = x.shape.split_at(axis as usize);
    shaped(x, vec![front.iter().product(), back.iter().product()])
}

fn squeeze(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let rank = x.shape.len();
    let mut gone: Vec<bool> = x.shape.iter().map(|&n| n == 1).collect();
    if let Some(axes) = call.ints_or_input("axes", 1) {
        gone = vec![false; rank];
        for axis in axes {
            gone[at(axis, rank)?] = true;
        }
    }
    shaped(x, (0..rank).filter(|&i| !gone[i]).map(|i| x.shape[i]).collect())
}

fn unsqueeze(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let axes = call.ints_or_input("axes", 1).ok_or("no axes")?;
    let rank = x.shape.len() + axes.len();
    let mut new = vec![false; rank];
    for axis in axes {
        new[at(axis, rank)?] = true;
    }
    let mut old = x.shape.iter().copied();
    let shape = new.iter().map(|&new| if new { Some(1) } else { old.next() }).collect::<Option<Vec<_>>>();
    shaped(x, shape.ok_or("an axis twice")?)
}

fn transpose(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let rank = x.shape.len();
    let perm = call.ints("perm").unwrap_or_else(|| (0..rank as i64).rev().collect());
    let perm: Vec<usize> = perm.iter().map(|&axis| at(axis, rank)).collect::<Result<_, _>>()?;
    if perm.len() != rank {
        return Err("a permutation of another rank".into());
    }
    let own = strides(&x.shape);
    let shape: Vec<usize> = perm.iter().map(|&axis| x.shape[axis]).collect();
    let places = walk(&shape, 0, &perm.iter().map(|&axis| own[axis] as isize).collect::<Vec<_>>());
    Ok(vec![x.pick(shape, places.into_iter())])
}

fn concat(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let parts: Vec<&Array> = call.inputs.iter().copied().flatten().collect();
    let first = call.input(0)?;
    let axis = call.axis(call.int("axis").ok_or("no axis")?, first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for part in &parts {
        let mut like = part.shape.clone();
        if like.len() != shape.len() || part.dtype != first.dtype {
            return Err("parts that do not go together".into());
        }
        shape[axis] += std::mem::take(&mut like[axis]);
        if like.iter().zip(&shape).enumerate().any(|(i, (a, b))| i != axis && a != b) {
            return Err("parts that do not go together".into());
        }
    }
    let count = counted(&shape)?;
    let rows: usize = shape[..axis].iter().product();
    let width = |part: &Array| part.shape[axis..].iter().product::<usize>();
    let mut data = match first.data {
        Data::Ints(_) => Data::Ints(Vec::with_capacity(count)),
        Data::Floats(_) => Data::Floats(Vec::with_capacity(count)),
    };
    for row in 0..rows {
        for part in &parts {
            let n = width(part);
            match (&mut data, &part.data) {
                (Data::Ints(into), Data::Ints(from)) => into.extend_from_slice(&from[row * n..][..n]),
                (Data::Floats(into), Data::Floats(from)) => into.extend_from_slice(&from[row * n..][..n]),
                _ => return Err("parts of different kinds".into()),
            }
        }
    }
    Ok(vec![Array { dtype: first.dtype, shape, data }])
}

fn slice(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let rank = x.shape.len();
    let starts = call.ints_or_input("starts", 1).ok_or("no starts")?;
    let ends = call.ints_or_input("ends", 2).ok_or("no ends")?;
    let axes = call.ints_or_input("axes", 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.ints_or_input("steps", 4).unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("bounds of different lengths".into());
    }
    let own = strides(&x.shape);
    let (mut shape, mut start) = (x.shape.clone(), 0isize);
    let mut steps_of: Vec<isize> = own.iter().map(|&n| n as isize).collect();
    for i in 0..starts.len() {
        let axis = at(axes[i], rank)?;
        let (first, count) =
            bounds(x.shape[axis] as i64, starts[i], ends[i], steps[i]).ok_or("steps of 0")?;
        shape[axis] = count as usize;
        start += first as isize * own[axis] as isize;
        steps_of[axis] *= steps[i] as isize;
    }
    let places = walk(&shape, start, &steps_of);
    Ok(vec![x.pick(shape, places.into_iter())])
}

/// First index and number of indices that a slice takes of a dimension; `None` for steps of 0.
pub(crate) fn bounds(size: i64, start: i64, end: i64, step: i64) -> Option<(i64, i64)> {
    let from_front = |i: i64| if i < 0 { i.saturating_add(size) } else { i };
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let start = from_front(start).clamp(low.max(0), high.max(0));
    let end = from_front(end).clamp(low, high);
    let distance = i128::from(end) - i128::from(start);
    let step = i128::from(step);
    if step == 0 {
        return None;
    }
    let count = ((distance + step - step.signum()) / step).max(0);
    Some((if count == 0 || size == 0 { 0 } else { start }, if size == 0 { 0 } else { count as i64 }))
}

fn gather(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let axis = call.axis(call.int("axis").unwrap_or(0), x.shape.len())?;
    let picked = indices.integers().ok_or("indices that are no whole numbers")?;
    let picked: Vec<usize> = picked.iter().map(|&i| at(i, x.shape[axis])).collect::<Result<_, _>>()?;
    let shape: Vec<usize> =
        x.shape[..axis].iter().chain(&indices.shape).chain(&x.shape[axis + 1..]).copied().collect();
    counted(&shape)?;
    let rows: usize = x.shape[..axis].iter().product();
    let width: usize = x.shape[axis + 1..].iter().product();
    let size = x.shape[axis];
    let places = (0..rows).flat_map(|row| {
        picked.iter().flat_map(move |&i| (0..width).map(move |k| (row * size + i) * width + k))
    });
    Ok(vec![x.pick(shape, places)])
}

fn gather_nd(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    if call.int("batch_dims").unwrap_or(0) != 0 {
        return Err("batches".into());
    }
    let (shape, places) = nd_places(x, indices)?;
    Ok(vec![x.pick(shape, places.into_iter())])
}

/// Where the slices stand that the last dimension of `indices` points at, element by element, and their common shape.
fn nd_places(x: &Array, indices: &Array) -> Result<(Vec<usize>, Vec<usize>), String> {
    let all = indices.integers().ok_or("indices that are no whole numbers")?;
    let depth = *indices.shape.last().ok_or("indices without dimensions")?;
    if depth > x.shape.len() {
        return Err("more indices than dimensions".into());
    }
    let own = strides(&x.shape);
    let width: usize = x.shape[depth..].iter().product();
    let shape: Vec<usize> =
        indices.shape[..indices.shape.len() - 1].iter().chain(&x.shape[depth..]).copied().collect();
    let mut places = Vec::with_capacity(counted(&shape)?);
    let count: usize = indices.shape[..indices.shape.len() - 1].iter().product();
    for n in 0..count {
        let mut start = 0;
        for (k, &i) in all[n * depth..][..depth].iter().enumerate() {
            start += at(i, x.shape[k])? * own[k];
        }
        places.extend(start..start + width);
    }
    Ok((shape, places))
}

fn gather_elements(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (x, indices) = (call.input(0)?, call.input(1)?);
    let axis = call.axis(call.int("axis").unwrap_or(0), x.shape.len())?;
    let all = indices.integers().ok_or("indices that are no whole numbers")?;
    if indices.shape.len() != x.shape.len() {
        return Err("indices of another rank".into());
    }
    let own: Vec<isize> = strides(&x.shape).iter().map(|&n| n as isize).collect();
    let mut without = own.clone();
    without[axis] = 0;
    let mut places = walk(&indices.shape, 0, &without);
    for (place, &i) in places.iter_mut().zip(all) {
        *place += at(i, x.shape[axis])? * own[axis] as usize;
    }
    if places.iter().any(|&place| place >= x.count()) {
        return Err("indices beyond the tensor".into());
    }
    Ok(vec![x.pick(indices.shape.clone(), places.into_iter())])
}

fn scatter_nd(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (x, indices, updates) = (call.input(0)?, call.input(1)?, call.input(2)?);
    if call.node.attribute("reduction").and_then(weighbridge_model::Value::as_str).unwrap_or("none") != "none"
    {
        return Err("a reduction".into());
    }
    let (shape, places) = nd_places(x, indices)?;
    if shape != updates.shape {
        return Err(format!("updates of {:?} for {shape:?}", updates.shape));
    }
    let mut result = x.clone();
    match (&mut result.data, &updates.data) {
        (Data::Ints(into), Data::Ints(from)) => places.iter().zip(from).for_each(|(&i, &x)| into[i] = x),
        (Data::Floats(into), Data::Floats(from)) => places.iter().zip(from).for_each(|(&i, &x)| into[i] = x),
        _ => return Err("updates of another kind".into()),
    }
    Ok(vec![result])
}

fn spread(x: &Array, to: Vec<usize>) -> Result<Vec<Array>, String> {
    counted(&to)?;
    let places = walk(&to, 0, &broadcast_strides(&x.shape, &to));
    Ok(vec![x.pick(to, places.into_iter())])
}

fn expand(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let asked = call.input(1)?.integers().ok_or("sizes that are no whole numbers")?;
    let asked: Option<Vec<usize>> = asked.iter().map(|&n| usize::try_from(n).ok()).collect();
    spread(x, broadcast(&x.shape, &asked.ok_or("a negative size")?)?)
}

fn tile(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (x, repeats) = (call.input(0)?, call.input(1)?);
    let repeats = repeats.integers().ok_or("repeats that are no whole numbers")?;
    let repeats: Option<Vec<usize>> = repeats.iter().map(|&n| usize::try_from(n).ok()).collect();
    let repeats = repeats.filter(|r| r.len() == x.shape.len()).ok_or("repeats that do not fit")?;
    let shape: Option<Vec<usize>> = x.shape.iter().zip(&repeats).map(|(n, r)| n.checked_mul(*r)).collect();
    let shape = shape.ok_or("more elements than are folded")?;
    let count = counted(&shape)?;
    let (own, of) = (strides(&x.shape), strides(&shape));
    let place =
        |i: usize| (0..shape.len()).map(|k| i / of[k] % shape[k] % x.shape[k] * own[k]).sum::<usize>();
    Ok(vec![x.pick(shape.clone(), (0..count).map(place))])
}

fn split(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let axis = call.axis(call.int("axis").unwrap_or(0), x.shape.len())?;
    let outputs = call.node.outputs.len();
    let size = x.shape[axis];
    let parts: Vec<usize> = match call.ints_or_input("split", 1) {
        Some(parts) => parts
            .iter()
            .map(|&n| usize::try_from(n).map_err(|_| "a negative size"))
            .collect::<Result<_, _>>()?,
        None => {
            let each = size.div_ceil(outputs.max(1));
            (0..outputs).map(|i| each.min(size.saturating_sub(i * each))).collect()
        }
    };
    if parts.len() != outputs || parts.iter().sum::<usize>() != size {
        return Err("parts that do not fit".into());
    }
    let own: Vec<isize> = strides(&x.shape).iter().map(|&n| n as isize).collect();
    let mut start = 0;
    let each = parts.iter().map(|&n| {
        let mut shape = x.shape.clone();
        shape[axis] = n;
        let places = walk(&shape, start * own[axis], &own);
        start += n as isize;
        x.pick(shape, places.into_iter())
    });
    Ok(each.collect())
}

fn pad(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let rank = x.shape.len();
    let mode = call.node.attribute("mode").and_then(weighbridge_model::Value::as_str).unwrap_or("constant");
    let pads = call.ints_or_input("pads", 1).ok_or("no pads")?;
    if mode != "constant"
        || pads.len() != 2 * rank
        || pads.iter().any(|&n| n < 0)
        || call.optional(3).is_some()
    {
        return Err("pads of another kind than constants around all sides".into());
    }
    let shape: Vec<usize> =
        (0..rank).map(|i| x.shape[i] + pads[i] as usize + pads[rank + i] as usize).collect();
    let count = counted(&shape)?;
    let own: Vec<isize> = strides(&shape).iter().map(|&n| n as isize).collect();
    let start = (0..rank).map(|i| pads[i] as isize * own[i]).sum();
    let places = walk(&x.shape, start, &own);
    let data = match (&x.data, call.optional(2).map(|value| &value.data)) {
        (Data::Ints(from), value) => {
            let fill = if let Some(Data::Ints(v)) = value { v.first().copied().unwrap_or(0) } else { 0 };
            let mut all = vec![fill; count];
            places.iter().zip(from).for_each(|(&i, &x)| all[i] = x);
            Data::Ints(all)
        }
        (Data::Floats(from), value) => {
            let attribute = call.node.attribute("value").and_then(weighbridge_model::Value::as_float);
            let fill = if let Some(Data::Floats(v)) = value { v.first().copied() } else { attribute };
            let mut all = vec![super::cast::rounded(x.dtype, fill.unwrap_or(0.0)); count];
            places.iter().zip(from).for_each(|(&i, &x)| all[i] = x);
            Data::Floats(all)
        }
    };
    Ok(vec![Array { dtype: x.dtype, shape, data }])
}
