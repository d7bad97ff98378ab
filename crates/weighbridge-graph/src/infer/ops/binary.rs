//! Operators on several tensors that are broadcast to each other.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::{Elements, Fact, TensorFact, show};
use crate::infer::size::Size;

/// Arithmetic on two whole numbers and on two floats.
type Arithmetic = (fn(&Size, &Size) -> Option<Size>, fn(f64, f64) -> f64);

/// `Add`.
pub(in crate::infer) fn add(call: &mut Call<'_, '_>) -> Outcome {
    arithmetic(call, (Size::plus, |a, b| a + b))
}

/// `Sub`.
pub(in crate::infer) fn subtract(call: &mut Call<'_, '_>) -> Outcome {
    arithmetic(call, (Size::minus, |a, b| a - b))
}

/// `Mul`.
pub(in crate::infer) fn multiply(call: &mut Call<'_, '_>) -> Outcome {
    arithmetic(call, (Size::times, |a, b| a * b))
}

/// `Div`: integers are rounded towards zero.
pub(in crate::infer) fn divide(call: &mut Call<'_, '_>) -> Outcome {
    let is_float = call.dtype(0).is_some_and(DType::is_float);
    let whole = if is_float { Size::exact_div } else { Size::div_toward_0 };
    arithmetic(call, (whole, |a, b| a / b))
}

/// `Mod`: the sign is the divisor's, or the dividend's with `fmod`.
pub(in crate::infer) fn modulo(call: &mut Call<'_, '_>) -> Outcome {
    match call.int_or("fmod", 0) {
        0 => arithmetic(call, (Size::modulo, |a, b| a - b * (a / b).floor())),
        _ => arithmetic(call, (|a, b| a.known()?.checked_rem(b.known()?).map(Size::from), |a, b| a % b)),
    }
}

/// `Pow`, of the type of the base.
pub(in crate::infer) fn power(call: &mut Call<'_, '_>) -> Outcome {
    arithmetic(
        call,
        (
            |a, b| match b.known()? {
                b @ 0..=8 => (0..b).try_fold(Size::from(1), |product, _| product.times(a)),
                b => a.known()?.checked_pow(u32::try_from(b).ok()?).map(Size::from),
            },
            f64::powf,
        ),
    )
}

/// `Max`, of any number of tensors.
pub(in crate::infer) fn max(call: &mut Call<'_, '_>) -> Outcome {
    arithmetic(call, (Size::larger, f64::max))
}

/// `Min`.
pub(in crate::infer) fn min(call: &mut Call<'_, '_>) -> Outcome {
    arithmetic(call, (Size::smaller, f64::min))
}

/// Any number of tensors of the type of the first.
pub(in crate::infer) fn plain(call: &mut Call<'_, '_>) -> Outcome {
    let (dtype, shape) = common(call)?;
    Ok(vec![Fact::tensor(dtype, shape)])
}

/// The same, where only the first input's shape counts: `PRelu`.
pub(in crate::infer) fn one_way(call: &mut Call<'_, '_>) -> Outcome {
    if call.version >= 7
        && let Some((to, from)) = call.shape(0).zip(call.shape(1))
    {
        let spread = call.broadcast(&[Some(to), Some(from)])?;
        if spread.is_some_and(|spread| spread.len() > to.len()) {
            return Err(format!("shape {} cannot be broadcast to {}", show(from), show(to)));
        }
    }
    super::unary::same(call)
}

/// `Equal`.
pub(in crate::infer) fn equal(call: &mut Call<'_, '_>) -> Outcome {
    compare(call, |a, b| {
        let apart = |a: &Size, b: &Size| a.minus(b).and_then(|d| d.at_least()).is_some_and(|d| d > 0);
        if a == b {
            return Some(true);
        }
        (a.known().is_some() && b.known().is_some() || apart(a, b) || apart(b, a)).then_some(false)
    })
}

/// `Less`.
pub(in crate::infer) fn less(call: &mut Call<'_, '_>) -> Outcome {
    compare(call, is_less)
}

/// `Greater`.
pub(in crate::infer) fn greater(call: &mut Call<'_, '_>) -> Outcome {
    compare(call, |a, b| is_less(b, a))
}

/// `LessOrEqual`.
pub(in crate::infer) fn less_or_equal(call: &mut Call<'_, '_>) -> Outcome {
    compare(call, |a, b| is_less(b, a).map(|less| !less))
}

/// `GreaterOrEqual`.
pub(in crate::infer) fn greater_or_equal(call: &mut Call<'_, '_>) -> Outcome {
    compare(call, |a, b| is_less(a, b).map(|less| !less))
}

/// `And`.
pub(in crate::infer) fn and(call: &mut Call<'_, '_>) -> Outcome {
    compare(call, |a, b| match (a.known(), b.known()) {
        (Some(0), _) | (_, Some(0)) => Some(false),
        (Some(_), Some(_)) => Some(true),
        _ => None,
    })
}

/// `Or`.
pub(in crate::infer) fn or(call: &mut Call<'_, '_>) -> Outcome {
    compare(call, |a, b| match (a.known(), b.known()) {
        (Some(0), Some(0)) => Some(false),
        (Some(1), _) | (_, Some(1)) => Some(true),
        _ => None,
    })
}

/// `Xor`.
pub(in crate::infer) fn xor(call: &mut Call<'_, '_>) -> Outcome {
    compare(call, |a, b| Some(a.known()? != b.known()?))
}

