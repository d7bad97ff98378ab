//! `Constant` nodes are initializers.

use weighbridge_model::{Attribute, DType, Result, Tensor, Value};

use super::{Pass, Report};
use crate::build::in_memory;
use crate::edit::{Edit, Patch};

pub(super) struct ConstantNodes;

impl Pass for ConstantNodes {
    fn name(&self) -> &'static str {
        "constant-nodes"
    }

    fn about(&self) -> &'static str {
        "Constant nodes become initializers. Not in functions, which have none, nor where they are outputs."
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, _: &mut Report) -> Result<usize> {
        let mut count = 0;
        if edit.is_function() {
            return Ok(0);
        }
        for id in edit.nodes() {
            let node = edit.node(id);
            let (true, [Some(output)], [(_, attribute)]) = (
                node.op == "Constant" && node.domain.is_empty(),
                node.outputs.as_slice(),
                node.attributes.as_slice(),
            ) else {
                continue;
            };
            let (output, tensor) = (
                *output,
                match attribute {
                    Attribute::Tensor(id) => Some(edit.model().tensor(*id).clone()),
                    Attribute::Value(value) => numbers(value)?,
                    _ => None,
                },
            );
            if let Some(tensor) = tensor.filter(|_| !edit.is_output(output)) {
                let mut patch = Patch::new(edit);
                let constant = patch.constant(Tensor { name: edit.value(output).name.clone(), ..tensor });
                patch.replace(output, constant);
                edit.apply(patch);
                count += 1;
            }
        }
        Ok(count)
    }
}

/// The tensor that plain numbers stand for.
fn numbers(value: &Value) -> Result<Option<Tensor>> {
    let (items, shape) = match value {
        Value::List(items) => (items.as_slice(), vec![items.len() as u64]),
        single => (std::slice::from_ref(single), vec![]),
    };
    let whole: Option<Vec<i64>> =
        items.iter().map(|i| if let Value::Int(i) = i { Some(*i) } else { None }).collect();
    let float: Option<Vec<f32>> =
        items.iter().map(|i| if let Value::Float(x) = i { Some(*x as f32) } else { None }).collect();
    let (dtype, bytes): (DType, Vec<u8>) = match (whole, float) {
        (Some(all), _) => (DType::I64, all.iter().flat_map(|i| i.to_le_bytes()).collect()),
        (None, Some(all)) => (DType::F32, all.iter().flat_map(|x| x.to_le_bytes()).collect()),
        (None, None) => return Ok(None),
    };
    in_memory("", dtype, shape, bytes).map(Some)
}
