//! Block-quantized elements: runs of 32 to 256 weights that share scales, as GGML packs them.
//!
//! Every block of a type has the same number of elements and bytes, and rows are whole blocks. What a block's bytes
//! say of its elements is one function each, by family. The arithmetic is in f32, each operation rounded once, in the
//! order in which GGML's reference does it: the results are the same to the bit.

mod codebook;
mod fp4;
mod grids;
mod k;
mod nonlinear;
mod one_bit;
mod plain;
mod ternary;

use std::fmt;

/// A run of numbers within a block that byte order applies to: where it begins, how wide each is, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Byte of the first number.
    pub at: usize,
    /// Bytes of each number.
    pub width: usize,
    /// How many there are.
    pub count: usize,
}

macro_rules! block_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $elements:literal, $bytes:literal,
        [$(($at:literal, $width:literal, $count:literal)),*], $dequantize:path;)*) => {
        /// A type of blocks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum BlockType { $($(#[$doc])* $variant,)* }

        impl BlockType {
            /// Every type of blocks, in the order of the table.
            pub const ALL: &[BlockType] = &[$(BlockType::$variant,)*];

            /// GGML's name.
            pub const fn name(self) -> &'static str {
                match self { $(BlockType::$variant => $name,)* }
            }

            /// Elements in a block.
            pub const fn elements(self) -> u64 {
                match self { $(BlockType::$variant => $elements,)* }
            }

            /// Bytes of a block.
            pub const fn bytes(self) -> u64 {
                match self { $(BlockType::$variant => $bytes,)* }
            }

            /// The numbers of more than a byte in a block.
            pub const fn fields(self) -> &'static [Field] {
                match self { $(BlockType::$variant => &[$(Field { at: $at, width: $width, count: $count }),*],)* }
            }

            /// Appends the values of whole blocks, as little-endian f32.
            pub fn dequantize(self, blocks: &[u8], out: &mut Vec<[u8; 4]>) {
                match self {
                    $(BlockType::$variant => each::<$bytes, $elements>(blocks, out, $dequantize),)*
                }
            }
        }
    };
}

block_types! {
    /// A sign for each element, times one scale.
    Q1_0 = "Q1_0", 128, 18, [(0, 2, 1)], one_bit::q1_0;
    /// 4 bits around 8, one scale.
    Q4_0 = "Q4_0", 32, 18, [(0, 2, 1)], plain::q4_0;
    /// 4 bits, scale and minimum.
    Q4_1 = "Q4_1", 32, 20, [(0, 2, 2)], plain::q4_1;
    /// 5 bits around 16, one scale.
    Q5_0 = "Q5_0", 32, 22, [(0, 2, 1), (2, 4, 1)], plain::q5_0;
    /// 5 bits, scale and minimum.
    Q5_1 = "Q5_1", 32, 24, [(0, 2, 2), (4, 4, 1)], plain::q5_1;
    /// 8 bits, one scale.
    Q8_0 = "Q8_0", 32, 34, [(0, 2, 1)], plain::q8_0;
    /// 8 bits, one scale, and the sum of the values, which is not needed to know them.
    Q8_1 = "Q8_1", 32, 36, [(0, 2, 2)], plain::q8_1;
    /// `Q8_1` as it was until 2024, with scale and sum in single precision.
    Q8_1Wide = "Q8_1", 32, 40, [(0, 4, 2)], plain::q8_1_wide;
    /// 2 bits, in 16 groups with a scale and a minimum of 4 bits.
    Q2K = "Q2_K", 256, 84, [(80, 2, 2)], k::q2_k;
    /// 3 bits, in 16 groups with a scale of 6 bits.
    Q3K = "Q3_K", 256, 110, [(108, 2, 1)], k::q3_k;
    /// 4 bits, in 8 groups with a scale and a minimum of 6 bits.
    Q4K = "Q4_K", 256, 144, [(0, 2, 2)], k::q4_k;
    /// 5 bits, in 8 groups with a scale and a minimum of 6 bits.
    Q5K = "Q5_K", 256, 176, [(0, 2, 2)], k::q5_k;
    /// 6 bits, in 16 groups with a scale of 8 bits.
    Q6K = "Q6_K", 256, 210, [(208, 2, 1)], k::q6_k;
    /// 8 bits, one scale in single precision, and sums, which are not needed.
    Q8K = "Q8_K", 256, 292, [(0, 4, 1), (260, 2, 16)], k::q8_k;
    /// Rows of a grid of 256, signs of 7 bits for 8.
    Iq2Xxs = "IQ2_XXS", 256, 66, [(0, 2, 1), (2, 2, 32)], codebook::iq2_xxs;
    /// Rows of a grid of 512, signs of 7 bits for 8.
    Iq2Xs = "IQ2_XS", 256, 74, [(0, 2, 1), (2, 2, 32)], codebook::iq2_xs;
    /// Rows of a grid of 1024, a sign for each element.
    Iq2S = "IQ2_S", 256, 82, [(0, 2, 1)], codebook::iq2_s;
    /// Half rows of a grid of 256, signs of 7 bits for 8.
    Iq3Xxs = "IQ3_XXS", 256, 98, [(0, 2, 1), (66, 4, 8)], codebook::iq3_xxs;
    /// Half rows of a grid of 512, a sign for each element.
    Iq3S = "IQ3_S", 256, 110, [(0, 2, 1)], codebook::iq3_s;
    /// Rows of a grid of 2048 ternary vectors, shifted by an eighth.
    Iq1S = "IQ1_S", 256, 50, [(0, 2, 1), (34, 2, 8)], codebook::iq1_s;
    /// As `IQ1_S`, with more scales; the scale of all is spread over them.
    Iq1M = "IQ1_M", 256, 56, [(48, 2, 4)], codebook::iq1_m;
    /// 4 bits into a table of 16 unevenly spaced values, one scale.
    Iq4Nl = "IQ4_NL", 32, 18, [(0, 2, 1)], nonlinear::iq4_nl;
    /// As `IQ4_NL`, in 8 groups with a scale of 6 bits.
    Iq4Xs = "IQ4_XS", 256, 136, [(0, 2, 2)], nonlinear::iq4_xs;
    /// -1, 0, 1, five a byte.
    Tq1_0 = "TQ1_0", 256, 54, [(52, 2, 1)], ternary::tq1_0;
    /// -1, 0, 1, four a byte.
    Tq2_0 = "TQ2_0", 256, 66, [(64, 2, 1)], ternary::tq2_0;
    /// FP4 e2m1 with a power of two (OCP microscaling).
    Mxfp4 = "MXFP4", 32, 17, [], fp4::mxfp4;
    /// FP4 e2m1, in 4 groups with an FP8 e4m3 scale without a sign.
    Nvfp4 = "NVFP4", 64, 36, [], fp4::nvfp4;
}

