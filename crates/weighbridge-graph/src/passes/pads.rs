//! Zeros around what a convolution or an average reads are its own padding.

use weighbridge_model::{Attribute, Value};

use super::{Look, Pass};
use crate::edit::{Edit, NodeId, Patch};

pub(super) struct Pads;

impl Pass for Pads {
    fn name(&self) -> &'static str {
        "pads"
    }

    fn about(&self) -> &'static str {
        "A Pad of zeros along spatial dimensions becomes the padding of the Conv that alone reads it, or of the \
         AveragePool that counts its padding or has none."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Conv", "AveragePool"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let Some(padded) = edit.input(id, 0).filter(|&v| edit.is_private(v)) else { return Look::No };
        let Some((pad, node)) = edit.made_by(padded, "Pad") else { return Look::No };
        let text =
            |id: NodeId, name: &str| edit.node(id).attribute(name).and_then(Value::as_str).map(str::to_owned);
        if text(pad, "mode").is_some_and(|mode| mode != "constant") {
            return Look::Refused("the padding is not constant".into());
        }
        if text(id, "auto_pad").is_some_and(|auto| auto != "NOTSET") {
            return Look::Refused("auto_pad".into());
        }
        let value = match (node.attribute("value"), edit.input(pad, 2)) {
            (Some(value), _) => value.as_float(),
            (None, Some(value)) => edit.numbers(value).and_then(|all| all.first().copied()),
            (None, None) => Some(0.0),
        };
        let (Some(x), Some(pads)) = (edit.input(pad, 0), edit.ints_or_input(pad, "pads", 1)) else {
            return Look::Refused("the padding is computed".into());
        };
        let rank = pads.len() / 2;
        let spatial = pads.iter().enumerate().all(|(i, &n)| n >= 0 && (i % rank >= 2 || n == 0));
        if value != Some(0.0) || !spatial || rank < 3 || edit.input(pad, 3).is_some() {
            return Look::Refused("it is not zeros around spatial dimensions".into());
        }
        let own = edit.ints(id, "pads").unwrap_or_else(|| vec![0; 2 * (rank - 2)]);
        if own.len() != 2 * (rank - 2) {
            return Look::No;
        }
        let mut node = edit.node(id).clone();
        if node.op == "AveragePool" {
            let counts = edit.int(id, "count_include_pad") == Some(1) || own.iter().all(|&n| n == 0);
            if !counts || edit.int(id, "ceil_mode") == Some(1) || edit.opset < 7 {
                return Look::Refused("the average would be over other numbers".into());
            }
            set(&mut node.attributes, "count_include_pad", Value::Int(1));
        }
        let outer = (2..rank).chain(rank + 2..2 * rank).map(|i| pads[i]);
        let all = own.iter().zip(outer).map(|(a, b)| Value::Int(a + b)).collect();
        set(&mut node.attributes, "pads", Value::List(all));
        node.inputs[0] = Some(x);
        let mut patch = Patch::new(edit);
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}

fn set(attributes: &mut Vec<(String, Attribute)>, name: &str, value: Value) {
    attributes.retain(|(n, _)| n != name);
    attributes.push((name.to_owned(), Attribute::Value(value)));
}
