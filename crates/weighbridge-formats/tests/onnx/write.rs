//! What is read is written: by hand-made models of everything that a graph may hold.

use std::path::Path;

use weighbridge_formats::plan::WriteOptions;
use weighbridge_formats::{Carry, ReadOptions, by_id, open};
use weighbridge_model::{Attribute, Model, ValueType};

use super::encode::{Proto, attribute, graph, model, node, proto, specimen, tensor};
use super::{elements, names, read, read_bytes};

fn plan_at(model: &Model, path: &Path, options: &WriteOptions) -> weighbridge_model::Result<Vec<u8>> {
    let plan = by_id("onnx").unwrap().write.unwrap()(model, path, options)?;
    plan.write(&[], Carry { force: true, sync: false }, &|_| {})?;
    Ok(std::fs::read(path).unwrap())
}

fn written(model: &Model) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    plan_at(model, &folder.path().join("m.onnx"), &WriteOptions::default()).unwrap()
}

fn refusal(model: &Model) -> String {
    let folder = tempfile::tempdir().unwrap();
    plan_at(model, &folder.path().join("m.onnx"), &WriteOptions::default()).unwrap_err().to_string()
}

/// A model that has every kind of thing beside the specimen's.
fn everything() -> Proto {
    let pair = |key: &str, value: &str| proto().bytes(1, key).bytes(2, value);
    let floats = |shape: Proto| proto().message(1, proto().int(1, 1).message(2, shape));
    let value = |name: &str, kind: Proto| proto().bytes(1, name).message(2, kind);
    let none = || floats(proto());
    let map = proto().message(5, proto().int(1, 7).message(2, none()));
    let denoted = floats(proto().message(1, proto().int(1, 2).bytes(3, "DATA_BATCH"))).bytes(6, "IMAGE");
    let inner = || graph(&[]).message(12, proto().bytes(1, "q"));
    let sparse = proto()
        .message(1, tensor("v", 1, &[1]).bytes(9, [0, 0, 0, 63]))
        .message(2, tensor("i", 7, &[1]).bytes(9, [0; 8]))
        .int(3, 4);
    let n = node("Everything", &["x", "", "w"], &["y"])
        .message(5, attribute("none", 7, proto()))
        .message(5, attribute("bytes", 3, proto().bytes(4, [0xff, 0xfe])))
        .message(5, attribute("many", 7, proto().packed(8, &[7; 70_000])))
        .message(5, attribute("graphs", 10, proto().message(11, inner()).message(11, inner())))
        .message(5, attribute("kind", 13, proto().message(14, none())))
        .message(5, attribute("sparse", 11, proto().message(22, sparse)).bytes(13, "said"))
        .message(5, attribute("texts", 8, proto().bytes(9, "a").bytes(9, "")))
        .bytes(6, "doc")
        .bytes(7, "mine")
        .bytes(8, "v2")
        .message(9, pair("of", "node"))
        .message(10, proto().bytes(1, "device"));
    let body = node("Scale", &["a"], &["b"]).message(5, attribute("k", 1, proto()).bytes(21, "outer"));
    let function = proto()
        .bytes(1, "twice")
        .bytes(4, "a")
        .bytes(5, "b")
        .bytes(6, "outer")
        .message(7, body)
        .bytes(8, "doc")
        .message(9, proto().int(2, 19))
        .bytes(10, "mine")
        .message(12, value("a", none()))
        .bytes(13, "v2")
        .message(14, pair("of", "function"));
    let text = tensor("text", 8, &[2]).bytes(6, "one").bytes(6, [0xff]);
    let noted = tensor("w", 1, &[2]).bytes(9, [0; 8]).bytes(12, "doc").message(16, pair("of", "tensor"));
    let training = proto().message(2, graph(&[])).message(4, pair("w", "y"));
    let g = graph(&[noted, text, tensor("", 1, &[1]).packed(4, &[]).bytes(9, [0; 4])])
        .message(1, n)
        .bytes(10, "doc")
        .message(11, value("x", proto().message(4, proto().message(1, none()))).bytes(3, "doc"))
        .message(11, value("o", proto().message(9, proto().message(1, map))))
        .message(12, value("y", denoted))
        .message(13, value("z", none()).message(4, pair("of", "value")).bytes(99, "later"))
        .message(14, proto().bytes(1, "x").message(2, pair("SCALE_TENSOR", "w")))
        .message(16, pair("of", "graph"))
        .bytes(99, "later");
    model(g)
        .bytes(4, "domain")
        .int(5, 3)
        .bytes(6, "doc")
        .message(14, pair("of", "model"))
        .message(20, training)
        .message(25, function)
        .bytes(99, "later")
}

#[test]
fn a_model_is_written_as_it_is_read() {
    for (what, proto) in [("specimen", specimen()), ("everything", everything())] {
        let first = read(&proto);
        let once = written(&first);
        let again = read_bytes(&once).unwrap();
        assert_eq!(names(&first), names(&again), "{what}");
        for (a, b) in first.tensors.iter().zip(&again.tensors) {
            assert_eq!((a.dtype, &a.shape, a.role), (b.dtype, &b.shape, b.role), "{what}: {}", a.name);
            if a.dtype.bits() > 0 && a.count() > 0 {
                assert_eq!(elements(a), elements(b), "{what}: {}", a.name);
            }
        }
        assert_eq!(first.metadata, again.metadata, "{what}");
        assert!(once == written(&again), "{what}: written again, it is another file");
    }
}

