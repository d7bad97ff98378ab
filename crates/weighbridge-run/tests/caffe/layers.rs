//! One layer each, its settings and its weights in the text.

use super::{array, value};

/// Bottoms by shape and values.
type Bottoms<'a> = &'a [(&'a [u64], &'a [f64])];

/// Runs one layer of this type over bottoms `a`, `b`, `c`, and compares its top `y`.
fn check(kind: &str, settings: &str, bottoms: Bottoms<'_>, shape: &[u64], expected: &[f64]) {
    check_tops(kind, settings, bottoms, &[(shape, expected)]);
}

/// The same of several tops: `y`, `z`.
fn check_tops(kind: &str, settings: &str, bottoms: Bottoms<'_>, tops: Bottoms<'_>) {
    let names = ["a", "b", "c"];
    let mut text = format!("layer {{ name: 'it' type: '{kind}' {settings}");
    let mut inputs = Vec::new();
    for (name, (shape, values)) in names.iter().zip(bottoms) {
        text += &format!(" bottom: '{name}'");
        inputs.push((*name, array(shape, values)));
    }
    for (name, _) in ["y", "z"].iter().zip(tops) {
        text += &format!(" top: '{name}'");
    }
    text += " }";
    for (name, (shape, expected)) in ["y", "z"].iter().zip(tops) {
        let (have, values) = value(&text, &inputs, name).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(have, *shape, "{kind} {settings}");
        let close = |(x, y): (&f64, &f64)| {
            x == y || (x - y).abs() <= 1e-6 * y.abs().max(1.0) || x.is_nan() && y.is_nan()
        };
        assert!(
            values.len() == expected.len() && values.iter().zip(*expected).all(close),
            "{kind} {settings}: {values:?}, not {expected:?}"
        );
    }
}

/// A blob of weights as text.
fn blob(shape: &[u64], values: &[f64]) -> String {
    let dims: String = shape.iter().map(|size| format!(" dim: {size}")).collect();
    let data: String = values.iter().map(|x| format!(" data: {x}")).collect();
    format!(" blobs {{ shape {{{dims} }}{data} }}")
}

const NINE: &[f64] = &[1., 2., 3., 4., 5., 6., 7., 8., 9.];

#[test]
fn convolutions() {
    let two = blob(&[1, 1, 2, 2], &[1., 2., 3., 4.]) + &blob(&[1], &[10.]);
    let square = &[(&[1, 1, 3, 3][..], NINE)];
    let told = "convolution_param { num_output: 1 kernel_size: 2";
    check("Convolution", &format!("{told} }}{two}"), square, &[1, 1, 2, 2], &[47., 57., 77., 87.]);
    check(
        "Convolution",
        &format!("{told} stride: 2 pad: 1 }}{two}"),
        square,
        &[1, 1, 2, 2],
        &[14., 28., 46., 87.],
    );
    check("Convolution", &format!("{told} dilation: 2 }}{two}"), square, &[1, 1, 1, 1], &[74.]);
    // Two groups of one channel each, without a bias.
    let groups = "convolution_param { num_output: 2 kernel_size: 1 group: 2 bias_term: false }";
    let weights = blob(&[2, 1, 1, 1], &[2., 3.]);
    check(
        "Convolution",
        &format!("{groups}{weights}"),
        &[(&[1, 2, 1, 1], &[5., 7.])],
        &[1, 2, 1, 1],
        &[10., 21.],
    );
    let depthwise = "convolution_param { num_output: 2 kernel_size: 1 bias_term: false }";
    check(
        "ConvolutionDepthwise",
        &format!("{depthwise}{weights}"),
        &[(&[1, 2, 1, 1], &[5., 7.])],
        &[1, 2, 1, 1],
        &[10., 21.],
    );
    // One spatial dimension, and three.
    let line = "convolution_param { num_output: 1 kernel_size: 2 bias_term: false }";
    let weights = blob(&[1, 1, 2], &[1., -1.]);
    check(
        "Convolution",
        &format!("{line}{weights}"),
        &[(&[1, 1, 3], &[1., 4., 9.])],
        &[1, 1, 2],
        &[-3., -5.],
    );
    let cube = blob(&[1, 1, 2, 2, 2], &[1.; 8]);
    let eight = &[1., 2., 3., 4., 5., 6., 7., 8.];
    check("Convolution", &format!("{line}{cube}"), &[(&[1, 1, 2, 2, 2], eight)], &[1, 1, 1, 1, 1], &[36.]);
    // More channels and windows than are computed beside each other.
    let many = format!(
        "convolution_param {{ num_output: 5 kernel_size: 1 bias_term: false }}{}",
        blob(&[5, 1, 1, 1], &[1., 2., 3., 4., 5.])
    );
    let row: Vec<f64> = (0..35).map(f64::from).collect();
    let expected: Vec<f64> = (1..=5).flat_map(|k| row.iter().map(move |x| x * f64::from(k))).collect();
    check("Convolution", &many, &[(&[1, 1, 1, 35], &row)], &[1, 5, 1, 35], &expected);
    check(
        "Im2col",
        "convolution_param { kernel_size: 2 }",
        square,
        &[1, 4, 2, 2],
        &[1., 2., 4., 5., 2., 3., 5., 6., 4., 5., 7., 8., 5., 6., 8., 9.],
    );
}

