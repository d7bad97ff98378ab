//! Blocks whose values are known without calculating as the code does.

use super::*;

fn values(block: BlockType, bytes: &[u8]) -> Vec<f32> {
    let mut out = Vec::new();
    block.dequantize(bytes, &mut out);
    out.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// 0.5 in half precision.
const HALF: [u8; 2] = 0x3800u16.to_le_bytes();
/// 2 in half precision.
const TWO: [u8; 2] = 0x4000u16.to_le_bytes();

#[test]
fn sizes_divide_the_chunks_blocks_and_are_those_of_one_block() {
    for &block in BlockType::ALL {
        assert_eq!(crate::BLOCK % block.elements(), 0, "{block}");
        let bytes = vec![0; 3 * block.bytes() as usize + 1];
        assert_eq!(values(block, &bytes).len() as u64, 3 * block.elements(), "{block}");
        for field in block.fields() {
            assert!(field.at + field.width * field.count <= block.bytes() as usize, "{block}");
        }
    }
}

#[test]
fn every_half_widens_to_its_value() {
    for code in 0..=u16::MAX {
        let (got, expected) = (f64::from(half_of(code)), super::super::F16.decode(u32::from(code)));
        assert!(
            got == expected && got.is_sign_negative() == expected.is_sign_negative()
                || got.is_nan() && expected.is_nan(),
            "{code:#x}"
        );
    }
}

#[test]
fn low_halves_come_first() {
    let mut bytes = HALF.to_vec();
    bytes.extend((0..16).map(|i| i | (15 - i) << 4));
    let expected: Vec<f32> = (0..16).chain((0..16).rev()).map(|q: i8| 0.5 * f32::from(q - 8)).collect();
    assert_eq!(values(BlockType::Q4_0, &bytes), expected);
    // The same codes with a minimum of 2 and without an offset.
    let mut bytes = [HALF, TWO].concat();
    bytes.extend((0..16).map(|i| i | (15 - i) << 4));
    let expected: Vec<f32> = (0..16).chain((0..16).rev()).map(|q: i8| 0.5 * f32::from(q) + 2.0).collect();
    assert_eq!(values(BlockType::Q4_1, &bytes), expected);
}

#[test]
fn the_fifth_bit_is_found_by_element() {
    let mut bytes = HALF.to_vec();
    bytes.extend(0x8001_0001u32.to_le_bytes());
    bytes.extend([0; 16]);
    let found = values(BlockType::Q5_0, &bytes);
    for (i, x) in found.into_iter().enumerate() {
        assert_eq!(x, if [0, 16, 31].contains(&i) { 0.0 } else { -8.0 }, "{i}");
    }
}

#[test]
fn sums_are_not_mistaken_for_codes() {
    let codes: Vec<u8> = (0..32).map(|i| (i - 16) as u8).collect();
    let expected: Vec<f32> = (-16..16).map(|q: i8| 0.5 * f32::from(q)).collect();
    assert_eq!(values(BlockType::Q8_1, &[&HALF[..], &TWO, &codes].concat()), expected);
    let wide = [&0.5f32.to_le_bytes()[..], &[9; 4], &codes].concat();
    assert_eq!(values(BlockType::Q8_1Wide, &wide), expected);
    let codes: Vec<u8> = (0..=255).map(|i: u8| i.wrapping_sub(128)).collect();
    let expected: Vec<f32> = (-128i16..128).map(|q| 0.5 * f32::from(q)).collect();
    assert_eq!(values(BlockType::Q8K, &[&0.5f32.to_le_bytes()[..], &codes, &[9; 32]].concat()), expected);
}

#[test]
fn a_bit_is_plus_or_minus_the_scale() {
    let mut bytes = TWO.to_vec();
    bytes.extend([0b0000_0101, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    let found = values(BlockType::Q1_0, &bytes);
    let plus: Vec<usize> = (0..128).filter(|&i| found[i] == 2.0).collect();
    assert_eq!(plus, [0, 2, 127]);
    assert_eq!(found.iter().filter(|&&x| x == -2.0).count(), 125);
}

#[test]
fn the_scale_of_iq1_m_is_put_together_from_quarters() {
    let mut bytes = [0; 56];
    // 0x3800 is 0.5: its digits 0, 0, 8, 3 from the lowest on are the high halves of the four scales.
    for (i, digit) in [0, 0, 8, 3].into_iter().enumerate() {
        bytes[48 + 2 * i + 1] = digit << 4;
    }
    // Row 0 of the grid is -1 throughout; the shift is +1/8.
    assert!(values(BlockType::Iq1M, &bytes).iter().all(|&x| x == 0.5 * (-1.0 + 0.125)));
}

#[test]
fn scales_of_fp4_are_powers_of_two_or_e4m3() {
    let mut bytes = vec![128];
    bytes.extend([0x72; 16]);
    let found = values(BlockType::Mxfp4, &bytes);
    assert_eq!((found[0], found[16]), (2.0, 12.0));
    bytes[0] = 0;
    assert_eq!(values(BlockType::Mxfp4, &bytes)[0], 2f32.powi(-127));
    let mut bytes = vec![0x38, 0x7f, 0x01, 0x80 | 0x38];
    bytes.extend([0x72; 32]);
    let found = values(BlockType::Nvfp4, &bytes);
    assert_eq!((found[0], found[8], found[16], found[32], found[48]), (1.0, 6.0, 0.0, 2f32.powi(-9), 1.0));
}

#[test]
fn five_ternary_digits_are_in_a_byte() {
    let mut bytes = [0u8; 54];
    bytes[52..].copy_from_slice(&TWO);
    // 1, 0, -1, 1, 0 as digits 2, 1, 0, 2, 1: the fraction 2/3 + 1/9 + 2/81 + 1/243 of 256, rounded up.
    let number = 2 * 81 + 27 + 2 * 3 + 1;
    bytes[0] = ((number * 256 + 242) / 243) as u8;
    let found = values(BlockType::Tq1_0, &bytes);
    assert_eq!([0, 32, 64, 96, 128].map(|i| found[i]), [2.0, 0.0, -2.0, 2.0, 0.0]);
    assert_eq!(found[1], -2.0);
}

#[test]
fn swapping_fields_twice_changes_nothing_and_once_the_numbers_alone() {
    for &block in BlockType::ALL {
        let bytes: Vec<u8> = (0..2 * block.bytes()).map(|i| (i * 7 % 251) as u8).collect();
        let mut swapped = bytes.clone();
        block.swap(&mut swapped);
        assert_eq!(swapped != bytes, !block.fields().is_empty(), "{block}");
        block.swap(&mut swapped);
        assert_eq!(swapped, bytes, "{block}");
    }
    let mut bytes = [1, 2, 3, 4, 9, 9];
    bytes[4..].copy_from_slice(&[5, 6]);
    let mut block = [&bytes[..], &[7; 16]].concat();
    BlockType::Q5_0.swap(&mut block);
    assert_eq!(block[..7], [2, 1, 6, 5, 4, 3, 7]);
}
