//! Sums with 0, products with 1.

use weighbridge_model::ValueId;

use super::identity::handed_on;
use super::{Look, Pass};
use crate::edit::{Edit, NodeId, same_shape};

pub(super) struct Arithmetic;

impl Pass for Arithmetic {
    fn name(&self) -> &'static str {
        "arithmetic"
    }

    fn about(&self) -> &'static str {
        "Mul and Div by 1, Pow to 1, Sub of 0 and Add of 0 go, where the shape stays. Add of +0.0 stays, which makes 0 \
         of -0.0, unless what it reads has no -0.0 such as a sum of products, which begins with 0."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Mul", "Div", "Pow", "Sub", "Add", "And", "Or"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let (Some(a), Some(b), Some(output)) = (edit.input(id, 0), edit.input(id, 1), edit.output(id, 0))
        else {
            return Look::No;
        };
        let op = edit.node(id).op.as_str();
        let either = matches!(op, "Mul" | "Add" | "And" | "Or");
        let x = match (edit.constant(a).is_some(), edit.constant(b).is_some()) {
            (false, true) if neutral(edit, op, b) => a,
            (true, false) if either && neutral(edit, op, a) => b,
            _ => return Look::No,
        };
        let other = if x == a { b } else { a };
        if !keeps_shape(edit, x, other, output) {
            return Look::Refused("it may change the shape".into());
        }
        if op == "Add"
            && edit.dtype(x).is_none_or(|dtype| dtype.is_float())
            && !negative_zeros(edit, other)
            && !has_no_negative_zero(edit, x)
        {
            return Look::Refused("-0.0 + 0.0 is 0.0".into());
        }
        handed_on(edit, id, x, output)
    }
}

/// Whether a constant changes nothing as an operand.
fn neutral(edit: &Edit<'_, '_>, op: &str, value: ValueId) -> bool {
    let wanted = match op {
        "Mul" | "Div" | "Pow" | "And" => 1.0,
        _ => 0.0,
    };
    edit.numbers(value).is_some_and(|all| !all.is_empty() && all.iter().all(|&x| x == wanted))
}

fn negative_zeros(edit: &Edit<'_, '_>, value: ValueId) -> bool {
    edit.numbers(value).is_some_and(|all| all.iter().all(|x| x.is_sign_negative()))
}

/// Whether what makes a value never gives -0.0.
fn has_no_negative_zero(edit: &Edit<'_, '_>, value: ValueId) -> bool {
    let never = [
        "Sigmoid",
        "Softmax",
        "Exp",
        "HardSigmoid",
        "ReduceSumSquare",
        "Softplus",
        // Sums that begin with 0 give no -0.0.
        "MatMul",
        "Gemm",
        "Conv",
        "ConvTranspose",
    ];
    edit.producer(value).is_some_and(|maker| never.contains(&edit.node(maker).op.as_str()))
}

fn keeps_shape(edit: &Edit<'_, '_>, x: ValueId, other: ValueId, output: ValueId) -> bool {
    if let (Some(a), Some(b)) = (edit.shape(x), edit.shape(output))
        && same_shape(a, b)
    {
        return true;
    }
    let Some(shape) = edit.known_shape(other) else { return false };
    let rank = edit.rank(x).unwrap_or(0);
    shape.iter().all(|&n| n == 1) && (shape.is_empty() || shape.len() <= rank)
}
