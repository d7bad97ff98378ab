//! How far two results are apart.

use crate::Array;

/// Two results, one beside the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Name of the value.
    pub name: String,
    /// Largest difference; not finite where one side alone is.
    pub max_abs: f64,
    /// That, relative to the largest finite magnitude on the first side.
    pub max_rel: f64,
    /// Cosine of the angle between both; 1 where both are zero.
    pub cosine: f64,
    /// Largest difference in units in the last place of an F32; `None` for whole numbers.
    pub max_ulp: Option<u64>,
    /// Whether shapes agree and `max_rel` is within the tolerance.
    pub ok: bool,
    /// How far the first model's own value moves, as `max_rel` does, when its inputs move by one step in their last
    /// place; looked at where an output differs.
    pub noise: Option<f64>,
    /// What is wrong beside numbers: shapes or kinds of elements that differ.
    pub why: Option<String>,
}

impl Comparison {
    /// Whether the difference is no more than the rounding of the model itself makes: at most four times its `noise`, and
    /// never more than a hundredth, since what jumps (a box that is found or not) would excuse anything.
    pub fn within_noise(&self) -> bool {
        self.noise.is_some_and(|noise| self.max_rel <= (4.0 * noise).min(0.01))
    }
}

/// Compares `b` with `a`. Floating-point results of different widths are compared by value; whole numbers have to be
/// equal.
pub fn compare(name: &str, a: &Array, b: &Array, tolerance: f64) -> Comparison {
    let apart = |why: String| Comparison {
        name: name.to_owned(),
        max_abs: f64::NAN,
        max_rel: f64::NAN,
        cosine: f64::NAN,
        max_ulp: None,
        ok: false,
        noise: None,
        why: Some(why),
    };
    if a.shape != b.shape {
        return apart(format!("shape {:?} and {:?}", a.shape, b.shape));
    }
    let float = a.dtype.is_float() && b.dtype.is_float();
    if !float && a.dtype != b.dtype {
        return apart(format!("{} and {}", a.dtype, b.dtype));
    }
    let (mut max_abs, mut largest, mut max_ulp) = (0f64, 0f64, 0u64);
    let (mut dot, mut aa, mut bb) = (0f64, 0f64, 0f64);
    for (x, y) in a.values().zip(b.values()) {
        if x.is_finite() {
            largest = largest.max(x.abs());
        }
        if x == y || x.is_nan() && y.is_nan() {
            if x.is_finite() {
                (dot, aa, bb) = (dot + x * y, aa + x * x, bb + y * y);
            }
            continue;
        }
        let difference = (x - y).abs();
        // NaN on one side is as far away as can be.
        max_abs = max_abs.max(if difference.is_nan() { f64::INFINITY } else { difference });
        max_ulp = max_ulp.max(ordinal(x).abs_diff(ordinal(y)));
        (dot, aa, bb) = (dot + x * y, aa + x * x, bb + y * y);
    }
    let max_rel = if max_abs == 0.0 { 0.0 } else { max_abs / largest };
    let norms = (aa * bb).sqrt();
    let cosine = if max_abs == 0.0 {
        1.0
    } else if norms == 0.0 {
        0.0
    } else {
        dot / norms
    };
    Comparison {
        name: name.to_owned(),
        max_abs,
        max_rel,
        cosine,
        max_ulp: float.then_some(max_ulp),
        ok: if float { max_rel <= tolerance } else { max_abs == 0.0 },
        noise: None,
        why: None,
    }
}

/// Where a number stands among all F32 numbers in their order.
fn ordinal(x: f64) -> i64 {
    let bits = (x as f32).to_bits();
    let magnitude = i64::from(bits & 0x7fff_ffff);
    if bits >> 31 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weighbridge_model::DType;

    fn floats(values: &[f32]) -> Array {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Array { dtype: DType::F32, shape: vec![values.len() as u64], bytes }
    }

    #[test]
    fn differences_are_relative_to_the_largest() {
        let found = compare("y", &floats(&[0.0, 100.0]), &floats(&[0.01, 100.0]), 1e-4);
        assert!((found.max_rel - 1e-4).abs() < 1e-9, "{found:?}");
        assert!(found.ok == (found.max_rel <= 1e-4) && found.cosine > 0.999);
        assert_eq!(compare("y", &floats(&[1.0]), &floats(&[1.0 + f32::EPSILON]), 0.0).max_ulp, Some(1));
        assert_eq!(compare("y", &floats(&[0.0]), &floats(&[-0.0]), 0.0).max_ulp, Some(0));
    }

    #[test]
    fn what_is_not_finite_has_to_be_so_on_both_sides() {
        let nan = floats(&[f32::NAN, f32::INFINITY, 1.0]);
        assert!(compare("y", &nan, &nan, 0.0).ok);
        let finite = floats(&[0.0, f32::INFINITY, 1.0]);
        assert!(!compare("y", &nan, &finite, 1.0).ok);
        assert!(!compare("y", &finite, &nan, 1.0).ok);
    }

    #[test]
    fn shapes_and_kinds_have_to_agree() {
        let a = floats(&[1.0, 2.0]);
        let flat = Array { shape: vec![1, 2], ..a.clone() };
        assert_eq!(compare("y", &a, &flat, 1.0).why.as_deref(), Some("shape [2] and [1, 2]"));
        let whole = Array { dtype: DType::I32, ..a.clone() };
        assert_eq!(compare("y", &a, &whole, 1.0).why.as_deref(), Some("F32 and I32"));
        let wide: Vec<u8> = [1f64, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert!(compare("y", &a, &Array { dtype: DType::F64, bytes: wide, ..a.clone() }, 0.0).ok);
    }
}
