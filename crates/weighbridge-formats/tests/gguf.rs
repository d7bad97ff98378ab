//! GGUF beyond the corpus: split models, both byte orders, odd layouts, parts of tensors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use weighbridge_formats::{Access, ReadOptions, Source, open, read};
use weighbridge_model::{Error, Layout, Model, Result, Role, Tensor, Value};

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/gguf").join(name)
}

fn opened(paths: &[&Path]) -> Result<Model> {
    open(paths, None, &ReadOptions::default())
}

fn of_bytes(bytes: Vec<u8>) -> Result<Model> {
    read(&Source::memory("m.gguf", bytes), None, &ReadOptions::default())
}

fn codes(model: &Model) -> Vec<&str> {
    model.findings.iter().map(|f| f.code).collect()
}

/// The bytes of a range of elements, as chunks give them.
fn visited(tensor: &Tensor, range: std::ops::Range<u64>) -> Vec<u8> {
    let (mut out, mut next) = (Vec::new(), range.start);
    let width = tensor.dtype.chunk_bytes();
    tensor
        .visit(range, &mut |chunk| {
            assert_eq!(chunk.first, next);
            next += (chunk.bytes.len() / width) as u64;
            out.extend_from_slice(chunk.bytes);
            Ok(())
        })
        .unwrap();
    out
}

/// A file in the making; little-endian, version 3.
#[derive(Default)]
struct File {
    entries: (u64, Vec<u8>),
    tensors: (u64, Vec<u8>),
    data: Vec<u8>,
}

impl File {
    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn number(mut self, key: &str, number: u32) -> Self {
        self.entries.0 += 1;
        File::text(&mut self.entries.1, key);
        self.entries.1.extend(4u32.to_le_bytes());
        self.entries.1.extend(number.to_le_bytes());
        self
    }

    fn tensor(mut self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors.0 += 1;
        let out = &mut self.tensors.1;
        File::text(out, name);
        out.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(kind.to_le_bytes());
        out.extend(offset.to_le_bytes());
        self
    }

    fn data(mut self, bytes: usize) -> Self {
        self.data = vec![0; bytes];
        self
    }

    fn bytes(self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(self.tensors.0.to_le_bytes());
        out.extend(self.entries.0.to_le_bytes());
        out.extend(self.entries.1);
        out.extend(self.tensors.1);
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(self.data);
        out
    }
}

#[test]
fn shapes_are_row_major_and_rows_are_told() {
    let file = File::default().tensor("w", &[64, 2, 3], 2, 0).data(64 / 32 * 18 * 6).bytes();
    let model = of_bytes(file).unwrap();
    assert_eq!(model.tensors[0].shape, [3, 2, 64]);
    assert_eq!(model.tensors[0].bytes(), 216);
    let file = File::default().tensor("w", &[3, 64], 2, 0).data(200).bytes();
    let Err(Error::Malformed { place, what }) = of_bytes(file) else { panic!("rows of 3") };
    assert_eq!((place.tensor.as_deref(), place.source.as_str()), (Some("w"), "m.gguf"));
    assert_eq!(what, "rows of 3 elements are no whole blocks: Q4_0 has 32 in each");
}

#[test]
fn any_part_of_a_tensor_is_what_the_whole_has_there() {
    for name in ["every_block.gguf", "shapes.gguf", "big_endian.gguf"] {
        for no_mmap in [false, true] {
            let options = ReadOptions { access: Access { no_mmap }, ..ReadOptions::default() };
            let model = open(&[&corpus(name)], None, &options).unwrap();
            for tensor in model.tensors.iter().filter(|t| matches!(t.layout, Layout::Blocks { .. })) {
                let count = tensor.count();
                let whole = visited(tensor, 0..count);
                assert_eq!(whole.len() as u64, 4 * count);
                for (start, end) in [
                    (0, 1),
                    (1, count),
                    (31, 33),
                    (count / 2, count / 2 + 1),
                    (count - 1, count),
                    (65_000, 65_600),
                ] {
                    let range = start.min(count)..end.min(count);
                    let bytes = &whole[4 * range.start as usize..4 * range.end as usize];
                    assert_eq!(visited(tensor, range.clone()), bytes, "{} {range:?}", tensor.name);
                }
            }
        }
    }
}

