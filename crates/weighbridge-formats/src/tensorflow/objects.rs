//! The graph of Python objects in a checkpoint (`TrackableObjectGraph`): what variables are called, and whose they are.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Error, Limits, Result, Role, is_optimizer_key};

use crate::protobuf::Message;

/// What follows an object's path in the key of its value.
const ATTRIBUTE: &str = "/.ATTRIBUTES/";

/// What stands between a variable's path and an optimizer's in the key of a slot.
const SLOT: &str = "/.OPTIMIZER_SLOT/";

/// What is known of the variable under a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Its name in Python; empty where it has none.
    pub full_name: String,
    /// Whether an optimizer keeps it for another variable.
    pub slot: bool,
    /// Whether another key holds the variable that is used.
    pub copy: bool,
    /// Where it stands among the objects.
    pub order: usize,
}

/// What the object graph tells of each key.
///
/// # Errors
/// A message that contradicts itself.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Result<HashMap<String, Known>> {
    let mut known: HashMap<String, Known> = HashMap::new();
    let (mut keys, mut slots) = (Vec::new(), Vec::new());
    let mut items = 0;
    for field in message.fields() {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        items += 1;
        let mut of_node = Vec::new();
        for field in field.message()?.fields() {
            let field = field?;
            match field.number {
                2 => {
                    let (mut full_name, mut key) = (String::new(), String::new());
                    for field in field.message()?.fields() {
                        let field = field?;
                        match field.number {
                            2 => full_name = field.text()?,
                            3 => key = field.text()?,
                            _ => {}
                        }
                    }
                    of_node.push(key.clone());
                    known.insert(key, Known { full_name, order: keys.len(), ..Known::default() });
                }
                3 => {
                    for field in field.message()?.fields() {
                        let field = field?;
                        if field.number == 3 {
                            slots.push(field.int()?);
                        }
                    }
                }
                _ => continue,
            }
            items += 1;
        }
        if items > limits.items {
            let (asked, allowed) = (items, limits.items);
            return Err(Error::Limit {
                place: field.place(),
                what: "objects of a checkpoint",
                asked,
                allowed,
            });
        }
        keys.push(of_node);
    }
    for node in slots {
        let keys = usize::try_from(node).ok().and_then(|node| keys.get(node));
        for key in keys.into_iter().flatten() {
            if let Some(known) = known.get_mut(key) {
                known.slot = true;
            }
        }
    }
    mark_copies(&mut known);
    Ok(known)
}

/// A key without what is the same in all: `model/w/.ATTRIBUTES/VARIABLE_VALUE` is `model/w`.
pub(super) fn path(key: &str) -> &str {
    key.split_once(ATTRIBUTE).map_or(key, |(path, attribute)| match attribute {
        "VARIABLE_VALUE" => path,
        _ => key,
    })
}

/// Names for keys: the variable's own where it has one that no other has; otherwise the path of objects to it.
pub(super) fn names(keys: &[String], known: &HashMap<String, Known>) -> Vec<String> {
    let full = |key: &String| {
        let full = known.get(key).map_or("", |k| k.full_name.as_str());
        // What Python gives where the author gave none.
        let stem = full.trim_end_matches(|c: char| c == '_' || c.is_ascii_digit());
        let given = !full.is_empty() && stem != "Variable";
        (given && !known[key].copy && !key.contains(SLOT)).then_some(full)
    };
    let mut count: HashMap<&str, u32> = HashMap::new();
    for key in keys {
        *count.entry(path(key)).or_default() += 1;
        if let Some(full) = full(key).filter(|full| *full != path(key)) {
            *count.entry(full).or_default() += 1;
        }
    }
    let name = |key: &String| match full(key).filter(|full| count.get(full) == Some(&1)) {
        Some(full) => full.to_owned(),
        None => path(key).to_owned(),
    };
    keys.iter().map(name).collect()
}

/// Marks the variables that Keras' exporter keeps twice: what is served reads those of the list `_all_variables`, and
/// the others are for whoever trains on.
fn mark_copies(known: &mut HashMap<String, Known>) {
    const SERVED: &str = "_all_variables/";
    const COPIES: &[&str] = &["variables/", "trainable_variables/", "non_trainable_variables/"];
    let served = known.iter().filter(|(key, _)| key.starts_with(SERVED));
    let served: HashSet<String> = served.map(|(_, k)| k.full_name.clone()).collect();
    let mut orders: HashMap<String, usize> = HashMap::new();
    for (key, known) in known.iter_mut() {
        known.copy = COPIES.iter().any(|c| key.starts_with(c)) && served.contains(&known.full_name);
        if known.copy {
            orders.insert(known.full_name.clone(), known.order);
        }
    }
    // The list of all is a set in Python; that of the copies is in the order of the layers.
    for (_, known) in known.iter_mut().filter(|(key, _)| key.starts_with(SERVED)) {
        known.order = orders.get(&known.full_name).copied().unwrap_or(known.order);
    }
}

/// What a variable is for, as far as its key and its object tell.
pub(super) fn role(key: &str, known: Option<&Known>) -> Option<Role> {
    let mut segments = key.split('/');
    let optimizer = segments.by_ref().any(is_optimizer_key);
    // An optimizer of Keras 3 holds the weights too, and may be what a checkpoint meets them by first.
    let weights = optimizer && segments.next() == Some("_trainable_variables");
    if known.is_some_and(|k| k.slot) || key.contains(SLOT) || optimizer && !weights {
        return Some(Role::OptimizerState);
    }
    if known.is_some_and(|k| k.copy) || path(key) == "save_counter" {
        return Some(Role::Other);
    }
    None
}

/// What the last part of a variable's name tells; `has` says whether there is a variable of a name.
pub(super) fn role_by_name(name: &str, has: impl Fn(&str) -> bool) -> Option<Role> {
    /// What optimizers of TensorFlow 1 add to the names of variables.
    const SLOTS: &[&str] = &[
        "Adam",
        "AdamW",
        "Momentum",
        "RMSProp",
        "Adagrad",
        "Adadelta",
        "Ftrl",
        "ProximalAdagrad",
        "LAMB",
        "adam_m",
        "adam_v",
    ];
    let (parent, leaf) = name.rsplit_once('/').unwrap_or(("", name));
    let (stem, number) = leaf.rsplit_once('_').unwrap_or((leaf, ""));
    let numbered = number.parse::<u32>().is_ok();
    let leaf = if numbered { stem } else { leaf };
    if SLOTS.contains(&leaf) && has(parent) || matches!(leaf, "beta1_power" | "beta2_power") {
        return Some(Role::OptimizerState);
    }
    match leaf {
        "moving_mean" | "moving_variance" => Some(Role::Buffer),
        "global_step" => Some(Role::Other),
        _ => None,
    }
}
