//! Operators that go through elements one by one, broadcasting.

use weighbridge_model::{DType, Value};

use super::array::{Data, broadcast, broadcast_strides, counted, walk};
use super::{Array, Call, Evaluate};

pub(super) fn operator(op: &str) -> Option<Evaluate> {
    Some(match op {
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "Min" | "Max" | "BitwiseAnd" | "BitwiseOr"
        | "BitwiseXor" => arithmetic,
        "Equal" | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" | "And" | "Or" | "Xor" => comparison,
        "Neg" | "Abs" | "Sqrt" | "Reciprocal" | "Floor" | "Ceil" | "Round" | "Exp" | "Log" | "Sin"
        | "Cos" | "Tanh" | "Sigmoid" | "Relu" | "Erf" | "Sign" | "Softplus" => unary,
        "Gelu" => gelu,
        "Not" => not,
        "Identity" => |call| Ok(vec![call.input(0)?.clone()]),
        "IsNaN" => |call| Ok(vec![told(call.input(0)?, f64::is_nan)]),
        "Where" => select,
        "Clip" => clip,
        _ => return None,
    })
}

/// Refuses what only overflow made infinite.
fn held(result: Array, inputs: &[&Array]) -> Result<Vec<Array>, String> {
    if result.dtype == DType::F16 && result.has_infinite() && !inputs.iter().any(|i| i.has_infinite()) {
        return Err("it would overflow F16".into());
    }
    Ok(vec![result])
}

/// The elements of both, side by side.
struct Pairs<T> {
    a: Vec<T>,
    b: Vec<T>,
}

fn pairs(a: &Array, b: &Array) -> Result<(Array, Array), String> {
    let shape = broadcast(&a.shape, &b.shape)?;
    counted(&shape)?;
    let spread = |x: &Array| {
        let places = walk(&shape, 0, &broadcast_strides(&x.shape, &shape));
        x.pick(shape.clone(), places.into_iter())
    };
    Ok((spread(a), spread(b)))
}

fn both<T: Copy>(a: &[T], b: &[T]) -> Pairs<T> {
    Pairs { a: a.to_vec(), b: b.to_vec() }
}

impl<T: Copy> Pairs<T> {
    fn map<R>(&self, f: impl Fn(T, T) -> Option<R>) -> Option<Vec<R>> {
        self.a.iter().zip(&self.b).map(|(&a, &b)| f(a, b)).collect()
    }
}

fn arithmetic(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let op = call.node.op.as_str();
    let mut result = call.input(0)?.clone();
    let inputs: Vec<&Array> = call.inputs.iter().copied().flatten().collect();
    for other in &inputs[1..] {
        result = binary(op, &result, other, call.int("fmod") == Some(1))?;
    }
    held(result, &inputs)
}

