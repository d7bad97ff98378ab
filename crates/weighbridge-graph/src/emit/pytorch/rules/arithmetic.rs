//! Arithmetic, comparison and logic of two values and more, broadcast against each other.

use weighbridge_model::DType;

use super::Row;
use crate::emit::pytorch::scope::{Ruled, Work};

pub(super) const RULES: &[Row] = &[
    ("Add", |w| infix(w, "+")),
    ("Sub", |w| infix(w, "-")),
    ("Mul", |w| infix(w, "*")),
    ("Div", div),
    ("Mod", modulo),
    ("Pow", pow),
    ("Equal", |w| compare(w, "==")),
    ("Greater", |w| compare(w, ">")),
    ("GreaterOrEqual", |w| compare(w, ">=")),
    ("Less", |w| compare(w, "<")),
    ("LessOrEqual", |w| compare(w, "<=")),
    ("And", |w| logic(w, "torch.logical_and")),
    ("Or", |w| logic(w, "torch.logical_or")),
    ("Xor", |w| logic(w, "torch.logical_xor")),
    ("BitwiseAnd", |w| call(w, "torch.bitwise_and")),
    ("BitwiseOr", |w| call(w, "torch.bitwise_or")),
    ("BitwiseXor", |w| call(w, "torch.bitwise_xor")),
    ("BitShift", bit_shift),
    ("Min", |w| nested(w, "torch.minimum")),
    ("Max", |w| nested(w, "torch.maximum")),
    ("Sum", sum),
    ("Mean", mean),
    ("Where", choose),
];

/// Both operands, of which one at most is a number. Before version 7, the second one was aligned by attributes.
fn pair(w: &mut Work<'_, '_>) -> Ruled<(String, String)> {
    if w.node.attribute("axis").is_some() && w.scope.opset < 7 {
        return Err("broadcasting along an axis, as before version 7".into());
    }
    let (a, b) = (w.constant(0).is_some(), w.constant(1).is_some());
    let first = if a && !b { w.operand(0)? } else { w.x(0)? };
    let second = if b && !a { w.operand(1)? } else { w.x(1)? };
    Ok((first, second))
}

/// torch has wide unsigned numbers, and computes with bytes alone.
pub(super) fn computes(w: &Work<'_, '_>) -> Ruled {
    match w.dtype(0) {
        Some(dtype @ (DType::U16 | DType::U32 | DType::U64)) => {
            Err(format!("torch does not compute with {dtype}").into())
        }
        _ => Ok(()),
    }
}

/// What is known of the result: the type of the operands, the larger number of dimensions.
fn learn(w: &mut Work<'_, '_>, dtype: Option<DType>) {
    let ranks: Option<Vec<usize>> = (0..w.node.inputs.len()).map(|i| w.rank(i)).collect();
    let rank = ranks.and_then(|r| r.into_iter().max());
    w.learn(0, dtype, rank);
}

fn either(w: &Work<'_, '_>) -> Option<DType> {
    w.dtype(0).or_else(|| w.dtype(1))
}

fn infix(w: &mut Work<'_, '_>, operator: &str) -> Ruled {
    computes(w)?;
    learn(w, either(w));
    if w.constant(0).is_some() && w.constant(1).is_some() {
        let function = match operator {
            "+" => "torch.add",
            "-" => "torch.sub",
            _ => "torch.mul",
        };
        return call(w, function);
    }
    let (a, b) = pair(w)?;
    w.give(format!("{a} {operator} {b}"))
}

fn compare(w: &mut Work<'_, '_>, operator: &str) -> Ruled {
    computes(w)?;
    learn(w, Some(DType::Bool));
    let (a, b) = pair(w)?;
    w.give(format!("{a} {operator} {b}"))
}

fn logic(w: &mut Work<'_, '_>, function: &str) -> Ruled {
    learn(w, Some(DType::Bool));
    let (a, b) = (w.x(0)?, w.x(1)?);
    w.give(format!("{function}({a}, {b})"))
}

fn call(w: &mut Work<'_, '_>, function: &str) -> Ruled {
    learn(w, either(w));
    let (a, b) = (w.x(0)?, w.x(1)?);
    w.give(format!("{function}({a}, {b})"))
}

/// Whole numbers are divided towards zero.
fn div(w: &mut Work<'_, '_>) -> Ruled {
    computes(w)?;
    learn(w, either(w));
    match either(w) {
        Some(dtype) if dtype.is_float() => {
            let (a, b) = pair(w)?;
            w.give(format!("{a} / {b}"))
        }
        Some(_) => {
            let (a, b) = (w.x(0)?, w.operand(1)?);
            w.give(format!("torch.div({a}, {b}, rounding_mode=\"trunc\")"))
        }
        None => {
            let (a, b) = (w.x(0)?, w.x(1)?);
            let help = w.help("divide");
            w.give(format!("{help}({a}, {b})"))
        }
    }
}

fn modulo(w: &mut Work<'_, '_>) -> Ruled {
    computes(w)?;
    let function = if w.int("fmod", 0) != 0 { "torch.fmod" } else { "torch.remainder" };
    call(w, function)
}

/// The result has the type of the base.
fn pow(w: &mut Work<'_, '_>) -> Ruled {
    let (dtype, exponent) = (w.dtype(0), w.dtype(1));
    learn(w, dtype);
    let (a, b) = pair(w)?;
    let base = w.x(0)?;
    match dtype.is_some() && dtype == exponent {
        true => w.give(format!("torch.pow({a}, {b})")),
        false => w.give(format!("torch.pow({base}, {b}).to({base}.dtype)")),
    }
}

fn bit_shift(w: &mut Work<'_, '_>) -> Ruled {
    computes(w)?;
    match w.word("direction", "") {
        "LEFT" => call(w, "torch.bitwise_left_shift"),
        "RIGHT" => call(w, "torch.bitwise_right_shift"),
        other => Err(format!("direction is '{other}': LEFT and RIGHT are known").into()),
    }
}

/// `f(f(a, b), c)`, in steps of a line where there are many.
fn nested(w: &mut Work<'_, '_>, function: &str) -> Ruled {
    learn(w, either(w));
    let all = w.all()?;
    match all.as_slice() {
        [] => Err("it has no input".into()),
        [one] => w.give(one.clone()),
        [a, b] => w.give(format!("{function}({a}, {b})")),
        many => {
            let help = w.help("reduce_all");
            w.give(format!("{help}({function}, {})", many.join(", ")))
        }
    }
}

fn sum(w: &mut Work<'_, '_>) -> Ruled {
    learn(w, either(w));
    let all = w.all()?;
    if all.is_empty() { Err("it has no input".into()) } else { w.give(all.join(" + ")) }
}

fn mean(w: &mut Work<'_, '_>) -> Ruled {
    learn(w, either(w));
    let all = w.all()?;
    if all.is_empty() {
        Err("it has no input".into())
    } else {
        w.give(format!("({}) / {}", all.join(" + "), all.len()))
    }
}

fn choose(w: &mut Work<'_, '_>) -> Ruled {
    learn(w, w.dtype(1).or_else(|| w.dtype(2)));
    let condition = w.x(0)?;
    let number = w.constant(2).is_some();
    let (yes, no) = (if number { w.x(1)? } else { w.operand(1)? }, w.operand(2)?);
    w.give(format!("torch.where({condition}, {yes}, {no})"))
}
