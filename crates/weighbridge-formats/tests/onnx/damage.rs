//! Files that are cut, damaged or hostile: an error or a listing, never a panic.

use super::encode::*;
use super::{error, names, read, read_bytes, sniff};
use weighbridge_model::Result;

/// Reads everything there is to read.
fn exhaust(bytes: &[u8]) {
    let _ = sniff(bytes);
    let Ok(model) = read_bytes(bytes) else { return };
    for tensor in &model.tensors {
        let _: Result<()> = tensor.visit(0..tensor.count(), &mut |_| Ok(()));
    }
}

#[test]
fn a_model_cut_anywhere_is_an_error_or_a_listing() {
    let bytes = specimen().0;
    // No name in the specimen's head has this byte, which is the graph's tag.
    let graph = bytes.iter().position(|&b| b == 0x3a).unwrap();
    for len in 0..bytes.len() {
        exhaust(&bytes[..len]);
        // From the first node on it is recognised, so that the error can say where it breaks.
        if len > graph + 8 {
            assert!(sniff(&bytes[..len]).is_some(), "cut at {len} of {}", bytes.len());
        }
    }
}

#[test]
fn a_model_with_any_byte_changed_is_an_error_or_a_listing() {
    let bytes = specimen().0;
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at] ^ 8, bytes[at].wrapping_add(1)] {
            let mut changed = bytes.clone();
            changed[at] = value;
            exhaust(&changed);
        }
    }
}

#[test]
fn noise_is_no_model() {
    let mut state = 1u64;
    for _ in 0..20_000 {
        let noise: Vec<u8> = (0..64)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        assert_eq!(sniff(&noise), None);
        exhaust(&noise);
    }
}

#[test]
fn lengths_beyond_the_file_ask_for_no_memory() {
    for len in [1 << 20, 1 << 40, u64::MAX] {
        let mut bytes = model(proto()).0;
        bytes.push(0x3a);
        bytes.extend(varint(len));
        assert!(read_bytes(&bytes).unwrap_err().to_string().contains(&format!("field 7 has {len} bytes")));
    }
}

/// Graphs within graphs, written from the inside out: each level is its length longer.
fn nested(levels: usize) -> Proto {
    let mut reversed: Vec<u8> = Vec::new();
    let prepend = |reversed: &mut Vec<u8>, bytes: &[u8]| reversed.extend(bytes.iter().rev());
    let wrap = |reversed: &mut Vec<u8>, number: u32| {
        let len = varint(reversed.len() as u64);
        prepend(reversed, &len);
        prepend(reversed, &varint(u64::from(number << 3 | 2)));
    };
    for _ in 0..levels {
        wrap(&mut reversed, 6);
        prepend(&mut reversed, &attribute("a", 5, proto()).0);
        wrap(&mut reversed, 5);
        prepend(&mut reversed, &node("If", &[], &[]).0);
        wrap(&mut reversed, 1);
    }
    reversed.reverse();
    model(Proto(reversed))
}

#[test]
fn nesting_is_followed_as_far_as_the_limit() {
    let mut graph = read(&nested(170)).graph.unwrap();
    let mut levels = 0;
    while let Some(node) = graph.nodes.pop() {
        let (_, weighbridge_model::Attribute::Graph(inner)) = node.attributes.into_iter().next().unwrap()
        else {
            panic!("a graph")
        };
        (graph, levels) = (*inner, levels + 1);
    }
    assert_eq!(levels, 170);
    assert!(error(&nested(100_000)).contains("messages within messages: 513 asked, 512 allowed"));
}

#[test]
fn a_million_small_nodes_take_time_in_proportion() {
    let small = node("A", &["x"], &["x"]);
    let mut bytes = proto();
    for _ in 0..300_000 {
        bytes = bytes.message(1, small.clone());
    }
    let model = read(&model(bytes.message(5, tensor("x", 3, &[1]).bytes(9, [1]))));
    assert_eq!((model.graph.as_ref().unwrap().nodes.len(), names(&model)), (300_000, vec!["x"]));
}