#[test]
fn deconvolutions() {
    let told = "convolution_param { num_output: 1 kernel_size: 2 stride: 2 bias_term: false }";
    let kernel = blob(&[1, 1, 2, 2], &[1., 2., 3., 4.]);
    check(
        "Deconvolution",
        &format!("{told}{kernel}"),
        &[(&[1, 1, 1, 2], &[1., 10.])],
        &[1, 1, 2, 4],
        &[1., 2., 10., 20., 3., 4., 30., 40.],
    );
    let padded = "convolution_param { num_output: 1 kernel_size: 3 stride: 2 pad: 1 }";
    let ones = blob(&[1, 1, 3, 3], &[1.; 9]) + &blob(&[1], &[0.5]);
    // s (i - 1) + k - 2 p = 3, and each output is the sum of the inputs whose windows reach it.
    check(
        "Deconvolution",
        &format!("{padded}{ones}"),
        &[(&[1, 1, 2, 2], &[1., 2., 3., 4.])],
        &[1, 1, 3, 3],
        &[1.5, 3.5, 2.5, 4.5, 10.5, 6.5, 3.5, 7.5, 4.5],
    );
    let groups = "convolution_param { num_output: 2 kernel_size: 1 group: 2 bias_term: false }";
    let weights = blob(&[2, 1, 1, 1], &[2., 3.]);
    check(
        "Deconvolution",
        &format!("{groups}{weights}"),
        &[(&[1, 2, 1, 1], &[5., 7.])],
        &[1, 2, 1, 1],
        &[10., 21.],
    );
}

