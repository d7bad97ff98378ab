//! Every file of the corpus, whole, cut off and damaged: a model or an error, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use weighbridge_formats::{FORMATS, ReadOptions, Source, open, read};
use weighbridge_model::Model;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_none_or(|e| e != "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Goes through everything that a reader promised: names, layers, and the first bytes of each tensor.
fn look_at(model: &Model) {
    weighbridge_model::layers::layers(model);
    for tensor in &model.tensors {
        let _ = tensor.visit(0..tensor.count().min(256), &mut |_| Ok(()));
    }
}

fn read_bytes(bytes: Vec<u8>) {
    if let Ok(model) = read(&Source::memory("damaged", bytes), None, &ReadOptions::default()) {
        look_at(&model);
    }
}

#[test]
fn every_format_is_met_in_the_corpus() {
    for format in FORMATS {
        let found = files(&corpus().join(format.id));
        assert!(!found.is_empty(), "no corpus file for {}", format.id);
        for path in found {
            let is_data = path.extension().is_some_and(|e| e == "data" || e == "bin");
            if is_data {
                continue;
            }
            let model = open(&[&path], None, &ReadOptions::default()).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(model.format, format.id, "{}", path.display());
            look_at(&model);
        }
    }
}

#[test]
fn hostile_files_end_in_a_model_or_an_error() {
    for path in files(&corpus().join("hostile")) {
        match open(&[&path], None, &ReadOptions::default()) {
            Ok(model) => look_at(&model),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(!Path::new("/tmp/weigh-hostile-marker").exists());
}

#[test]
fn files_cut_off_anywhere_end_in_a_model_or_an_error() {
    for format in FORMATS {
        for path in files(&corpus().join(format.id)) {
            let bytes = fs::read(&path).unwrap();
            // Every byte of what is small; of the rest, its ends closely and its middle here and there.
            let step = (bytes.len() / 400).max(1);
            for len in (0..bytes.len()).filter(|n| n % step == 0 || *n < 64 || bytes.len() - n < 64) {
                read_bytes(bytes[..len].to_vec());
            }
        }
    }
}

#[test]
fn files_with_any_byte_changed_end_in_a_model_or_an_error() {
    for format in FORMATS {
        for path in files(&corpus().join(format.id)) {
            let bytes = fs::read(&path).unwrap();
            let step = (bytes.len() / 300).max(1);
            for at in (0..bytes.len()).step_by(step) {
                for change in [0x01, 0x80, 0xff] {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= change;
                    read_bytes(damaged);
                }
            }
        }
    }
}
