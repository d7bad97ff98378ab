//! Shapes: asked for, computed with and changed. Shapes are small tensors on the CPU, as they are in ONNX.

use weighbridge_model::DType;

use super::Row;
use crate::emit::pytorch::scope::{Ruled, Work};
use crate::emit::pytorch::text::{float, joined, list, tuple};
use crate::emit::pytorch::views::{transposed, unsqueezed};

pub(super) const RULES: &[Row] = &[
    ("Shape", shape),
    ("Size", size),
    ("Reshape", reshape),
    ("Flatten", flatten),
    ("Squeeze", squeeze),
    ("Unsqueeze", unsqueeze),
    ("Transpose", transpose),
    ("Concat", concat),
    ("Split", split),
    ("Expand", expand),
    ("Tile", tile),
    ("Pad", pad),
    ("Slice", slice),
    ("DepthToSpace", depth_to_space),
    ("SpaceToDepth", space_to_depth),
    ("CenterCropPad", center_crop_pad),
];

fn shape(w: &mut Work<'_, '_>) -> Ruled {
    let x = w.x(0)?;
    w.learn(0, Some(DType::I64), Some(1));
    let (start, end) =
        (w.int("start", 0), w.node.attribute("end").and_then(weighbridge_model::Value::as_int));
    let part = match (start, end) {
        (0, None) => String::new(),
        (0, Some(end)) => format!("[:{end}]"),
        (start, None) => format!("[{start}:]"),
        (start, Some(end)) => format!("[{start}:{end}]"),
    };
    w.give(format!("torch.tensor({x}.shape{part}, dtype=torch.int64)"))
}

fn size(w: &mut Work<'_, '_>) -> Ruled {
    let x = w.x(0)?;
    w.learn(0, Some(DType::I64), Some(0));
    w.give(format!("torch.tensor({x}.numel())"))
}

/// A size of 0 is the input's own, unless `allowzero`.
fn reshape(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype) = (w.x(0)?, w.dtype(0));
    let told = match w.int_list("shape") {
        Some(shape) => Some(shape),
        None => w.ints(1)?,
    };
    let zero = w.int("allowzero", 0) != 0;
    match told {
        Some(shape) => {
            w.learn(0, dtype, Some(shape.len()));
            if shape.is_empty() {
                return w.give(format!("{x}.reshape(())"));
            }
            let own = |(i, &n): (usize, &i64)| {
                if n == 0 && !zero { format!("{x}.shape[{i}]") } else { n.to_string() }
            };
            let sizes: Vec<String> = shape.iter().enumerate().map(own).collect();
            w.give(format!("{x}.reshape({})", joined(&sizes)))
        }
        None => {
            let known = w.known(1).dims.and_then(|d| d.first().copied().flatten());
            w.learn(0, dtype, known.map(|n| n as usize));
            let sizes = w.x(1)?;
            if zero {
                return w.give(format!("{x}.reshape({sizes}.tolist())"));
            }
            let help = w.help("reshape");
            w.give(format!("{help}({x}, {sizes}.tolist())"))
        }
    }
}

fn flatten(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, Some(2));
    let axis = w.axis(w.int("axis", 1), rank);
    match (axis, rank) {
        (1, Some(2..)) => w.give(format!("torch.flatten({x}, 1)")),
        (0, _) => w.give(format!("{x}.reshape(1, -1)")),
        _ => {
            let help = w.help("flatten");
            w.give(format!("{help}({x}, {axis})"))
        }
    }
}

/// Axes of an attribute or an input; `None` where there are none, an expression where they are computed.
fn axes(w: &mut Work<'_, '_>) -> Ruled<Option<Result<Vec<i64>, String>>> {
    if let Some(axes) = w.int_list("axes") {
        return Ok(Some(Ok(axes)));
    }
    if !w.has(1) {
        return Ok(None);
    }
    Ok(Some(match w.ints(1)? {
        Some(axes) => Ok(axes),
        None => Err(format!("{}.tolist()", w.x(1)?)),
    }))
}

fn squeeze(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    match axes(w)? {
        None => {
            w.learn(0, dtype, None);
            w.give(format!("{x}.squeeze()"))
        }
        Some(Ok(axes)) => {
            w.learn(0, dtype, rank.map(|r| r.saturating_sub(axes.len())));
            if let [one] = axes.as_slice() {
                w.give(format!("{x}.squeeze({one})"))
            } else {
                w.give(format!("{x}.squeeze({})", tuple(&axes)))
            }
        }
        Some(Err(axes)) => w.give(format!("{x}.squeeze(tuple({axes}))")),
    }
}