#[test]
fn poolings() {
    let square = &[(&[1, 1, 3, 3][..], NINE)];
    // Rounded up: the last windows are cut off by the border.
    let two = "pooling_param { kernel_size: 2 stride: 2";
    check("Pooling", &format!("{two} }}"), square, &[1, 1, 2, 2], &[5., 6., 8., 9.]);
    check("Pooling", &format!("{two} round_mode: FLOOR }}"), square, &[1, 1, 1, 1], &[5.]);
    check("Pooling", &format!("{two} pool: AVE }}"), square, &[1, 1, 2, 2], &[3., 4.5, 7.5, 9.]);
    check_tops(
        "Pooling",
        &format!("{two} }}"),
        square,
        &[(&[1, 1, 2, 2], &[5., 6., 8., 9.]), (&[1, 1, 2, 2], &[4., 5., 7., 8.])],
    );
    // The divisor counts the padding, but nothing behind it: 4, 4; 4, 4.
    let padded = "pooling_param { kernel_size: 2 stride: 2 pad: 1 pool: AVE }";
    check("Pooling", padded, square, &[1, 1, 2, 2], &[0.25, 1.25, 2.75, 7.]);
    // Windows of 1 by 3 with a stride of 3 over five columns, of which the last holds two.
    let wide = "pooling_param { kernel_h: 1 kernel_w: 3 stride_h: 1 stride_w: 3 pool: AVE }";
    check("Pooling", wide, &[(&[1, 1, 1, 5], &[1., 2., 3., 4., 5.])], &[1, 1, 1, 2], &[2., 4.5]);
    // A stride beyond the kernel, without padding: nothing is clipped, and the last window is empty.
    let sparse = "pooling_param { kernel_size: 1 stride: 3 }";
    let lowest = f64::from(f32::MIN);
    check("Pooling", sparse, &[(&[1, 1, 1, 3], &[1., 2., 3.])], &[1, 1, 1, 2], &[1., lowest]);
    check("Pooling", "pooling_param { pool: AVE global_pooling: true }", square, &[1, 1, 1, 1], &[5.]);
    let chance = "pooling_param { pool: STOCHASTIC kernel_size: 1 kernel_size: 2 stride: 2 }";
    check("Pooling", chance, &[(&[1, 1, 2, 2], &[1., 2., 3., 0.])], &[1, 1, 1, 1], &[14. / 6.]);
    check("SPP", "spp_param { pyramid_height: 2 }", square, &[1, 5], &[9., 1., 3., 7., 9.]);
}

#[test]
fn matrices() {
    let told = "inner_product_param { num_output: 2 ";
    let bottom = &[(&[1, 3, 1, 1][..], &[1., 2., 3.][..])];
    let bias = blob(&[2], &[10., 20.]);
    let weights = blob(&[2, 3], &[1., 0., 1., 0., 1., 0.]);
    check("InnerProduct", &format!("{told}}}{weights}{bias}"), bottom, &[1, 2], &[14., 22.]);
    let turned = blob(&[3, 2], &[1., 0., 0., 1., 1., 0.]);
    check("InnerProduct", &format!("{told} transpose: true }}{turned}{bias}"), bottom, &[1, 2], &[14., 22.]);
    let last = blob(&[2, 1], &[1., 2.]);
    check(
        "InnerProduct",
        &format!("{told} axis: -1 bias_term: false }}{last}"),
        &[(&[2, 1], &[1., 2.])],
        &[2, 2],
        &[1., 2., 2., 4.],
    );
    // The four sizes that old files have.
    let old =
        " blobs { num: 1 channels: 1 height: 2 width: 3 data: 1 data: 0 data: 1 data: 0 data: 1 data: 0 }";
    check("InnerProduct", &format!("{told} bias_term: false }}{old}"), bottom, &[1, 2], &[4., 2.]);
    let table = blob(&[3, 2], &[1., 2., 3., 4., 5., 6.]);
    let embed = format!("embed_param {{ input_dim: 3 num_output: 2 bias_term: false }}{table}");
    check("Embed", &embed, &[(&[2], &[2., 0.])], &[2, 2], &[5., 6., 1., 2.]);
}

