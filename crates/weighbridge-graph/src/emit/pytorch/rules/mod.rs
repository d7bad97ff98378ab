//! The table of operators: one row each, by families. A rule gives the outputs of its node, or says why it cannot.

mod activation;
mod arithmetic;
mod conv;
mod detect;
mod elementwise;
mod index;
mod linear;
mod make;
mod norm;
mod pool;
mod quantize;
mod recurrent;
mod reduce;
mod resize;
mod shape;

use super::scope::{Ruled, Work};

/// Expresses a node.
pub(super) type Rule = fn(&mut Work<'_, '_>) -> Ruled;

/// A row: an operator of ONNX's default domain, and its rule.
type Row = (&'static str, Rule);

/// Every family's rows.
pub(super) const FAMILIES: &[&[Row]] = &[
    activation::RULES,
    arithmetic::RULES,
    conv::RULES,
    detect::RULES,
    elementwise::RULES,
    index::RULES,
    linear::RULES,
    make::RULES,
    norm::RULES,
    pool::RULES,
    quantize::RULES,
    recurrent::RULES,
    reduce::RULES,
    resize::RULES,
    shape::RULES,
];
