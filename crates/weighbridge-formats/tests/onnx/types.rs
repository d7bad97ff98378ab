//! Every element type, raw and in its typed field.

use weighbridge_model::{DType, Layout};

use super::encode::*;
use super::{elements, error, read};

/// Number in the format, type, three elements as `raw_data`, the same as typed entries, as they are visited.
type Case = (i64, DType, Vec<u8>, Typed, Vec<u8>);

enum Typed {
    /// Fixed-width entries of field 4 or 10.
    Fixed(u32),
    /// Varints of a field.
    Varints(u32, Vec<i64>),
}

fn cases() -> Vec<Case> {
    fn le<const N: usize>(values: [[u8; N]; 3]) -> Vec<u8> {
        values.concat()
    }
    let bytes = vec![1, 0x80, 0xff];
    let by_byte =
        |dtype, number| (number, dtype, bytes.clone(), Typed::Varints(5, vec![1, 0x80, 0xff]), bytes.clone());
    let halves = le([0x3c00u16, 0x8001, 0xffff].map(u16::to_le_bytes));
    let by_half = |dtype, number| {
        let entries = Typed::Varints(5, vec![0x3c00, 0x8001, 0xffff]);
        (number, dtype, halves.clone(), entries, halves.clone())
    };
    let floats = le([1.5f32, -0.0, f32::NAN].map(f32::to_le_bytes));
    let doubles = le([1.5f64, -0.0, f64::INFINITY].map(f64::to_le_bytes));
    let complex = [floats.clone(), floats.clone()].concat();
    let complex128 = [doubles.clone(), doubles.clone()].concat();
    let signed = |width: usize| -> Vec<u8> {
        [1i64, -2, 3].iter().flat_map(|v| v.to_le_bytes()[..width].to_vec()).collect()
    };
    let int = |dtype, number, width, field| {
        (number, dtype, signed(width), Typed::Varints(field, vec![1, -2, 3]), signed(width))
    };
    // 1, then -2 (or 14), then 3: low half first.
    let (fours, twos) = (vec![0xe1, 0x03], vec![0b00_11_10_01]);
    let packed = |dtype, number, raw: &[u8], seen: [u8; 3]| {
        let entries = raw.iter().map(|&b| i64::from(b)).collect();
        (number, dtype, raw.to_vec(), Typed::Varints(5, entries), seen.to_vec())
    };
    vec![
        (1, DType::F32, floats.clone(), Typed::Fixed(4), floats),
        by_byte(DType::U8, 2),
        int(DType::I8, 3, 1, 5),
        by_half(DType::U16, 4),
        int(DType::I16, 5, 2, 5),
        int(DType::I32, 6, 4, 5),
        int(DType::I64, 7, 8, 7),
        (9, DType::Bool, vec![1, 0, 1], Typed::Varints(5, vec![1, 0, 256]), vec![1, 0, 1]),
        by_half(DType::F16, 10),
        (11, DType::F64, doubles.clone(), Typed::Fixed(10), doubles),
        int(DType::U32, 12, 4, 11),
        int(DType::U64, 13, 8, 11),
        (14, DType::C64, complex.clone(), Typed::Fixed(4), complex),
        (15, DType::C128, complex128.clone(), Typed::Fixed(10), complex128),
        by_half(DType::BF16, 16),
        by_byte(DType::F8E4M3, 17),
        by_byte(DType::F8E4M3Fnuz, 18),
        by_byte(DType::F8E5M2, 19),
        by_byte(DType::F8E5M2Fnuz, 20),
        packed(DType::U4, 21, &fours, [1, 14, 3]),
        packed(DType::I4, 22, &fours, [1, 0xfe, 3]),
        packed(DType::F4E2M1, 23, &fours, [1, 14, 3]),
        by_byte(DType::F8E8M0, 24),
        packed(DType::U2, 25, &twos, [1, 2, 3]),
        packed(DType::I2, 26, &twos, [1, 0xfe, 0xff]),
    ]
}

fn check(tensor: Proto, dtype: DType, seen: &[u8], how: &str) {
    let model = read(&model(graph(&[tensor])));
    let tensor = &model.tensors[0];
    assert_eq!((tensor.dtype, tensor.shape.as_slice()), (dtype, &[3u64][..]), "{how}");
    assert_eq!(elements(tensor), seen, "{dtype} {how}");
    // Any part of it, too.
    let width = dtype.chunk_bytes();
    let mut part = Vec::new();
    tensor
        .visit(1..2, &mut |chunk| {
            part.extend_from_slice(chunk.bytes);
            Ok(())
        })
        .unwrap();
    assert_eq!(part, seen[width..2 * width], "{dtype} {how}, the middle one");
}

#[test]
fn every_element_type_is_read_raw_and_typed_packed_and_not() {
    for (number, dtype, raw, typed, seen) in cases() {
        let t = || tensor("t", number, &[3]);
        check(t().bytes(9, &raw), dtype, &seen, "raw");
        match typed {
            Typed::Fixed(field) => {
                let width = if field == 4 { 4 } else { 8 };
                check(t().bytes(field, &raw), dtype, &seen, "packed");
                let (head, tail) = raw.split_at(width);
                check(t().bytes(field, head).bytes(field, tail), dtype, &seen, "in two runs");
                let single = raw.chunks(width).fold(t(), |mut t, entry| {
                    t.0.extend(varint(u64::from(field << 3 | if width == 4 { 5 } else { 1 })));
                    t.0.extend(entry);
                    t
                });
                check(single, dtype, &seen, "unpacked");
            }
            Typed::Varints(field, entries) => {
                check(t().packed(field, &entries), dtype, &seen, "packed");
                check(
                    t().packed(field, &entries[..1]).packed(field, &entries[1..]),
                    dtype,
                    &seen,
                    "in two runs",
                );
                check(entries.iter().fold(t(), |t, &e| t.int(field, e)), dtype, &seen, "unpacked");
            }
        }
    }
}

