//! A layer's settings, whichever generation of Caffe wrote them.

use std::cell::RefCell;
use std::collections::HashSet;

use weighbridge_model::layers::caffe_type;
use weighbridge_model::{Error, Node, Place, Result, TensorId, Value};

/// What V0 called settings that have another name today.
const OLD_NAMES: &[(&str, &str)] = &[
    ("kernel_size", "kernelsize"),
    ("bias_term", "biasterm"),
    ("batch_size", "batchsize"),
    ("crop_size", "cropsize"),
    ("mean_file", "meanfile"),
    ("num", "new_num"),
    ("channels", "new_channels"),
    ("height", "new_height"),
    ("width", "new_width"),
];

/// Settings that do not bear on what a trained layer computes.
const IDLE: &[&str] = &[
    "name", "type", "param", "include", "exclude", "phase", "loss_weight", "propagate_down", "blobs_lr", "weight_decay",
    "blob_share_mode", "weight_filler", "bias_filler", "filler", "scale_filler", "engine", "force_nd_im2col",
    "moving_average_fraction", "dropout_ratio", "scale_train", "stable_prod_grad", "dropout_param", "save_output_param",
    "visualize", "visualize_threshold", "save_file", "loss_param", "debug_info", "cudnn_convolution_algo_seeker",
]; // fmt: skip

/// A layer of a net.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    node: &'a Node,
    /// Its type in today's spelling.
    pub(super) kind: &'a str,
    /// The blobs that it reads, by Caffe's names.
    pub(super) bottoms: Vec<String>,
    /// The blobs that it gives.
    pub(super) tops: Vec<String>,
    /// Its weights.
    pub(super) blobs: Vec<TensorId>,
    /// Padding that a layer of V0 before it stands for.
    pub(super) padding: Option<i64>,
    /// Settings that a rule has looked at, as `MESSAGE.NAME`.
    seen: RefCell<HashSet<String>>,
}

impl<'a> Layer<'a> {
    pub(super) fn new(node: &'a Node, bottoms: Vec<String>, tops: Vec<String>, blobs: Vec<TensorId>) -> Self {
        let kind = caffe_type(&node.op);
        Layer { node, kind, bottoms, tops, blobs, padding: None, seen: RefCell::default() }
    }

