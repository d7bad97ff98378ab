//! `Einsum`.

use std::collections::BTreeMap;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::{Fact, show};
use crate::infer::size::Size;

/// `Einsum`: a letter is one size wherever it stands; `...` are dimensions that are broadcast.
pub(in crate::infer) fn einsum(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = (0..call.inputs.len()).find_map(|i| call.dtype(i));
    let Some(equation) = call.text("equation") else { return Err("equation is missing".to_owned()) };
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, Some(result)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    if terms.len() != call.inputs.len() {
        return Err(format!("{} terms for {} inputs", terms.len(), call.inputs.len()));
    }
    let mut sizes: BTreeMap<char, Size> = BTreeMap::new();
    let mut rest: Option<Vec<Size>> = Some(Vec::new());
    for (i, term) in terms.iter().enumerate() {
        let (before, after) = term.split_once("...").unwrap_or((term, ""));
        let letters = before.chars().count() + after.chars().count();
        let Some(shape) = call.shape(i) else {
            rest = rest.filter(|_| !term.contains("..."));
            continue;
        };
        let spread = match shape.len().checked_sub(letters) {
            Some(0) => 0,
            Some(spread) if term.contains("...") => spread,
            _ => return Err(format!("term '{term}' for shape {}", show(shape))),
        };
        let first = before.chars().count();
        let middle = &shape[first..first + spread];
        rest = match rest {
            Some(rest) => call.broadcast(&[Some(&rest), Some(middle)])?,
            None => None,
        };
        let named = before.chars().zip(shape).chain(after.chars().zip(&shape[first + spread..]));
        for (letter, size) in named {
            let known = match sizes.get(&letter) {
                // Dimensions of size 1 are broadcast.
                Some(known) => {
                    let broadcast = known.broadcast(size).map_err(|what| format!("'{letter}': {what}"))?;
                    call.open(broadcast)
                }
                None => size.clone(),
            };
            sizes.insert(letter, known);
        }
    }
    let all: String = terms.concat();
    // Without a result: dimensions of `...`, then letters that stand once, sorted.
    let implied = || {
        let once = sizes.keys().filter(|&&c| all.matches(c).count() == 1);
        let dots = if all.contains("...") { "..." } else { "" };
        dots.chars().chain(once.copied()).collect::<String>()
    };
    let result = result.map_or_else(implied, str::to_owned);
    let (before, after) = result.split_once("...").unwrap_or((&result, ""));
    let mut shape: Vec<Size> = Vec::new();
    for letter in before.chars() {
        shape.push(call.open(sizes.get(&letter).cloned()));
    }
    if result.contains("...") {
        let Some(rest) = rest else { return Ok(vec![Fact::tensor(dtype, None)]) };
        shape.extend(rest);
    }
    for letter in after.chars() {
        shape.push(call.open(sizes.get(&letter).cloned()));
    }
    Ok(vec![Fact::tensor(dtype, Some(shape))])
}
