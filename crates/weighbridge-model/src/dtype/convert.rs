//! One element at a time: the reference that fast kernels are held against.

use super::{Class, DType, FloatFormat};

/// The value of one chunk element (sub-byte types unpacked, one a byte), as f64.
///
/// Exact for every real type but 64-bit integers beyond 2^53, which round to nearest.
/// Complex and opaque elements give NaN.
pub fn to_f64(dtype: DType, element: &[u8]) -> f64 {
    match dtype.in_chunks() {
        DType::F64 => f64::from_le_bytes(array(element)),
        DType::F32 => f64::from(f32::from_le_bytes(array(element))),
        DType::F8E8M0 => match element[0] {
            255 => f64::NAN,
            code => f64::from_bits((u64::from(code) + 1023 - 127) << 52),
        },
        _ => match (FloatFormat::of(dtype), to_integer(dtype, element)) {
            (Some(format), _) => format.decode(unsigned(element) as u32),
            (None, Some(i)) => i as f64,
            _ => f64::NAN,
        },
    }
}

/// The value of a half: as [`to_f64`], without a look at what the format is.
pub fn half(code: u16) -> f64 {
    // The fields, moved to where F64 has them, and the exponent by the difference of the biases.
    const BIAS: u64 = (1023 - 15) << 52;
    let (magnitude, exponent) = (u64::from(code & 0x7fff) << 42, code >> 10 & 0x1f);
    let value = match exponent {
        0 => f64::from(code & 0x3ff) / f64::from(1 << 24),
        0x1f => f64::from_bits(magnitude | 0x7ff << 52),
        _ => f64::from_bits(magnitude + BIAS),
    };
    if code >> 15 == 1 { -value } else { value }
}

/// The whole number of one chunk element; `None` for types that are not integers.
pub fn to_integer(dtype: DType, element: &[u8]) -> Option<i128> {
    match dtype.class() {
        Class::Bool => Some(i128::from(element[0] != 0)),
        Class::Unsigned => Some(i128::from(unsigned(element))),
        Class::Signed => {
            let unused = 64 - 8 * element.len() as u32;
            Some(i128::from((unsigned(element) << unused) as i64 >> unused))
        }
        _ => None,
    }
}

/// Appends the element nearest to `x` (ties to even) as a chunk holds it: sub-byte types one a byte.
/// Integers saturate and NaN becomes 0; floats as [`FloatFormat::encode`] says.
pub fn push(dtype: DType, x: f64, out: &mut Vec<u8>) {
    let width = dtype.chunk_bytes();
    match dtype.in_chunks() {
        DType::F64 => out.extend(x.to_le_bytes()),
        DType::F32 => out.extend((x as f32).to_le_bytes()),
        DType::F8E8M0 => out.push(if x.is_finite() && x > 0.0 {
            (super::exponent(x) + 127).clamp(0, 254) as u8
        } else {
            255
        }),
        DType::Bool => out.push(u8::from(x != 0.0)),
        _ => match FloatFormat::of(dtype) {
            Some(format) => out.extend(&format.encode(x).to_le_bytes()[..width]),
            None => {
                let bits = dtype.bits();
                let rounded = x.round_ties_even();
                let code = if dtype.class() == Class::Signed {
                    let high = (1i128 << (bits - 1)) - 1;
                    (rounded as i128).clamp(-high - 1, high) as u64
                } else {
                    (rounded as i128).clamp(0, (1i128 << bits) - 1) as u64
                };
                out.extend(&code.to_le_bytes()[..width]);
            }
        },
    }
}

fn array<const N: usize>(element: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(element);
    bytes
}

fn unsigned(element: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..element.len()].copy_from_slice(element);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_has_the_value_of_its_format() {
        for code in 0..=u16::MAX {
            let (found, expected) = (half(code), crate::dtype::F16.decode(u32::from(code)));
            assert!(
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                "{code:04x}"
            );
        }
    }

    #[test]
    fn integers_keep_their_sign_at_every_width() {
        assert_eq!(to_integer(DType::I8, &[0xff]), Some(-1));
        assert_eq!(to_integer(DType::I16, &(-300i16).to_le_bytes()), Some(-300));
        assert_eq!(to_integer(DType::I64, &i64::MIN.to_le_bytes()), Some(i128::from(i64::MIN)));
        assert_eq!(to_integer(DType::U64, &u64::MAX.to_le_bytes()), Some(i128::from(u64::MAX)));
    }

    #[test]
    fn casting_saturates_integers_and_rounds_halves_to_even() {
        let cast = |dtype, x| {
            let mut out = Vec::new();
            push(dtype, x, &mut out);
            to_f64(dtype, &out)
        };
        assert_eq!(cast(DType::I8, 300.0), 127.0);
        assert_eq!(cast(DType::I4, -9.0), -8.0);
        assert_eq!(cast(DType::U8, 2.5), 2.0);
        assert_eq!(cast(DType::U8, -3.0), 0.0);
        assert_eq!(cast(DType::F8E8M0, 0.25), 0.25);
    }
}