impl BlockType {
    /// The type of this name; of two layouts of one name, the one in use.
    pub fn by_name(name: &str) -> Option<BlockType> {
        BlockType::ALL.iter().copied().find(|b| b.name() == name)
    }

    /// Stored bits for each element, scales included.
    pub fn bits_per_element(self) -> f64 {
        self.bytes() as f64 * 8.0 / self.elements() as f64
    }

    /// Turns the fields of whole blocks from one byte order into the other.
    pub fn swap(self, blocks: &mut [u8]) {
        for block in blocks.chunks_exact_mut(self.bytes() as usize) {
            for field in self.fields() {
                let numbers = &mut block[field.at..field.at + field.width * field.count];
                numbers.chunks_exact_mut(field.width).for_each(<[u8]>::reverse);
            }
        }
    }
}

impl fmt::Display for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Dequantizes block by block. Bytes that make no whole block are left.
fn each<const BYTES: usize, const N: usize>(
    blocks: &[u8],
    out: &mut Vec<[u8; 4]>,
    block: impl Fn(&[u8; BYTES], &mut [f32; N]),
) {
    let blocks = blocks.as_chunks::<BYTES>().0;
    out.reserve(blocks.len() * N);
    let mut values = [0.0; N];
    for bytes in blocks {
        block(bytes, &mut values);
        out.extend(values.iter().map(|x| x.to_le_bytes()));
    }
}

/// The half-precision number at a byte of a block, exactly; NaN keep their payload.
#[inline]
fn half(block: &[u8], at: usize) -> f32 {
    half_of(u16::from_le_bytes([block[at], block[at + 1]]))
}

#[inline]
fn half_of(half: u16) -> f32 {
    let magnitude = u32::from(half & 0x7fff) << 13;
    let finite = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    let bits = if magnitude >= 0x0f80_0000 { magnitude | 0x7f80_0000 } else { finite.to_bits() };
    f32::from_bits(bits | u32::from(half & 0x8000) << 16)
}

/// The single-precision number at a byte of a block.
#[inline]
fn single(block: &[u8], at: usize) -> f32 {
    f32::from_bits(word(block, at))
}

#[inline]
fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

#[inline]
fn short(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

#[cfg(test)]
mod tests;