#[test]
fn scales() {
    let four = &[(&[1, 2, 1, 2][..], &[1., 2., 3., 4.][..])];
    // Means and variances are sums, divided by the factor.
    let sums = blob(&[2], &[2., 6.]) + &blob(&[2], &[8., 18.]) + &blob(&[1], &[2.]);
    let exact = format!("batch_norm_param {{ eps: 0 }}{sums}");
    check("BatchNorm", &exact, four, &[1, 2, 1, 2], &[0., 0.5, 0., 1. / 3.]);
    let empty = blob(&[2], &[2., 6.]) + &blob(&[2], &[8., 18.]) + &blob(&[1], &[0.]);
    check(
        "BatchNorm",
        &format!("batch_norm_param {{ eps: 1 }}{empty}"),
        four,
        &[1, 2, 1, 2],
        &[1., 2., 3., 4.],
    );
    let own = format!("batch_norm_param {{ eps: 0 use_global_stats: false }}{sums}");
    check("BatchNorm", &own, four, &[1, 2, 1, 2], &[-1., 1., -1., 1.]);
    let factors = blob(&[2], &[2., -1.]);
    check("Scale", &factors, four, &[1, 2, 1, 2], &[2., 4., -3., -4.]);
    let both = format!("scale_param {{ bias_term: true }}{factors}{}", blob(&[2], &[1., 10.]));
    check("Scale", &both, four, &[1, 2, 1, 2], &[3., 5., 7., 6.]);
    let scalar = format!("scale_param {{ axis: 0 num_axes: 0 }}{}", blob(&[], &[3.]));
    check("Scale", &scalar, four, &[1, 2, 1, 2], &[3., 6., 9., 12.]);
    let rest = format!("scale_param {{ num_axes: -1 }}{}", blob(&[2, 1, 2], &[1., 2., 3., 4.]));
    check("Scale", &rest, four, &[1, 2, 1, 2], &[1., 4., 9., 16.]);
    let second = &[four[0], (&[2], &[2., -1.])];
    check("Scale", "", second, &[1, 2, 1, 2], &[2., 4., -3., -4.]);
    let biased = format!("scale_param {{ bias_term: true }}{}", blob(&[2], &[1., 10.]));
    check("Scale", &biased, second, &[1, 2, 1, 2], &[3., 5., 7., 6.]);
    check("Bias", &factors, four, &[1, 2, 1, 2], &[3., 4., 2., 3.]);
    check("Bias", "", second, &[1, 2, 1, 2], &[3., 4., 2., 3.]);
}

#[test]
fn normalizations() {
    let four = &[(&[1, 2, 1, 2][..], &[1., 2., 3., 4.][..])];
    // Three channels around each, of which there are two: sums of squares of 10 and 20, over 3.
    let across = "lrn_param { local_size: 3 alpha: 3 beta: 1 k: 2 }";
    check("LRN", across, four, &[1, 2, 1, 2], &[1. / 12., 2. / 22., 3. / 12., 4. / 22.]);
    // Nine places around each, zeros outside; k has no part in it.
    let within = "lrn_param { local_size: 3 alpha: 9 beta: 1 k: 7 norm_region: WITHIN_CHANNEL }";
    check("LRN", within, four, &[1, 2, 1, 2], &[1. / 6., 2. / 6., 3. / 26., 4. / 26.]);
    check("MVN", "mvn_param { eps: 0 }", four, &[1, 2, 1, 2], &[-1., 1., -1., 1.]);
    let mean = "mvn_param { across_channels: true normalize_variance: false }";
    check("MVN", mean, four, &[1, 2, 1, 2], &[-1.5, -0.5, 0.5, 1.5]);
    let two = &[(&[1, 2, 1, 1][..], &[3., 4.][..])];
    let each =
        format!("norm_param {{ across_spatial: false channel_shared: false }}{}", blob(&[2], &[5., 10.]));
    check("Normalize", &each, two, &[1, 2, 1, 1], &[3., 8.]);
    // eps is within the root: 25 + 11 = 36.
    let all = format!("norm_param {{ eps: 11 }}{}", blob(&[], &[6.]));
    check("Normalize", &all, two, &[1, 2, 1, 1], &[3., 4.]);
    let sum = 1f64.exp() + 2f64.exp();
    let (a, b) = (1f64.exp() / sum, 2f64.exp() / sum);
    check("Softmax", "", &[(&[1, 2], &[1., 2.])], &[1, 2], &[a, b]);
    check("Softmax", "softmax_param { axis: -2 }", &[(&[1, 2, 1], &[1., 2.])], &[1, 2, 1], &[a, b]);
    check("LogSoftmax", "", &[(&[1, 2], &[1., 2.])], &[1, 2], &[a.ln(), b.ln()]);
}

