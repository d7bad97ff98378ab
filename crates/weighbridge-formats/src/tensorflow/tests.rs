//! What files of TensorFlow turn into, made by hand.

use std::fs;

use weighbridge_model::{Attribute, DType, Error, Model, Role, Value};

use super::table::tests::table;
use crate::{ReadOptions, Source, open, read};

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(content.len() as u64), content].concat()
}

fn int(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn shape(dims: &[u64]) -> Vec<u8> {
    dims.iter().flat_map(|&d| field(2, &int(1, d))).collect()
}

/// A constant of F32 with these values in its field.
fn constant(name: &str, dims: &[u64], values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let tensor = [int(1, 1), field(2, &shape(dims)), field(5, &bytes)].concat();
    node(name, "Const", &[], &[("value", field(8, &tensor))])
}

fn node(name: &str, op: &str, inputs: &[&str], attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = [field(1, name.as_bytes()), field(2, op.as_bytes())].concat();
    bytes.extend(inputs.iter().flat_map(|i| field(3, i.as_bytes())));
    for (key, value) in attributes {
        bytes.extend(field(5, &[field(1, key.as_bytes()), field(2, value)].concat()));
    }
    field(1, &bytes)
}

fn call(name: &str, function: &str, inputs: &[&str]) -> Vec<u8> {
    node(name, "PartitionedCall", inputs, &[("f", field(10, &field(1, function.as_bytes())))])
}

/// A function of one argument `a`, with nodes as [`node`] writes them.
fn function(name: &str, nodes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = field(1, &[field(1, name.as_bytes()), field(2, &field(1, b"a"))].concat());
    // Nodes are field 3 of a function.
    bytes.extend(nodes.concat().into_iter().enumerate().map(|(i, b)| if i == 0 { 3 << 3 | 2 } else { b }));
    field(1, &bytes)
}

fn model(bytes: Vec<u8>) -> Result<Model, Error> {
    read(&Source::memory("x.pb", bytes), None, &ReadOptions::default())
}

fn values(model: &Model, name: &str) -> Vec<f64> {
    let tensor = model.tensors.iter().find(|t| t.name == name).unwrap();
    let mut out = Vec::new();
    let take = &mut |_, values: &[f64]| {
        out.extend_from_slice(values);
        Ok(())
    };
    tensor.visit_values(0..tensor.count(), take).unwrap();
    out
}

#[test]
fn the_last_value_of_a_field_stands_for_all_that_are_missing() {
    let bytes = [
        constant("many", &[2, 3], &[1.0, 2.0, 3.0]),
        constant("one", &[1 << 40], &[0.5]),
        constant("none", &[1 << 20, 1 << 20], &[]),
        constant("more", &[2], &[1.0, 2.0, 3.0]),
    ];
    let model = model(bytes.concat()).unwrap();
    assert_eq!(values(&model, "many"), [1.0, 2.0, 3.0, 3.0, 3.0, 3.0]);
    assert_eq!(values(&model, "more"), [1.0, 2.0]);
    let one = &model.tensors[1];
    assert_eq!((one.storage.len(), one.layout.view().unwrap().strides.as_slice()), (4, &[0][..]));
    assert_eq!(model.tensors[2].storage.len(), 4);
}

#[test]
fn what_would_take_forever_is_refused() {
    let error = model(constant("w", &[1 << 50], &[1.0, 2.0])).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}

#[test]
fn weights_are_followed_into_functions_and_through_what_hands_them_on() {
    let inner = [node("mul", "MatMul", &["a", "a"], &[])];
    let library = field(2, &function("f", &inner));
    let bytes = [
        constant("net/w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
        node("read", "Identity", &["net/w"], &[]),
        call("call", "f", &["read", "^net/w"]),
        library,
    ];
    let model = model(bytes.concat()).unwrap();
    assert_eq!((model.format, model.tensors[0].role), ("tensorflow", Role::Parameter));
    let graph = model.graph.as_ref().unwrap();
    assert!(matches!(graph.nodes[2].attributes[0].1, Attribute::Graph(_)));
    let layers = weighbridge_model::layers::layers(&model);
    assert_eq!((layers[0].path.as_str(), layers[0].kind.as_str()), ("net", "Linear 2->2"));
    assert_eq!(model.metadata("functions"), Some(&Value::List(vec![Value::Str("f".into())])));
}

#[test]
fn functions_that_call_each_other_end() {
    let twice = |name: &str, next: &str| {
        let calls: Vec<_> = (0..8).map(|i| call(&format!("c{i}"), next, &["a"])[..].to_vec()).collect();
        let nodes: Vec<u8> = calls.iter().flat_map(|c| [&[3 << 3 | 2], &c[1..]].concat()).collect();
        let signature = field(1, &[field(1, name.as_bytes()), field(2, &field(1, b"a"))].concat());
        field(1, &[signature, nodes].concat())
    };
    let functions: Vec<u8> =
        (0..30).flat_map(|i| twice(&format!("f{i}"), &format!("f{}", (i + 1) % 30))).collect();
    let bytes = [constant("w", &[1], &[1.0]), call("go", "f0", &["w"]), field(2, &functions)];
    assert_eq!(model(bytes.concat()).unwrap().tensors.len(), 1);
}

/// An entry of F32 in shard 0.
fn entry(dims: &[u64], offset: u64, size: u64) -> Vec<u8> {
    [int(1, 1), field(2, &shape(dims)), int(4, offset), int(5, size)].concat()
}

#[test]
fn a_checkpoint_is_found_by_its_index_its_shard_its_prefix_and_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let header = int(1, 1);
    for step in ["a-1", "a-2"] {
        let index = table(&[(b"", &header), (b"w", &entry(&[2], 0, 8))], false);
        fs::write(folder.path().join(format!("{step}.index")), index).unwrap();
        let data: Vec<u8> = [1.5f32, 2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
        fs::write(folder.path().join(format!("{step}.data-00000-of-00001")), data).unwrap();
    }
    let options = ReadOptions::default();
    for name in ["a-1.index", "a-1.data-00000-of-00001", "a-1"] {
        let model = open(&[&folder.path().join(name)], None, &options).unwrap();
        assert_eq!((values(&model, "w"), model.findings.len()), (vec![1.5, 2.5], 0));
    }
    assert!(open(&[folder.path()], None, &options).unwrap_err().to_string().contains("several models"));
    fs::write(folder.path().join("checkpoint"), "model_checkpoint_path: \"/elsewhere/a-2\"\n").unwrap();
    assert!(open(&[folder.path()], None, &options).unwrap().origin.contains("a-2.index"));
    fs::remove_file(folder.path().join("checkpoint")).unwrap();
    fs::remove_file(folder.path().join("a-2.index")).unwrap();
    fs::write(folder.path().join("a-1.meta"), [0]).unwrap();
    assert!(open(&[folder.path()], None, &options).unwrap().origin.contains("a-1.index"));
}

#[test]
fn shards_that_are_not_there_or_elsewhere_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let index = table(&[(b"", &int(1, 1)), (b"w", &entry(&[2], 0, 8))], false);
    let path = folder.path().join("x.index");
    fs::write(&path, index).unwrap();
    let model = open(&[&path], None, &ReadOptions::default()).unwrap();
    assert_eq!((model.findings[0].code, model.tensors[0].dtype), ("T101", DType::F32));
    let error = model.tensors[0].visit(0..2, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("x.data-00000-of-00001"), "{error}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("x.data-00000-of-00001")).unwrap();
        let error = open(&[&path], None, &ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("outside of the checkpoint's folder"), "{error}");
    }
}

#[test]
fn the_first_version_and_text_are_refused_by_name() {
    let old = table(&[(b"", &field(1, b"x"))], false);
    let error = read(&Source::memory("x", old), None, &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("(V1)"), "{error}");
    let text = b"node {\n  name: \"a\"\n  op: \"Const\"\n}\n";
    let error = read(&Source::memory("x", &text[..]), None, &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains(".pbtxt"), "{error}");
}
