//! Sizes that are the same for every input are constants.

use weighbridge_model::{DType, Result, ValueId};

use super::{Pass, Report};
use crate::build::in_memory;
use crate::edit::{Edit, Patch, Size};

pub(super) struct ShapeValues;

impl Pass for ShapeValues {
    fn name(&self) -> &'static str {
        "shape-values"
    }

    fn about(&self) -> &'static str {
        "Whole numbers that inference shows to be the same for every input (what Shape, Gather, Concat and arithmetic \
         make of known sizes) become initializers, and the nodes that computed them go."
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, _: &mut Report) -> Result<usize> {
        let mut count = 0;
        if edit.is_function() {
            return Ok(0);
        }
        // From the end: what only led to a constant is gone before it is looked at.
        for id in edit.nodes().into_iter().rev() {
            if !edit.has(id) || edit.node(id).op == "Constant" || edit.has_subgraphs(id) {
                continue;
            }
            let outputs: Vec<ValueId> = edit.node(id).outputs.iter().flatten().copied().collect();
            for value in outputs {
                if !edit.has(id) || edit.uses(value) == 0 || edit.is_output(value) {
                    continue;
                }
                let Some((dtype, shape, numbers)) = known(edit, value) else { continue };
                let width = dtype.chunk_bytes();
                let bytes = numbers.iter().flat_map(|i| i.to_le_bytes().into_iter().take(width)).collect();
                let tensor = in_memory(&edit.value(value).name, dtype, shape, bytes)?;
                let mut patch = Patch::new(edit);
                let constant = patch.constant(tensor);
                patch.replace(value, constant);
                edit.apply(patch);
                count += 1;
            }
        }
        Ok(count)
    }
}

/// Type, shape and elements, where all are known.
fn known(edit: &Edit<'_, '_>, value: ValueId) -> Option<(DType, Vec<u64>, Vec<i64>)> {
    let fact = edit.fact(value);
    let dtype = fact.dtype.filter(|dtype| matches!(dtype, DType::I64 | DType::I32 | DType::Bool))?;
    let numbers: Vec<i64> = fact.integers.as_ref()?.iter().map(Size::known).collect::<Option<_>>()?;
    let shape = edit.known_shape(value)?;
    (weighbridge_model::element_count(&shape)? == numbers.len() as u64).then_some((dtype, shape, numbers))
}
