//! Writes `.caffemodel`: the layers of a net that the model has as its graph, in today's form, with the tensors as their
//! blobs.
//!
//! A blob's shape is its field 7 and its data field 5 (single precision), 8 (double precision) or NVCaffe's 12, whose
//! type field 10 tells. A shape of four that begins with two ones is written in the old fields 1 to 4: Caffe takes
//! those for the shorter shapes too that an old file means by them.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use weighbridge_model::layers::caffe_type;
use weighbridge_model::storage::Cast;
use weighbridge_model::{
    Class, DType, Dim, Error, Graph, Layout, Memory, Model, Place, Result, Tensor, TensorId,
};

use super::join::{Expected, fits};
use super::names::{blob_name, full};
use super::net::Layer;
use super::{encode, ungraph};
use crate::output::Output;
use crate::plan::{Change, FilePlan, Plan, WriteOptions};
use crate::protobuf::write::Draft;
use crate::ties::lost_ties;

/// Bytes that protobuf takes in a message.
const LARGEST: u64 = i32::MAX as u64;
/// Most blobs that a layer's tensors are looked for as.
const BLOBS: usize = 16;

/// Plans the file for `model` at `path`. Layers, bottoms, tops and settings are those of the model's graph; a tensor is
/// the blob that the graph has it for, otherwise the one that is called so.
///
/// # Errors
/// A model without a net of Caffe's; [`Error::Refused`] with every tensor that no layer takes, that does not fit its
/// layer, or that Caffe has no type for.
pub fn write(model: &Model, path: &Path, _: &WriteOptions) -> Result<Plan> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if matches!(extension.as_str(), "prototxt" | "solverstate" | "binaryproto") {
        let what = format!("a .{extension} is not written: Caffe's weights are a .caffemodel");
        return Err(Error::Usage { what });
    }
    let graph = model.graph.as_ref().filter(|g| g.nodes.iter().any(|n| n.domain == "caffe"));
    let Some(graph) = graph else {
        return Err(Error::Refused {
            what: "a .caffemodel holds the layers of a net, and this model has none of Caffe's".into(),
            reasons: Vec::new(),
            help: Some("--into deploy.prototxt puts the tensors into the layers of a net".into()),
        });
    };
    let mut writer = Writer {
        model,
        plan: Plan::default(),
        refused: Vec::new(),
        by_name: model.tensors.iter().rev().map(|t| (t.name.as_str(), t.id)).collect(),
        taken: HashMap::new(),
        net: Draft::default(),
    };
    writer.head(graph);
    for wired in ungraph::layers(graph) {
        writer.layer(wired)?;
    }
    writer.finish(path)
}

struct Writer<'a> {
    model: &'a Model,
    plan: Plan,
    refused: Vec<(String, String)>,
    by_name: HashMap<&'a str, TensorId>,
    /// Tensors that a layer takes, and what that changes.
    taken: HashMap<TensorId, Option<String>>,
    net: Draft,
}

