//! Layers of Keras and HDF5 files, whose names are paths with `/`: variables in groups, groups in groups.

use std::collections::HashMap;

use crate::Value;

/// Classes that are made of other layers.
const CONTAINERS: &[&str] = &["Sequential", "Functional", "Model"];

/// The layer that a variable belongs to: the nearest group that the configuration knows as a layer, otherwise the group
/// that it stands in. `known` has the class of each layer by its path.
pub(super) fn layer_path<'a>(name: &'a str, known: &HashMap<&str, &str>) -> &'a str {
    let Some((group, _)) = name.rsplit_once('/') else { return name };
    // Keras 3 numbers the variables of a layer below it.
    let group = group.strip_suffix("/vars").unwrap_or(group);
    let mut above = group;
    loop {
        match known.get(above) {
            Some(class) if !CONTAINERS.contains(class) => return above,
            Some(_) => return group,
            None => {}
        }
        match above.rsplit_once('/') {
            Some((next, _)) => above = next,
            None => return group,
        }
    }
}

/// A variable's own name: `kernel` of `dense/kernel:0`.
fn leaf(name: &str) -> &str {
    let leaf = name.rsplit('/').next().unwrap_or(name);
    leaf.split_once(':').map_or(leaf, |(leaf, _)| leaf)
}

/// Kind and sizes of a layer of this class, from its variables in file order.
pub(super) fn of_class(class: &str, strides: Option<String>, variables: &[(&str, &[u64])]) -> String {
    let matrix = variables.iter().find_map(|(_, s)| if s.len() == 2 { Some((s[0], s[1])) } else { None });
    let largest = variables.iter().rev().max_by_key(|(_, shape)| shape.len()).map_or(&[][..], |(_, s)| s);
    if class.contains("Conv") && ["1D", "2D", "3D"].iter().any(|d| class.contains(d)) {
        return format!("{class}{}", convolution(class, largest, strides));
    }
    match (class, matrix, largest) {
        ("Dense", Some((input, out)), _) => format!("{class} {input}->{out}"),
        ("Embedding", Some((rows, columns)), _) => format!("{class} {rows}x{columns}"),
        ("LSTM" | "GRU" | "SimpleRNN", Some((input, wide)), _) => {
            let gates = match class {
                "LSTM" => 4,
                "GRU" => 3,
                _ => 1,
            };
            format!("{class} {input}->{}", wide / gates)
        }
        (_, _, &[n]) if class.ends_with("Normalization") => format!("{class} {n}"),
        _ => class.to_owned(),
    }
}

/// `in->out kK [sS]` of a kernel `[spatial…, in, out]`, or transposed `[spatial…, out, in]`; depthwise ones tell no
/// outputs.
fn convolution(class: &str, shape: &[u64], stride: Option<String>) -> String {
    let [spatial @ .., a, b] = shape else { return String::new() };
    let torch_order: Vec<u64> = [*b, *a].into_iter().chain(spatial.iter().copied()).collect();
    let mut text = match class {
        _ if class.contains("Depthwise") || class.contains("Separable") => format!(" {a}"),
        _ if class.contains("Transpose") => format!(" {b}->{a}"),
        _ => format!(" {a}->{b}"),
    };
    text += &format!(" k{}", super::kind::kernel(&torch_order));
    if let Some(stride) = stride.filter(|s| s != "1") {
        text += &format!(" s{stride}");
    }
    text
}

/// The class that a layer's variables have the names of, with its sizes, where there is no configuration.
pub(super) fn of_names(variables: &[(&str, &[u64])]) -> Option<String> {
    let shape = |wanted: &str| variables.iter().find(|(name, _)| leaf(name) == wanted).map(|(_, s)| *s);
    let class = match (shape("kernel"), shape("recurrent_kernel")) {
        (Some(kernel), Some(recurrent)) => {
            let gates = kernel.last()?.checked_div(*recurrent.first()?)?;
            match gates {
                4 => "LSTM",
                3 => "GRU",
                _ => "SimpleRNN",
            }
        }
        (Some([_, _]), None) => "Dense",
        (Some([_, _, _]), None) => "Conv1D",
        (Some([_, _, _, _]), None) => "Conv2D",
        (Some([_, _, _, _, _]), None) => "Conv3D",
        _ if shape("depthwise_kernel").is_some() => "DepthwiseConv2D",
        _ if shape("embeddings").is_some() => "Embedding",
        _ if shape("moving_mean").is_some() => "BatchNormalization",
        _ if shape("gamma").is_some() => "LayerNormalization",
        _ => return None,
    };
    Some(of_class(class, None, variables))
}

/// Strides as the configuration has them.
pub(super) fn strides(attributes: &[(String, Value)]) -> Option<String> {
    super::kind::sizes(attributes.iter().find(|(n, _)| n == "strides").map(|(_, v)| v))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_belong_to_the_nearest_layer_that_is_known() {
        let known =
            HashMap::from([("layers/lstm", "LSTM"), ("layers/inner", "Sequential"), ("m/d/d", "Dense")]);
        for (name, path) in [
            ("layers/lstm/cell/vars/0", "layers/lstm"),
            ("layers/inner/layers/dense/vars/1", "layers/inner/layers/dense"),
            ("m/d/d/kernel:0", "m/d/d"),
            ("a/b/kernel:0", "a/b"),
            ("alone", "alone"),
        ] {
            assert_eq!(layer_path(name, &known), path);
        }
    }

    #[test]
    fn names_of_variables_tell_classes() {
        let kinds = [
            (vec![("d/bias:0", &[3][..]), ("d/kernel:0", &[4, 3])], "Dense 4->3"),
            (vec![("c/bias:0", &[8]), ("c/kernel:0", &[3, 3, 2, 8])], "Conv2D 2->8 k3"),
            (vec![("l/kernel:0", &[5, 8]), ("l/recurrent_kernel:0", &[2, 8])], "LSTM 5->2"),
            (vec![("b/beta", &[6]), ("b/moving_mean", &[6])], "BatchNormalization 6"),
        ];
        for (variables, kind) in kinds {
            assert_eq!(of_names(&variables).as_deref(), Some(kind));
        }
        assert_eq!(of_names(&[("x/y", &[1])]), None);
    }
}