    pub(super) fn name(&self) -> &'a str {
        &self.node.name
    }

    /// The node as it was read.
    pub(super) fn node(&self) -> &'a Node {
        self.node
    }

    /// The place of an error.
    pub(super) fn place(&self) -> Place {
        Place::source(format!("a layer of type {}", self.kind)).node(self.name())
    }

    pub(super) fn malformed(&self, what: impl Into<String>) -> Error {
        Error::malformed(self.place(), what)
    }

    pub(super) fn unsupported(&self, what: impl Into<String>) -> Error {
        Error::unsupported(self.place(), what)
    }

    /// A setting: in the message of the layer's kind, or, before there were such messages, beside the layer's name.
    pub(super) fn setting(&self, message: &str, name: &str) -> Option<&'a Value> {
        self.seen.borrow_mut().insert(format!("{message}.{name}"));
        let node = self.node;
        let old = || OLD_NAMES.iter().find(|(now, _)| *now == name).and_then(|(_, old)| node.attribute(old));
        let found = node.attribute(message).and_then(|m| match m {
            // A message that stands there twice: Caffe merges them, and of a single setting the last counts.
            Value::List(parts) => parts.iter().rev().find_map(|part| part.get(name)),
            part => part.get(name),
        });
        found.or_else(|| node.attribute(name)).or_else(old)
    }

    fn wrong(&self, message: &str, name: &str, value: &Value, asked: &str) -> Error {
        self.malformed(format!("{message}.{name} is {}, where {asked} belongs", told(value)))
    }

    fn last(&self, message: &str, name: &str) -> Option<&'a Value> {
        match self.setting(message, name)? {
            Value::List(items) => items.last(),
            single => Some(single),
        }
    }

    /// All values of a setting that may stand there many times.
    pub(super) fn each(&self, message: &str, name: &str) -> &'a [Value] {
        match self.setting(message, name) {
            Some(Value::List(items)) => items,
            Some(single) => std::slice::from_ref(single),
            None => &[],
        }
    }

    pub(super) fn has(&self, message: &str, name: &str) -> bool {
        self.setting(message, name).is_some()
    }

    /// A whole number.
    pub(super) fn maybe_int(&self, message: &str, name: &str) -> Result<Option<i64>> {
        let number = |v: &Value| v.as_int().ok_or_else(|| self.wrong(message, name, v, "a whole number"));
        let found = self.last(message, name).map(number).transpose()?;
        match found {
            Some(n) if i32::try_from(n).is_err() && u32::try_from(n).is_err() => {
                Err(self.malformed(format!("{message}.{name} is {n}, beyond 32 bits")))
            }
            found => Ok(found),
        }
    }

    pub(super) fn int(&self, message: &str, name: &str, otherwise: i64) -> Result<i64> {
        Ok(self.maybe_int(message, name)?.unwrap_or(otherwise))
    }

    /// A whole number that is not negative.
    pub(super) fn size(&self, message: &str, name: &str, otherwise: u64) -> Result<u64> {
        let n = self.int(message, name, otherwise as i64)?;
        u64::try_from(n).map_err(|_| self.malformed(format!("{message}.{name} is {n}")))
    }

    /// A whole number above 0 that must be there.
    pub(super) fn count(&self, message: &str, name: &str) -> Result<u64> {
        match self.maybe_int(message, name)? {
            Some(n) if n > 0 => Ok(n as u64),
            Some(n) => Err(self.malformed(format!("{message}.{name} is {n}"))),
            None => Err(self.malformed(format!("{message}.{name} is missing"))),
        }
    }

    pub(super) fn ints(&self, message: &str, name: &str) -> Result<Vec<i64>> {
        let number = |v: &Value| v.as_int().ok_or_else(|| self.wrong(message, name, v, "a whole number"));
        self.each(message, name).iter().map(number).collect()
    }

    /// Whole numbers that are not negative.
    pub(super) fn sizes(&self, message: &str, name: &str) -> Result<Vec<u64>> {
        let size = |n: i64| {
            u32::try_from(n)
                .map(u64::from)
                .map_err(|_| self.malformed(format!("{message}.{name} is {n}, and a size is not negative")))
        };
        self.ints(message, name)?.into_iter().map(size).collect()
    }

    /// A number, rounded to single precision as Caffe keeps it.
    pub(super) fn float(&self, message: &str, name: &str, otherwise: f64) -> Result<f64> {
        let number = |v: &Value| v.as_float().ok_or_else(|| self.wrong(message, name, v, "a number"));
        let found = self.last(message, name).map(number).transpose()?;
        Ok(f64::from(found.unwrap_or(otherwise) as f32))
    }

    pub(super) fn floats(&self, message: &str, name: &str) -> Result<Vec<f64>> {
        let number = |v: &Value| v.as_float().ok_or_else(|| self.wrong(message, name, v, "a number"));
        self.each(message, name).iter().map(|v| Ok(f64::from(number(v)? as f32))).collect()
    }

    pub(super) fn flag(&self, message: &str, name: &str, otherwise: bool) -> Result<bool> {
        match self.last(message, name) {
            None => Ok(otherwise),
            Some(value) => match value {
                Value::Bool(given) => Ok(*given),
                Value::Int(n) if *n == 0 || *n == 1 => Ok(*n == 1),
                other => Err(self.wrong(message, name, other, "true or false")),
            },
        }
    }

    /// Which of `names` an enumeration's setting is, counted from `first` where it is written as a number; the first of
    /// them otherwise.
    pub(super) fn choice<'n>(
        &self,
        message: &str,
        name: &str,
        names: &[&'n str],
        first: i64,
    ) -> Result<&'n str> {
        let Some(value) = self.last(message, name) else { return Ok(names[0]) };
        let found = match value {
            Value::Str(given) => names.iter().find(|n| *n == given),
            Value::Int(n) => n.checked_sub(first).and_then(|n| names.get(usize::try_from(n).ok()?)),
            _ => None,
        };
        found.copied().ok_or_else(|| self.wrong(message, name, value, &names.join(" or ")))
    }

    /// An axis of `rank`, where negative ones count from the end.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let from_end = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(from_end).ok().filter(|&a| a < rank).ok_or_else(|| {
            self.malformed(format!("axis {axis}, where the bottom has {rank} of them"))
        })
    }

    /// Settings that no rule has looked at, and that are not known to be idle.
    pub(super) fn ignored(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        let asked = |name: &str| {
            let now = OLD_NAMES.iter().find(|(_, old)| *old == name).map_or(name, |(now, _)| now);
            IDLE.contains(&name) || seen.iter().any(|s| s.split_once('.').is_some_and(|(_, n)| n == now))
        };
        let mut found = Vec::new();
        for (name, attribute) in &self.node.attributes {
            let weighbridge_model::Attribute::Value(value) = attribute else { continue };
            let known = seen.iter().any(|s| s.split_once('.').is_some_and(|(m, _)| m == name));
            match value {
                Value::Map(fields) if known => {
                    let unseen = fields.iter().filter(|(field, _)| {
                        !IDLE.contains(&field.as_str()) && !seen.contains(&format!("{name}.{field}"))
                    });
                    found.extend(unseen.map(|(field, _)| format!("{name}.{field}")));
                }
                _ if !known && !asked(name) => found.push(name.clone()),
                _ => {}
            }
        }
        found
    }
}

/// A value for people.
fn told(value: &Value) -> String {
    match value {
        Value::Str(text) => format!("'{text}'"),
        Value::Int(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::BigInt(digits) => digits.clone(),
        Value::Map(_) => "a message".to_owned(),
        Value::List(_) => "a list".to_owned(),
        _ => "something else".to_owned(),
    }
}
