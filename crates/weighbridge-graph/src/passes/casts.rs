//! Casts that change nothing, and casts of casts.

use weighbridge_model::{Attribute, Class, DType, Value};

use super::identity::handed_on;
use super::{Look, Pass};
use crate::edit::{Edit, NodeId, Patch};
use crate::eval::{dtype, number};

pub(super) struct Casts;

impl Pass for Casts {
    fn name(&self) -> &'static str {
        "casts"
    }

    fn about(&self) -> &'static str {
        "A Cast to the type that its input has goes, and CastLike a known type is Cast; of two Casts in a row the first \
         goes where its type holds every value of its input's."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Cast", "CastLike"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let (Some(x), Some(output)) = (edit.input(id, 0), edit.output(id, 0)) else { return Look::No };
        if edit.node(id).op == "CastLike" {
            return plain_cast(edit, id).into();
        }
        let Some(to) = edit.int(id, "to").and_then(dtype) else { return Look::No };
        if edit.dtype(x) == Some(to) {
            return handed_on(edit, id, x, output);
        }
        let Some((first, _)) = edit.made_by(x, "Cast") else { return Look::No };
        let (Some(from), Some(between)) = (edit.input(first, 0), edit.int(first, "to").and_then(dtype))
        else {
            return Look::No;
        };
        let Some(own) = edit.dtype(from) else { return Look::No };
        if !holds_all(between, own) {
            return Look::Refused(format!("{between} does not hold every {own}"));
        }
        if own == to {
            return handed_on(edit, id, from, output);
        }
        let mut patch = Patch::new(edit);
        let mut node = edit.node(id).clone();
        node.inputs[0] = Some(from);
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}

/// A Cast to the type of what is to be resembled, where that is known.
fn plain_cast(edit: &Edit<'_, '_>, id: NodeId) -> Option<Patch> {
    let to = number(edit.dtype(edit.input(id, 1)?)?)?;
    let mut node = edit.node(id).clone();
    node.op = "Cast".into();
    node.inputs.truncate(1);
    // The other attribute, `saturate`, says something of types of eight bits alone, which have no number here.
    node.attributes = vec![("to".into(), Attribute::Value(Value::Int(to)))];
    node.attribute_docs.clear();
    let mut patch = Patch::new(edit);
    patch.rewrite(id, node);
    Some(patch)
}

/// Whether `wide` has every value of `narrow`.
fn holds_all(wide: DType, narrow: DType) -> bool {
    // Bits of a significand, the hidden one included, or of a whole number.
    let digits = |dtype: DType| match dtype {
        DType::F64 => 53,
        DType::F32 => 24,
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::Bool => 1,
        other => other.bits() - u32::from(other.class() == Class::Signed),
    };
    match (wide.class(), narrow.class()) {
        (_, _) if wide == narrow => true,
        (Class::Bool, _) => false,
        (_, Class::Bool) => true,
        (Class::Float, Class::Float) => {
            wide == DType::F64 || wide == DType::F32 && matches!(narrow, DType::F16 | DType::BF16)
        }
        (Class::Float, _) => digits(wide) >= digits(narrow) && wide != DType::F16,
        (Class::Signed, Class::Signed) | (Class::Unsigned, Class::Unsigned) => wide.bits() >= narrow.bits(),
        (Class::Signed, Class::Unsigned) => wide.bits() > narrow.bits(),
        _ => false,
    }
}
