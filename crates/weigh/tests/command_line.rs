//! What a user meets: output, errors and exit status of the program itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn digits(file: &str) -> String {
    root().join("examples/digits").join(file).display().to_string()
}

fn weigh(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weigh"));
    command.args(args).env_remove("COLUMNS").env_remove("NO_COLOR").env_remove("WEIGH_SIMD");
    command.output().expect("the program starts")
}

fn stdout(args: &[&str]) -> String {
    let out = weigh(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

fn json_of(args: &[&str]) -> Value {
    serde_json::from_str(&stdout(args)).expect("one JSON document")
}

/// The error of a run that fails with status 2 and prints no data.
fn failure(args: &[&str]) -> String {
    let out = weigh(args);
    let text = String::from_utf8(out.stderr).expect("text");
    assert_eq!(out.status.code(), Some(2), "{args:?}: {text}");
    assert!(out.stdout.is_empty(), "{args:?} prints data and fails");
    text
}

/// A safetensors file of F32 tensors of one dimension.
fn safetensors(path: &Path, tensors: &[(&str, &[f32])]) -> String {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, values) in tensors {
        let begin = data.len();
        data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        let entry = json!({"dtype": "F32", "shape": [values.len()], "data_offsets": [begin, data.len()]});
        header.insert((*name).into(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    std::fs::write(path, bytes).expect("written");
    path.display().to_string()
}

#[test]
fn the_report_says_what_the_file_is_and_whether_it_survives() {
    let text = stdout(&[&digits("digits.pth")]);
    for part in ["torch.save zip", "Conv2d", "BatchNorm2d", "Linear", "f16", "bf16"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colour into a pipe");
    assert!(stdout(&["--color", "always", &digits("digits.pth")]).contains("\u{1b}["));
}

#[test]
fn one_network_has_the_same_values_in_every_container() {
    let hashes = |file: &str| {
        let listed = json_of(&["ls", "--hash", "--json", &digits(file)]);
        let tensors = listed["tensors"].as_array().expect("a list").clone();
        let of = |t: &Value| (t["name"].to_string(), t["sha256"].to_string());
        tensors.iter().map(of).collect::<std::collections::BTreeMap<_, _>>()
    };
    let pickled = hashes("digits.pth");
    assert!(pickled.len() > 10);
    assert_eq!(pickled, hashes("digits.safetensors"));
}

#[test]
fn json_keeps_the_contract() {
    let stats = json_of(&["stats", "--json", "--hist", &digits("digits.pth"), "-t", "*.weight"]);
    assert_eq!(stats["schema"], 1);
    for tensor in stats["tensors"].as_array().expect("a list") {
        for key in
            ["name", "dtype", "shape", "role", "bytes", "storage", "offset", "count", "nan", "inf", "zero"]
        {
            assert!(!tensor[key].is_null(), "{key} in {tensor}");
        }
        let counts = tensor["histogram"]["counts"].as_array().expect("counts");
        assert_eq!(counts.len(), 100);
        let total: u64 = counts.iter().filter_map(Value::as_u64).sum();
        assert_eq!(Some(total), tensor["count"].as_u64(), "every value is in a bin: {tensor}");
        assert!(tensor["name"].as_str().is_some_and(|n| n.ends_with(".weight")));
    }
    let report = json_of(&["--json", &digits("digits.pth")]);
    for key in ["layers", "precision", "findings", "metadata", "parts"] {
        assert!(!report[key].is_null(), "{key}");
    }
}

#[test]
fn a_part_is_selected_by_its_key() {
    let whole = json_of(&["ls", "--json", &digits("digits-checkpoint.pth")]);
    let key = "state_dict";
    let part = json_of(&["ls", "--json", &format!("{}#{key}", digits("digits-checkpoint.pth"))]);
    let count = |v: &Value| v["tensors"].as_array().map_or(0, Vec::len);
    assert!(count(&part) > 0 && count(&part) < count(&whole));
    let error = failure(&["ls", &format!("{}#state_dic", digits("digits-checkpoint.pth"))]);
    assert!(error.contains("did you mean 'state_dict'?"), "{error}");
    let error = failure(&["ls", &format!("{}#", digits("digits-checkpoint.pth"))]);
    assert!(error.contains("after the #"), "{error}");
}

#[test]
fn values_are_shown_sliced_ranked_and_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let file =
        safetensors(&folder.path().join("m.safetensors"), &[("a.w", &[3.0, -5.0, 0.5, f32::NAN, 4.0])]);
    assert_eq!(stdout(&["show", &file, "-t", "a.w[1:3]"]), "a.w F32 2\n   -5.0  0.5\n".replace(".0", ""));
    let values = |args: &[&str]| {
        let all = [&["show", file.as_str(), "-t", "a.w", "--json"], args].concat();
        let shown = json_of(&all)["values"].as_array().expect("a list").clone();
        shown.iter().map(|v| (v["index"][0].as_u64(), v["value"].as_f64())).collect::<Vec<_>>()
    };
    assert_eq!(values(&["--largest", "2"]), [(Some(1), Some(-5.0)), (Some(4), Some(4.0))]);
    assert_eq!(values(&["--smallest", "1", "--abs"]), [(Some(2), Some(0.5))]);
    assert_eq!(values(&["--largest", "9", "--limit", "1"]).len(), 4, "as many as asked; NaN has no rank");
    let sorted = values(&["--sorted"]);
    assert_eq!(
        sorted.iter().map(|v| v.1).collect::<Vec<_>>(),
        [Some(-5.0), Some(0.5), Some(3.0), Some(4.0), None]
    );
    let saved = folder.path().join("x.npy").display().to_string();
    stdout(&["show", &file, "-t", "a.w[:2]", "-o", &saved]);
    let bytes = std::fs::read(&saved).expect("saved");
    assert!(bytes.starts_with(b"\x93NUMPY") && bytes.ends_with(&[0, 0, 0x40, 0x40, 0, 0, 0xa0, 0xc0]));
    let error = failure(&["show", &file, "-t", "a.w", "-o", &saved]);
    assert!(error.contains("--force"), "{error}");
    failure(&["show", &file, "-t", "a.w", "-o", &saved, "--force", "--abs"]);
}

#[test]
fn strings_are_shown_as_they_are() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus");
    let labels = stdout(&["show", &format!("{corpus}/onnx/strings.onnx"), "-t", "labels"]);
    assert_eq!(labels, "labels STRING 3\n[0]  \"cat\"\n[1]  \"dög\"\n[2]  \"\"\n");
    let lite = json_of(&["show", &format!("{corpus}/tflite/types.tflite"), "-t", "of STRING", "--json"]);
    assert!(lite["values"][0]["value"].is_string(), "{lite}");
}

#[test]
fn near_misses_are_told() {
    let file = digits("digits.pth");
    assert!(failure(&["lss", &file]).contains("did you mean 'ls'?"));
    assert!(failure(&["show", &file, "-t", "conv1.wieght"]).contains("did you mean"));
    assert!(failure(&["show", &file, "-t", "x[0"]).contains("closing ]"));
    assert!(failure(&["ls", &file, "--format", "safetensor"]).contains("did you mean 'safetensors'"));
    assert!(failure(&["ls", &file, "--role", "weights"]).contains("parameter"));
    assert!(failure(&["ls", "no/such/file.pth"]).contains("no/such/file.pth"));
    failure(&[]);
}

#[test]
fn names_from_a_file_reach_no_terminal_unescaped() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = "a\n\u{1b}[2Jerror: forged\u{9b}\u{202e}";
    let file = safetensors(&folder.path().join("m.safetensors"), &[(name, &[1.0]), ("b", &[2.0])]);
    for args in [
        &["ls", file.as_str()][..],
        &[&file],
        &["stats", &file],
        &["ls", "--json", &file],
        &["--json", &file],
    ] {
        let out = weigh(args);
        let text = String::from_utf8([out.stdout, out.stderr].concat()).expect("text");
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{args:?}: {text:?}");
        assert!(!text.contains("\n\u{fffd}") && !text.lines().any(|l| l.starts_with("error")), "{text:?}");
    }
    let listed = json_of(&["ls", "--json", &file]);
    assert_eq!(listed["tensors"][0]["name"], name, "escaped, not changed");
    let error = failure(&["show", &file, "-t", "x\nerror: forged"]);
    assert_eq!(error.lines().filter(|l| l.starts_with("error")).count(), 1, "{error}");
}

#[test]
fn what_is_small_and_harmless_is_fine_and_what_overflows_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors: &[(&str, &[f32])] = &[
        ("a.weight", &[0.95, 1e-10, -0.3]),
        ("a.bias", &[1e-9, -1e-9]),
        ("b.weight", &[1e-9, 2e-9]),
        ("c.weight", &[70000.0, 1.0]),
    ];
    let report = json_of(&["--json", &safetensors(&folder.path().join("m.safetensors"), tensors)]);
    let verdict = |name: &str| {
        let of = |p: &&Value| p["tensor"] == name && p["target"] == "f16";
        let judged = report["precision"].as_array().expect("a list").iter().find(of).expect("judged");
        judged["verdict"].as_str().expect("a word").to_owned()
    };
    assert_eq!(
        ["a.weight", "a.bias", "b.weight", "c.weight"].map(verdict),
        ["fine", "fine", "unsafe", "unsafe"]
    );
}

#[test]
fn weights_move_bit_for_bit_and_the_account_says_what_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let hashes = |file: &str| {
        let listed = json_of(&["ls", "--hash", "--json", file]);
        let of = |t: &Value| (t["name"].to_string(), t["sha256"].to_string());
        let tensors = listed["tensors"].as_array().expect("a list").iter().map(of);
        tensors.collect::<std::collections::BTreeMap<_, _>>()
    };
    let source = digits("digits.pth");
    for target in ["a.safetensors", "a.pth", "a.npz"] {
        let account = json_of(&["convert", &source, "-o", &path(target), "--json"]);
        assert_eq!(account["kept"].as_array().map(Vec::len), Some(hashes(&source).len()), "{account}");
        assert_eq!(hashes(&source), hashes(&path(target)), "{target}");
    }
    let account = json_of(&["convert", &digits("digits-checkpoint.pth"), "-o", &path("b.pth"), "--json"]);
    assert_eq!(hashes(&source), hashes(&path("b.pth")), "the weights are taken");
    assert!(account["dropped"].to_string().contains("#optimizer"), "{account}");
    let again = std::fs::read(path("a.pth")).expect("written");
    stdout(&["convert", &source, "-o", &path("a.pth"), "--force"]);
    assert!(std::fs::read(path("a.pth")).expect("written") == again, "the same input gives the same bytes");
}

