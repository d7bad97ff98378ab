//! A shape told to Reshape: numbers, 0 for a size that stays, and one -1 for what is left.

use crate::edit::Size;

/// How Reshape is told to make `to` of a tensor of shape `from`.
///
/// # Errors
/// Sizes that cannot be told in numbers.
pub(super) fn told(from: Option<&[Size]>, to: &[Size]) -> Result<Vec<i64>, String> {
    let from = from.unwrap_or_default();
    if to.iter().chain(from).any(|size| size.known() == Some(0)) {
        return Err("a tensor without elements".into());
    }
    let mut open = Vec::new();
    let mut list = Vec::with_capacity(to.len());
    for (axis, size) in to.iter().enumerate() {
        list.push(match size {
            Size::Known(n) if *n > 0 => *n,
            size if from.get(axis).is_some_and(|own| own.same(size)) => 0,
            _ => {
                open.push(axis);
                -1
            }
        });
    }
    match open.len() {
        0 | 1 => Ok(list),
        n => Err(format!("{n} sizes are known neither as numbers nor as sizes of the input")),
    }
}