/// Axes are those of the result.
fn unsqueeze(w: &mut Work<'_, '_>) -> Ruled {
    if let (Some(tensor), Some(output), Some(Ok(mut places))) =
        (w.constant(0).cloned(), w.output(0), axes(w)?)
    {
        places.sort_unstable();
        let view = unsqueezed(&tensor, &places).filter(|_| !w.scope.graph.outputs.contains(&output));
        if let Some(view) = view {
            w.scope.constant(output, view);
            return Ok(());
        }
    }
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    match axes(w)? {
        Some(Ok(mut axes)) => {
            w.learn(0, dtype, rank.map(|r| r + axes.len()));
            if axes.len() == 1 || axes.iter().all(|&a| a >= 0) && axes.len() <= 4 {
                axes.sort_unstable();
                let calls: Vec<String> = axes.iter().map(|a| format!(".unsqueeze({a})")).collect();
                return w.give(format!("{x}{}", calls.concat()));
            }
            let help = w.help("unsqueeze");
            w.give(format!("{help}({x}, {})", list(&axes)))
        }
        Some(Err(axes)) => {
            let help = w.help("unsqueeze");
            w.give(format!("{help}({x}, {axes})"))
        }
        None => Err("it has no axes".into()),
    }
}

/// A constant in another order is a constant.
fn transpose(w: &mut Work<'_, '_>) -> Ruled {
    let (dtype, rank) = (w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let perm = w.int_list("perm").or_else(|| rank.map(|r| (0..r as i64).rev().collect()));
    if let (Some(tensor), Some(perm), Some(output)) = (w.constant(0), &perm, w.output(0)) {
        let order: Option<Vec<usize>> =
            perm.iter().map(|&p| usize::try_from(p).ok().filter(|&p| p < tensor.shape.len())).collect();
        if let Some(order) = order.filter(|o| o.len() == tensor.shape.len())
            && matches!(tensor.layout, weighbridge_model::Layout::Strided(_))
            && !w.scope.graph.outputs.contains(&output)
        {
            let tensor = transposed(tensor, &order);
            w.scope.constant(output, tensor);
            return Ok(());
        }
    }
    let x = w.x(0)?;
    match perm {
        Some(perm) if perm.is_empty() => w.give(x),
        Some(perm) => w.give(format!("{x}.permute({})", joined(&perm))),
        None => w.give(format!("{x}.permute(*reversed(range({x}.dim())))")),
    }
}

fn concat(w: &mut Work<'_, '_>) -> Ruled {
    let (all, dtype, rank) = (w.all()?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let axis = w.axis(w.int("axis", 1), rank);
    if all.is_empty() {
        return Err("it has no input".into());
    }
    w.give(format!("torch.cat({}, dim={axis})", list(&all)))
}

fn split(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    let axis = w.axis(w.int("axis", 0), rank);
    let count = w.node.outputs.len();
    (0..count).for_each(|i| w.learn(i, dtype, rank));
    let sizes = match w.int_list("split") {
        Some(sizes) => Some(list(&sizes)),
        None if w.has(1) => Some(w.list(1)?),
        None => None,
    };
    let call = match sizes {
        Some(sizes) => format!("torch.split({x}, {sizes}, dim={axis})"),
        None => format!("torch.chunk({x}, {count}, dim={axis})"),
    };
    if count == 1 { w.give(format!("{call}[0]")) } else { w.give_first(count, call) }
}

fn expand(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype) = (w.x(0)?, w.dtype(0));
    let rank = w.rank(0).zip(w.known(1).dims.and_then(|d| d.first().copied().flatten()));
    w.learn(0, dtype, rank.map(|(a, b)| a.max(b as usize)));
    let sizes = w.list(1)?;
    w.give(format!("{x}.expand(torch.broadcast_shapes({x}.shape, {sizes}))"))
}

fn tile(w: &mut Work<'_, '_>) -> Ruled {
    if w.scope.opset < 6 {
        return Err("tiles along one axis, as before version 6".into());
    }
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let repeats = w.list(1)?;
    w.give(format!("{x}.repeat({repeats})"))
}

fn pad(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let mode = w.word("mode", "constant");
    if !["constant", "reflect", "edge", "wrap"].contains(&mode) {
        return Err(format!("mode is '{mode}', of which nothing is known").into());
    }
    let told = w.int_list("pads").or_else(|| w.int_list("paddings"));
    let pads = match &told {
        Some(pads) => Some(pads.clone()),
        None => w.ints(1)?,
    };
    let value = match w.floats(2) {
        _ if told.is_some() => float(w.float("value", 0.0)),
        Ok(Some(value)) if dtype.is_some_and(|t| t.is_float()) => {
            float(value.first().copied().unwrap_or(0.0))
        }
        Ok(Some(value)) => (value.first().copied().unwrap_or(0.0) as i64).to_string(),
        _ if w.has(2) => format!("{}.item()", w.x(2)?),
        _ if dtype.is_none_or(|t| t.is_float()) => "0.0".into(),
        _ => "0".into(),
    };
    if let (Some(pads), false, "constant") = (&pads, w.has(3), mode)
        && pads.len() % 2 == 0
        && dtype != Some(DType::Bool)
    {
        let half = pads.len() / 2;
        let mut pairs: Vec<i64> = (0..half).rev().flat_map(|i| [pads[i], pads[half + i]]).collect();
        while pairs.len() > 2 && pairs.ends_with(&[0, 0]) {
            pairs.truncate(pairs.len() - 2);
        }
        let value = if value == "0.0" || value == "0" { String::new() } else { format!(", value={value}") };
        return w.give(format!("F.pad({x}, {}{value})", tuple(&pairs)));
    }
    let pads = match pads {
        Some(pads) => list(&pads),
        None => w.list(1)?,
    };
    let axes = if w.has(3) { w.list(3)? } else { "None".into() };
    let help = w.help("pad");
    w.give(format!("{help}({x}, {pads}, \"{mode}\", {value}, {axes})"))
}

/// Python's slices clamp as ONNX's do, and have no negative steps in torch.
fn slice(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let constant = |w: &Work<'_, '_>, name: &str, index: usize| -> Ruled<Option<Vec<i64>>> {
        if w.scope.opset < 10 { Ok(w.int_list(name)) } else { w.ints(index) }
    };
    let (starts, ends) = (constant(w, "starts", 1)?, constant(w, "ends", 2)?);
    let (axes, steps) = (constant(w, "axes", 3)?, constant(w, "steps", 4)?);
    let computed = w.scope.opset >= 10
        && [&starts, &ends, &axes, &steps].iter().enumerate().any(|(i, l)| l.is_none() && w.has(i + 1));
    if let (Some(starts), Some(ends), false) = (&starts, &ends, computed) {
        let axes = axes.clone().unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = steps.clone().unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()].iter().any(|&n| n != starts.len()) {
            return Err("starts, ends, axes and steps are not as many".into());
        }
        let axes: Vec<i64> = axes.iter().map(|&a| w.axis(a, rank)).collect();
        let plain = steps.iter().all(|&s| s > 0);
        if let Some(text) = plain.then(|| indexed(starts, ends, &axes, &steps)).flatten() {
            return w.give(format!("{x}[{text}]"));
        }
    }
    let given = |w: &mut Work<'_, '_>, told: Option<Vec<i64>>, index: usize| -> Ruled<String> {
        match told {
            Some(numbers) => Ok(list(&numbers)),
            None if w.has(index) => w.list(index),
            None => Ok("None".into()),
        }
    };
    let (starts, ends) = (given(w, starts, 1)?, given(w, ends, 2)?);
    let (axes, steps) = (given(w, axes, 3)?, given(w, steps, 4)?);
    let help = w.help("slice_");
    w.give(format!("{help}({x}, {starts}, {ends}, {axes}, {steps})"))
}