#[test]
fn a_move_that_would_lose_something_is_refused_before_it_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let source = safetensors(&folder.path().join("m.safetensors"), &[("a", &[1e6, 1.0]), ("b", &[-7e4])]);
    let error = failure(&["convert", &source, "-o", &path("h.safetensors"), "--dtype", "f16"]);
    assert!(error.contains("a: 1 of 2 values") && error.contains("b: 1 of 1 values"), "{error}");
    assert!(!folder.path().join("h.safetensors").exists());
    let told =
        stdout(&["convert", &source, "-o", &path("h.safetensors"), "--dtype", "f16", "--allow-overflow"]);
    assert!(told.contains("1 leave F16's range"), "{told}");
    let error = failure(&["convert", &source, "-o", &source, "--force"]);
    assert!(error.contains("is what is read"), "{error}");
    let error = failure(&["convert", &source, "-o", &path("h.safetensors")]);
    assert!(error.contains("--force"), "{error}");
    let before = std::fs::read(&source).expect("there");
    for manifest in [&source, &path("h.safetensors")] {
        let error = failure(&["convert", &source, "-o", &path("n.pth"), "--manifest", manifest]);
        assert!(error.contains("is what is read") || error.contains("--force"), "{error}");
    }
    assert!(std::fs::read(&source).expect("there") == before && !folder.path().join("n.pth").exists());
    stdout(&["convert", &source, "-o", &path("b.npy"), "--select", "b", "--manifest", &path("m.json")]);
    assert!(std::fs::read_to_string(path("m.json")).expect("written").contains("sha256"));
    stdout(&["convert", &source, "-o", &path("dry.pth"), "--dry-run"]);
    assert!(!folder.path().join("dry.pth").exists(), "a dry run writes nothing");
    assert!(failure(&["convert", &source, "-o", &path("x.gguf2")]).contains(".safetensors"));
    assert!(
        failure(&["convert", &source, "-o", &path("x.pth"), "--rename", "c=d"]).contains("fits no tensor")
    );
}