#[test]
fn activations() {
    let three = &[(&[1, 3][..], &[-2., 0., 7.][..])];
    let each = |kind: &str, settings: &str, expected: &[f64]| check(kind, settings, three, &[1, 3], expected);
    each("ReLU", "", &[0., 0., 7.]);
    each("ReLU", "relu_param { negative_slope: 0.5 }", &[-1., 0., 7.]);
    each("ReLU6", "", &[0., 0., 6.]);
    each("PReLU", &blob(&[3], &[0.5, 1., 1.]), &[-1., 0., 7.]);
    each("PReLU", &format!("prelu_param {{ channel_shared: true }}{}", blob(&[], &[3.])), &[-6., 0., 7.]);
    each("ELU", "elu_param { alpha: 2 }", &[2. * ((-2f64).exp() - 1.), 0., 7.]);
    let sigmoid = |x: f64| 1. / (1. + (-x).exp());
    each("Sigmoid", "", &[sigmoid(-2.), 0.5, sigmoid(7.)]);
    each("TanH", "", &[(-2f64).tanh(), 0., 7f64.tanh()]);
    each("AbsVal", "", &[2., 0., 7.]);
    each("BNLL", "", &[(1. + (-2f64).exp()).ln(), 2f64.ln(), (1. + 7f64.exp()).ln()]);
    each("Swish", "swish_param { beta: 2 }", &[-2. * sigmoid(-4.), 0., 7. * sigmoid(14.)]);
    each("Mish", "", &[-2. * (1. + (-2f64).exp()).ln().tanh(), 0., 7. * (1. + 7f64.exp()).ln().tanh()]);
    each("HardSwish", "", &[-1. / 3., 0., 7.]);
    each("HSigmoid", "", &[1. / 6., 0.5, 1.]);
    each("Threshold", "threshold_param { threshold: 0 }", &[0., 0., 1.]);
    each("Clip", "clip_param { min: -1 max: 3 }", &[-1., 0., 3.]);
    each("Power", "power_param { power: 2 scale: 0.5 shift: 1 }", &[0., 1., 20.25]);
    each("Power", "power_param { power: 0 }", &[1., 1., 1.]);
    each("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }", &[1., 2., 2f64.powf(4.5)]);
    each("Exp", "", &[(-2f64).exp(), 1., 7f64.exp()]);
    each("Log", "log_param { base: 2 shift: 3 }", &[0., 3f64.log2(), 10f64.log2()]);
    each("Dropout", "", &[-2., 0., 7.]);
}

#[test]
fn combinations() {
    let (a, b, c): ((&[u64], &[f64]), _, _) =
        ((&[1, 2], &[1., 2.]), (&[1, 2][..], &[3., 5.][..]), (&[1, 2][..], &[7., 1.][..]));
    check("Eltwise", "", &[a, b, c], &[1, 2], &[11., 8.]);
    check("Eltwise", "eltwise_param { operation: PROD }", &[a, b, c], &[1, 2], &[21., 10.]);
    check("Eltwise", "eltwise_param { operation: MAX }", &[a, b, c], &[1, 2], &[7., 5.]);
    check("Eltwise", "eltwise_param { coeff: 2 coeff: -1 }", &[a, b], &[1, 2], &[-1., -1.]);
    let (scale, x, y) = (
        (&[1, 2][..], &[2., 3.][..]),
        (&[1, 2, 1, 1][..], &[1., 1.][..]),
        (&[1, 2, 1, 1][..], &[5., 5.][..]),
    );
    check("Axpy", "", &[scale, x, y], &[1, 2, 1, 1], &[7., 8.]);
    check("Concat", "", &[a, b], &[1, 4], &[1., 2., 3., 5.]);
    check("Concat", "concat_param { axis: 0 }", &[a, b], &[2, 2], &[1., 2., 3., 5.]);
    let four = &[(&[1, 4][..], &[1., 2., 3., 4.][..])];
    check_tops("Slice", "", four, &[(&[1, 2], &[1., 2.]), (&[1, 2], &[3., 4.])]);
    check_tops(
        "Slice",
        "slice_param { slice_point: 1 }",
        four,
        &[(&[1, 1], &[1.]), (&[1, 3], &[2., 3., 4.])],
    );
    check_tops("Split", "", four, &[four[0], four[0]]);
}