/// `:, 1:3`, or `..., 1:3` for the last dimension; `None` where dimensions cannot be told.
fn indexed(starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]) -> Option<String> {
    const OPEN: i64 = i32::MAX as i64;
    let one = |i: usize| {
        let start = if starts[i] == 0 { String::new() } else { starts[i].to_string() };
        let end = if ends[i] >= OPEN { String::new() } else { ends[i].to_string() };
        let step = if steps[i] == 1 { String::new() } else { format!(":{}", steps[i]) };
        format!("{start}:{end}{step}")
    };
    if axes == [-1] {
        return Some(format!("..., {}", one(0)));
    }
    let last = *axes.iter().max()?;
    if axes.iter().any(|&a| a < 0) || last > 7 {
        return None;
    }
    let mut parts = vec![":".to_owned(); last as usize + 1];
    for (i, &axis) in axes.iter().enumerate() {
        if parts[axis as usize] != ":" {
            return None;
        }
        parts[axis as usize] = one(i);
    }
    Some(parts.join(", "))
}

fn depth_to_space(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, block) = (w.x(0)?, w.dtype(0), w.int("blocksize", 1));
    w.learn(0, dtype, Some(4));
    match w.word("mode", "DCR") {
        "CRD" => w.give(format!("F.pixel_shuffle({x}, {block})")),
        "DCR" => {
            let help = w.help("depth_to_space");
            w.give(format!("{help}({x}, {block})"))
        }
        other => Err(format!("mode is '{other}': DCR and CRD are known").into()),
    }
}

fn space_to_depth(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, block) = (w.x(0)?, w.dtype(0), w.int("blocksize", 1));
    w.learn(0, dtype, Some(4));
    match w.word("mode", "DCR") {
        "DCR" => {
            let help = w.help("space_to_depth");
            w.give(format!("{help}({x}, {block})"))
        }
        "CRD" => w.give(format!("F.pixel_unshuffle({x}, {block})")),
        other => Err(format!("mode is '{other}': DCR and CRD are known").into()),
    }
}

fn center_crop_pad(w: &mut Work<'_, '_>) -> Ruled {
    let (x, sizes, dtype, rank) = (w.x(0)?, w.list(1)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let axes = w.int_list("axes").map_or_else(|| "None".to_owned(), |a| list(&a));
    let help = w.help("center_crop_pad");
    w.give(format!("{help}({x}, {sizes}, {axes})"))
}