#[test]
fn names_shapes_and_files_change_as_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let source = digits("digits.pth");
    let out = path("n.safetensors");
    let rules = ["--rename", "conv*.weight=c*.w", "--select", "conv*", "--permute", "conv*.weight=1,0,2,3"];
    stdout(&[&["convert", &source, "-o", &out][..], &rules].concat());
    let listed = json_of(&["ls", "--json", &out]);
    let found: Vec<String> = listed["tensors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|t| format!("{} {}", t["name"].as_str().unwrap_or_default(), t["shape"]))
        .collect();
    assert_eq!(found, ["c1.w [1,16,3,3]", "c2.w [16,32,3,3]", "c3.w [32,64,3,3]"]);
    std::fs::create_dir(folder.path().join("shards")).expect("made");
    let sharded = path("shards/model.safetensors");
    stdout(&["convert", &source, "-o", &sharded, "--shard", "50KB"]);
    let whole = json_of(&["ls", "--json", "--hash", &path("shards")]);
    let shard = path("shards/model-00001-of-00003.safetensors");
    let index = path("shards/model.safetensors.index.json");
    for input in [path("shards"), index] {
        let error = failure(&["convert", &input, "-o", &shard, "--force"]);
        assert!(error.contains("is what is read"), "{error}");
    }
    let tensors = whole["tensors"].as_array().expect("a list");
    assert_eq!(tensors.len(), json_of(&["ls", "--json", &source])["tensors"].as_array().map_or(0, Vec::len));
}