#[test]
fn one_file_of_a_split_model_says_so_and_all_are_one() {
    let folder = corpus("split");
    let files: Vec<PathBuf> = (1..=3).map(|i| folder.join(format!("model-{i:05}-of-00003.gguf"))).collect();
    let one = opened(&[&files[1]]).unwrap();
    assert_eq!(codes(&one), ["G101"]);
    assert!(one.findings[0].message.starts_with("file 2 of 3"), "{}", one.findings[0].message);
    let names = |m: &Model| m.tensors.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    let whole = opened(&[&folder]).unwrap();
    assert_eq!((whole.tensors.len(), codes(&whole)), (5, vec![]));
    let backwards = opened(&[&files[2], &files[0], &files[1]]).unwrap();
    assert_eq!(names(&backwards), names(&whole));
    assert_eq!(whole.metadata("general.architecture"), Some(&Value::Str("llama".into())));
    assert_eq!(whole.metadata("split.no"), None);
    for some in [vec![&files[0], &files[1]], vec![&files[0], &files[0], &files[1]]] {
        let some: Vec<&Path> = some.into_iter().map(PathBuf::as_path).collect();
        assert!(opened(&some).is_err());
    }
    assert!(matches!(opened(&[&files[0], &corpus("llama.gguf")]), Err(Error::Usage { .. })));
}

#[test]
fn the_two_kinds_of_big_endian_blocks_are_told_apart() {
    assert_eq!(codes(&opened(&[&corpus("big_endian.gguf")]).unwrap()), [""; 0]);
    let (little, big) =
        (opened(&[&corpus("gguf_py.gguf")]).unwrap(), opened(&[&corpus("gguf_py_big_endian.gguf")]).unwrap());
    assert_eq!(codes(&big), ["G104"]);
    assert!(big.origin.contains("big-endian"));
    for (a, b) in little.tensors.iter().zip(&big.tensors) {
        assert_eq!(visited(a, 0..a.count()), visited(b, 0..b.count()), "{}", a.name);
    }
}

#[test]
fn types_that_are_not_read_are_listed_by_their_bytes() {
    let file = File::default().tensor("old", &[32, 2], 4, 0).tensor("new", &[8], 0, 64).data(96).bytes();
    let model = of_bytes(file).unwrap();
    let old = &model.tensors[0];
    assert_eq!((old.shape.as_slice(), old.role, old.dtype.name()), (&[64][..], Role::Packed, "U8"));
    assert_eq!(model.tensors[1].shape, [8]);
    assert_eq!(codes(&model), ["G103"]);
    assert!(model.findings[0].message.contains("Q4_2"), "{}", model.findings[0].message);
}

#[test]
fn data_out_of_order_is_read_and_told() {
    let file = File::default().tensor("a", &[8], 0, 32).tensor("b", &[8], 0, 0).data(64).bytes();
    let model = of_bytes(file).unwrap();
    assert_eq!(codes(&model), ["G102"]);
    assert_eq!(model.findings[0].tensor.as_deref(), Some("a"));
    assert_eq!(codes(&opened(&[&corpus("with_gaps.gguf")]).unwrap()), ["G102"]);
}

#[test]
fn alignment_moves_the_data_and_must_be_a_power_of_two() {
    for (alignment, is_good) in [(1, true), (64, true), (0, false), (24, false)] {
        let file = File::default().number("general.alignment", alignment).tensor("w", &[8], 0, 0).data(96);
        assert_eq!(of_bytes(file.bytes()).is_ok(), is_good, "{alignment}");
    }
}

#[test]
fn long_arrays_are_counted() {
    let model = opened(&[&corpus("llama.gguf")]).unwrap();
    let tokens = model.metadata("tokenizer.ggml.tokens").unwrap();
    assert_eq!(tokens.get("count").and_then(Value::as_int), Some(300));
    assert_eq!(tokens.get("first").and_then(Value::as_list).map(<[Value]>::len), Some(8));
    assert_eq!(model.origin, "GGUF v3, llama 8K, mostly Q4_0");
    let rope = model.tensors.iter().find(|t| t.name == "rope_freqs.weight").unwrap();
    assert_eq!(rope.role, Role::Buffer);
}

#[test]
fn a_large_file_is_listed_without_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.gguf");
    let rows = 1u64 << 20;
    let bytes = rows * 1024 / 256 * 144;
    let mut file = File::default();
    for i in 0..200 {
        file = file.tensor(&format!("blk.{i}.w"), &[1024, rows], 12, i * bytes);
    }
    fs::write(&path, file.bytes()).unwrap();
    let head = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(head + 200 * bytes).unwrap();
    let begin = Instant::now();
    let model = opened(&[&path]).unwrap();
    assert_eq!(model.tensors.iter().map(Tensor::bytes).sum::<u64>(), 200 * bytes);
    // To read these 120 GB would take longer on any machine.
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
}
