//! Data beside the model, and nowhere else.

use std::fs;
use std::path::Path;

use weighbridge_formats::{ReadOptions, Source, by_id};
use weighbridge_model::{Model, Result, storage};

use super::encode::*;
use super::{elements, error};

fn entry(key: &str, value: &str) -> Proto {
    proto().bytes(1, key).bytes(2, value)
}

fn external(name: &str, entries: &[(&str, &str)]) -> Proto {
    let t = tensor(name, 2, &[3]).int(14, 1);
    entries.iter().fold(t, |t, (key, value)| t.message(13, entry(key, value)))
}

fn open(folder: &Path, tensors: &[Proto]) -> Result<Model> {
    let path = folder.join("m.onnx");
    fs::write(&path, model(graph(tensors)).0).unwrap();
    let options = ReadOptions::default();
    (by_id("onnx").unwrap().read)(&Source::open(&path, options.access)?, &options)
}

#[test]
fn data_is_found_beside_the_model_and_shared_where_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/w.bin"), [0, 1, 2, 3, 4, 5]).unwrap();
    let at = |offset| [("location", "data/w.bin"), ("offset", offset), ("length", "3"), ("checksum", "x")];
    let whole = external("c", &[("location", "./data/w.bin")]);
    let model = open(folder.path(), &[external("a", &at("2")), external("b", &at("2")), whole]).unwrap();
    assert_eq!(elements(&model.tensors[0]), [2, 3, 4]);
    assert_eq!(elements(&model.tensors[2]), [0, 1, 2], "offset and length may be left out");
    let identity = |i: usize| storage::identity(&model.tensors[i].storage);
    assert!(identity(0) == identity(1) && identity(0) != identity(2));
}

#[test]
fn a_file_that_is_not_mapped_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let many: Vec<i64> = (0..100_000).map(|i| i * 31 - 5).collect();
    fs::write(&path, model(graph(&[tensor("t", 6, &[100_000]).packed(5, &many)])).0).unwrap();
    fs::write(folder.path().join("s.onnx"), specimen().0).unwrap();
    for name in ["m.onnx", "s.onnx"] {
        let read = |no_mmap| {
            let options =
                ReadOptions { access: weighbridge_formats::Access { no_mmap }, ..Default::default() };
            let source = Source::open(&folder.path().join(name), options.access).unwrap();
            let model = (by_id("onnx").unwrap().read)(&source, &options).unwrap();
            model.tensors.iter().map(elements).collect::<Vec<_>>()
        };
        assert!(read(true) == read(false));
    }
}

#[test]
fn data_that_does_not_fit_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w"), [0; 4]).unwrap();
    for (entries, expected) in [
        (&[("location", "w"), ("offset", "2")][..], "needs 3 bytes at offset 2 of "),
        (&[("location", "w"), ("offset", "18446744073709551615")], "needs 3 bytes at offset 184"),
        (&[("location", "w"), ("length", "4")], "a length of 4 bytes, and its shape asks for 3"),
        (&[("location", "w"), ("offset", "-1")], "offset \"-1\", which is no number of bytes"),
        (&[("location", "gone")], "no such file"),
        (&[], "its data is external, and no location is given"),
    ] {
        let error = open(folder.path(), &[external("t", entries)]).unwrap_err().to_string();
        assert!(error.contains("tensor 't'") && error.contains(expected), "{error}");
    }
}

#[test]
fn no_location_leads_out_of_the_models_folder() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("model");
    fs::create_dir(&folder).unwrap();
    fs::write(outside.path().join("secret"), [0; 8]).unwrap();
    let absolute = outside.path().join("secret").display().to_string();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path().join("secret"), folder.join("link")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path(), folder.join("up")).unwrap();
    let mut locations =
        vec!["../secret", "a/../../secret", &absolute, "..\\secret", "C:secret", "C:/secret", "a\0"];
    if cfg!(unix) {
        locations.extend(["link", "up/secret"]);
    }
    for location in locations {
        let error = open(&folder, &[external("t", &[("location", location)])]).unwrap_err().to_string();
        assert!(error.contains("tensor 't'") && error.contains("external data at "), "{location}: {error}");
    }
    assert!(open(&folder, &[external("t", &[("location", ".")])]).is_err(), "a folder is no file");
}

#[test]
fn a_model_in_memory_has_no_folder() {
    let error = error(&model(graph(&[external("t", &[("location", "w")])])));
    assert!(error.contains("tensor 't'") && error.contains("open the model by its path"), "{error}");
}
