//! Nets of several layers: which are there, what their values are called, what comes in and goes out.

use super::{array, net, value};
use weighbridge_run::{EngineChoice, Interface, Options, Shapes, Side, choose_for, random, verify_sides};

const IN_PLACE: &str = "
    layer { name: 'in' type: 'Input' top: 'x' input_param { shape { dim: 1 dim: 2 } } }
    layer { name: 'p' type: 'Power' bottom: 'x' top: 'y' power_param { shift: 1 } }
    layer { name: 'q' type: 'Power' bottom: 'y' top: 'y' power_param { scale: 2 } }
    layer { name: 'r' type: 'Power' bottom: 'y' top: 'y' power_param { shift: -1 } }
    layer { name: 's' type: 'Silence' bottom: 'x' }";

#[test]
fn the_last_value_of_a_blob_is_called_like_it() {
    let face = Interface::of(&net(IN_PLACE)).unwrap();
    let names: Vec<&str> =
        face.steps.iter().flat_map(|step| step.values.iter().map(String::as_str)).collect();
    assert_eq!(names, ["y@p", "y@q", "y"]);
    assert_eq!((face.outputs.as_slice(), face.inputs[0].name.as_str()), (["y".to_owned()].as_slice(), "x"));
    let input = [("x", array(&[1, 2], &[1., 2.]))];
    for (name, expected) in [("y@p", [2., 3.]), ("y@q", [4., 6.]), ("y", [3., 5.])] {
        assert_eq!(value(IN_PLACE, &input, name).unwrap().1, expected);
    }
}

#[test]
fn rules_say_which_layers_are_there() {
    let text = "
        state { stage: 'deploy' }
        layer { name: 'train' type: 'Data' top: 'x' top: 'label' include { phase: TRAIN } data_param { batch_size: 9 } }
        layer { name: 'test' type: 'Input' top: 'x' include { phase: TEST } input_param { shape { dim: 1 dim: 1 } } }
        layer { name: 'a' type: 'Power' bottom: 'x' top: 'a' exclude { phase: TEST } power_param { shift: 1 } }
        layer { name: 'b' type: 'Power' bottom: 'x' top: 'a' include { stage: 'deploy' } power_param { shift: 2 } }
        layer { name: 'c' type: 'Power' bottom: 'a' top: 'c' include { min_level: 1 } power_param { shift: 4 } }
        layer { name: 'd' type: 'Power' bottom: 'a' top: 'd' include { not_stage: 'deploy' } power_param { shift: 8 } }
        layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'a' bottom: 'label' top: 'loss' }";
    let face = Interface::of(&net(text)).unwrap();
    assert_eq!((face.outputs.len(), face.inputs.len()), (1, 1));
    assert_eq!(value(text, &[("x", array(&[1, 1], &[1.]))], "a").unwrap().1, [3.]);
}

#[test]
fn names_of_2013_are_understood() {
    let text = "
        input: 'x' input_dim: 1 input_dim: 1 input_dim: 3 input_dim: 3
        layers { layer { name: 'pad' type: 'padding' pad: 1 } bottom: 'x' top: 'padded' }
        layers { layer { name: 'pool' type: 'pool' kernelsize: 3 stride: 2 pool: AVE } bottom: 'padded' top: 'pool' }
        layers { layer { name: 'relu' type: 'relu' } bottom: 'pool' top: 'pool' }";
    let nine: Vec<f64> = (1..10).map(f64::from).collect();
    let (shape, values) = value(text, &[("x", array(&[1, 1, 3, 3], &nine))], "pool").unwrap();
    assert_eq!(shape, [1, 1, 2, 2]);
    let expected = [12. / 9., 16. / 9., 24. / 9., 28. / 9.];
    assert!(values.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-12), "{values:?}");
}

#[test]
fn two_nets_are_compared_layer_by_layer() {
    let other = IN_PLACE.replace("scale: 2", "scale: 2.5");
    let (a, b) = (net(IN_PLACE), net(&other));
    let engine = choose_for(&a, &EngineChoice::default()).unwrap();
    let options = Options { tolerance: 1e-4, seed: 0, shapes: Shapes::new(), inner: true, time: false };
    let side = |model| Side { model, engine: &*engine };
    let same = verify_sides(side(&a), side(&a), None, &options).unwrap();
    assert!(same.ok && !same.insensitive && same.inner.len() == 2 && same.engines.len() == 1);
    let differs = verify_sides(side(&a), side(&b), None, &options).unwrap();
    let first = differs.first_divergence.unwrap();
    assert!(!differs.ok && first.node == "q" && first.tensor == "y@q", "{first:?}");
}

#[test]
fn indices_are_whole_and_below_what_they_pick_from() {
    let text = "
        layer { name: 'in' type: 'Input' top: 'i' input_param { shape { dim: 50 } } }
        layer { name: 'e' type: 'Embed' bottom: 'i' top: 'e' embed_param { input_dim: 3 num_output: 1 } }";
    let made = random(&net(text), &Shapes::new(), 0).unwrap().remove(0).1;
    assert!(made.values().all(|x| [0., 1., 2.].contains(&x)) && made.values().any(|x| x == 2.));
}
