//! Picking, putting and ordering elements.

use weighbridge_model::{DType, Role};

use super::Row;
use crate::emit::pytorch::scope::{Part, Ruled, Work};
use crate::emit::pytorch::text::{float, list, truth};
use crate::emit::pytorch::views::of_type;

pub(super) const RULES: &[Row] = &[
    ("Gather", gather),
    ("GatherElements", gather_elements),
    ("GatherND", gather_nd),
    ("Scatter", scatter_elements),
    ("ScatterElements", scatter_elements),
    ("ScatterND", scatter_nd),
    ("NonZero", non_zero),
    ("Compress", compress),
    ("TopK", top_k),
    ("OneHot", one_hot),
    ("Trilu", trilu),
    ("ReverseSequence", reverse_sequence),
    ("Unique", unique),
];

fn gather(w: &mut Work<'_, '_>) -> Ruled {
    let (dtype, rank, picked) = (w.dtype(0), w.rank(0), w.rank(1));
    w.learn(0, dtype, rank.zip(picked).map(|(a, b)| (a + b).saturating_sub(1)));
    let axis = w.axis(w.int("axis", 0), rank);
    let chosen = w.ints(1).ok().flatten();
    if let (Some(table), 0, None) = (w.constant(0), axis, &chosen)
        && table.shape.len() == 2
        && table.dtype.is_float()
        && table.role == Role::Parameter
    {
        let table = table.clone();
        let made = format!("nn.Embedding({}, {}{})", table.shape[0], table.shape[1], of_type(&table));
        let module = w.module(&made, vec![Part::of("weight", &table)]);
        let indices = w.x(1)?;
        return w.give(format!("{module}({indices})"));
    }
    let x = w.x(0)?;
    if let (Some(chosen), Some(picked), 0..=7) = (&chosen, picked, axis) {
        let before = ":, ".repeat(axis as usize);
        match picked {
            0 => return w.give(format!("{x}[{before}{}]", chosen[0])),
            1 if chosen.len() <= 16 => return w.give(format!("{x}[{before}{}]", list(chosen))),
            _ => {}
        }
    }
    let (indices, help) = (w.x(1)?, w.help("gather"));
    w.give(format!("{help}({x}, {indices}, {axis})"))
}

fn gather_elements(w: &mut Work<'_, '_>) -> Ruled {
    let (x, indices, axis) = (w.x(0)?, w.x(1)?, w.int("axis", 0));
    let (dtype, rank) = (w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let help = w.help("gather_elements");
    w.give(format!("{help}({x}, {indices}, {axis})"))
}

fn gather_nd(w: &mut Work<'_, '_>) -> Ruled {
    let (x, indices, batch, dtype) = (w.x(0)?, w.x(1)?, w.int("batch_dims", 0), w.dtype(0));
    w.learn(0, dtype, None);
    let help = w.help("gather_nd");
    w.give(format!("{help}({x}, {indices}, {batch})"))
}

/// torch's name of a way to merge what meets.
fn reduction(w: &Work<'_, '_>) -> Ruled<&'static str> {
    match w.word("reduction", "none") {
        "none" => Ok("None"),
        "add" => Ok("\"sum\""),
        "mul" => Ok("\"prod\""),
        "max" => Ok("\"amax\""),
        "min" => Ok("\"amin\""),
        other => Err(format!("reduction is '{other}', of which nothing is known").into()),
    }
}

fn scatter_elements(w: &mut Work<'_, '_>) -> Ruled {
    let (x, indices, updates, axis) = (w.x(0)?, w.x(1)?, w.x(2)?, w.int("axis", 0));
    let (dtype, rank, how) = (w.dtype(0), w.rank(0), reduction(w)?);
    w.learn(0, dtype, rank);
    let help = w.help("scatter_elements");
    w.give(format!("{help}({x}, {indices}, {updates}, {axis}, {how})"))
}