fn binary(op: &str, a: &Array, b: &Array, fmod: bool) -> Result<Array, String> {
    let dtype = a.dtype;
    // A power's exponent may be of another type.
    if op != "Pow" && b.dtype != dtype {
        return Err(format!("{dtype} with {}", b.dtype));
    }
    let (a, b) = pairs(a, b)?;
    let shape = a.shape.clone();
    let no = || format!("{op} of these numbers is not defined");
    match (&a.data, &b.data) {
        (Data::Ints(x), Data::Ints(y)) => {
            let unsigned_high = dtype == DType::U64;
            let f = |x: i64, y: i64| -> Option<i64> {
                Some(match op {
                    "Add" if unsigned_high => x.checked_add(y)?,
                    "Sub" if unsigned_high => x.checked_sub(y).filter(|&i| i >= 0)?,
                    "Mul" if unsigned_high => x.checked_mul(y)?,
                    "Add" => x.wrapping_add(y),
                    "Sub" => x.wrapping_sub(y),
                    "Mul" => x.wrapping_mul(y),
                    "Div" => x.checked_div(y)?,
                    "Mod" if fmod => x.checked_rem(y)?,
                    "Mod" => {
                        let rest = x.checked_rem(y)?;
                        if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest }
                    }
                    "Pow" => x.checked_pow(u32::try_from(y).ok()?)?,
                    "Min" => x.min(y),
                    "Max" => x.max(y),
                    "BitwiseAnd" => x & y,
                    "BitwiseOr" => x | y,
                    "BitwiseXor" => x ^ y,
                    _ => return None,
                })
            };
            Ok(Array::ints(dtype, shape, both(x, y).map(f).ok_or_else(no)?))
        }
        (Data::Floats(x), _) => {
            let y = match &b.data {
                Data::Floats(y) => y.clone(),
                Data::Ints(y) => y.iter().map(|&i| i as f64).collect(),
            };
            let f = |x: f64, y: f64| -> Option<f64> {
                Some(match op {
                    "Add" => x + y,
                    "Sub" => x - y,
                    "Mul" => x * y,
                    "Div" => x / y,
                    "Mod" if fmod => x % y,
                    "Pow" => libm::pow(x, y),
                    "Min" if x.is_nan() || y.is_nan() => f64::NAN,
                    "Min" => x.min(y),
                    "Max" if x.is_nan() || y.is_nan() => f64::NAN,
                    "Max" => x.max(y),
                    _ => return None,
                })
            };
            Ok(Array::floats(dtype, shape, both(x, &y).map(f).ok_or_else(no)?))
        }
        _ => Err(no()),
    }
}

fn comparison(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let op = call.node.op.as_str();
    let (a, b) = pairs(call.input(0)?, call.input(1)?)?;
    let shape = a.shape.clone();
    let told: Option<Vec<i64>> = match (&a.data, &b.data) {
        (Data::Ints(x), Data::Ints(y)) => both(x, y).map(|x, y| {
            Some(i64::from(match op {
                "And" => x != 0 && y != 0,
                "Or" => x != 0 || y != 0,
                "Xor" => (x != 0) != (y != 0),
                _ => holds(op, x.partial_cmp(&y))?,
            }))
        }),
        (Data::Floats(x), Data::Floats(y)) => {
            both(x, y).map(|x, y| holds(op, x.partial_cmp(&y)).map(i64::from))
        }
        _ => None,
    };
    Ok(vec![Array::ints(DType::Bool, shape, told.ok_or("numbers of different kinds")?)])
}

fn holds(op: &str, order: Option<std::cmp::Ordering>) -> Option<bool> {
    let Some(order) = order else { return Some(false) };
    Some(match op {
        "Equal" => order.is_eq(),
        "Greater" => order.is_gt(),
        "Less" => order.is_lt(),
        "GreaterOrEqual" => order.is_ge(),
        "LessOrEqual" => order.is_le(),
        _ => return None,
    })
}

fn unary(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (op, x) = (call.node.op.as_str(), call.input(0)?);
    let shape = x.shape.clone();
    let result = match &x.data {
        Data::Ints(all) => {
            let f = |&i: &i64| match op {
                "Neg" => Some(i.wrapping_neg()),
                "Abs" => Some(i.wrapping_abs()),
                "Sign" => Some(i.signum()),
                "Relu" => Some(i.max(0)),
                _ => None,
            };
            let all: Option<Vec<i64>> = all.iter().map(f).collect();
            Array::ints(x.dtype, shape, all.ok_or_else(|| format!("{op} of whole numbers"))?)
        }
        Data::Floats(all) => {
            let f = |&x: &f64| match op {
                "Neg" => -x,
                "Abs" => x.abs(),
                "Sqrt" => x.sqrt(),
                "Reciprocal" => 1.0 / x,
                "Floor" => x.floor(),
                "Ceil" => x.ceil(),
                "Round" => x.round_ties_even(),
                "Exp" => libm::exp(x),
                "Log" => libm::log(x),
                "Sin" => libm::sin(x),
                "Cos" => libm::cos(x),
                "Tanh" => libm::tanh(x),
                "Sigmoid" => 1.0 / (1.0 + libm::exp(-x)),
                "Softplus" => libm::log1p(libm::exp(x)),
                "Erf" => libm::erf(x),
                "Relu" if x.is_nan() => x,
                "Relu" => x.max(0.0),
                "Sign" if x == 0.0 || x.is_nan() => x,
                _ => x.signum(),
            };
            Array::floats(x.dtype, shape, all.iter().map(f).collect())
        }
    };
    held(result, &[x])
}

