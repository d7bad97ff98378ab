//! How frameworks spell the same thing: separators, slots, prefixes. The table of known renamings.

use weighbridge_model::roles;

/// What a tensor is within its layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Slot {
    /// What inputs are multiplied with; the scale of a normalization.
    Weight,
    /// What is added.
    Bias,
    /// A running mean.
    Mean,
    /// A running variance.
    Variance,
    /// What Caffe's sums of means and variances are divided by.
    Factor,
    /// How many batches were seen.
    Batches,
    /// Anything else, by its own name.
    Other(String),
}

/// Last segments by the slot that they name.
const SLOTS: &[(Slot, &[&str])] = &[
    (
        Slot::Weight,
        &["weight", "kernel", "gamma", "scale", "embeddings", "embedding", "alpha", "w", "filters"],
    ),
    (Slot::Bias, &["bias", "beta", "biases", "b"]),
    (Slot::Mean, &["running_mean", "moving_mean", "mean"]),
    (Slot::Variance, &["running_var", "moving_variance", "moving_var", "variance", "var"]),
    (Slot::Factor, &["factor"]),
    (Slot::Batches, &["num_batches_tracked"]),
];

/// Ends of last segments that name a slot, as in MXNet's `conv0_weight`.
const ENDS: &[&str] =
    &["_weight", "_bias", "_gamma", "_beta", "_running_mean", "_running_var", "_moving_mean", "_moving_var"];

/// Segments that wrappers, trainers and containers put in front of a model's own names.
const PREFIXES: &[&str] = &[
    "module",
    "model",
    "net",
    "network",
    "backbone",
    "ema",
    "ema_model",
    "model_ema",
    "student",
    "teacher",
    "generator",
    "transformer",
    "base_model",
    "bert",
    "state_dict",
    "params",
    "variables",
    "batch_stats",
    "model_weights",
];

/// Last segments of names whose matrices are `[in, out]` in spite of being torch's: the Conv1D of GPT-2.
const EITHER_WAY: &[&str] = &["c_attn", "c_proj", "c_fc", "q_attn"];