#[test]
fn arrangements() {
    let six = &[(&[1, 2, 3][..], &[1., 2., 3., 4., 5., 6.][..])];
    let same = six[0].1;
    check("Flatten", "", six, &[1, 6], same);
    check("Flatten", "flatten_param { axis: 0 end_axis: 1 }", six, &[2, 3], same);
    check("Reshape", "reshape_param { shape { dim: 0 dim: 3 dim: -1 } }", six, &[1, 3, 2], same);
    check(
        "Reshape",
        "reshape_param { shape { dim: 3 dim: 1 } axis: 1 num_axes: 1 }",
        &[(&[1, 3, 2], same)],
        &[1, 3, 1, 2],
        same,
    );
    check("Reshape", "reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }", six, &[1, 2, 3, 1], same);
    check("Permute", "permute_param { order: 0 order: 2 }", six, &[1, 3, 2], &[1., 4., 2., 5., 3., 6.]);
    let like = (&[1, 1, 1][..], &[0.][..]);
    check("Crop", "crop_param { axis: 1 offset: 1 offset: 2 }", &[six[0], like], &[1, 1, 1], &[6.]);
    check("Crop", "", &[six[0], (&[1, 1, 2], &[0., 0.])], &[1, 2, 2], &[1., 2., 4., 5.]);
    check("Tile", "tile_param { axis: 1 tiles: 2 }", &[(&[2, 1], &[1., 2.])], &[2, 2], &[1., 1., 2., 2.]);
    let channels = &[(&[1, 4, 1][..], &[1., 2., 3., 4.][..])];
    check("ShuffleChannel", "shuffle_channel_param { group: 2 }", channels, &[1, 4, 1], &[1., 3., 2., 4.]);
    let images = (&[2, 2][..], &[1., 2., 3., 4.][..]);
    check("BatchReindex", "", &[images, (&[3], &[1., 1., 0.])], &[3, 2], &[3., 4., 3., 4., 1., 2.]);
    check("Filter", "", &[images, (&[2], &[0., 1.])], &[1, 2], &[3., 4.]);
}

#[test]
fn sizes() {
    let row = &[(&[1, 1, 1, 3][..], &[1., 2., 4.][..])];
    check("Interp", "interp_param { height: 1 width: 5 }", row, &[1, 1, 1, 5], &[1., 1.5, 2., 3., 4.]);
    check("Interp", "interp_param { zoom_factor: 2 }", row, &[1, 1, 1, 5], &[1., 1.5, 2., 3., 4.]);
    check("Interp", "interp_param { shrink_factor: 2 }", row, &[1, 1, 1, 2], &[1., 4.]);
    let block = &[(&[1, 1, 1, 2][..], &[1., 2.][..])];
    check("Upsample", "upsample_param { scale: 2 }", block, &[1, 1, 2, 4], &[1., 1., 2., 2., 1., 1., 2., 2.]);
    let mask = (&[1, 1, 1, 2][..], &[3., 5.][..]);
    check(
        "Upsample",
        "upsample_param { scale: 2 }",
        &[block[0], mask],
        &[1, 1, 2, 4],
        &[0., 0., 0., 1., 0., 2., 0., 0.],
    );
    let shuffled = &[(&[1, 4, 1, 1][..], &[1., 2., 3., 4.][..])];
    check(
        "PixelShuffle",
        "pixel_shuffle_param { upscale_factor: 2 }",
        shuffled,
        &[1, 1, 2, 2],
        &[1., 2., 3., 4.],
    );
    check("Reorg", "reorg_param { stride: 2 reverse: true }", shuffled, &[1, 1, 2, 2], &[1., 2., 3., 4.]);
    let sixteen: Vec<f64> = (0..16).map(f64::from).collect();
    // Darknet reads 4 channels of 2 by 2 as one of 4 by 4.
    let expected = [0., 2., 8., 10., 1., 3., 9., 11., 4., 6., 12., 14., 5., 7., 13., 15.];
    check("Reorg", "reorg_param { stride: 2 }", &[(&[1, 4, 2, 2], &sixteen)], &[1, 16, 1, 1], &expected);
}

