//! The table of binary floating-point formats, and exact conversion to and from each.
//!
//! A format is described by its widths, its bias and what it does with the codes that IEEE 754 reserves;
//! every limit follows from these. Sources: IEEE 754-2019 (F16, F32), the OCP 8-bit floating point
//! specification (E4M3, E5M2), the OCP microscaling specification (E8M0, E2M1), NVIDIA's description of
//! TF32 (e8m10 kept in 32 bits), and the FNUZ variants as ONNX describes them.

use super::DType;

/// What the highest codes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// As IEEE 754: the highest exponent holds infinities and NaN.
    Ieee,
    /// No infinities; only the all-ones code (of either sign) is NaN.
    NanOnly,
    /// No infinities and no negative zero; its code is the one NaN.
    NegativeZeroIsNan,
    /// Every code is a number.
    None,
}

/// A binary floating-point format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloatFormat {
    /// Its name in `--for` and in JSON.
    pub name: &'static str,
    /// Width of the exponent field.
    pub exponent_bits: u32,
    /// Width of the mantissa field, without the hidden bit.
    pub mantissa_bits: u32,
    /// What is subtracted from the exponent field.
    pub bias: i32,
    /// What the highest codes mean.
    pub specials: Specials,
}

const fn ieee(name: &'static str, exponent_bits: u32, mantissa_bits: u32) -> FloatFormat {
    FloatFormat {
        name,
        exponent_bits,
        mantissa_bits,
        bias: (1 << (exponent_bits - 1)) - 1,
        specials: Specials::Ieee,
    }
}

/// IEEE half precision.
pub const F16: FloatFormat = ieee("f16", 5, 10);
/// bfloat16.
pub const BF16: FloatFormat = ieee("bf16", 8, 7);
/// TF32: what tensor cores keep of an F32 operand.
pub const TF32: FloatFormat = ieee("tf32", 8, 10);
/// IEEE single precision.
pub const F32: FloatFormat = ieee("f32", 8, 23);
/// FP8 e5m2.
pub const F8_E5M2: FloatFormat = ieee("f8_e5m2", 5, 2);
/// FP8 e4m3 (FN).
pub const F8_E4M3: FloatFormat =
    FloatFormat { name: "f8_e4m3", exponent_bits: 4, mantissa_bits: 3, bias: 7, specials: Specials::NanOnly };
/// FP8 e4m3 FNUZ.
pub const F8_E4M3FNUZ: FloatFormat = FloatFormat {
    name: "f8_e4m3fnuz",
    exponent_bits: 4,
    mantissa_bits: 3,
    bias: 8,
    specials: Specials::NegativeZeroIsNan,
};
/// FP8 e5m2 FNUZ.
pub const F8_E5M2FNUZ: FloatFormat = FloatFormat {
    name: "f8_e5m2fnuz",
    exponent_bits: 5,
    mantissa_bits: 2,
    bias: 16,
    specials: Specials::NegativeZeroIsNan,
};
/// FP4 e2m1.
pub const F4_E2M1: FloatFormat =
    FloatFormat { name: "f4_e2m1", exponent_bits: 2, mantissa_bits: 1, bias: 1, specials: Specials::None };

impl FloatFormat {
    /// The format of this element type's codes; `None` for F64, E8M0 and what is no float.
    pub fn of(dtype: DType) -> Option<FloatFormat> {
        Some(match dtype {
            DType::F32 => F32,
            DType::F16 => F16,
            DType::BF16 => BF16,
            DType::F8E4M3 => F8_E4M3,
            DType::F8E5M2 => F8_E5M2,
            DType::F8E4M3Fnuz => F8_E4M3FNUZ,
            DType::F8E5M2Fnuz => F8_E5M2FNUZ,
            DType::F4E2M1 => F4_E2M1,
            _ => return None,
        })
    }

    fn min_exponent(self) -> i32 {
        1 - self.bias
    }

    /// Smallest positive normal number.
    pub fn min_normal(self) -> f64 {
        exp2(self.min_exponent())
    }

    /// Smallest positive number.
    pub fn min_subnormal(self) -> f64 {
        exp2(self.min_exponent() - self.mantissa_bits as i32)
    }