/// Segments of a name: whatever separates them, without wrappers and TensorFlow's `:0`.
pub(super) fn segments(name: &str) -> Vec<String> {
    let name = match name.rsplit_once(':') {
        Some((rest, number)) if number.chars().all(|c| c.is_ascii_digit()) => rest,
        _ => name,
    };
    let dotted = name.replace("::", ".").replace('/', ".");
    let dotted = roles::unwrapped(&dotted, false);
    dotted.split('.').filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

/// A layer's path and the slot within it.
pub(super) fn path_and_slot(name: &str) -> (String, Slot) {
    let mut segments = segments(name);
    let Some(leaf) = segments.pop() else { return (String::new(), Slot::Other(String::new())) };
    if let Some(slot) = slot(&leaf) {
        return (segments.join("."), slot);
    }
    if let Some((end, rest)) = ENDS.iter().find_map(|end| Some((end, leaf.strip_suffix(end)?)))
        && let Some(slot) = slot(&end[1..])
    {
        segments.push(rest.to_owned());
        return (segments.join("."), slot);
    }
    (segments.join("."), Slot::Other(leaf))
}

/// The slot that a last segment names.
pub(super) fn slot(leaf: &str) -> Option<Slot> {
    SLOTS.iter().find(|(_, names)| names.contains(&leaf)).map(|(slot, _)| slot.clone())
}

/// The path without prefixes; `None` where it has none.
pub(super) fn below_prefixes(path: &str) -> Option<String> {
    let mut rest = path;
    while let Some((first, more)) = rest.split_once('.') {
        if !PREFIXES.contains(&first) && !is_unnamed(first) {
            break;
        }
        rest = more;
    }
    (rest.len() < path.len()).then(|| rest.to_owned())
}

/// What two names of the same tensor have in front of what they share, where they share their last segments: `module.`
/// and nothing, for `module.a.b` and `a.b`. `None` where they are equal, or share no more than their last segment's
/// spelling.
pub fn prefixes(a: &str, b: &str) -> Option<(String, String)> {
    let shared = a.bytes().rev().zip(b.bytes().rev()).take_while(|(x, y)| x == y).count();
    let (mut ours, mut theirs) = (a.len() - shared, b.len() - shared);
    if ours == 0 && theirs == 0 {
        return None;
    }
    // Back to where a segment starts on both sides.
    let starts = |name: &str, at: usize| at == 0 || matches!(name.as_bytes()[at - 1], b'.' | b'/');
    while ours < a.len() && !(starts(a, ours) && starts(b, theirs)) {
        (ours, theirs) = (ours + 1, theirs + 1);
    }
    let rest = a.get(ours..).filter(|rest| !rest.is_empty())?;
    let theirs = b.get(..theirs)?.to_owned();
    (rest.len() < a.len().max(b.len())).then(|| (a[..ours].to_owned(), theirs))
}

/// Whether Keras made up this name of a model: `sequential`, `functional_1`.
fn is_unnamed(segment: &str) -> bool {
    let stem = match segment.rsplit_once('_') {
        Some((stem, number)) if number.parse::<u32>().is_ok() => stem,
        _ => segment,
    };
    matches!(stem, "sequential" | "functional")
}

/// With every separator the same, for writers that had no others.
pub(super) fn flat(path: &str) -> String {
    path.replace('.', "_").to_lowercase()
}

/// Whether a layer of this path may keep its matrix either way round.
pub(super) fn either_way(path: &str) -> bool {
    EITHER_WAY.contains(&roles::split(path).1)
}

/// The path of the module that a node stands for: torch's exporter names nodes `/layer1/layer1.0/conv1/Conv`, where a
/// child of a sequence repeats its parent's name.
pub(super) fn of_node(name: &str) -> Option<String> {
    let (scopes, _) = name.strip_prefix('/')?.rsplit_once('/')?;
    let mut path: Vec<&str> = Vec::new();
    for scope in scopes.split('/') {
        let repeats = path
            .last()
            .is_some_and(|last| scope.strip_prefix(last).is_some_and(|rest| rest.starts_with('.')));
        if repeats {
            path.pop();
        }
        path.push(scope);
    }
    Some(path.join("."))
}

/// Names of gates and fused projections: their rows have an order that shapes do not tell.
pub(super) fn is_recurrent(leaf: &str) -> bool {
    const STARTS: &[&str] =
        &["weight_ih", "weight_hh", "bias_ih", "bias_hh", "recurrent_kernel", "W_xc", "W_hc", "b_c"];
    STARTS.iter().any(|s| leaf.starts_with(s))
}

/// What to say where one side has query, key and value in one tensor and the other has three.
pub(super) fn fused<'a>(target: &str, sources: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    let fused =
        |name: &str| ["in_proj", "qkv", "c_attn", "query_key_value", "Wqkv"].iter().any(|f| name.contains(f));
    let single = |name: &str| {
        let of = |s: &str| {
            matches!(s, "q_proj" | "k_proj" | "v_proj" | "query" | "key" | "value" | "q" | "k" | "v")
        };
        segments(name).iter().any(|s| of(s))
    };
    let sources: Vec<&str> = sources.collect();
    if single(target) && sources.iter().any(|s| fused(s)) {
        Some("the source has query, key and value in one tensor, whose order no shape tells: split it first")
    } else if fused(target) && sources.iter().any(|s| single(s)) {
        Some(
            "the source has query, key and value apart, and their order in one no shape tells: join them first",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_the_same_are_the_same() {
        for name in
            ["a.conv.weight", "a/conv/kernel:0", "a::conv::w", "a/conv_weight", "_orig_mod.a.conv.weight"]
        {
            assert_eq!(path_and_slot(name), ("a.conv".to_owned(), Slot::Weight), "{name}");
        }
        assert_eq!(path_and_slot("bn/moving_variance").1, Slot::Variance);
        assert_eq!(path_and_slot("a.in_proj_weight"), path_and_slot("a.in_proj.weight"));
    }

    #[test]
    fn nodes_name_modules() {
        assert_eq!(of_node("/layer1/layer1.0/conv1/Conv").as_deref(), Some("layer1.0.conv1"));
        assert_eq!(of_node("/a/b/b.1/b.1.c/Gemm").as_deref(), Some("a.b.1.c"));
        assert_eq!(of_node("/fc/Gemm").as_deref(), Some("fc"));
        assert_eq!(of_node("Conv_12"), None);
    }

    #[test]
    fn what_stands_before_a_name_is_told() {
        let of = |a, b| prefixes(a, b).map(|(a, b)| format!("{a}|{b}"));
        assert_eq!(of("module.conv1.weight", "conv1.weight").as_deref(), Some("module.|"));
        assert_eq!(of("ema.a.b", "model.a.b").as_deref(), Some("ema.|model."));
        assert_eq!(of("fast.a", "last.a").as_deref(), Some("fast.|last."));
        assert_eq!(of("a.b", "a.b"), None);
        assert_eq!(of("kernel", "weight"), None);
    }

    #[test]
    fn prefixes_are_seen_through() {
        assert_eq!(below_prefixes("module.model.a.b").as_deref(), Some("a.b"));
        assert_eq!(below_prefixes("a.model.b"), None);
        assert_eq!(below_prefixes("sequential_2.c1").as_deref(), Some("c1"));
        assert_eq!(below_prefixes("sequential_a.c1"), None);
    }
}
