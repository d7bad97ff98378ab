//! What stands beside the graph, as people read it.

use weighbridge_model::{Graph, Program, Properties, Value};

use super::graph::overloaded;

/// One line: who wrote it.
pub(super) fn origin(program: &Program) -> String {
    let producer = format!("{} {}", program.producer.trim(), program.producer_version.trim());
    match (producer.trim(), program.ir_version) {
        ("", Some(version)) => format!("ONNX IR {version}"),
        ("", None) => "ONNX".to_owned(),
        (producer, _) => producer.to_owned(),
    }
}

/// All of it that is plain.
pub(super) fn metadata(program: &Program, graph: &Graph) -> Vec<(String, Value)> {
    let shown = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { domain.to_owned() };
    let opsets = graph.opsets.iter().map(|(d, v)| (shown(d), Value::Int(*v))).collect();
    let functions = program.functions.iter().map(|function| {
        let name = overloaded(function);
        let named = if function.domain.is_empty() { name } else { format!("{}.{name}", function.domain) };
        Value::Str(named)
    });
    let text = |text: &str| (!text.is_empty()).then(|| Value::Str(text.to_owned()));
    let list = |items: Vec<Value>| (!items.is_empty()).then_some(Value::List(items));
    let map = |items: Vec<_>| (!items.is_empty()).then_some(Value::Map(items));
    [
        ("producer", text(&program.producer)),
        ("producer_version", text(&program.producer_version)),
        ("ir_version", program.ir_version.map(Value::Int)),
        ("opset", map(opsets)),
        ("domain", text(&program.domain)),
        ("model_version", program.model_version.map(Value::Int)),
        ("graph", text(&graph.name)),
        ("doc_string", text(&program.doc)),
        ("metadata_props", map(pairs(&program.properties))),
        ("functions", list(functions.collect())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

/// What becomes of the model's tensors in training: names, and the outputs that they take.
pub(super) fn training(program: &Program) -> Option<(String, Value)> {
    let steps = program.training.iter().map(|step| {
        Value::Map(vec![
            ("initialization".to_owned(), Value::Map(pairs(&step.initialization_binding))),
            ("update".to_owned(), Value::Map(pairs(&step.update_binding))),
        ])
    });
    let steps: Vec<Value> = steps.collect();
    (!steps.is_empty()).then(|| ("training_info".to_owned(), Value::List(steps)))
}

fn pairs(properties: &Properties) -> Vec<(String, Value)> {
    properties.iter().map(|(key, value)| (key.clone(), Value::Str(value.clone()))).collect()
}
