use weighbridge_model::Limits;

use super::{Node, read};

fn root(bytes: &[u8]) -> Node {
    let pickle = read(bytes, &Limits::default()).unwrap();
    pickle.node(pickle.root).clone()
}

#[test]
fn protocol_0_spellings_give_what_python_would() {
    assert_eq!(root(b"I42\n."), Node::Int(42));
    assert_eq!(root(b"I01\n."), Node::Bool(true));
    assert_eq!(root(b"L-7L\n."), Node::Int(-7));
    assert_eq!(root(b"L18446744073709551616L\n."), Node::BigInt("18446744073709551616".into()));
    assert_eq!(root(b"F1.5\n."), Node::Float(1.5));
    assert_eq!(root(b"S'a\\x41\\n\\''\n."), Node::Str("aA\n'".into()));
    assert_eq!(root(b"S'\\xff'\n."), Node::Unescaped([0xff].into()));
    assert_eq!(root(b"Vgr\\u00fc\xdf\n."), Node::Str("grüß".into()));
}

#[test]
fn long_integers_of_any_width_are_exact() {
    assert_eq!(root(b"\x80\x02\x8a\x00."), Node::Int(0));
    assert_eq!(root(b"\x80\x02\x8a\x01\xff."), Node::Int(-1));
    assert_eq!(
        root(b"\x80\x02\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00."),
        Node::BigInt("18446744073709551615".into())
    );
    assert_eq!(
        root(b"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\xff."),
        Node::BigInt("-9223372036854775808".into()).clone_as_int()
    );
    // The magic number of legacy torch files.
    let magic = root(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
    assert_eq!(magic, Node::BigInt("119547037146038801333356".into()));
}

impl Node {
    /// `-2^63` fits after all, however many bytes it was written in.
    fn clone_as_int(self) -> Node {
        match self {
            Node::BigInt(s) => Node::Int(s.parse().unwrap()),
            other => other,
        }
    }
}

#[test]
fn calls_are_told_and_not_made() {
    let pickle = read(b"cos\nsystem\n(S'touch /tmp/x'\ntR.", &Limits::default()).unwrap();
    let Node::Object(object) = pickle.node(pickle.root) else { panic!("{pickle:?}") };
    assert_eq!(pickle.qualified(object.callable).as_deref(), Some("os.system"));
    assert_eq!(pickle.sequence(object.args).map(<[_]>::len), Some(1));
}

#[test]
fn a_key_set_twice_keeps_its_place_and_its_last_value() {
    let pickle = read(b"}(K\x01K\x0aK\x02K\x0bK\x01K\x0cu.", &Limits::default()).unwrap();
    let Node::Dict(entries) = pickle.node(pickle.root) else { panic!("{pickle:?}") };
    let seen: Vec<_> = pickle
        .entries(entries)
        .iter()
        .map(|&(k, v)| (pickle.int(k).unwrap(), pickle.int(v).unwrap()))
        .collect();
    assert_eq!(seen, [(1, 12), (2, 11)]);
}

#[test]
fn faults_name_the_opcode_and_its_offset() {
    let fault = |bytes: &[u8]| read(bytes, &Limits::default()).unwrap_err();
    let f = fault(b"\x80\x02N\xff.");
    assert_eq!((f.offset, f.what.as_str()), (3, "byte 0xff is no pickle opcode"));
    let f = fault(b"(a.");
    assert_eq!((f.offset, f.what.as_str()), (1, "APPEND: the stack is empty"));
    assert_eq!(fault(b"X\xff\xff\xff\x7fabc").what, "BINUNICODE: needs 2147483647 bytes, and 3 are left");
    assert_eq!(fault(b"N").what, "the pickle ends without STOP");
    assert_eq!(fault(b"t.").what, "TUPLE: no mark on the stack");
}

#[test]
fn deep_nesting_takes_no_stack() {
    let mut bytes = vec![b']'; 200_000];
    bytes.extend(vec![b'a'; 199_999]);
    bytes.push(b'.');
    assert_eq!(read(&bytes, &Limits::default()).unwrap().node_count(), 200_000);
}

proptest::proptest! {
    #[test]
    fn any_bytes_end_in_a_tree_or_a_fault(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = read(&bytes, &Limits::default());
    }
}
