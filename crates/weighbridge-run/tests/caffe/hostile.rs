//! Texts that ask for what cannot be: each gets an error that names the layer.

use super::{array, fault};
use std::time::Instant;

/// The error of one layer over a bottom of `[1, 2, 4, 4]`.
fn of(layer: &str) -> String {
    let text = format!("layer {{ name: 'it' bottom: 'x' top: 'y' {layer} }}");
    let found = fault(&text, &[("x", array(&[1, 2, 4, 4], &[0.5; 32]))]);
    assert!(found.contains("'it'"), "{found}");
    found
}

#[test]
fn settings_that_make_no_sense() {
    let conv = "type: 'Convolution' convolution_param";
    for (layer, told) in [
        (format!("{conv} {{ weight_filler {{ }} num_output: 1 kernel_size: 1 stride: 0 }}"), "stride of 0"),
        (format!("{conv} {{ weight_filler {{ }} num_output: 1 kernel_size: 0 }}"), "kernel of 0"),
        (format!("{conv} {{ weight_filler {{ }} num_output: 0 kernel_size: 1 }}"), "num_output of 0"),
        (
            format!("{conv} {{ weight_filler {{ }} num_output: 3 kernel_size: 1 group: 2 }}"),
            "2 groups of 2 channels and 3 outputs",
        ),
        (format!("{conv} {{ weight_filler {{ }} num_output: 3 kernel_size: 1 group: 0 }}"), "0 groups"),
        (format!("{conv} {{ weight_filler {{ }} num_output: 1 kernel_size: 1 axis: 7 }}"), "axis 7"),
        (format!("{conv} {{ weight_filler {{ }} num_output: 1 kernel_size: 1 pad: -1 }}"), "pad is -1"),
        (format!("{conv} {{ num_output: 1 kernel_size: 1 }}"), "no weights"),
        (
            format!(
                "{conv} {{ num_output: 1 kernel_size: 1 }} blobs {{ shape {{ dim: 3 }} data: 1 data: 2 data: 3 }}"
            ),
            "[1, 2, 1, 1]",
        ),
        ("type: 'Pooling' pooling_param { kernel_size: 2 stride: 0 }".into(), "stride of [0, 0]"),
        ("type: 'Pooling' pooling_param { kernel_size: 2 pad: 2 }".into(), "padding of [2, 2]"),
        ("type: 'Pooling' pooling_param { kernel_size: 9 }".into(), "a window of 9"),
        ("type: 'Pooling' pooling_param { kernel_size: 2 pool: BEST }".into(), "pool is BEST"),
        ("type: 'Pooling' pooling_param { kernel_size: 2147483647 pad: 2147483646 }".into(), "elements"),
        ("type: 'Flatten' flatten_param { axis: 3 end_axis: 1 }".into(), "axes from 3 to 1"),
        ("type: 'Reshape' reshape_param { shape { dim: -1 dim: -1 } }".into(), "[-1, -1]"),
        ("type: 'Reshape' reshape_param { shape { dim: 5 } }".into(), "32 elements"),
        ("type: 'Reshape' reshape_param { shape { dim: 1 } axis: -9 }".into(), "from -9"),
        ("type: 'Permute' permute_param { order: 1 order: 1 }".into(), "order"),
        ("type: 'Tile' tile_param { tiles: 2000000000 }".into(), "elements"),
        ("type: 'Tile' tile_param { tiles: 0 }".into(), "without elements"),
        ("type: 'Interp' interp_param { zoom_factor: 2000000 }".into(), "elements"),
        ("type: 'Upsample' upsample_param { scale: 0 }".into(), "without elements"),
        ("type: 'Reorg' reorg_param { stride: 0 }".into(), "stride"),
        ("type: 'LRN' lrn_param { local_size: 4 }".into(), "even"),
        ("type: 'Eltwise' eltwise_param { coeff: 1 coeff: 2 }".into(), "2 coefficients for 1 bottoms"),
        ("type: 'Slice' slice_param { slice_point: 9 }".into(), "cut at"),
        ("type: 'ArgMax' argmax_param { top_k: 99 }".into(), "99 of 32"),
        ("type: 'Crop'".into(), "no second"),
        ("type: 'DetectionOutput' detection_output_param { num_classes: 2 }".into(), "no second"),
        ("type: 'PriorBox' prior_box_param { }".into(), "0 smallest"),
        ("type: 'Im2col' convolution_param { kernel_size: 2147483647 pad: 2147483647 }".into(), "elements"),
        ("type: 'SPP' spp_param { pyramid_height: 9 }".into(), "windows over 4 x 4"),
        ("type: 'Softmax' top: 'z'".into(), "2 tops"),
    ] {
        let found = of(&layer);
        assert!(found.contains(told), "{layer}: {found}");
    }
}

#[test]
fn layers_that_do_not_fit_are_all_told() {
    let text = "
        layer { name: 'a' type: 'ReLU' bottom: 'later' top: 'x' }
        layer { name: 'b' type: 'ReLU' bottom: 'b' top: 'b' }
        layer { name: 'c' type: 'ReLU' bottom: 'x' top: 'later' }";
    let found = fault(text, &[]);
    assert!(found.contains("'a': it reads 'later'") && found.contains("'b': it reads 'b'"), "{found}");
    let text = "
        layer { name: 'a' type: 'Python' bottom: 'x' top: 'y' }
        layer { name: 'b' type: 'LSTM' bottom: 'y' top: 'z' }";
    let found = fault(text, &[]);
    assert!(found.contains("Python") && found.contains("LSTM"), "{found}");
}

#[test]
fn work_without_end_is_refused() {
    // Small blobs, and windows of all of them for each of many places.
    let text = "layer { name: 'it' type: 'Pooling' bottom: 'x' top: 'y'
        pooling_param { kernel_size: 4000 pad: 3999 } }";
    let side = 3000;
    let found = fault(text, &[("x", array(&[1, 1, side, side], &vec![0.; (side * side) as usize]))]);
    assert!(found.contains("steps"), "{found}");
}

#[test]
fn deep_nets_take_time_in_proportion() {
    let layers: String = (0..20_000)
        .map(|i| format!("layer {{ name: 'l{i}' type: 'ReLU' bottom: 'x{i}' top: 'x{}' }}\n", i + 1))
        .collect();
    let begun = Instant::now();
    let (shape, values) = super::value(&layers, &[("x0", array(&[1, 1], &[2.]))], "x20000").unwrap();
    assert_eq!((shape, values), (vec![1, 1], vec![2.]));
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