#[test]
fn the_same_input_gives_the_same_bytes_whoever_writes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let formats = json_of(&["formats", "--json"]);
    let formats = formats["formats"].as_array().expect("a list");
    let mut written = 0;
    for format in formats.iter().filter(|f| f["write"] == true) {
        let id = format["id"].as_str().expect("an id");
        for dtype in [&[][..], &["--dtype", "f16"]] {
            let mut files = Vec::new();
            for (threads, access) in [("1", &[][..]), ("2", &[]), ("2", &["--no-mmap"])] {
                let out = folder.path().join("net").display().to_string();
                let source = digits("digits.safetensors");
                let command = ["convert", &source, "-o", &out, "--to", id, "--force"];
                let mut weigh = Command::new(env!("CARGO_BIN_EXE_weigh"));
                let run = weigh.env("RAYON_NUM_THREADS", threads).args(command).args(dtype).args(access);
                if run.output().expect("it runs").status.success() {
                    files.push(std::fs::read(&out).expect("written"));
                }
            }
            written += files.len();
            assert!(files.windows(2).all(|pair| pair[0] == pair[1]), "{id} {dtype:?}");
        }
    }
    assert!(written >= 24, "{written} written");
}

#[test]
fn what_does_not_go_together_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let source = digits("digits.safetensors");
    let refused = |target: &str, flags: &[&str]| {
        let out = path(target);
        let error = failure(&[&["convert", &source, "-o", &out, "--force"][..], flags].concat());
        assert!(!folder.path().join(target).is_file(), "{flags:?}");
        error
    };
    assert!(refused("a.pth", &["--manifest", &path("a.pth")]).contains("is what is written"));
    assert!(refused("a.wts", &["--manifest", &path("./a.wts.json")]).contains("is what is written"));
    assert!(refused("a.pth", &["--manifest", &path("none/m.json")]).contains("no such folder"));
    assert!(refused("a.pth", &["--shard", "50KB"]).contains("no shards"));
    assert!(refused("a.pth", &["--dtype", "i8"]).contains("f8_e5m2"));
    std::fs::create_dir(path("b.pth")).expect("made");
    assert!(refused("b.pth", &[]).contains("is a folder"));
    // A socket stands for all that is no file and must not be replaced: a device, a pipe.
    #[cfg(unix)]
    {
        let _socket = std::os::unix::net::UnixListener::bind(path("c.pth")).expect("bound");
        assert!(refused("c.pth", &[]).contains("no regular file"));
        std::fs::remove_file(path("c.pth")).expect("there");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1);
    let told = weigh(&["convert", &source, "-o", &path("c.pth"), "--drop", "head.*", "--shard", "1TB"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("'head.*' fits no tensor"), "{told:?}");
    assert!(told.status.success() && folder.path().join("c.pth").exists());
}

