//! What is done to an image before it enters a net: told, or made part of the graph.
//!
//! Caffe's own reading of data takes a mean away and multiplies, in this order, and its images have the colours blue,
//! green, red. A net that is deployed has none of it: whoever uses it must do the same.

use std::collections::HashSet;

use weighbridge_model::{DType, Dim, Error, GraphValue, Node, Result, Tensor, Value, ValueId, element_count};

use super::super::Choice;
use super::Options;
use super::net::Net;
use super::work::Work;

/// What is done to the data before it enters the net: with each `x` of the input `(x - mean) * scale`.
#[derive(Debug, Clone, Default)]
pub struct Preprocess {
    /// What the net's own data layers say.
    pub of_net: bool,
    /// Numbers to be taken away: one for all channels, or one each.
    pub mean: Vec<f64>,
    /// An image to be taken away, `[1, channels, height, width]`; its middle, where it is larger than the input.
    pub mean_image: Option<Tensor>,
    /// A factor, after that.
    pub scale: Option<f64>,
    /// Whether the input's colours are red, green, blue, and the net's are not.
    pub rgb: bool,
}

impl Preprocess {
    fn is_asked(&self) -> bool {
        self.of_net || !self.mean.is_empty() || self.mean_image.is_some() || self.scale.is_some() || self.rgb
    }
}

/// Whether a setting is told here where no rule knows it.
pub(super) fn tells(name: &str) -> bool {
    let message = name.split('.').next().unwrap_or_default();
    message == "transform_param" || message.ends_with("data_param") || FLAT.contains(&name)
}

/// What V0 has beside the name of a data layer.
const FLAT: &[&str] = &["source", "scale", "meanfile", "batchsize", "cropsize", "mirror", "rand_skip", "shuffle_images"];

/// What a data layer does to each image.
struct Transform {
    layer: String,
    kind: String,
    scale: Option<f64>,
    mean: Vec<f64>,
    mean_file: Option<String>,
    /// The rest, for people.
    other: Vec<String>,
}

impl Transform {
    fn of(node: &Node) -> Option<Self> {
        let messages = ["transform_param", "data_param", "image_data_param", "window_data_param"];
        let get = |name: &str| {
            let within = messages.iter().filter_map(|m| node.attribute(m)?.get(name)).next();
            within.or_else(|| node.attribute(name))
        };
        let each = |value: &Value| match value {
            Value::List(items) => items.iter().filter_map(Value::as_float).collect(),
            one => one.as_float().into_iter().collect::<Vec<f64>>(),
        };
        let text = |name: &str| get(name).and_then(Value::as_str).map(str::to_owned);
        let mut other = Vec::new();
        for name in ["crop_size", "cropsize", "mirror", "force_color", "force_gray"] {
            match get(name) {
                Some(Value::Int(n)) => other.push(format!("{name} {n}")),
                Some(Value::Bool(true)) => other.push(name.to_owned()),
                _ => {}
            }
        }
        let found = Transform {
            layer: node.name.clone(),
            kind: weighbridge_model::layers::caffe_type(&node.op).to_owned(),
            scale: get("scale").and_then(Value::as_float).filter(|&s| s != 1.0),
            mean: get("mean_value").map(each).unwrap_or_default(),
            mean_file: text("mean_file").or_else(|| text("meanfile")),
            other,
        };
        let idle = found.scale.is_none() && found.mean.is_empty() && found.mean_file.is_none() && found.other.is_empty();
        (found.kind.ends_with("Data") && !idle).then_some(found)
    }

    fn told(&self) -> String {
        let mut parts = Vec::new();
        if !self.mean.is_empty() {
            parts.push(format!("mean_value {}", list(&self.mean)));
        }
        parts.extend(self.mean_file.iter().map(|file| format!("mean_file '{file}'")));
        parts.extend(self.scale.iter().map(|scale| format!("scale {scale}")));
        parts.extend(self.other.iter().cloned());
        parts.join(", ")
    }
}

fn list(numbers: &[f64]) -> String {
    numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
}

