//! Operators that lose in 16 bits although their weights do not: they square, exponentiate, or add up more than they
//! give. One finding a kind.

use std::collections::BTreeMap;

use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::layers::layers;
use weighbridge_model::{Finding, Model, Severity, Value};

/// Nodes that a message lists.
const LISTED: usize = 3;

/// What operators of a kind do, and whether a wider exponent (BF16's) mends it.
struct Kind {
    name: &'static str,
    ops: &'static [&'static str],
    why: &'static str,
    range_only: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "exponentials",
        ops: &["Exp", "Pow", "Softplus", "Sinh", "Cosh", "ReduceLogSumExp", "ReduceSumSquare", "ReduceL2"],
        why: "they grow past 65504 from operands of ordinary size (exp from 11.09 on, a square from 256 on)",
        range_only: true,
    },
    Kind {
        name: "softmax and attention",
        ops: &["Softmax", "LogSoftmax", "Attention", "MultiHeadAttention"],
        why: "small differences of large logits decide: above 2048 the step of FP16 is 2",
        range_only: false,
    },
    Kind {
        name: "large reductions",
        ops: &["ReduceMean", "ReduceSum", "ReduceL1", "ReduceProd", "CumSum", "GlobalAveragePool"],
        why: "sums outgrow what they add up, in range and in step; see that the engine accumulates in f32",
        range_only: false,
    },
    Kind {
        name: "normalizations by own statistics",
        ops: &[
            "LayerNormalization",
            "InstanceNormalization",
            "GroupNormalization",
            "RMSNormalization",
            "MeanVarianceNormalization",
            "LpNormalization",
            "LRN",
        ],
        why: "they square what comes in, add it up, and divide by what may be near zero",
        range_only: false,
    },
    Kind {
        name: "recurrent state",
        ops: &["LSTM", "GRU", "RNN", "Scan", "Loop"],
        why: "each step rounds the state again, and errors add up over time",
        range_only: false,
    },
    Kind {
        name: "positions and frequencies",
        ops: &["Sin", "Cos", "RotaryEmbedding", "GridSample"],
        why: "whole numbers above 2048 and phases above 100 are not kept to a step",
        range_only: false,
    },
];

/// Findings on the operators of a graph; recurrent layers where there is none.
pub(super) fn findings(model: &Model, targets: &[FloatFormat]) -> Vec<Finding> {
    let mut met: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut take = |op: &str, name: String| {
        if let Some(kind) = KINDS.iter().position(|kind| kind.ops.contains(&op)) {
            met.entry(kind).or_default().push(name);
        }
    };
    match &model.graph {
        Some(graph) => {
            for node in &graph.nodes {
                take(&node.op, if node.name.is_empty() { node.op.clone() } else { node.name.clone() });
            }
        }
        None => {
            for layer in layers(model) {
                take(layer.kind.split_whitespace().next().unwrap_or_default(), layer.path);
            }
        }
    }
    let mut found = Vec::new();
    for (kind, nodes) in met {
        let kind = &KINDS[kind];
        for target in targets.iter().filter(|target| !kind.range_only || target.exponent_bits < 8) {
            let some = nodes.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
            let more = nodes.len().saturating_sub(LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let message = format!("{} ({some}{more}): {}", kind.name, kind.why);
            let help = "keep them in f32, or run with --inputs to see whether they leave the range";
            let list = nodes.iter().cloned().map(Value::Str).collect();
            let finding = Finding::new("P120", Severity::Info, message, help).with_target(target.name);
            let finding = finding.with_figure("nodes", Value::List(list));
            found.push(Finding { node: nodes.first().cloned(), ..finding });
        }
    }
    found
}
