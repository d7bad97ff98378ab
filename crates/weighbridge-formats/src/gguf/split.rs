//! Models in several files: `NAME-0000I-of-0000N.gguf`, with `split.no`, `split.count` and `split.tensors.count` in each.

use weighbridge_model::{Finding, Model, Severity, Value};

/// Where a file stands among those of its model: its number from 0, and how many there are.
pub(super) fn of(model: &Model) -> Option<(i64, i64)> {
    let number = |key| model.metadata(key).and_then(Value::as_int);
    let count = number("split.count").filter(|&n| n > 1)?;
    Some((number("split.no").unwrap_or(0), count))
}

/// Tensors of all files together, as each says.
pub(super) fn tensors(model: &Model) -> Option<i64> {
    model.metadata("split.tensors.count").and_then(Value::as_int)
}

/// Says that a file is but one of several.
pub(super) fn only_one(model: &Model) -> Option<Finding> {
    let (number, count) = of(model)?;
    let all = tensors(model).map(|n| format!(" of {n}")).unwrap_or_default();
    let message = format!(
        "file {} of {count} that make the model: {}{all} tensors are here",
        number.saturating_add(1),
        model.tensors.len()
    );
    let help = "name all the files, or a folder that holds nothing else";
    Some(
        Finding::new("G101", Severity::Warning, message, help)
            .with_figure("number", Value::Int(number))
            .with_figure("count", Value::Int(count)),
    )
}
