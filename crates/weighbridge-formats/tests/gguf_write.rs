//! GGUF as it is written: what is laid out as it should be comes out as it was; splits come together again.

use std::path::{Path, PathBuf};

use weighbridge_formats::{Carry, Plan, ReadOptions, WriteOptions, by_id, open};
use weighbridge_model::{Layout, Model, Tensor, Value};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/gguf")
}

fn opened(paths: &[&Path]) -> Model {
    open(paths, None, &ReadOptions::default()).unwrap()
}

fn written(model: &Model, path: &Path, shard_bytes: Option<u64>) -> Plan {
    let options = WriteOptions { shard_bytes, ..WriteOptions::default() };
    let plan = by_id("gguf").unwrap().plan(model, path, &options).unwrap();
    plan.write(&[], Carry { force: true, sync: false }, &|_| {}).unwrap();
    plan
}

/// What the bytes of a tensor are, as its file has them.
fn stored(tensor: &Tensor) -> Vec<u8> {
    let mut out = Vec::new();
    let mut take = |_: u64, bytes: &[u8]| {
        out.extend_from_slice(bytes);
        Ok(())
    };
    tensor.storage.visit(0..tensor.bytes(), &mut take).unwrap();
    out
}

#[test]
fn a_file_that_is_in_order_comes_out_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for entry in corpus().read_dir().unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "gguf") || stem == "with_gaps" {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let model = opened(&[&path]);
        let out = folder.path().join("o.gguf");
        let plan = written(&model, &out, None);
        assert_eq!(plan.kept.len(), model.tensors.len(), "{stem}");
        assert!(plan.changed.is_empty() && plan.added.is_empty() && plan.dropped.is_empty(), "{stem}");
        let back = opened(&[&out]);
        assert_eq!(back.metadata, model.metadata, "{stem}");
        for (a, b) in model.tensors.iter().zip(&back.tensors) {
            assert_eq!(
                (&a.name, a.dtype, &a.shape, stored(a)),
                (&b.name, b.dtype, &b.shape, stored(b)),
                "{stem}"
            );
        }
        // Version 3, little-endian.
        if bytes[4..8] == [3, 0, 0, 0] {
            assert!(bytes == std::fs::read(&out).unwrap(), "{stem}");
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn split_files_are_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let source = corpus().join("aligned.gguf");
    let model = opened(&[&source]);
    let plan = written(&model, &folder.path().join("m.gguf"), Some(1));
    let paths: Vec<&Path> = plan.files.iter().map(|f| &*f.path).collect();
    assert_eq!(paths.len(), 3);
    assert!(paths[2].ends_with("m-00001-of-00003.gguf"), "{paths:?}");
    let back = opened(&paths);
    let names = |m: &Model| m.tensors.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&back), names(&model));
    assert_eq!(back.metadata("general.alignment"), model.metadata("general.alignment"));
    // Put together again, it is the file that it was.
    let whole = folder.path().join("whole.gguf");
    written(&back, &whole, None);
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&source).unwrap());
}

#[test]
fn a_file_type_that_no_tensor_is_of_is_left_out() {
    let mut model = opened(&[&corpus().join("llama.gguf")]);
    assert!(model.metadata("general.file_type").is_some(), "{:?}", model.metadata);
    model.tensors.retain(|t| matches!(t.layout, Layout::Strided(_)));
    let said = model.metadata("general.file_type").and_then(Value::as_int);
    let folder = tempfile::tempdir().unwrap();
    let plan = written(&model, &folder.path().join("o.gguf"), None);
    let left_out = plan.dropped.iter().any(|c| c.tensor == "general.file_type");
    let back = opened(&[&folder.path().join("o.gguf")]);
    assert_eq!(back.metadata("general.file_type").and_then(Value::as_int), said.filter(|_| !left_out));
    assert!(left_out, "{said:?}, {:?}", model.tensors.iter().map(|t| t.dtype).collect::<Vec<_>>());
}
