//! Functions of each element by itself, and changes of type.

use weighbridge_model::DType;

use super::Row;
use super::arithmetic::computes;
use crate::emit::pytorch::scope::{Ruled, Work};
use crate::emit::pytorch::text;

pub(super) const RULES: &[Row] = &[
    ("Abs", |w| plain(w, "torch.abs")),
    ("Neg", |w| plain(w, "torch.neg")),
    ("Exp", |w| plain(w, "torch.exp")),
    ("Log", |w| plain(w, "torch.log")),
    ("Sqrt", |w| plain(w, "torch.sqrt")),
    ("Reciprocal", |w| plain(w, "torch.reciprocal")),
    ("Floor", |w| plain(w, "torch.floor")),
    ("Ceil", |w| plain(w, "torch.ceil")),
    ("Round", |w| plain(w, "torch.round")),
    ("Sign", |w| plain(w, "torch.sign")),
    ("Sin", |w| plain(w, "torch.sin")),
    ("Cos", |w| plain(w, "torch.cos")),
    ("Tan", |w| plain(w, "torch.tan")),
    ("Asin", |w| plain(w, "torch.asin")),
    ("Acos", |w| plain(w, "torch.acos")),
    ("Atan", |w| plain(w, "torch.atan")),
    ("Sinh", |w| plain(w, "torch.sinh")),
    ("Cosh", |w| plain(w, "torch.cosh")),
    ("Asinh", |w| plain(w, "torch.asinh")),
    ("Acosh", |w| plain(w, "torch.acosh")),
    ("Atanh", |w| plain(w, "torch.atanh")),
    ("Erf", |w| plain(w, "torch.erf")),
    ("BitwiseNot", |w| computes(w).and_then(|()| plain(w, "torch.bitwise_not"))),
    ("Not", |w| truth(w, "torch.logical_not")),
    ("IsNaN", |w| truth(w, "torch.isnan")),
    ("IsInf", is_inf),
    ("Identity", identity),
    ("Dropout", dropout),
    ("Cast", cast),
    ("CastLike", cast_like),
];

fn plain(w: &mut Work<'_, '_>, function: &str) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    w.give(format!("{function}({x})"))
}

fn truth(w: &mut Work<'_, '_>, function: &str) -> Ruled {
    let (x, rank) = (w.x(0)?, w.rank(0));
    w.learn(0, Some(DType::Bool), rank);
    w.give(format!("{function}({x})"))
}

fn is_inf(w: &mut Work<'_, '_>) -> Ruled {
    match (w.int("detect_negative", 1) != 0, w.int("detect_positive", 1) != 0) {
        (true, true) => truth(w, "torch.isinf"),
        (true, false) => truth(w, "torch.isneginf"),
        (false, true) => truth(w, "torch.isposinf"),
        (false, false) => {
            let x = w.x(0)?;
            w.give(format!("torch.zeros_like({x}, dtype=torch.bool)"))
        }
    }
}

fn identity(w: &mut Work<'_, '_>) -> Ruled {
    if let (Some(tensor), Some(output)) = (w.constant(0), w.output(0)) {
        let tensor = tensor.clone();
        // What the graph returns needs a name.
        if !w.scope.graph.outputs.contains(&output) {
            w.scope.constant(output, tensor);
            return Ok(());
        }
    }
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    w.give(x)
}

/// Does nothing but in training.
fn dropout(w: &mut Work<'_, '_>) -> Ruled {
    let training = match w.constant(2) {
        Some(_) => w.ints(2)?.is_some_and(|t| t != [0]),
        None => w.has(2),
    };
    if training {
        return Err("its training_mode is not false".into());
    }
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    if w.wants(1) {
        return w.give_first(2, format!("{x}, torch.ones_like({x}, dtype=torch.bool)"));
    }
    w.give(x)
}

/// torch's name of the type that an attribute tells by its number.
pub(super) fn type_of(w: &Work<'_, '_>, name: &str, otherwise: DType) -> Ruled<(DType, &'static str)> {
    let dtype = match w.node.attribute(name).and_then(weighbridge_model::Value::as_int) {
        None => otherwise,
        Some(n) => DType::from_onnx(n)
            .ok_or_else(|| format!("'{name}' is type {n}, which torch does not compute with"))?,
    };
    let spelled = text::dtype(dtype).ok_or_else(|| format!("torch has no {dtype}"))?;
    Ok((dtype, spelled))
}

fn cast(w: &mut Work<'_, '_>) -> Ruled {
    let (x, rank) = (w.x(0)?, w.rank(0));
    let (dtype, spelled) = type_of(w, "to", DType::F32)?;
    if w.dtype(0) == Some(DType::Str) {
        return Err("torch has no strings".into());
    }
    w.learn(0, Some(dtype), rank);
    w.give(format!("{x}.to({spelled})"))
}

fn cast_like(w: &mut Work<'_, '_>) -> Ruled {
    let (x, like, dtype, rank) = (w.x(0)?, w.x(1)?, w.dtype(1), w.rank(0));
    if let Some(dtype) = dtype
        && text::dtype(dtype).is_none_or(|name| name.contains("float8"))
    {
        return Err(format!("a cast to {dtype}").into());
    }
    w.learn(0, dtype, rank);
    w.give(format!("{x}.to({like}.dtype)"))
}