/// `Where`: the condition picks from the other two.
pub(in crate::infer) fn select(call: &mut Call<'_, '_>) -> Outcome {
    let shape = call.broadcast_inputs(&[0, 1, 2])?;
    let dtype = call.dtype(1).or(call.dtype(2));
    let elements = shape.as_ref().and_then(|shape| {
        let condition = call.spread(0, shape)?;
        let (Elements::Whole(condition), Elements::Whole(yes), Elements::Whole(no)) =
            (condition, call.spread(1, shape)?, call.spread(2, shape)?)
        else {
            return None;
        };
        let each = condition.iter().zip(yes.iter().zip(no.iter()));
        let picked = each.map(|(condition, (yes, no))| match condition.known() {
            Some(0) => no.clone(),
            Some(_) => yes.clone(),
            None if yes == no => yes.clone(),
            None => call.engine.fresh.number(),
        });
        Some(Elements::Whole(picked.collect()))
    });
    Ok(vec![Fact::Tensor(TensorFact { dtype, shape, elements })])
}

/// `Clip`: bounds are attributes before version 11.
pub(in crate::infer) fn clip(call: &mut Call<'_, '_>) -> Outcome {
    let Fact::Tensor(tensor) = call.fact(0) else { return super::unary::same(call) };
    let (low, high) = (call.number(1).cloned(), call.number(2).cloned());
    let bounded = (call.has(1) == low.is_some()) && (call.has(2) == high.is_some()) && call.version >= 11;
    let elements = match &tensor.elements {
        Some(Elements::Whole(of)) if bounded => {
            let clip = |size: &Size| {
                let raised = low.as_ref().map_or(Some(size.clone()), |low| size.larger(low))?;
                high.as_ref().map_or(Some(raised.clone()), |high| raised.smaller(high))
            };
            of.iter().map(clip).collect::<Option<_>>().map(Elements::Whole)
        }
        _ => None,
    };
    Ok(vec![Fact::Tensor(TensorFact { elements, ..tensor.clone() })])
}

fn is_less(a: &Size, b: &Size) -> Option<bool> {
    let at_least = |a: &Size, b: &Size, n: i64| a.minus(b)?.at_least().map(|d| d >= n);
    if at_least(b, a, 1) == Some(true) {
        return Some(true);
    }
    (at_least(a, b, 0) == Some(true)).then_some(false)
}

/// Type and shape of what several tensors come to. Before version 7 the second was spread to the first, from an axis on.
fn common(call: &mut Call<'_, '_>) -> Result<(Option<DType>, Option<Vec<Size>>), String> {
    let dtype = (0..call.inputs.len()).find_map(|i| call.dtype(i));
    let is_old = call.version < 7 && call.node.domain.is_empty();
    if is_old && call.int_or("broadcast", 0) != 0 {
        return Ok((dtype, call.shape(0).map(<[Size]>::to_vec)));
    }
    let all: Vec<usize> = (0..call.inputs.len()).collect();
    Ok((dtype, call.broadcast_inputs(&all)?))
}

fn arithmetic(call: &mut Call<'_, '_>, (whole, real): Arithmetic) -> Outcome {
    let dtype = call.dtype(0).or(call.dtype(1));
    let (_, shape) = common(call)?;
    let elements = shape.as_ref().and_then(|shape| {
        let mut result = call.spread(0, shape)?;
        for input in 1..call.inputs.len() {
            let other = call.spread(input, shape)?;
            result = combined(call, result, other, whole, real)?;
        }
        Some(result)
    });
    Ok(vec![Fact::Tensor(TensorFact { dtype, shape, elements })])
}

fn combined(
    call: &mut Call<'_, '_>,
    a: Elements,
    b: Elements,
    whole: fn(&Size, &Size) -> Option<Size>,
    real: fn(f64, f64) -> f64,
) -> Option<Elements> {
    let is_float = call.dtype(0).is_some_and(DType::is_float);
    if is_float && let Some((a, b)) = numbers(&a).zip(numbers(&b)) {
        let each = a.iter().zip(&b).map(|(&a, &b)| real(a, b));
        return Some(rounded(call.dtype(0), each.collect()));
    }
    let (Elements::Whole(a), Elements::Whole(b)) = (a, b) else { return None };
    let each = a.iter().zip(b.iter()).map(|(a, b)| match whole(a, b) {
        Some(size) => Some(size),
        // A float need not be whole.
        None if is_float => None,
        None => Some(call.engine.fresh.number()),
    });
    each.collect::<Option<_>>().map(Elements::Whole)
}

fn numbers(elements: &Elements) -> Option<Vec<f64>> {
    match elements {
        Elements::Real(of) => Some(of.to_vec()),
        Elements::Whole(of) => of.iter().map(|size| size.known().map(|n| n as f64)).collect(),
    }
}

/// Floats as elements, in the precision of their type.
pub(super) fn rounded(dtype: Option<DType>, floats: Vec<f64>) -> Elements {
    let narrow = |x: f64| if dtype == Some(DType::F32) { f64::from(x as f32) } else { x };
    crate::infer::constant::floats(floats.into_iter().map(narrow).collect())
}

fn compare(call: &mut Call<'_, '_>, holds: impl Fn(&Size, &Size) -> Option<bool>) -> Outcome {
    let (_, shape) = common(call)?;
    let elements = shape.as_ref().and_then(|shape| {
        let (Elements::Whole(a), Elements::Whole(b)) = (call.spread(0, shape)?, call.spread(1, shape)?)
        else {
            return None;
        };
        let each = a.iter().zip(b.iter()).map(|(a, b)| match holds(a, b) {
            Some(truth) => Size::from(i64::from(truth)),
            None => call.engine.fresh.number(),
        });
        Some(Elements::Whole(each.collect()))
    });
    Ok(vec![Fact::Tensor(TensorFact { dtype: Some(DType::Bool), shape, elements })])
}