fn scatter_nd(w: &mut Work<'_, '_>) -> Ruled {
    let (x, indices, updates) = (w.x(0)?, w.x(1)?, w.x(2)?);
    let (dtype, rank, how) = (w.dtype(0), w.rank(0), reduction(w)?);
    w.learn(0, dtype, rank);
    let help = w.help("scatter_nd");
    w.give(format!("{help}({x}, {indices}, {updates}, {how})"))
}

fn non_zero(w: &mut Work<'_, '_>) -> Ruled {
    let x = w.x(0)?;
    w.learn(0, Some(DType::I64), Some(2));
    w.give(format!("torch.nonzero({x}).T"))
}

fn compress(w: &mut Work<'_, '_>) -> Ruled {
    let (x, condition, dtype) = (w.x(0)?, w.x(1)?, w.dtype(0));
    let axis = w.node.attribute("axis").and_then(weighbridge_model::Value::as_int);
    w.learn(0, dtype, axis.map_or(Some(1), |_| w.rank(0)));
    let help = w.help("compress");
    w.give(format!("{help}({x}, {condition}, {})", axis.map_or_else(|| "None".to_owned(), |a| a.to_string())))
}

/// Equal values come in the order of their indices, which torch.topk does not promise and a stable sort does.
fn top_k(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    let count = match w.node.attribute("k").and_then(weighbridge_model::Value::as_int) {
        Some(k) => k.to_string(),
        None => match w.ints(1)? {
            Some(k) => k.first().copied().unwrap_or(0).to_string(),
            None => format!("int({})", w.x(1)?),
        },
    };
    w.learn(0, dtype, rank);
    w.learn(1, Some(DType::I64), rank);
    let (axis, largest) = (w.axis(w.int("axis", -1), rank), w.int("largest", 1) != 0);
    let help = w.help("top_k");
    w.give_first(2, format!("{help}({x}, {count}, dim={axis}, largest={})", truth(largest)))
}

fn one_hot(w: &mut Work<'_, '_>) -> Ruled {
    let (indices, depth, values, axis) = (w.x(0)?, w.x(1)?, w.x(2)?, w.int("axis", -1));
    let (dtype, rank) = (w.dtype(2), w.rank(0));
    w.learn(0, dtype, rank.map(|r| r + 1));
    let help = w.help("one_hot");
    w.give(format!("{help}({indices}, int({depth}), {values}, {axis})"))
}

fn trilu(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let k = match w.ints(1)? {
        Some(k) => k.first().copied().unwrap_or(0).to_string(),
        None if w.has(1) => format!("int({})", w.x(1)?),
        None => "0".into(),
    };
    let function = if w.int("upper", 1) != 0 { "torch.triu" } else { "torch.tril" };
    w.give(format!("{function}({x}, diagonal={k})"))
}

fn reverse_sequence(w: &mut Work<'_, '_>) -> Ruled {
    let (x, lengths) = (w.x(0)?, w.x(1)?);
    let (dtype, rank) = (w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let (time, batch) = (w.int("time_axis", 0), w.int("batch_axis", 1));
    let help = w.help("reverse_sequence");
    w.give(format!("{help}({x}, {lengths}, {time}, {batch})"))
}

fn unique(w: &mut Work<'_, '_>) -> Ruled {
    let x = w.x(0)?;
    let axis = w.node.attribute("axis").and_then(weighbridge_model::Value::as_int);
    let sorted = w.int("sorted", 1) != 0;
    let axis = axis.map_or_else(|| "None".to_owned(), |a| a.to_string());
    let help = w.help("unique");
    let count = w.node.outputs.len().clamp(1, 4);
    let tail = ["[0]", "[:2]", "[:3]", ""][count - 1];
    w.give_first(count, format!("{help}({x}, {axis}, {}){tail}", truth(sorted)))
}

/// Numbers of a list, for rules that write floats.
pub(super) fn floats(numbers: &[f64]) -> String {
    list(&numbers.iter().map(|&x| float(x)).collect::<Vec<_>>())
}
