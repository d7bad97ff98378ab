//! A writer of protocol buffers, just large enough to build models by hand.

/// Fields of a message, written one after another.
#[derive(Clone, Default)]
pub struct Proto(pub Vec<u8>);

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

impl Proto {
    fn tag(mut self, number: u32, wire: u32) -> Self {
        self.0.extend(varint(u64::from(number << 3 | wire)));
        self
    }

    pub fn int(self, number: u32, value: i64) -> Self {
        let mut out = self.tag(number, 0);
        out.0.extend(varint(value as u64));
        out
    }

    pub fn float(self, number: u32, value: f32) -> Self {
        let mut out = self.tag(number, 5);
        out.0.extend(value.to_le_bytes());
        out
    }

    pub fn bytes(self, number: u32, bytes: impl AsRef<[u8]>) -> Self {
        let mut out = self.tag(number, 2);
        out.0.extend(varint(bytes.as_ref().len() as u64));
        out.0.extend(bytes.as_ref());
        out
    }

    pub fn message(self, number: u32, message: Proto) -> Self {
        self.bytes(number, message.0)
    }

    /// Varints in one packed run.
    pub fn packed(self, number: u32, values: &[i64]) -> Self {
        self.bytes(number, values.iter().flat_map(|&v| varint(v as u64)).collect::<Vec<u8>>())
    }
}

pub fn proto() -> Proto {
    Proto::default()
}

/// A tensor without its data.
pub fn tensor(name: &str, data_type: i64, dims: &[i64]) -> Proto {
    let sizes = dims.iter().fold(proto(), |p, &d| p.int(1, d));
    sizes.int(2, data_type).bytes(8, name)
}

pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> Proto {
    let p = inputs.iter().fold(proto(), |p, i| p.bytes(1, i));
    outputs.iter().fold(p, |p, o| p.bytes(2, o)).bytes(4, op)
}

/// An attribute with one field of content.
pub fn attribute(name: &str, kind: i64, content: Proto) -> Proto {
    let mut out = proto().bytes(1, name).int(20, kind);
    out.0.extend(content.0);
    out
}

pub fn model(graph: Proto) -> Proto {
    proto()
        .int(1, 9)
        .bytes(2, "hand")
        .bytes(3, "1.0")
        .message(8, proto().bytes(1, "").int(2, 19))
        .message(7, graph)
}

/// A graph that holds these initializers.
pub fn graph(initializers: &[Proto]) -> Proto {
    initializers.iter().fold(proto().bytes(2, "g"), |g, t| g.message(5, t.clone()))
}

/// A small model of every construct: truncated and damaged in tests.
pub fn specimen() -> Proto {
    let inner = graph(&[tensor("inner", 1, &[1]).bytes(9, 1f32.to_le_bytes())])
        .message(1, node("Add", &["inner", "w"], &["branch"]))
        .message(12, proto().bytes(1, "branch"));
    let sparse = proto()
        .message(1, tensor("sparse", 1, &[1]).bytes(4, 2f32.to_le_bytes()))
        .message(2, tensor("", 7, &[1]).packed(7, &[5]))
        .int(3, 9);
    let shape = proto().message(1, proto().int(1, 2)).message(1, proto().bytes(2, "N"));
    let kind = proto().message(1, proto().int(1, 1).message(2, shape));
    let conv = node("Conv", &["x", "w", ""], &["y"])
        .bytes(3, "conv")
        .message(5, attribute("strides", 7, proto().packed(8, &[2, 2])))
        .message(5, attribute("pads", 7, proto().int(8, 1).int(8, -1)))
        .message(5, attribute("alpha", 1, proto().float(2, 0.5)))
        .message(5, attribute("auto_pad", 3, proto().bytes(4, "SAME")));
    let constant = node("Constant", &[], &["c"])
        .message(5, attribute("value", 4, proto().message(5, tensor("", 7, &[2]).packed(7, &[-1, 3]))));
    let branch =
        node("If", &["cond"], &["z"]).message(5, attribute("then_branch", 5, proto().message(6, inner)));
    let weights: Vec<u8> = (0..4).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let body = node("Constant", &[], &["f"])
        .message(5, attribute("value", 4, proto().message(5, tensor("", 9, &[1]).int(5, 7))));
    let function = proto().bytes(1, "twice").bytes(4, "a").bytes(5, "b").message(7, body).bytes(10, "mine");
    let g = graph(&[
        tensor("w", 1, &[1, 1, 2, 2]).bytes(9, weights),
        tensor("i", 3, &[3]).packed(5, &[-1, 2, 3]),
    ])
    .message(15, sparse)
    .message(1, conv)
    .message(1, constant)
    .message(1, branch)
    .message(11, proto().bytes(1, "x").message(2, kind))
    .message(12, proto().bytes(1, "z"));
    model(g).message(25, function).message(14, proto().bytes(1, "key").bytes(2, "value"))
}
