//! What a tensor's figures say of its health: NaN, infinities, all zero, all equal.

use crate::precision::magnitude;
use weighbridge_measure::{Number, Summary};
use weighbridge_model::{Finding, Role, Severity, Tensor, Value, roles};

/// Findings on one tensor from its summary alone.
pub fn findings(tensor: &Tensor, summary: &Summary) -> Vec<Finding> {
    let mut found = Vec::new();
    if !tensor.dtype.is_float() || matches!(tensor.role, Role::Packed | Role::Other) {
        return found;
    }
    let count = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let mut add = |finding: Finding| found.push(finding.with_tensor(&tensor.name));
    let of_all = |n: u64| {
        if n == summary.count { "every value".to_owned() } else { format!("{n} of {} values", summary.count) }
    };
    if summary.nan > 0 {
        add(Finding::new(
            "H101",
            Severity::Error,
            format!("{} NaN", verb(summary.nan, &of_all(summary.nan))),
            "the training diverged or the file is damaged: go back to an earlier checkpoint",
        )
        .with_figure("nan", count(summary.nan)));
    }
    if summary.inf > 0 {
        add(Finding::new(
            "H102",
            Severity::Error,
            format!("{} infinite", verb(summary.inf, &of_all(summary.inf))),
            "an overflow in training or in a cast to a narrower format: convert again from the wider source",
        )
        .with_figure("inf", count(summary.inf)));
    }
    let (_, leaf) = roles::split(&tensor.name);
    let is_weight = tensor.role == Role::Parameter && tensor.shape.len() >= 2;
    if summary.count > 1 && summary.zero == summary.count && is_weight {
        add(Finding::new(
            "H103",
            Severity::Warning,
            format!("all {} weights are zero", summary.count),
            "never trained, never loaded, or deliberately zero-initialised: the layer adds nothing",
        ));
    } else if summary.count > 1 && is_weight && summary.min == summary.max && summary.min.is_some() {
        add(Finding::new(
            "H104",
            Severity::Warning,
            format!(
                "all {} weights are {}",
                summary.count,
                magnitude(summary.max.map_or(0.0, Number::to_f64))
            ),
            "never trained or never loaded",
        ));
    }
    if leaf == "running_var" && summary.min.is_some_and(|m| m.to_f64() < 0.0) {
        add(Finding::new(
            "H105",
            Severity::Error,
            "a negative running variance",
            "a variance cannot be negative: the file is damaged, or this is not what its name says",
        ));
    }
    found
}

fn verb(n: u64, what: &str) -> String {
    format!("{what} {}", if n == 1 || what.starts_with("every") { "is" } else { "are" })
}
