//! What a model's configuration says of its layers, and what names say of variables.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Model, Module, Role, Value};

/// Adds a module for each layer of the configuration that has a group in the file.
pub(super) fn apply(config: &Value, groups: &[String], model: &mut Model, depth: usize) {
    let groups: HashSet<&str> = groups.iter().map(String::as_str).collect();
    let mut modules = Vec::new();
    layers(config, "", &groups, depth, &mut modules);
    model.modules = modules;
}

fn layers(config: &Value, prefix: &str, groups: &HashSet<&str>, depth: usize, found: &mut Vec<Module>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let Some(list) = config.get("config").and_then(|c| c.get("layers").or(Some(c))).and_then(Value::as_list)
    else {
        return;
    };
    // Keras names a layer's group after its class, and counts.
    let mut counts: HashMap<String, u64> = HashMap::new();
    for layer in list {
        let Some(class) = layer.get("class_name").and_then(Value::as_str) else { continue };
        let settings = layer.get("config");
        let name = settings.and_then(|c| c.get("name")).and_then(Value::as_str).unwrap_or_default();
        let snake = snake_case(class);
        let count = counts.entry(snake.clone()).or_default();
        let counted = if *count == 0 { snake } else { format!("{snake}_{count}") };
        *count += 1;
        let paths = [
            format!("{prefix}layers/{counted}"),
            format!("model_weights/{name}/{name}"),
            format!("model_weights/{name}"),
            format!("{name}/{name}"),
            // Within a model of Keras 2 that is a layer of another.
            format!("{prefix}{name}"),
        ];
        let Some(path) = paths.into_iter().find(|p| groups.contains(p.as_str())) else { continue };
        let attributes = match settings {
            Some(Value::Map(entries)) => entries.clone(),
            _ => Vec::new(),
        };
        layers(layer, &format!("{path}/"), groups, depth, found);
        found.push(Module { path, class: class.to_owned(), attributes });
    }
}

/// A class name as Keras turns it into a layer's name: `PReLU` becomes `p_re_lu`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut name = String::new();
    for (i, &c) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|b| letters[b]);
        let after = letters.get(i + 1);
        let word = c.is_uppercase() && after.is_some_and(|a| a.is_lowercase() || a.is_ascii_digit());
        let turn = c.is_uppercase() && before.is_some_and(char::is_lowercase);
        if i > 0 && before != Some('_') && (word || turn) {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}

/// Sets the roles that paths and classes tell: the optimizer's variables, and running statistics.
pub(super) fn roles(model: &mut Model) {
    let classes: HashMap<&str, &str> =
        model.modules.iter().map(|m| (m.path.as_str(), m.class.as_str())).collect();
    let mut count: HashMap<String, u64> = HashMap::new();
    for tensor in &model.tensors {
        if let Some((path, _)) = tensor.name.rsplit_once("/vars/") {
            *count.entry(path.to_owned()).or_default() += 1;
        }
    }
    let role = |name: &str| -> Option<Role> {
        if name.starts_with("optimizer/") || name.starts_with("optimizer_weights/") {
            return Some(Role::OptimizerState);
        }
        let leaf = name.rsplit('/').next().unwrap_or(name);
        if leaf.starts_with("moving_mean") || leaf.starts_with("moving_variance") {
            return Some(Role::Buffer);
        }
        let (path, number) = name.rsplit_once("/vars/")?;
        let number: u64 = number.parse().ok()?;
        // The last two variables of a normalization are its running mean and variance.
        let last = count.get(path).is_some_and(|&n| n >= 2 && number.saturating_add(2) >= n);
        match *classes.get(path)? {
            "BatchNormalization" if last => Some(Role::Buffer),
            "BatchNormalization" => Some(Role::Parameter),
            "Normalization" => Some(Role::Buffer),
            _ => None,
        }
    };
    let roles: Vec<Option<Role>> = model.tensors.iter().map(|t| role(&t.name)).collect();
    for (tensor, role) in model.tensors.iter_mut().zip(roles) {
        if let Some(role) = role.filter(|_| tensor.role_guessed) {
            tensor.role = role;
            tensor.role_guessed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn classes_become_names_as_keras_does_it() {
        for (class, name) in [
            ("Conv2D", "conv2d"),
            ("PReLU", "p_re_lu"),
            ("BatchNormalization", "batch_normalization"),
            ("SeparableConv2D", "separable_conv2d"),
            ("LSTM", "lstm"),
            ("Conv2DTranspose", "conv2d_transpose"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }
}
