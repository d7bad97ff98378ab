//! Element types: what they are called, how wide they are, what class of number they hold.

mod blocks;
mod convert;
mod format;
mod onnx;

use std::fmt;

pub use blocks::{BlockType, Field};
pub use convert::{half, push, to_f64, to_integer};
pub use format::{
    BF16, F4_E2M1, F8_E4M3, F8_E4M3FNUZ, F8_E5M2, F8_E5M2FNUZ, F16, F32, FloatFormat, Specials, TF32,
    exponent,
};

/// What kind of number an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Binary floating point (sign, exponent, mantissa), the scale-only E8M0 included.
    Float,
    /// Two's-complement integers.
    Signed,
    /// Unsigned integers.
    Unsigned,
    /// Truth values, one a byte.
    Bool,
    /// Pairs of floats.
    Complex,
    /// Strings and objects: no numbers.
    Opaque,
}

macro_rules! dtypes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $bits:literal, $class:ident;)*) => {
        /// An element type, as it is stored.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DType {
            $($(#[$doc])* $variant,)*
            /// Blocks of elements that share scales; their values are floats.
            Block(BlockType),
        }

        impl DType {
            /// Every type whose elements stand for themselves, in the order of the table: all but blocks.
            pub const ALL: &[DType] = &[$(DType::$variant,)*];

            /// The name in safetensors' spelling (an open set: other containers' types follow its style).
            pub fn name(self) -> &'static str {
                match self {
                    $(DType::$variant => $name,)*
                    DType::Block(block) => block.name(),
                }
            }

            /// Stored bits per element; 0 for opaque elements and those of blocks, which have no place of their own.
            pub fn bits(self) -> u32 {
                match self {
                    $(DType::$variant => $bits,)*
                    DType::Block(_) => 0,
                }
            }

            /// What class of number this is.
            pub fn class(self) -> Class {
                match self {
                    $(DType::$variant => Class::$class,)*
                    DType::Block(_) => Class::Float,
                }
            }
        }
    };
}

dtypes! {
    /// IEEE 754 double precision.
    F64 = "F64", 64, Float;
    /// IEEE 754 single precision.
    F32 = "F32", 32, Float;
    /// IEEE 754 half precision, e5m10.
    F16 = "F16", 16, Float;
    /// bfloat16, e8m7.
    BF16 = "BF16", 16, Float;
    /// FP8 e4m3 without infinities, NaN = 7F/FF, largest 448.
    F8E4M3 = "F8_E4M3", 8, Float;
    /// FP8 e5m2 with infinities, largest 57344.
    F8E5M2 = "F8_E5M2", 8, Float;
    /// FP8 e4m3, bias 8, neither infinities nor -0 (80 is NaN), largest 240.
    F8E4M3Fnuz = "F8_E4M3FNUZ", 8, Float;
    /// FP8 e5m2, bias 16, neither infinities nor -0 (80 is NaN), largest 57344.
    F8E5M2Fnuz = "F8_E5M2FNUZ", 8, Float;
    /// A power of two, 2^(code - 127); FF is NaN. No sign, no zero.
    F8E8M0 = "F8_E8M0", 8, Float;
    /// FP4 e2m1: 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives.
    F4E2M1 = "F4", 4, Float;
    /// 64-bit signed integer.
    I64 = "I64", 64, Signed;
    /// 32-bit signed integer.
    I32 = "I32", 32, Signed;
    /// 16-bit signed integer.
    I16 = "I16", 16, Signed;
    /// 8-bit signed integer.
    I8 = "I8", 8, Signed;
    /// 4-bit signed integer, two a byte, low half first.
    I4 = "I4", 4, Signed;
    /// 2-bit signed integer, four a byte, low bits first.
    I2 = "I2", 2, Signed;
    /// 64-bit unsigned integer.
    U64 = "U64", 64, Unsigned;
    /// 32-bit unsigned integer.
    U32 = "U32", 32, Unsigned;
    /// 16-bit unsigned integer.
    U16 = "U16", 16, Unsigned;
    /// 8-bit unsigned integer.
    U8 = "U8", 8, Unsigned;
    /// 4-bit unsigned integer, two a byte, low half first.
    U4 = "U4", 4, Unsigned;
    /// 2-bit unsigned integer, four a byte, low bits first.
    U2 = "U2", 2, Unsigned;
    /// A truth value, one a byte; any nonzero byte is true.
    Bool = "BOOL", 8, Bool;
    /// Two F16: real, imaginary.
    C32 = "C32", 32, Complex;
    /// Two F32: real, imaginary.
    C64 = "C64", 64, Complex;
    /// Two F64: real, imaginary.
    C128 = "C128", 128, Complex;
    /// Text; elements have no fixed width.
    Str = "STRING", 0, Opaque;
}

impl DType {
    /// Bytes per element in a chunk: sub-byte types are unpacked one a byte, blocks dequantized; 0 for opaque
    /// elements.
    pub fn chunk_bytes(self) -> usize {
        self.in_chunks().bits().div_ceil(8) as usize
    }

    /// The type of the elements in a chunk: F32 for blocks, which are dequantized, otherwise this one.
    pub fn in_chunks(self) -> DType {
        if let DType::Block(_) = self { DType::F32 } else { self }
    }

    /// The type of blocks, where this is one.
    pub fn block(self) -> Option<BlockType> {
        if let DType::Block(block) = self { Some(block) } else { None }
    }

    /// Whether several elements share a byte.
    pub fn is_sub_byte(self) -> bool {
        matches!(self.bits(), 1..8)
    }

    /// Width in bytes of the unit that byte order applies to: a complex number is two floats.
    pub fn swap_width(self) -> usize {
        match self.class() {
            Class::Complex => self.chunk_bytes() / 2,
            _ => self.chunk_bytes(),
        }
    }

    /// Whether elements have a magnitude that can be measured.
    pub fn is_real(self) -> bool {
        !matches!(self.class(), Class::Complex | Class::Opaque)
    }

    /// Whether this is floating point.
    pub fn is_float(self) -> bool {
        self.class() == Class::Float
    }

    /// Whether figures are exact whole numbers (bool counts as 0 and 1).
    pub fn is_integer(self) -> bool {
        matches!(self.class(), Class::Signed | Class::Unsigned | Class::Bool)
    }

    /// Bytes that `count` packed contiguous elements take, blocks whole; `None` on overflow.
    pub fn packed_bytes(self, count: u64) -> Option<u64> {
        if let DType::Block(block) = self {
            return count.div_ceil(block.elements()).checked_mul(block.bytes());
        }
        count.checked_mul(u64::from(self.bits())).map(|bits| bits.div_ceil(8))
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for DType {
    type Err = ();

    /// Reads safetensors' spelling, which has no blocks.
    fn from_str(name: &str) -> Result<Self, ()> {
        DType::ALL.iter().copied().find(|d| d.name() == name).ok_or(())
    }
}