    /// Largest finite number.
    pub fn max_finite(self) -> f64 {
        let top = (1 << self.exponent_bits) - 1;
        let full = 2.0 - exp2(-(self.mantissa_bits as i32));
        match self.specials {
            Specials::Ieee => full * exp2(top - 1 - self.bias),
            Specials::NanOnly => (full - exp2(-(self.mantissa_bits as i32))) * exp2(top - self.bias),
            Specials::NegativeZeroIsNan | Specials::None => full * exp2(top - self.bias),
        }
    }

    /// Least magnitude that rounds beyond [`FloatFormat::max_finite`]: half a step above it (the tie goes to
    /// the even neighbour, which is the first one out of range where the largest mantissa is odd).
    pub fn overflow_from(self) -> f64 {
        let ulp = exp2(exponent(self.max_finite()) - self.mantissa_bits as i32);
        self.max_finite() + ulp / 2.0
    }

    /// Rounds to the nearest value of this format, ties to even; a magnitude beyond the largest finite one
    /// becomes an infinity, whether or not the format has a code for it. NaN stays NaN.
    pub fn round(self, x: f64) -> f64 {
        if !x.is_finite() || x == 0.0 {
            return x;
        }
        let e = exponent(x).max(self.min_exponent());
        let quantum = exp2(e - self.mantissa_bits as i32);
        // A quotient of at most 54 bits, ties to even: beyond 2^52 a sum has no bits behind the point. Zero keeps its sign.
        const WHOLE: f64 = 1.5 * (1u64 << 52) as f64;
        let rounded = ((x / quantum + WHOLE - WHOLE) * quantum).copysign(x);
        if rounded.abs() > self.max_finite() { f64::INFINITY.copysign(x) } else { rounded }
    }

    /// The value of a code.
    pub fn decode(self, code: u32) -> f64 {
        let sign_at = self.exponent_bits + self.mantissa_bits;
        let field = (code >> self.mantissa_bits) & ((1 << self.exponent_bits) - 1);
        let mantissa = code & ((1 << self.mantissa_bits) - 1);
        let negative = code >> sign_at & 1 == 1;
        let top = (1 << self.exponent_bits) - 1;
        let special = match self.specials {
            Specials::Ieee => field == top,
            Specials::NanOnly => field == top && mantissa == (1 << self.mantissa_bits) - 1,
            Specials::NegativeZeroIsNan => negative && field == 0 && mantissa == 0,
            Specials::None => false,
        };
        let magnitude = if special {
            if self.specials == Specials::Ieee && mantissa == 0 { f64::INFINITY } else { f64::NAN }
        } else if field == 0 {
            f64::from(mantissa) * self.min_subnormal()
        } else {
            let significand = f64::from(mantissa | 1 << self.mantissa_bits);
            significand * exp2(field as i32 - self.bias - self.mantissa_bits as i32)
        };
        if negative { -magnitude } else { magnitude }
    }

    /// The code of the nearest value, ties to even. Beyond range: infinity where the format has one,
    /// otherwise its NaN, otherwise (no specials at all) the largest value.
    pub fn encode(self, x: f64) -> u32 {
        let sign_at = self.exponent_bits + self.mantissa_bits;
        let sign = u32::from(x.is_sign_negative()) << sign_at;
        let top = (1u32 << self.exponent_bits) - 1;
        let value = self.round(x).abs();
        let nan = match self.specials {
            Specials::Ieee => top << self.mantissa_bits | 1 << (self.mantissa_bits - 1),
            Specials::NanOnly => (1 << sign_at) - 1,
            Specials::NegativeZeroIsNan => return_nan_fnuz(sign_at),
            Specials::None => (1 << sign_at) - 1,
        };
        if value.is_nan() {
            return nan;
        }
        if value.is_infinite() {
            return match self.specials {
                Specials::Ieee => sign | top << self.mantissa_bits,
                Specials::NegativeZeroIsNan => nan,
                _ => sign | nan,
            };
        }
        if value == 0.0 {
            return if self.specials == Specials::NegativeZeroIsNan { 0 } else { sign };
        }
        let e = exponent(value).max(self.min_exponent());
        let steps = (value / exp2(e - self.mantissa_bits as i32)) as u32;
        let hidden = 1 << self.mantissa_bits;
        let field = if steps < hidden { 0 } else { (e + self.bias) as u32 };
        sign | field << self.mantissa_bits | (steps & (hidden - 1))
    }
}

