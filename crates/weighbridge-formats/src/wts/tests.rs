use weighbridge_model::{Model, Result};

use crate::format::ReadOptions;
use crate::source::Source;

fn read(text: &[u8]) -> Result<Model> {
    let source = Source::memory("m.wts", text);
    assert!(super::sniff(&source)?.is_some(), "not recognised");
    super::read(&source, &ReadOptions::default())
}

fn values(model: &Model, name: &str) -> Vec<f64> {
    let tensor = model.tensors.iter().find(|t| t.name == name).expect("a tensor of this name");
    let mut all = Vec::new();
    let keep = &mut |_, values: &[f64]| {
        all.extend_from_slice(values);
        Ok(())
    };
    tensor.visit_values(0..tensor.count(), keep).expect("words");
    all
}

#[test]
fn the_usual_form_is_read_with_any_white_space() {
    for text in [
        &b"2\na 2  3f800000 c0000000\nb 1  40400000\n"[..],
        b"2\r\na 2 3f800000 c0000000\r\nb 1 40400000\r\n",
        b"2\n\na\t2\t3F800000   C0000000 \n b 1 40400000",
    ] {
        let model = read(text).unwrap();
        assert_eq!(values(&model, "a"), [1.0, -2.0]);
        assert_eq!(values(&model, "b"), [3.0]);
    }
}

#[test]
fn words_may_lack_their_leading_zeros() {
    let model = read(b"1\na 3 0 1 3f800000\n").unwrap();
    assert_eq!(values(&model, "a"), [0.0, f64::from(f32::from_bits(1)), 1.0]);
}

#[test]
fn words_of_many_lengths_are_found_from_any_place() {
    let count = 200_000u32;
    let words: String = (0..count).map(|i| format!(" {i:x}")).collect();
    let model = read(format!("1\nlong {count}{words}\n").as_bytes()).unwrap();
    let tensor = &model.tensors[0];
    for range in [0..5u64, 65_530..65_545, 131_071..131_074, 199_998..200_000] {
        let mut bytes = vec![0; 4 * (range.end - range.start) as usize];
        tensor.storage.read_at(4 * range.start, &mut bytes).unwrap();
        let expected: Vec<u8> = range.flat_map(|i| (i as u32).to_le_bytes()).collect();
        assert_eq!(bytes, expected);
    }
    tensor
        .visit(0..tensor.count(), &mut |chunk| {
            let first = chunk.first as u32;
            for (i, word) in chunk.bytes.as_chunks::<4>().0.iter().enumerate() {
                assert_eq!(u32::from_le_bytes(*word), first + i as u32);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_form_with_types_is_told_by_what_fits() {
    let model = read(b"2\na 0 3 0 3f800000 40000000\nb 1 2 3c00 c000\n").unwrap();
    assert_eq!(values(&model, "a"), [0.0, 1.0, 2.0]);
    assert_eq!(values(&model, "b"), [1.0, -2.0]);
    assert!(model.origin.contains("NVIDIA"));
}

#[test]
fn raw_bytes_behind_a_shape_are_taken_as_they_are() {
    let mut text = b"2\nk 0 (2, 1) ".to_vec();
    text.extend(1.5f32.to_le_bytes());
    text.extend(f32::from_bits(0x0a0a_0a0a).to_le_bytes());
    text.extend(b"\nb 0 (1,) ");
    text.extend((-2f32).to_le_bytes());
    let model = read(&text).unwrap();
    assert_eq!(model.tensors[0].shape, [2, 1]);
    assert_eq!(values(&model, "k"), [1.5, f64::from(f32::from_bits(0x0a0a_0a0a))]);
    assert_eq!(values(&model, "b"), [-2.0]);
}

#[test]
fn lines_that_lie_are_refused_with_their_place() {
    let error = |text: &[u8]| read(text).unwrap_err().to_string();
    assert!(error(b"3\na 1 3f800000\n").contains("says 3 tensors, and there are 1"));
    assert!(error(b"1\na 3 3f800000 3f800000\n").contains("has 2 words, and says 3"));
    assert!(error(b"1\na 99999999999 3f800000\n").contains("99999999999 words"));
    assert!(error(b"2\na 1 3f800000\nb\n").contains("'b'"));
    let model = read(b"1\na 1 3f80000g\n").unwrap();
    let error = model.tensors[0].visit(0..1, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("at byte 6") || error.contains("at byte 13"), "{error}");
    assert_eq!(read(b"1\na 1 3f800000\nb 1 0\n").unwrap().findings[0].code, "F130");
}
