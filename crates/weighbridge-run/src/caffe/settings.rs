//! What a layer is told: the fields of its message, with Caffe's defaults for those that are not there.

use weighbridge_model::layers::caffe_setting;
use weighbridge_model::{Node, Value};

use super::fault::Fault;

/// Names of fields before 2014, when they stood beside the layer's name.
const OLD: &[(&str, &str)] = &[("kernel_size", "kernelsize"), ("bias_term", "biasterm")];

/// The settings of a layer in one of its messages.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a> {
    node: &'a Node,
    message: &'a str,
}

impl<'a> Settings<'a> {
    /// The fields of `message`.
    pub(super) fn of(node: &'a Node, message: &'a str) -> Self {
        Settings { node, message }
    }

    /// The field as it stands.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        let found = caffe_setting(self.node, self.message, name);
        let old = || OLD.iter().find(|(now, _)| *now == name).and_then(|(_, old)| self.node.attribute(old));
        found.or_else(old)
    }

    /// Whether the field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A field of which the last one counts where it comes more than once.
    fn single(&self, name: &str) -> Option<&'a Value> {
        match self.get(name) {
            Some(Value::List(items)) => items.last(),
            other => other,
        }
    }

    /// A field that may come many times.
    fn each(&self, name: &str) -> &'a [Value] {
        match self.get(name) {
            Some(Value::List(items)) => items,
            Some(single) => std::slice::from_ref(single),
            None => &[],
        }
    }

    /// The fields of an inner message, each time it comes.
    pub(super) fn messages(&self, name: &str) -> &'a [Value] {
        self.each(name)
    }

    /// A whole number; without the field, `otherwise`.
    pub(super) fn int(&self, name: &str, otherwise: i64) -> Result<i64, Fault> {
        self.single(name).map_or(Ok(otherwise), |value| int(name, value))
    }

    /// A size: a whole number that is not negative; without the field, `otherwise`.
    pub(super) fn size(&self, name: &str, otherwise: usize) -> Result<usize, Fault> {
        self.single(name).map_or(Ok(otherwise), |value| size(name, value))
    }

    /// The size that has to be there.
    pub(super) fn needed(&self, name: &str) -> Result<usize, Fault> {
        let value = self.single(name).ok_or_else(|| Fault::from(format!("{name} is not told")))?;
        size(name, value)
    }

    /// Sizes.
    pub(super) fn sizes(&self, name: &str) -> Result<Vec<usize>, Fault> {
        self.each(name).iter().map(|value| size(name, value)).collect()
    }

    /// A number as Caffe holds it, in single precision; without the field, `otherwise`.
    pub(super) fn float(&self, name: &str, otherwise: f32) -> Result<f64, Fault> {
        self.single(name).map_or(Ok(f64::from(otherwise)), |value| float(name, value))
    }

    /// Numbers.
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f64>, Fault> {
        self.each(name).iter().map(|value| float(name, value)).collect()
    }

    /// A truth value; without the field, `otherwise`.
    pub(super) fn truth(&self, name: &str, otherwise: bool) -> Result<bool, Fault> {
        match self.single(name) {
            None => Ok(otherwise),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(Value::Int(n)) => Ok(*n != 0),
            Some(other) => Err(odd(name, other, "a truth value")),
        }
    }

    /// One of an enumeration's names, which count from `first`: its index.
    pub(super) fn choice(
        &self,
        name: &str,
        names: &[&str],
        first: i64,
        otherwise: usize,
    ) -> Result<usize, Fault> {
        let Some(value) = self.single(name) else { return Ok(otherwise) };
        let found = match value {
            Value::Str(word) => names.iter().position(|known| known == word),
            Value::Int(n) => usize::try_from(n - first).ok().filter(|&n| n < names.len()),
            _ => None,
        };
        found.ok_or_else(|| odd(name, value, &format!("one of {}", names.join(", "))))
    }
}

fn odd(name: &str, value: &Value, wanted: &str) -> Fault {
    let shown = match value {
        Value::Str(text) => text.clone(),
        Value::Int(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Map(_) => "a message".to_owned(),
        _ => "something else".to_owned(),
    };
    format!("{name} is {shown}, where {wanted} belongs").into()
}

fn int(name: &str, value: &Value) -> Result<i64, Fault> {
    let found = match value {
        Value::Int(n) => Some(*n),
        _ => None,
    };
    found.filter(|n| i32::try_from(*n).is_ok()).ok_or_else(|| odd(name, value, "a whole number of 32 bits"))
}

fn size(name: &str, value: &Value) -> Result<usize, Fault> {
    usize::try_from(int(name, value)?).map_err(|_| odd(name, value, "a size"))
}

fn float(name: &str, value: &Value) -> Result<f64, Fault> {
    value.as_float().map(|x| f64::from(x as f32)).ok_or_else(|| odd(name, value, "a number"))
}

/// Whole numbers in a field of an inner message.
pub(super) fn ints_of(message: &Value, name: &str) -> Result<Vec<i64>, Fault> {
    let items = match message.get(name) {
        Some(Value::List(items)) => items.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    items.iter().map(|value| int(name, value)).collect()
}