impl Writer<'_> {
    /// Name and inputs of the net.
    fn head(&mut self, graph: &Graph) {
        self.net.text(1, &graph.name);
        for &input in &graph.inputs {
            let value = &graph.values[input.0 as usize];
            let sizes = value.shape.iter().flatten().map(|d| match d {
                Dim::Known(n) => Some(*n),
                _ => None,
            });
            // Bottoms that no layer makes are inputs without a shape.
            if value.shape.is_some()
                && let Some(sizes) = sizes.collect::<Option<Vec<u64>>>()
            {
                self.net.bytes(3, value.name.as_bytes());
                self.net.message(8, shape(&sizes));
            }
        }
    }

    fn layer(&mut self, wired: ungraph::Wired) -> Result<()> {
        let layer = wired.layer;
        let blobs = match wired.blobs.is_empty() {
            true => self.by_name(&layer),
            false => self.by_graph(&layer, wired.blobs),
        };
        let mut draft = Draft::default();
        draft.text(1, &layer.name);
        draft.text(2, caffe_type(&layer.kind));
        layer.bottoms.iter().for_each(|bottom| draft.bytes(3, bottom.as_bytes()));
        layer.tops.iter().for_each(|top| draft.bytes(4, top.as_bytes()));
        for &id in &blobs {
            self.blob(id, &mut draft)?;
        }
        if let (2, "BatchNorm") = (blobs.len(), caffe_type(&layer.kind)) {
            let storage = Arc::new(Memory::new(1f32.to_le_bytes()));
            let one = Tensor::contiguous("", DType::F32, vec![1], storage, &Place::default())?;
            draft.message(7, blob(one));
            let why = "1, which leaves mean and variance as they are; the source has none";
            self.plan.added.push(Change::new(full(&layer.name, "factor"), why));
        }
        let lost = encode::settings(&mut draft, &layer.settings);
        if !lost.is_empty() {
            let lost = lost.join(", ");
            let why =
                format!("settings {lost}: a layer of today has no place for them, and weights need none");
            self.plan.dropped.push(Change::new(format!("layer {}", layer.name), why));
        }
        self.net.message(100, draft);
        Ok(())
    }

    /// The blobs that the graph gives a layer. Their names are the net's.
    fn by_graph(&mut self, layer: &Layer, given: Vec<Result<TensorId, String>>) -> Vec<TensorId> {
        let last = given.iter().rposition(Result::is_ok);
        let mut found = Vec::new();
        for (i, blob) in given.iter().enumerate() {
            match blob {
                Ok(id) => {
                    let name = &self.model.tensor(*id).name;
                    let (leaf, _) = blob_name(&layer.kind, layer.bottoms.len(), given.len(), i);
                    let called = full(&layer.name, &leaf);
                    if *name != called {
                        let why = format!("the net calls this blob '{called}', and a file has no other name");
                        self.refused.push((name.clone(), why));
                    }
                    found.push(*id);
                }
                Err(name) if Some(i) < last => {
                    let why = "it is left out, and stands before others: blobs are known by their order";
                    self.refused.push((name.clone(), why.to_owned()));
                }
                Err(_) => {}
            }
        }
        found
    }

    /// The tensors that are called as the layer's blobs are; refused where the layer asks for others.
    fn by_name(&mut self, layer: &Layer) -> Vec<TensorId> {
        let find = |count: usize| -> Option<Vec<TensorId>> {
            (0..count)
                .map(|i| {
                    let name = full(&layer.name, &blob_name(&layer.kind, layer.bottoms.len(), count, i).0);
                    self.by_name.get(name.as_str()).copied()
                })
                .collect()
        };
        let found = (1..=BLOBS).rev().find_map(find).unwrap_or_default();
        let expected = Expected::of(layer);
        let whole = match caffe_type(&layer.kind) {
            // The factor is made.
            "BatchNorm" if found.len() == 2 => 3,
            _ => found.len(),
        };
        match expected.blobs {
            Some(asked) if asked > 0 && found.is_empty() => {
                let why =
                    "the net asks for its weights, and there are none: Caffe leaves it as its filler does";
                self.plan.dropped.push(Change::new(format!("layer {}", layer.name), why));
            }
            Some(asked) if asked != whole => {
                let why = format!("layer '{}' has {asked} blobs, and {whole} are here", layer.name);
                let names = found.iter().map(|&id| self.model.tensor(id).name.clone());
                self.refused.extend(names.map(|name| (name, why.clone())));
            }
            _ => {}
        }
        for (&id, want) in found.iter().zip(&expected.shapes) {
            let tensor = self.model.tensor(id);
            if !fits(&tensor.shape, want) {
                let want: Vec<String> =
                    want.iter().map(|d| d.map_or("?".to_owned(), |d| d.to_string())).collect();
                let why = format!("{:?}, where the net asks for [{}]", tensor.shape, want.join(", "));
                self.refused.push((tensor.name.clone(), why));
            }
        }
        found
    }

    fn blob(&mut self, id: TensorId, layer: &mut Draft) -> Result<()> {
        let tensor = self.model.tensor(id);
        match carried(tensor)? {
            Ok((carried, why)) => {
                self.taken.entry(id).or_insert(why);
                layer.message(7, blob(carried));
            }
            Err(why) => {
                self.taken.entry(id).or_insert(None);
                self.refused.push((tensor.name.clone(), why));
            }
        }
        Ok(())
    }

    fn finish(mut self, path: &Path) -> Result<Plan> {
        let refused: HashSet<String> = self.refused.iter().map(|(name, _)| name.clone()).collect();
        let ties = lost_ties(&self.model.tensors);
        for (tensor, tie) in self.model.tensors.iter().zip(ties) {
            let name = &tensor.name;
            let tie = tie.map(|other| {
                let other = &self.model.tensors[other].name;
                format!("shares its storage with '{other}': written on its own, the tie is lost")
            });
            match self.taken.remove(&tensor.id) {
                Some(why) => {
                    let whys: Vec<String> = why.into_iter().chain(tie).collect();
                    match whys.is_empty() {
                        true => self.plan.kept.push(name.clone()),
                        false => self.plan.changed.push(Change::new(name, whys.join("; "))),
                    }
                }
                None if refused.contains(name) => {}
                None => self.refused.push((name.clone(), "no layer of the net takes it".to_owned())),
            }
        }
        if !self.refused.is_empty() {
            return Err(Error::Refused {
                what: "a .caffemodel of this net cannot carry these tensors".into(),
                reasons: self.refused,
                help: Some("--drop leaves tensors out, --rename renames, --dtype f32 dequantizes".into()),
            });
        }
        let total = self.net.len();
        if total > LARGEST {
            let place = Place::source(path.display().to_string());
            return Err(Error::Limit { place, what: "bytes of a net", asked: total, allowed: LARGEST });
        }
        let net = self.net;
        let known = ["name", "generation", "inputs", "layers", "generation_of_weights", "unused"];
        let metadata = self.model.metadata.iter().map(|(key, _)| key);
        let lost = metadata.filter(|key| self.model.format != "caffe" || !known.contains(&key.as_str()));
        self.plan.dropped.extend(lost.map(|key| Change::new(key, "metadata: a net of weights has none")));
        self.plan.files.push(FilePlan {
            path: path.to_owned(),
            len: Some(total),
            content: Box::new(move |output: &mut Output<'_>| net.write(output)),
        });
        Ok(self.plan)
    }
}

