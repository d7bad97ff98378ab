//! `weigh convert --into`, and what no output may be written over.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn weigh(arguments: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_weigh")).args(arguments).env("NO_COLOR", "1").output();
    run.expect("the binary is built")
}

fn stdout(arguments: &[&str]) -> String {
    let output = weigh(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(arguments)).expect("JSON")
}

fn failure(arguments: &[&str]) -> String {
    let output = weigh(arguments);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("text")
}

fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}

/// A safetensors file of F32 tensors: names, shapes, and elements 0, 1, 2…
fn safetensors(path: &Path, tensors: &[(&str, &[u64])]) -> String {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in tensors {
        let start = data.len();
        data.extend((0..shape.iter().product::<u64>()).flat_map(|i| (i as f32).to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    std::fs::write(path, bytes).expect("written");
    path.display().to_string()
}

#[test]
fn names_and_order_come_from_the_other_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let source = safetensors(
        &folder.path().join("s.safetensors"),
        &[("module.b.bias", &[3]), ("module.a.weight", &[3, 2])],
    );
    let target =
        safetensors(&folder.path().join("t.safetensors"), &[("a.weight", &[3, 2]), ("b.bias", &[3])]);
    let out = path("o.npz");
    let account = json_of(&["convert", &source, "-o", &out, "--into", &target, "--json"]);
    let matched = account["matched"].as_array().expect("a list");
    assert_eq!(matched[0]["source"], "module.a.weight");
    assert_eq!((&matched[0]["tensor"], &matched[0]["by"]), (&"a.weight".into(), &"prefix".into()));
    let listed = json_of(&["ls", "--json", &out]);
    let names: Vec<_> = listed["tensors"].as_array().expect("a list").iter().map(|t| &t["name"]).collect();
    assert_eq!(names, ["a.weight", "b.bias"]);
    let told = stdout(&["convert", &source, "-o", &path("p.npz"), "--into", &target, "--dry-run"]);
    assert!(told.contains("matched  2 tensors by name below a prefix"), "{told}");
    assert!(told.contains("kept     2 tensors, 2 of them under another name"), "{told}");
    assert!(told.contains("was 'module.b.bias', matched by name below a prefix"), "{told}");
    assert!(!folder.path().join("p.npz").exists());
}

#[test]
fn the_digits_network_goes_into_its_own_graph() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("o.safetensors").display().to_string();
    let (source, graph) =
        (repository("examples/digits/digits-checkpoint.pth"), repository("examples/digits/digits.onnx"));
    let run = weigh(&["convert", &source, "-o", &out, "--into", &graph]);
    // Its BatchNorms are folded: the statistics have no place there.
    assert_eq!(run.status.code(), Some(2));
    let error = String::from_utf8_lossy(&run.stderr);
    let reason = error.lines().nth(1).expect("a reason");
    assert!(reason.contains("running statistics") && reason.contains("export it without folding"), "{error}");
}

#[test]
fn what_is_not_certain_is_refused_with_what_would_decide_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |name: &str, tensors: &[(&str, &[u64])]| safetensors(&folder.path().join(name), tensors);
    let out = folder.path().join("o.pth").display().to_string();
    let source =
        make("s.safetensors", &[("x.kernel", &[4, 4]), ("y.weight", &[5, 6]), ("z.weight", &[5, 6])]);
    let target =
        make("t.safetensors", &[("h.c_proj.weight", &[4, 4]), ("v.weight", &[5, 6]), ("w.weight", &[5, 6])]);
    let into = ["convert", &source, "-o", &out, "--into", &target];
    let error = failure(&into);
    assert!(
        ["h.c_proj.weight", "v.weight", "w.weight", "'y.weight' [5, 6]"].iter().all(|w| error.contains(w)),
        "{error}"
    );
    let renamed = [&into[..], &["--rename", "x.kernel=h.c_proj.weight", "--by-order"]].concat();
    let error = failure(&renamed);
    assert!(
        error.contains("--transpose 'x.kernel'") && error.contains("--permute 'x.kernel=0,1'"),
        "{error}"
    );
    let account = json_of(&[&renamed[..], &["--permute", "x.kernel=0,1", "--json"]].concat());
    let by: Vec<_> = account["matched"].as_array().expect("a list").iter().map(|m| &m["by"]).collect();
    assert_eq!(by, ["name", "order", "order"]);
    let error = failure(&[
        "convert",
        &source,
        "-o",
        &out,
        "--into",
        &target,
        "--force",
        "--select",
        "x.*",
        "--rename",
        "x.kernel=v.weight",
    ]);
    assert!(error.contains("[4, 4]") && error.contains("[5, 6]"), "{error}");
    assert!(failure(&["convert", &source, "-o", &out, "--keep-missing"]).contains("--into"));
}

#[test]
fn nothing_that_is_read_is_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let source = safetensors(&folder.path().join("s.safetensors"), &[("a.weight", &[3, 2])]);
    let target = safetensors(&folder.path().join("t.safetensors"), &[("a.weight", &[3, 2])]);
    let error = failure(&["convert", &source, "-o", &target, "--into", &target, "--force"]);
    assert!(error.contains("is what is read"), "{error}");
    // A graph's data beside it.
    let corpus = repository("tests/corpus/onnx");
    std::fs::create_dir(path("external")).expect("made");
    for file in std::fs::read_dir(format!("{corpus}/external")).expect("there").flatten() {
        std::fs::copy(file.path(), folder.path().join("external").join(file.file_name())).expect("copied");
    }
    for file in ["external.onnx", "external.bin"] {
        std::fs::copy(format!("{corpus}/{file}"), path(file)).expect("copied");
    }
    let data = path("external.bin");
    let error = failure(&[
        "convert",
        &path("external.onnx"),
        "-o",
        &data,
        "--to",
        "numpy",
        "--select",
        "first",
        "--force",
    ]);
    assert!(error.contains("is what is read"), "{error}");
    // A link to what is read is what is read.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&source, path("link.safetensors")).expect("linked");
        let error = failure(&["convert", &source, "-o", &path("link.safetensors"), "--force"]);
        assert!(error.contains("is what is read"), "{error}");
    }
}

#[test]
fn several_files_get_a_folder_and_replace_others_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let source =
        safetensors(&folder.path().join("s.safetensors"), &[("a", &[100]), ("b", &[100]), ("c", &[100])]);
    let sharded = path("new/m.safetensors");
    let shard = ["convert", &source, "-o", &sharded, "--shard", "400"];
    stdout(&shard);
    assert_eq!(std::fs::read_dir(path("new")).expect("made").count(), 4);
    let error = failure(&shard);
    assert!(error.contains("--force"), "{error}");
    stdout(&[&shard[..], &["--force"]].concat());
    assert_eq!(std::fs::read_dir(path("new")).expect("there").count(), 4, "and nothing else is left");
    // One file gets no folder made, nor do several more than one.
    assert!(failure(&["convert", &source, "-o", &path("other/m.safetensors")]).contains("no such folder"));
    let deep = path("x/y/m.safetensors");
    assert!(failure(&["convert", &source, "-o", &deep, "--shard", "400"]).contains("no such folder"));
}