fn gelu(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let Data::Floats(all) = &x.data else { return Err("Gelu of whole numbers".into()) };
    let exact = |x: f64| 1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2);
    let near = |x: f64| 1.0 + libm::tanh((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x));
    let f: &dyn Fn(f64) -> f64 = match call.node.attribute("approximate").and_then(Value::as_str) {
        None | Some("none") => &exact,
        Some("tanh") => &near,
        Some(other) => return Err(format!("Gelu approximated by '{other}'")),
    };
    let all = all.iter().map(|&x| 0.5 * x * f(x)).collect();
    Ok(vec![Array::floats(x.dtype, x.shape.clone(), all)])
}

fn not(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let all = x.integers().ok_or("Not of numbers")?;
    Ok(vec![Array::ints(DType::Bool, x.shape.clone(), all.iter().map(|&i| i64::from(i == 0)).collect())])
}

fn told(x: &Array, f: fn(f64) -> bool) -> Array {
    let all = match &x.data {
        Data::Floats(all) => all.iter().map(|&x| i64::from(f(x))).collect(),
        Data::Ints(all) => vec![0; all.len()],
    };
    Array::ints(DType::Bool, x.shape.clone(), all)
}

fn select(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (condition, x, y) = (call.input(0)?, call.input(1)?, call.input(2)?);
    if x.dtype != y.dtype {
        return Err(format!("{} with {}", x.dtype, y.dtype));
    }
    let shape = broadcast(&broadcast(&condition.shape, &x.shape)?, &y.shape)?;
    counted(&shape)?;
    let places = |of: &Array| walk(&shape, 0, &broadcast_strides(&of.shape, &shape));
    let picked = condition.pick(shape.clone(), places(condition).into_iter());
    let which = picked.integers().ok_or("a condition that is no truth value")?;
    let (px, py) = (places(x), places(y));
    let data = match (&x.data, &y.data) {
        (Data::Ints(a), Data::Ints(b)) => Data::Ints(
            which.iter().enumerate().map(|(i, &w)| if w != 0 { a[px[i]] } else { b[py[i]] }).collect(),
        ),
        (Data::Floats(a), Data::Floats(b)) => Data::Floats(
            which.iter().enumerate().map(|(i, &w)| if w != 0 { a[px[i]] } else { b[py[i]] }).collect(),
        ),
        _ => return Err("numbers of different kinds".into()),
    };
    Ok(vec![Array { dtype: x.dtype, shape, data }])
}

fn clip(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let bound = |name: &str, slot: usize| -> Result<Option<f64>, String> {
        if let Some(bound) = call.node.attribute(name).and_then(Value::as_float) {
            return Ok(Some(bound));
        }
        match call.optional(slot).map(|b| &b.data) {
            Some(Data::Floats(all)) => Ok(all.first().copied()),
            Some(Data::Ints(all)) => Ok(all.first().map(|&i| i as f64)),
            None => Ok(None),
        }
    };
    let (low, high) = (bound("min", 1)?, bound("max", 2)?);
    match &x.data {
        Data::Floats(all) => {
            let f = |&x: &f64| {
                let x = low.map_or(x, |low| if x < low { low } else { x });
                high.map_or(x, |high| if x > high { high } else { x })
            };
            Ok(vec![Array::floats(x.dtype, x.shape.clone(), all.iter().map(f).collect())])
        }
        Data::Ints(all) => {
            let f = |&i: &i64| {
                let i = low.map_or(i, |low| i.max(low as i64));
                high.map_or(i, |high| i.min(high as i64))
            };
            Ok(vec![Array::ints(x.dtype, x.shape.clone(), all.iter().map(f).collect())])
        }
    }
}