#[test]
fn reductions() {
    let six = &[(&[2, 3][..], &[1., -2., 3., 4., 5., -6.][..])];
    check("Reduction", "reduction_param { axis: 1 }", six, &[2], &[2., 3.]);
    check("Reduction", "reduction_param { axis: 1 operation: ASUM coeff: 2 }", six, &[2], &[12., 30.]);
    check("Reduction", "reduction_param { axis: 1 operation: SUMSQ }", six, &[2], &[14., 77.]);
    check("Reduction", "reduction_param { operation: MEAN }", six, &[], &[5. / 6.]);
    check("ArgMax", "", six, &[2, 1, 1], &[2., 1.]);
    check("ArgMax", "argmax_param { axis: 1 }", six, &[2, 1], &[2., 1.]);
    check("ArgMax", "argmax_param { axis: 1 out_max_val: true }", six, &[2, 1], &[3., 5.]);
    check(
        "ArgMax",
        "argmax_param { top_k: 2 out_max_val: true }",
        six,
        &[2, 2, 2],
        &[2., 0., 3., 1., 1., 0., 5., 4.],
    );
    // Of equal ones the later.
    check("ArgMax", "", &[(&[1, 3], &[1., 1., 0.])], &[1, 1, 1], &[1.]);
}

#[test]
fn boxes() {
    let map = (&[1, 1, 1, 1][..], &[0.][..]);
    let picture = (&[1, 1, 10, 20][..], &[0.; 200][..]);
    // In turn the smallest size, what is between it and the largest, the ratio, and its inverse.
    let told = "prior_box_param { min_size: 4 max_size: 9 aspect_ratio: 4 variance: 0.5 }";
    let mut expected = Vec::new();
    for (w, h) in [(4., 4.), (6., 6.), (8., 2.), (2., 8.)] {
        expected.extend([
            (10. - w / 2.) / 20.,
            (5. - h / 2.) / 10.,
            (10. + w / 2.) / 20.,
            (5. + h / 2.) / 10.,
        ]);
    }
    expected.extend([0.5; 16]);
    check("PriorBox", told, &[map, picture], &[1, 2, 16], &expected);

    // Three priors, of which the first two are the same, and two classes beside the background.
    let offsets = (&[1, 12][..], &[0.; 12][..]);
    let scores = (&[1, 9][..], &[0.1, 0.9, 0.2, 0.1, 0.8, 0.3, 0.1, 0.7, 0.0][..]);
    let priors = [0., 0., 0.5, 0.5, 0., 0., 0.5, 0.5, 0.5, 0.5, 1., 1.]
        .into_iter()
        .chain([0.1; 12])
        .collect::<Vec<_>>();
    let settings = |more: &str| {
        format!(
            "detection_output_param {{ num_classes: 3 code_type: CENTER_SIZE confidence_threshold: 0.25 \
             nms_param {{ nms_threshold: 0.45 }} {more} }}"
        )
    };
    let first = f64::from(0.9f32);
    let all = [
        0.,
        1.,
        first,
        0.,
        0.,
        0.5,
        0.5, //
        0.,
        1.,
        f64::from(0.7f32),
        0.5,
        0.5,
        1.,
        1., //
        0.,
        2.,
        f64::from(0.3f32),
        0.,
        0.,
        0.5,
        0.5,
    ];
    let bottoms = [offsets, scores, (&[1, 2, 12][..], priors.as_slice())];
    check("DetectionOutput", &settings(""), &bottoms, &[1, 1, 3, 7], &all);
    check("DetectionOutput", &settings("keep_top_k: 1"), &bottoms, &[1, 1, 1, 7], &all[..7]);
    let none = "detection_output_param { num_classes: 3 confidence_threshold: 2 }";
    check("DetectionOutput", none, &bottoms, &[1, 1, 1, 7], &[0., -1., -1., -1., -1., -1., -1.]);
}
