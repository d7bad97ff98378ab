//! `weigh convert net.prototxt … -o net.onnx`: what is refused, and what is told.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const INPUT: &str = "input: 'data' input_shape { dim: 1 dim: 4 dim: 6 dim: 6 }\n";

/// Converts a net without weights; the ONNX file stays in `folder`.
fn convert(folder: &Path, text: &str, flags: &[&str]) -> Output {
    std::fs::write(folder.join("net.prototxt"), text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_weigh"));
    command.current_dir(folder).env("NO_COLOR", "1").args([
        "convert",
        "net.prototxt",
        "-o",
        "net.onnx",
        "--force",
    ]);
    command.args(flags).output().expect("the binary is built")
}

fn failure(text: &str, flags: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let output = convert(folder.path(), text, flags);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!folder.path().join("net.onnx").exists());
    String::from_utf8(output.stderr).expect("text")
}

fn account(text: &str, flags: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let output = convert(folder.path(), text, &[flags, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn choices(account: &Value) -> Vec<String> {
    let told = |c: &Value| format!("{}: {}", c["layer"].as_str().unwrap(), c["choice"].as_str().unwrap());
    account["choices"].as_array().into_iter().flatten().map(told).collect()
}

fn layer(name: &str, kind: &str, bottoms: &[&str], tops: &[&str], settings: &str) -> String {
    let each = |key: &str, names: &[&str]| names.iter().map(|n| format!(" {key}: '{n}'")).collect::<String>();
    let ends = each("bottom", bottoms) + &each("top", tops);
    format!("layer {{ name: '{name}' type: '{kind}'{ends} {settings} }}\n")
}

#[test]
fn layers_that_do_not_fit_together_are_all_named() {
    let missing = INPUT.to_owned()
        + &layer("a", "ReLU", &["dta"], &["x"], "")
        + &layer("b", "Eltwise", &["x", "z"], &["y"], "")
        + &layer("c", "ReLU", &["y"], &["z"], "")
        + &layer("d", "ReLU", &["y"], &["x"], "");
    let said = failure(&missing, &[]);
    for part in [
        "a: it reads 'dta', which no layer gives; did you mean 'data'?",
        "b: it reads 'z', which layer 'c' gives only there or later: a net has no cycles",
        "d: it gives 'x', which a layer before gives already",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn layers_without_an_equal_are_refused_together_or_kept() {
    let text = INPUT.to_owned()
        + &layer("p", "Python", &["data"], &["x"], "python_param { module: 'm' }")
        + &layer("l", "LSTM", &["x"], &["y"], "")
        + &layer("r", "ReLU", &["y"], &["y"], "");
    let said = failure(&text, &[]);
    assert!(said.contains("p: type Python") && said.contains("l: type LSTM"), "{said}");
    let told = choices(&account(&text, &["--allow-unknown"]));
    assert_eq!(
        told,
        [
            "p: stays a node of the domain 'caffe': its type has no equal here",
            "l: stays a node of the domain 'caffe': its bottoms have no sizes that are known",
            "r: stays a node of the domain 'caffe': its bottoms have no sizes that are known",
        ]
    );
}

#[test]
fn sizes_are_asked_for_and_given() {
    let text = layer("d", "Data", &[], &["data", "label"], "transform_param { scale: 0.5 mean_value: 104 }")
        + &layer("r", "ReLU", &["data"], &["x"], "")
        + &layer("a", "Accuracy", &["x", "label"], &["a"], "");
    assert!(failure(&text, &[]).contains("--input data=1,3,224,224"));
    assert!(failure(&text, &["--input", "dat=1,3,8,8"]).contains("did you mean 'data'"));
    let told = choices(&account(&text, &["--input", "data=2,3,8,8"]));
    assert!(
        told.iter().any(|c| c.contains("preprocessing: mean_value 104, scale 0.5, which is not in")),
        "{told:?}"
    );
    let told = choices(&account(&text, &["--input", "data=2,3,8,8", "--preprocess"]));
    assert!(told.iter().any(|c| c == ": 'data' is an image now: less 104, times 0.5"), "{told:?}");
}

#[test]
fn what_does_not_fit_a_layer_is_told_with_its_name() {
    for (kind, settings, part) in [
        ("Pooling", "pooling_param { kernel_size: 99 }", "a kernel of 99 on a size of 6"),
        ("Pooling", "pooling_param { kernel_size: 2 stride: 0 }", "a kernel or stride of 0"),
        (
            "ReLU",
            "relu_param { negative_slope: 'x' }",
            "relu_param.negative_slope is 'x', where a number belongs",
        ),
        ("Tile", "tile_param { tiles: 2000000000 }", "has more elements than Caffe counts"),
        ("Slice", "slice_param { slice_point: 9 }", "slice points for 1 tops"),
        ("Softmax", "softmax_param { axis: 7 }", "axis 7, where the bottom has 4 of them"),
        ("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }", "a size of -1"),
        ("Flatten", "flatten_param { axis: 3 end_axis: 1 }", "axes 3 to 1"),
        ("LRN", "lrn_param { local_size: 4 }", "Caffe takes odd ones"),
        (
            "PriorBox",
            "prior_box_param { min_size: 1 img_size: 10 step: 0.1 aspect_ratio: 2 max_size: 3 max_size: 4 }",
            "max_size",
        ),
    ] {
        let said = failure(&(INPUT.to_owned() + &layer("l", kind, &["data"], &["y"], settings)), &[]);
        assert!(said.contains(part) && said.contains("'l'"), "{kind}: {said}");
    }
    assert!(failure("name: 'n'\nlayer { name @ }", &[]).contains("line 2, column 14"));
    let weights = layer("l", "InnerProduct", &["data"], &["y"], "inner_product_param { num_output: 3 }");
    assert!(failure(&(INPUT.to_owned() + &weights), &[]).contains("name its .caffemodel too"));
}

#[test]
fn what_is_chosen_is_told() {
    let text = INPUT.to_owned()
        + &layer("p", "Pooling", &["data"], &["x"], "pooling_param { kernel_size: 3 stride: 2 ceil: true }")
        + &layer("l", "LRN", &["x"], &["x"], "")
        + &layer("s", "SoftmaxWithLoss", &["x", "data"], &["loss"], "");
    assert_eq!(
        choices(&account(&text, &[])),
        [
            "p: [6, 6] pooled to [3, 3]: rounded up",
            "p: settings that are not known here, and so do nothing: pooling_param.ceil",
            "l: alpha 1 divided by the 5 channels, k 1",
            "s: left out: a loss, for training; 'x' are scores before the softmax",
        ]
    );
}