/// `BlobShape`.
fn shape(sizes: &[u64]) -> Draft {
    let mut draft = Draft::default();
    draft.packed(1, sizes.iter().copied());
    draft
}

/// `BlobProto`.
fn blob(tensor: Tensor) -> Draft {
    let mut draft = Draft::default();
    let (number, raw) = match tensor.dtype {
        DType::F64 => (8, None),
        DType::F16 => (12, Some(2)),
        DType::I32 => (12, Some(3)),
        DType::U32 => (12, Some(4)),
        _ => (5, None),
    };
    match tensor.shape.as_slice() {
        sizes @ [1, 1, _, _] => {
            sizes.iter().zip(1..).for_each(|(&n, number)| draft.int(number, n as i64));
        }
        sizes => draft.message(7, shape(sizes)),
    }
    if let Some(kind) = raw {
        draft.int(10, kind);
    }
    if tensor.count() > 0 {
        let len = tensor.bytes();
        draft.stream(number, len, Arc::new(move |output| output.elements(&tensor, &mut |_| {})));
    }
    draft
}

type Carried = std::result::Result<(Tensor, Option<String>), String>;

/// The tensor in a type that Caffe or NVCaffe has, and what that changes.
fn carried(tensor: &Tensor) -> Result<Carried> {
    match tensor.layout {
        Layout::Strided(_) => {}
        Layout::Quantized { .. } => {
            return Ok(Err("quantized codes, whose scales it has no place for".into()));
        }
        Layout::Blocks { scheme } => return Ok(Err(format!("{scheme} blocks, which it has no place for"))),
        _ => return Ok(Err(format!("{} elements that are no plain numbers", tensor.dtype))),
    }
    match tensor.dtype {
        DType::F32 | DType::F64 | DType::F16 | DType::I32 | DType::U32 => {
            return Ok(Ok((tensor.clone(), None)));
        }
        DType::I64 | DType::U64 => return Ok(Err(format!("it has no type {}", tensor.dtype))),
        d if matches!(d.class(), Class::Complex | Class::Opaque) => {
            return Ok(Err(format!("it has no type {d}")));
        }
        _ => {}
    }
    let storage = Arc::new(Cast::new(tensor.clone(), DType::F32));
    let wide = Tensor::contiguous("", DType::F32, tensor.shape.clone(), storage, &Place::default())?;
    Ok(Ok((wide, Some(format!("{} -> F32, exactly: Caffe has no {}", tensor.dtype, tensor.dtype)))))
}
