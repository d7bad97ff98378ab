//! Tensor subclasses that wrap other tensors (quantized ones of torchao, DTensor, nested tensors): shown by
//! class, dtype and shape, with the tensors within listed under the names of their attributes.

use weighbridge_model::{Result, Value};

use super::walk::Walk;
use crate::pickle::{Node, NodeId, Object};

/// What `_rebuild_nested_tensor` is called with.
const NESTED: [&str; 4] = ["values", "sizes", "strides", "offsets"];

impl Walk<'_> {
    /// The wrapper as metadata; `None` where the object is none.
    pub(super) fn wrapper(&mut self, object: &Object) -> Result<Option<Value>> {
        let pickle = self.reader.pickle;
        let Some(args) = pickle.sequence(object.args) else { return Ok(None) };
        if self.reader.is(object.callable, "torch._utils", "_rebuild_nested_tensor") {
            for (name, &part) in NESTED.iter().zip(args) {
                self.below(name, part)?;
            }
            let class = "torch.nested".into();
            return Ok(Some(Value::Object { class, state: Box::new(Value::Null) }));
        }
        // (function, type, its arguments, attributes)
        let (true, &[function, class, inner, state, ..]) =
            (self.reader.is(object.callable, "torch._tensor", "_rebuild_from_type_v2"), args)
        else {
            return Ok(None);
        };
        let mut kept = Vec::new();
        if self.reader.is(function, "torch._utils", "_rebuild_wrapper_subclass")
            && let Some(&[_, dtype, shape, ..]) = pickle.sequence(inner)
        {
            kept.extend(self.name_of(dtype).map(|dtype| ("dtype".to_owned(), Value::Str(dtype))));
            let sizes = self.reader.sizes(shape).unwrap_or_default();
            let sizes = sizes.into_iter().map(|n| Value::Int(n as i64)).collect();
            kept.push(("shape".to_owned(), Value::List(sizes)));
        }
        let attributes: Vec<NodeId> = match pickle.node(state) {
            // (attributes, slots)
            Node::Tuple(pair) => pair.clone(),
            _ => vec![state],
        };
        for attributes in attributes {
            if let Some(Value::Map(entries)) = self.value(attributes)? {
                kept.extend(entries);
            }
        }
        let class = pickle.qualified(class).unwrap_or_else(|| "torch.Tensor".into());
        Ok(Some(Value::Object { class, state: Box::new(Value::Map(kept)) }))
    }

    fn name_of(&self, id: NodeId) -> Option<String> {
        self.reader.pickle.global(id).map(|(_, name)| name.to_owned())
    }
}