#[test]
fn what_is_read_is_not_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = safetensors(&folder.path().join("x.safetensors.weighbridge-tmp"), &[("w", &[1.0])]);
    let before = std::fs::read(&source).expect("there");
    let output = folder.path().join("x.safetensors").display().to_string();
    for force in [&["--force"][..], &[]] {
        let error = failure(&[&["convert", &source, "-o", &output], force].concat());
        assert!(error.contains("is what is read"), "{error}");
    }
    assert_eq!(std::fs::read(&source).expect("there"), before);
    // What an index leads to is read as well.
    let corpus = root().join("tests/corpus/tensorflow");
    for name in ["sharded.index", "sharded.data-00000-of-00002", "sharded.data-00001-of-00002"] {
        std::fs::copy(corpus.join(name), folder.path().join(name)).expect("copied");
    }
    let place = |name: &str| folder.path().join(name).display().to_string();
    for read in ["sharded.index", "sharded.data-00000-of-00002", "sharded.data-00001-of-00002"] {
        let to = ["--to", "safetensors", "--force"];
        let error = failure(&[&["convert", &place("sharded.index"), "-o", &place(read)], &to[..]].concat());
        assert!(error.contains("is what is read"), "{error}");
    }
    // A link that leads nowhere stands there too.
    #[cfg(unix)]
    {
        let output = folder.path().join("y.safetensors");
        std::os::unix::fs::symlink("nothing", &output).expect("linked");
        let error = failure(&["convert", &source, "-o", &output.display().to_string()]);
        assert!(error.contains("--force"), "{error}");
    }
}

#[test]
fn what_is_no_model_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    };
    assert!(failure(&[&write("a.pth", b"<!DOCTYPE html><html>")]).contains("HTML"));
    assert!(
        failure(&[&write("b.pth", b"version https://git-lfs.github.com/spec/v1\n")]).contains("git lfs pull")
    );
    assert!(failure(&[&write("c.pth", b"")]).contains("empty"));
    assert!(failure(&[&write("d.safetensors", &u64::MAX.to_le_bytes())]).contains("d.safetensors"));
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stdout(&["completions", shell]);
        assert!(["stats", "show", "completions"].iter().all(|c| script.contains(c)), "{shell}");
    }
}

#[test]
fn codes_are_called_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = root().join("tests/corpus/tflite/int8.tflite").display().to_string();
    assert!(stdout(&[&path]).contains("figures of quantized tensors are those of their codes"));
    let out = folder.path().join("o.wts").display().to_string();
    let error = failure(&["convert", &path, "-o", &out]);
    assert!(error.contains("quantized codes") && error.contains("--dtype f32"), "{error}");
    stdout(&["convert", &path, "-o", &out, "--dtype", "f32"]);
}

#[test]
fn what_every_command_takes_stands_last_in_its_help() {
    let help = stdout(&["convert", "--help"]);
    let at = |option: &str| help.find(option).expect("an option");
    assert!(at("--sync") < at("--color") && at("--color") < at("--help"), "{help}");
}