fn return_nan_fnuz(sign_at: u32) -> u32 {
    1 << sign_at
}

/// 2^e, exactly, for any e within f64's range of normal numbers.
fn exp2(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// floor(log2 |x|) of a nonzero finite x.
pub fn exponent(x: f64) -> i32 {
    let bits = x.abs().to_bits();
    match bits >> 52 {
        0 => -1011 - bits.leading_zeros() as i32,
        field => field as i32 - 1023,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_even_neighbour_and_zeros_keep_their_sign() {
        for format in [F16, BF16, F8_E4M3] {
            let step = format.min_subnormal();
            for (x, rounded) in [(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (0.51, 1.0), (1.0, 1.0)] {
                assert_eq!(
                    format.round(x * step).to_bits(),
                    (rounded * step).to_bits(),
                    "{} {x}",
                    format.name
                );
                assert_eq!(
                    format.round(-x * step).to_bits(),
                    (-rounded * step).to_bits(),
                    "{} -{x}",
                    format.name
                );
            }
        }
    }

    #[test]
    fn limits_are_those_of_the_specifications() {
        assert_eq!(F16.max_finite(), 65504.0);
        assert_eq!(F16.overflow_from(), 65520.0);
        assert_eq!(F16.min_normal(), 2f64.powi(-14));
        assert_eq!(F16.min_subnormal(), 2f64.powi(-24));
        assert_eq!(BF16.max_finite(), 3.3895313892515355e38);
        assert_eq!(BF16.min_subnormal(), 2f64.powi(-133));
        assert_eq!(TF32.min_subnormal(), 2f64.powi(-136));
        assert_eq!(F8_E4M3.max_finite(), 448.0);
        assert_eq!(F8_E4M3.min_subnormal(), 2f64.powi(-9));
        assert_eq!(F8_E5M2.max_finite(), 57344.0);
        assert_eq!(F8_E5M2.overflow_from(), 61440.0);
        assert_eq!(F8_E4M3FNUZ.max_finite(), 240.0);
        assert_eq!(F8_E5M2FNUZ.max_finite(), 57344.0);
        assert_eq!(F4_E2M1.max_finite(), 6.0);
    }

    #[test]
    fn every_code_decodes_and_encodes_back_to_itself() {
        for format in [F16, BF16, F8_E4M3, F8_E5M2, F8_E4M3FNUZ, F8_E5M2FNUZ, F4_E2M1] {
            for code in 0..1u32 << (1 + format.exponent_bits + format.mantissa_bits) {
                let value = format.decode(code);
                if !value.is_nan() {
                    assert_eq!(format.encode(value), code, "{} {code:#x} = {value}", format.name);
                }
            }
        }
    }

    #[test]
    fn f32_decodes_as_the_processor_does_and_rounds_as_a_cast_does() {
        for code in (0..u32::MAX).step_by(65_521).chain([0, 1, 0x7f80_0000, 0x8000_0001]) {
            let value = f32::from_bits(code);
            if !value.is_nan() {
                assert_eq!(F32.decode(code), f64::from(value));
            }
        }
        for x in [1.0 + 2f64.powi(-24), 1.0 + 3.0 * 2f64.powi(-24), 1e-45, 7e-46, 3.5e38, 1e-300] {
            assert_eq!(F32.round(x), f64::from(x as f32));
        }
    }

    #[test]
    fn ties_go_to_even_and_halves_of_the_least_value_vanish() {
        assert_eq!(F16.round(2f64.powi(-25)), 0.0);
        assert_eq!(F16.round(2f64.powi(-25) * 1.0001), 2f64.powi(-24));
        assert_eq!(F16.round(65519.99), 65504.0);
        assert_eq!(F16.round(65520.0), f64::INFINITY);
        assert_eq!(F4_E2M1.round(0.25), 0.0);
        assert_eq!(F4_E2M1.round(2.5), 2.0);
    }
}