/// Tells what the net's data layers do, and puts what is asked for into the graph.
pub(super) fn apply(work: &mut Work<'_>, net: &Net<'_>, options: &Options) -> Result<()> {
    let asked = &options.preprocess;
    let there = net.layers.iter().map(|layer| layer.node()).chain(net.out.iter().copied());
    let found: Vec<Transform> = there.filter_map(Transform::of).collect();
    let own = found.first().filter(|_| asked.of_net);
    for transform in &found {
        let note = if asked.is_asked() { "" } else { ", which is not in the graph: --preprocess puts it there" };
        let choice = format!("preprocessing: {}{note}; Caffe's colours are BGR", transform.told());
        let (layer, kind) = (transform.layer.clone(), transform.kind.clone());
        work.choices.push(Choice { layer, kind, choice });
    }
    if !asked.is_asked() {
        return Ok(());
    }
    if let Some(file) = own.and_then(|own| own.mean_file.as_ref()).filter(|_| asked.mean_image.is_none()) {
        return Err(Error::Usage { what: format!("the net's mean is in '{file}': give it as --preprocess mean=FILE") });
    }
    let mean = if asked.mean.is_empty() { own.map_or(&[][..], |own| &own.mean) } else { &asked.mean };
    let scale = asked.scale.or(own.and_then(|own| own.scale));
    let (input, shape) = image(work)?;
    let before = work.build.graph.nodes.len();
    let name = work.build.graph.value(input).name.clone();
    let mut x = input;
    let mut said = Vec::new();
    let channels = shape[1];
    if asked.rgb {
        if channels != 3 {
            return Err(usage(&name, &shape, "colours, of which there are three"));
        }
        let order = work.build.integers("preprocess/order", vec![3], &[2, 1, 0])?;
        x = step(work, "Gather", x, order, vec![("axis", Value::Int(1))], &shape);
        said.push("RGB to BGR".to_owned());
    }
    if !mean.is_empty() {
        let numbers: Vec<f32> = match mean.len() as u64 {
            1 => vec![mean[0] as f32; channels as usize],
            n if n == channels => mean.iter().map(|&m| m as f32).collect(),
            _ => return Err(usage(&name, &shape, &format!("{} numbers of a mean", mean.len()))),
        };
        let numbers = work.build.floats("preprocess/mean", vec![channels, 1, 1], &numbers)?;
        x = step(work, "Sub", x, numbers, vec![], &shape);
        said.push(format!("less {}", list(mean)));
    }
    if let Some(mean) = &asked.mean_image {
        let numbers = middle(mean, &shape).ok_or_else(|| usage(&name, &shape, &format!("a mean of {:?}", mean.shape)))?;
        let numbers = work.build.floats("preprocess/mean_image", shape[1..].to_vec(), &numbers?)?;
        x = step(work, "Sub", x, numbers, vec![], &shape);
        said.push(format!("less the middle of an image of {:?}", mean.shape));
    }
    if let Some(scale) = scale {
        let number = work.build.floats("preprocess/scale", vec![], &[scale as f32])?;
        x = step(work, "Mul", x, number, vec![], &shape);
        said.push(format!("times {scale}"));
    }
    if x == input {
        return Err(Error::Usage { what: "the net's data layers do nothing to an image that could be put into the graph".into() });
    }
    // First what is done before, then all that read the input.
    let graph = &mut *work.build.graph;
    for node in &mut graph.nodes[..before] {
        node.inputs.iter_mut().filter(|id| **id == Some(input)).for_each(|id| *id = Some(x));
    }
    let made = graph.nodes.len() - before;
    graph.nodes.rotate_right(made);
    let last: &mut GraphValue = &mut graph.values[x.0 as usize];
    last.name = format!("{name}@preprocess");
    let choice = format!("'{name}' is an image now: {}", said.join(", "));
    work.choices.push(Choice { layer: String::new(), kind: String::new(), choice });
    Ok(())
}

fn step(
    work: &mut Work<'_>,
    op: &str,
    x: ValueId,
    other: ValueId,
    attributes: Vec<(&str, Value)>,
    shape: &[u64],
) -> ValueId {
    let y = work.named(&format!("preprocess/{}", op.to_lowercase()));
    work.set_shape(y, DType::F32, Some(shape.to_vec()));
    work.build.node(op, vec![Some(x), Some(other)], vec![y], attributes);
    y
}

fn usage(name: &str, shape: &[u64], what: &str) -> Error {
    Error::Usage { what: format!("--preprocess: {what}, for the input '{name}' of {shape:?}") }
}

/// The input that is an image: the first of four sizes that anything reads.
fn image(work: &Work<'_>) -> Result<(ValueId, Vec<u64>)> {
    let graph = &*work.build.graph;
    let read: HashSet<ValueId> = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
    let known = |dim: &Dim| if let Dim::Known(n) = dim { Some(*n) } else { None };
    let sizes = |id: &ValueId| graph.value(*id).shape.as_ref()?.iter().map(known).collect::<Option<Vec<u64>>>();
    let mut images = graph.inputs.iter().filter(|id| read.contains(id)).filter_map(|id| Some((*id, sizes(id)?)));
    images.find(|(_, shape)| shape.len() == 4).ok_or_else(|| Error::Usage {
        what: "--preprocess: the net has no input of four sizes, which an image has".into(),
    })
}

/// The middle of a mean image in the sizes of the input, as Caffe crops both; `None` where it has other channels or is
/// smaller.
fn middle(mean: &Tensor, shape: &[u64]) -> Option<Result<Vec<f32>>> {
    let sizes = match mean.shape.as_slice() {
        [1, sizes @ ..] if sizes.len() == 3 => sizes,
        sizes if sizes.len() == 3 => sizes,
        _ => return None,
    };
    let (&[c, h, w], &[_, channels, height, width]) = (sizes, shape) else { return None };
    if c != channels || h < height || w < width || element_count(sizes)? > 1 << 26 {
        return None;
    }
    let (top, left) = ((h - height) / 2, (w - width) / 2);
    let mut numbers = Vec::new();
    let visited = mean.visit_values(0..mean.count(), &mut |first, values| {
        for (i, &x) in (first..).zip(values) {
            let (row, column) = (i / w % h, i % w);
            if (top..top + height).contains(&row) && (left..left + width).contains(&column) {
                numbers.push(x as f32);
            }
        }
        Ok(())
    });
    Some(visited.map(|()| numbers))
}