#[test]
fn nothing_of_a_model_is_lost() {
    let bytes = written(&read(&everything()));
    let graph = read_bytes(&bytes).unwrap().graph.unwrap();
    let program = graph.program.as_ref().unwrap();
    let node = &graph.nodes[0];
    assert_eq!((node.doc.as_str(), node.overload.as_str()), ("doc", "v2"));
    assert_eq!((node.properties.len(), node.carried.len(), node.inputs[1]), (1, 1, None));
    assert_eq!(node.attribute_docs, [("sparse".to_owned(), "said".to_owned())]);
    let kept = |name: &str| &node.attributes.iter().find(|(n, _)| n == name).unwrap().1;
    assert!(matches!(kept("none"), Attribute::EmptyList { kind: 7 }));
    assert!(matches!(kept("graphs"), Attribute::Graphs(graphs) if graphs.len() == 2));
    assert!(matches!(kept("bytes"), Attribute::Opaque { bytes: Some(bytes), .. } if bytes.len() == 14));
    assert!(matches!(kept("many"), Attribute::Opaque { what, .. } if what == "list of 70000"));
    assert!(matches!(kept("sparse"), Attribute::Sparse(sparse) if sparse.dims == [4]));
    let value = |name: &str| graph.values.iter().find(|v| v.name == name).unwrap();
    assert!(matches!(value("x").declared, Some(ValueType::Sequence(_))));
    assert!(matches!(value("o").declared, Some(ValueType::Optional(_))));
    assert!(matches!(value("y").declared, Some(ValueType::Opaque(_))), "denotations are carried");
    assert_eq!((value("z").carried.len(), value("z").properties.len()), (1, 1));
    assert_eq!((graph.quantization.len(), graph.carried.len(), program.carried.len()), (1, 1, 1));
    let function = &program.functions[0];
    assert_eq!((function.attributes.len(), function.body.outputs.len()), (1, 1));
    assert!(
        matches!(&function.body.nodes[0].attributes[0].1, Attribute::Reference { to, .. } if to == "outer")
    );
    assert_eq!((program.training.len(), program.tensors.len()), (1, 3));
}

#[test]
fn tensors_stand_beside_the_model_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let large = |name: &str| tensor(name, 1, &[300]).bytes(9, vec![3; 1200]);
    let source = read(&model(graph(&[large("a"), tensor("b", 1, &[1]).bytes(9, [1; 4]), large("c")])));
    let options = WriteOptions { external: Some(1000), ..WriteOptions::default() };
    let bytes = plan_at(&source, &path, &options).unwrap();
    assert!(bytes.len() < 400);
    assert_eq!(std::fs::metadata(folder.path().join("m.onnx.data")).unwrap().len(), 1216 + 1200);
    let again = open(&[&path], None, &ReadOptions::default()).unwrap();
    for (a, b) in source.tensors.iter().zip(&again.tensors) {
        assert_eq!(elements(a), elements(b));
    }
    assert_eq!(again.tensors[2].storage.file_offset(), Some(1216), "aligned");
}

#[test]
fn what_a_graph_cannot_take_is_refused() {
    let w = || tensor("w", 1, &[2]).bytes(9, [0; 8]);
    let mut no_graph = read(&model(graph(&[w()])));
    no_graph.graph = None;
    assert!(refusal(&no_graph).contains("help: --into net.onnx"));
    let mut other = read(&model(graph(&[w(), tensor("v", 6, &[2]).bytes(9, [0; 8])])));
    other.tensors[0].storage = other.tensors[1].storage.clone();
    other.tensors[0].dtype = other.tensors[1].dtype;
    other.tensors[1].shape = vec![1];
    let says = refusal(&other);
    assert!(says.contains("'w': I32, and the graph takes F32"), "{says}");
    assert!(says.contains("'v': [1], and the graph takes [2]"), "{says}");
    let floats = attribute("value_floats", 6, proto().float(7, 0.5).float(7, -1.0));
    let mut constant =
        read(&model(graph(&[w()]).message(1, node("Constant", &[], &["k"]).message(5, floats))));
    written(&constant);
    constant.tensors[1].storage = constant.tensors[0].storage.clone();
    let says = refusal(&constant);
    assert!(says.contains("'k@value_floats': it stands for the numbers in a node's attribute"), "{says}");
}

#[test]
fn whatever_is_read_of_a_damaged_model_is_written_and_read_again() {
    let whole = specimen().0;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let mut written = 0;
    for at in 0..whole.len() {
        for bit in [0, 3, 6] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let Ok(model) = read_bytes(&damaged) else { continue };
            match plan_at(&model, &path, &WriteOptions::default()) {
                Ok(bytes) => {
                    let again = read_bytes(&bytes).unwrap_or_else(|e| panic!("byte {at}, bit {bit}: {e}"));
                    assert_eq!(names(&again), names(&model), "byte {at}, bit {bit}");
                    written += 1;
                }
                Err(e) => assert!(!e.to_string().is_empty()),
            }
        }
    }
    assert!(written > 500, "{written}");
}