#[test]
fn raw_elements_are_the_files_own_bytes() {
    let bytes = model(graph(&[tensor("t", 1, &[1]).bytes(9, 1f32.to_le_bytes())]));
    assert_eq!(read(&bytes).tensors[0].storage.as_slice(), Some(&1f32.to_le_bytes()[..]));
    let bytes = model(graph(&[tensor("t", 1, &[1]).bytes(4, 1f32.to_le_bytes())]));
    assert!(read(&bytes).tensors[0].storage.as_slice().is_some(), "one run of floats needs no decoding");
    let bytes = model(graph(&[tensor("t", 6, &[1]).packed(5, &[1])]));
    assert!(read(&bytes).tensors[0].storage.as_slice().is_none());
}

#[test]
fn many_varints_are_decoded_in_bounded_chunks() {
    let values: Vec<i64> = (0..300_000).map(|i| i * 7919 - 1_000_000_000).collect();
    let model = read(&model(graph(&[tensor("t", 7, &[300_000]).packed(7, &values)])));
    let storage = &model.tensors[0].storage;
    let mut largest = 0;
    let mut bytes = Vec::new();
    storage
        .visit(3..storage.len() - 5, &mut |at, chunk| {
            assert_eq!(at, 3 + bytes.len() as u64);
            largest = largest.max(chunk.len());
            bytes.extend_from_slice(chunk);
            Ok(())
        })
        .unwrap();
    let all: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert!(bytes == all[3..all.len() - 5]);
    assert!(largest <= 1 << 17, "{largest}");
}

#[test]
fn strings_are_listed_without_elements() {
    let model = read(&model(graph(&[tensor("t", 8, &[2]).bytes(6, "a").bytes(6, "")])));
    let tensor = &model.tensors[0];
    assert_eq!((tensor.dtype, tensor.count(), &tensor.layout), (DType::Str, 2, &Layout::Opaque));
}

#[test]
fn scalars_empty_shapes_and_empty_names_are_fine() {
    let model = read(&model(graph(&[
        tensor("", 1, &[]).bytes(9, 1f32.to_le_bytes()),
        tensor("", 1, &[3, 0]),
        tensor("z", 7, &[0, 1 << 40, 1 << 40]),
    ])));
    let shapes: Vec<&[u64]> = model.tensors.iter().map(|t| t.shape.as_slice()).collect();
    assert_eq!(shapes, [&[][..], &[3, 0], &[0, 1 << 40, 1 << 40]]);
}

#[test]
fn what_does_not_fit_its_shape_is_refused_by_name() {
    for (tensor, expected) in [
        (tensor("w", 1, &[2]).bytes(9, [0; 4]), "tensor 'w': F32 [2] takes 8 bytes, and raw_data has 4"),
        (tensor("w", 1, &[2]).bytes(9, [0; 12]), "F32 [2] takes 8 bytes, and raw_data has 12"),
        (tensor("w", 1, &[2]), "tensor 'w': its shape asks for 2 entries of field 4, which has 0"),
        (
            tensor("w", 6, &[2]).packed(5, &[1, 2, 3]),
            "tensor 'w': its shape asks for 2 entries of field 5, which has 3",
        ),
        (tensor("w", 6, &[1]).bytes(5, [0x80]), "tensor 'w': a run of varints ends within one"),
        (tensor("w", 6, &[1]).bytes(5, [0xff; 11]), "tensor 'w': a varint of more than 10 bytes"),
        (tensor("w", 1, &[1]).bytes(4, [0; 5]), "tensor 'w': 5 bytes are no run of numbers of 4 bytes each"),
        (tensor("w", 1, &[1]).int(4, 1), "tensor 'w': field 4 is no run of the numbers"),
        (tensor("w", 1, &[-1]), "a dimension of size -1"),
        (tensor("w", 1, &[1 << 40, 1 << 40]), "more elements than can be counted"),
        (tensor("w", 15, &[1 << 60]), "more elements than can be counted"),
        (tensor("w", 0, &[1]), "tensor 'w': no element type"),
        (tensor("w", 99, &[1]), "tensor 'w': element type 99, which is none of ONNX"),
        (tensor("w", -1, &[1]), "tensor 'w': element type -1, which is none of ONNX"),
        (tensor("w", 27, &[1]), "tensor 'w': element type FLOAT6E2M3, six bits wide, which is not read"),
        (tensor("w", 8, &[2]).bytes(6, "a"), "tensor 'w': its shape asks for 2 strings, and it has 1"),
        (tensor("w", 1, &[1]).bytes(9, [0; 4]).bytes(4, [0; 4]), "both raw_data and a typed field"),
        (tensor("w", 1, &[1; 65]), "dimensions of a tensor: 65 asked, 64 allowed"),
    ] {
        let error = error(&model(graph(&[tensor])));
        assert!(error.starts_with("model.onnx at byte ") && error.contains(expected), "{error}");
    }
}
