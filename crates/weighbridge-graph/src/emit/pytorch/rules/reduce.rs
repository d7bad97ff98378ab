//! Reductions over dimensions, and sums along one.

use weighbridge_model::DType;

use super::Row;
use crate::emit::pytorch::scope::{Ruled, Work};
use crate::emit::pytorch::text::{truth, tuple};

pub(super) const RULES: &[Row] = &[
    ("ReduceSum", |w| reduce(w, |x, rest, _| format!("{x}.sum({rest})"), true)),
    ("ReduceSumSquare", |w| reduce(w, |x, rest, _| format!("({x} * {x}).sum({rest})"), true)),
    ("ReduceL1", |w| reduce(w, |x, rest, _| format!("{x}.abs().sum({rest})"), true)),
    ("ReduceMax", |w| reduce(w, |x, rest, _| format!("{x}.amax({rest})"), false)),
    ("ReduceMin", |w| reduce(w, |x, rest, _| format!("{x}.amin({rest})"), false)),
    ("ReduceMean", mean),
    ("ReduceL2", |w| reduce(w, |x, rest, _| format!("torch.sqrt(({x} * {x}).sum({rest}))"), false)),
    ("ReduceLogSum", |w| reduce(w, |x, rest, _| format!("torch.log({x}.sum({rest}))"), false)),
    ("ReduceLogSumExp", |w| reduce(w, |x, rest, _| format!("torch.logsumexp({x}, {rest})"), false)),
    ("ReduceProd", prod),
    ("ArgMax", |w| arg(w, "argmax")),
    ("ArgMin", |w| arg(w, "argmin")),
    ("CumSum", |w| cumulative(w, "torch.cumsum")),
    ("CumProd", |w| cumulative(w, "torch.cumprod")),
];

/// The dimensions as text; `None` where nothing is reduced.
fn dims(w: &mut Work<'_, '_>, x: &str) -> Ruled<Option<String>> {
    let rank = w.rank(0);
    let all = match rank {
        Some(rank) => tuple(&(0..rank).collect::<Vec<_>>()),
        None => format!("tuple(range({x}.dim()))"),
    };
    let empty =
        |w: &Work<'_, '_>| if w.int("noop_with_empty_axes", 0) != 0 { None } else { Some(all.clone()) };
    let axes = match w.int_list("axes") {
        Some(axes) => axes,
        None if !w.has(1) => return Ok(empty(w)),
        None => match w.ints(1)? {
            Some(axes) => axes,
            None => {
                let axes = w.x(1)?;
                if w.int("noop_with_empty_axes", 0) != 0 {
                    return Err("axes that are computed, and may be none".into());
                }
                return Ok(Some(format!("{axes}.tolist() or {all}")));
            }
        },
    };
    if axes.is_empty() {
        return Ok(empty(w));
    }
    let axes: Vec<i64> = axes.into_iter().map(|a| w.axis(a, rank)).collect();
    Ok(Some(if let [one] = axes.as_slice() { one.to_string() } else { tuple(&axes) }))
}

fn learn(w: &mut Work<'_, '_>, keep: bool) {
    let (dtype, rank) = (w.dtype(0), w.rank(0));
    w.learn(0, dtype, if keep { rank } else { None });
}

/// `keeps_type`: sums of narrow whole numbers are wide ones in torch.
fn reduce(w: &mut Work<'_, '_>, of: impl Fn(&str, &str, &str) -> String, keeps_type: bool) -> Ruled {
    let (x, keep, floating) = (w.x(0)?, w.int("keepdims", 1) != 0, w.dtype(0).is_some_and(DType::is_float));
    learn(w, keep);
    let Some(dims) = dims(w, &x)? else {
        // Each element by itself, where no dimension is reduced.
        return w.give(of(&format!("{x}.unsqueeze(0)"), "dim=0", ""));
    };
    let dtype = if keeps_type && !floating { format!(", dtype={x}.dtype") } else { String::new() };
    let kept = if keep { ", keepdim=True" } else { "" };
    w.give(of(&x, &format!("dim={dims}{kept}{dtype}"), kept))
}

fn mean(w: &mut Work<'_, '_>) -> Ruled {
    match w.dtype(0).is_none_or(DType::is_float) {
        true => reduce(w, |x, rest, _| format!("{x}.mean({rest})"), false),
        false => reduce(w, |x, rest, _| format!("{x}.double().mean({rest}).to({x}.dtype)"), false),
    }
}

fn prod(w: &mut Work<'_, '_>) -> Ruled {
    let help = w.help("product");
    reduce(w, |x, rest, _| format!("{help}({x}, {rest})"), false)
}

fn arg(w: &mut Work<'_, '_>, method: &str) -> Ruled {
    let (x, rank, keep) = (w.x(0)?, w.rank(0), w.int("keepdims", 1) != 0);
    w.learn(0, Some(DType::I64), if keep { rank } else { rank.map(|r| r.saturating_sub(1)) });
    let axis = w.axis(w.int("axis", 0), rank);
    let kept = if keep { ", keepdim=True" } else { "" };
    match w.int("select_last_index", 0) != 0 {
        false => w.give(format!("{x}.{method}(dim={axis}{kept})")),
        true => w.give(format!("{x}.shape[{axis}] - 1 - {x}.flip({axis}).{method}(dim={axis}{kept})")),
    }
}

fn cumulative(w: &mut Work<'_, '_>, function: &str) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let axis = match w.ints(1)? {
        Some(axis) => axis.first().copied().unwrap_or(0).to_string(),
        None => format!("int({})", w.x(1)?),
    };
    let (exclusive, reverse) = (w.int("exclusive", 0) != 0, w.int("reverse", 0) != 0);
    if !exclusive && !reverse {
        return w.give(format!("{function}({x}, dim={axis}, dtype={x}.dtype)"));
    }
    let help = w.help("cumulative");
    w.give(format!(
        "{help}({function}, {x}, {axis}, exclusive={}, reverse={})",
        truth(exclusive),
        truth(reverse)
    ))
}
