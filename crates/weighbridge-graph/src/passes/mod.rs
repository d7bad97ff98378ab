//! Passes over graphs: each looks at a place and gives a patch, or the reason why not.
//!
//! A pass is a file and a row in [`PASSES`]; the driver knows nothing else of it. What it says is true of a graph's
//! values stays so: a patch keeps what each value is that something else reads.

mod arithmetic;
mod casts;
mod clips;
mod common;
mod concats;
mod constant_nodes;
mod constants;
mod dead;
mod driver;
mod duplicates;
mod fold_linear;
mod gemm;
mod identity;
mod initial_states;
mod inline_if;
mod pads;
mod reparameterize;
mod report;
mod reshape_sizes;
mod reshapes;
mod same_shape;
mod shape_values;
mod sizes;
mod slices;
mod tidy;
mod transposes;

pub use driver::{Choice, simplify};
pub use report::{Applied, Refusal, Report};

use weighbridge_model::Result;

use crate::edit::{Edit, NodeId, Patch};

/// What a pass makes of a place.
#[derive(Debug)]
pub enum Look {
    /// It is not one of its places.
    No,
    /// It is one, and nothing can be done, for this reason.
    Refused(String),
    /// What to change.
    Patch(Patch),
}

impl From<Option<Patch>> for Look {
    fn from(patch: Option<Patch>) -> Self {
        patch.map_or(Look::No, Look::Patch)
    }
}

impl From<Result<Patch, String>> for Look {
    fn from(patch: Result<Patch, String>) -> Self {
        patch.map_or_else(Look::Refused, Look::Patch)
    }
}

/// A way to make a graph simpler.
pub trait Pass: Sync {
    /// Its name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// What it does and under which conditions, in a sentence.
    fn about(&self) -> &'static str;

    /// Whether it is done without being asked for.
    fn by_default(&self) -> bool {
        true
    }

    /// Operators of ONNX's own domain at whose nodes it looks; empty where it only sweeps.
    fn operators(&self) -> &'static [&'static str] {
        &[]
    }

    /// Looks at one node.
    fn look(&self, edit: &Edit<'_, '_>, node: NodeId) -> Look {
        let _ = (edit, node);
        Look::No
    }

    /// Goes through the whole graph once, in time linear in it; how often something was done. For what needs to see all
    /// nodes at a time.
    ///
    /// # Errors
    /// A failed read.
    fn sweep(&self, edit: &mut Edit<'_, '_>, report: &mut Report) -> Result<usize> {
        let _ = (edit, report);
        Ok(0)
    }
}

/// Every pass, in the order in which they look at a node.
pub static PASSES: &[&dyn Pass] = &[
    &dead::Dead,
    &constant_nodes::ConstantNodes,
    &shape_values::ShapeValues,
    &constants::FoldConstants,
    &inline_if::InlineIf,
    // Before anything else is folded: sums of branches are rounded once.
    &reparameterize::Reparameterize,
    &fold_linear::FoldBn,
    &fold_linear::FoldAffine,
    &duplicates::DuplicateInitializers,
    &common::CommonSubexpressions,
    &identity::Identity,
    &casts::Casts,
    &same_shape::SameShape,
    &arithmetic::Arithmetic,
    &reshape_sizes::ReshapeSizes,
    &reshapes::Reshapes,
    &transposes::Transposes,
    &slices::Slices,
    &concats::Concats,
    &clips::Clips,
    &pads::Pads,
    &gemm::MatMulAdd,
    &initial_states::InitialStates,
];
