use weighbridge_model::Layout;

use super::*;

fn npy(dict: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dict.len() as u16).to_le_bytes());
    bytes.extend(dict.as_bytes());
    bytes.extend(data);
    bytes
}

fn opened(bytes: Vec<u8>) -> Result<Model> {
    read(&Source::memory("folder/w.npy", bytes), &ReadOptions::default())
}

fn dict(descr: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': True, 'shape': {shape}}}")
}

#[test]
fn columns_come_as_strides_and_the_name_from_the_file() {
    let model = opened(npy(&dict("'<f4'", "(2, 3)"), &[0; 24])).unwrap();
    assert_eq!(model.tensors[0].name, "w");
    let Layout::Strided(view) = &model.tensors[0].layout else { panic!("no view") };
    assert_eq!(view.strides, [1, 2]);
}

#[test]
fn arrays_that_were_saved_one_after_another_are_all_read() {
    let one = npy(&dict("'|u1'", "(2,)"), &[1, 2]);
    let model = opened([one.clone(), one].concat()).unwrap();
    let names: Vec<&str> = model.tensors.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["w", "w.1"]);
}

#[test]
fn what_is_no_number_is_refused_with_the_reason() {
    for (descr, reason) in [
        ("'|O'", "Python objects"),
        ("'|V2'", "bfloat16"),
        ("[('x', '<f4')]", "fields: x"),
        ("'<f16'", "extended precision"),
        ("'<M8[ns]'", "dates"),
        ("'<f3'", "no NumPy type"),
        ("__import__('os')", "nothing here is evaluated"),
    ] {
        let error = opened(npy(&dict(descr, "(1,)"), &[0; 16])).unwrap_err().to_string();
        assert!(error.contains(reason), "{descr}: {error}");
    }
}

#[test]
fn sizes_are_held_against_the_bytes_left() {
    for shape in ["(-1,)", "(2,)", "(4294967296, 4294967296, 4294967296)", "(1.5,)", "1"] {
        assert!(opened(npy(&dict("'<f4'", shape), &[0; 4])).is_err(), "{shape}");
    }
}
