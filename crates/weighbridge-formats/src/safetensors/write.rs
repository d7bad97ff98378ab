//! Writes a model as safetensors: one file, or shards of a given size with their index.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use weighbridge_model::storage::identity;
use weighbridge_model::{DType, Error, Layout, Model, Result, Tensor, Value};

use crate::plan::{Change, FilePlan, Plan, WriteOptions};

/// Plans the files for `model` at `path`. Tensors are written in file order, but wider elements first, so that each
/// is aligned to its element.
///
/// # Errors
/// [`Error::Refused`] with every tensor that safetensors cannot carry, or whose name comes twice.
pub fn write(model: &Model, path: &Path, options: &WriteOptions) -> Result<Plan> {
    let mut refused: Vec<(String, String)> = Vec::new();
    let mut seen: HashMap<&str, ()> = HashMap::new();
    let mut first_of: HashMap<usize, &str> = HashMap::new();
    let mut plan = Plan::default();
    for tensor in &model.tensors {
        if seen.insert(&tensor.name, ()).is_some() {
            refused.push((tensor.name.clone(), "the name comes twice".into()));
        } else if let Err(why) = carries(tensor) {
            refused.push((tensor.name.clone(), why));
        } else {
            match first_of.get(&identity(&tensor.storage)) {
                Some(other) if tensor.count() > 0 => plan.changed.push(Change::new(
                    &tensor.name,
                    format!("shares its storage with '{other}': written on its own, the tie is lost"),
                )),
                _ => plan.kept.push(tensor.name.clone()),
            }
            first_of.entry(identity(&tensor.storage)).or_insert(&tensor.name);
        }
    }
    if !refused.is_empty() {
        return Err(Error::Refused {
            what: "safetensors cannot carry these tensors".into(),
            reasons: refused,
            help: Some("--drop leaves tensors out, --rename renames, --dtype f32 dequantizes".into()),
        });
    }
    let metadata = metadata(model, &mut plan);
    let shards = shards(&model.tensors, options.shard_bytes);
    if let [all] = shards.as_slice() {
        plan.files.push(file(path.to_owned(), all, &metadata)?);
        return Ok(plan);
    }
    let mut map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = shard_name(path, i + 1, shards.len());
        map.extend(shard.iter().map(|t| (t.name.clone(), Json::from(name.clone()))));
        plan.files.push(file(path.with_file_name(&name), shard, &metadata)?);
    }
    let total: u64 = model.tensors.iter().map(Tensor::bytes).sum();
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    let text = serde_json::to_string_pretty(&index).expect("JSON of plain values") + "\n";
    let mut index_path = path.as_os_str().to_owned();
    index_path.push(".index.json");
    plan.files.push(FilePlan {
        path: PathBuf::from(index_path),
        len: Some(text.len() as u64),
        content: Box::new(move |output| output.bytes(text.as_bytes())),
    });
    Ok(plan)
}

/// Why safetensors cannot carry a tensor.
fn carries(tensor: &Tensor) -> Result<(), String> {
    if tensor.name == "__metadata__" {
        return Err("the name is the format's own".into());
    }
    match tensor.layout {
        Layout::Strided(_) => {}
        Layout::Quantized { .. } => return Err("quantized codes, whose scales it has no place for".into()),
        Layout::Blocks { scheme } => {
            return Err(format!("{scheme} blocks, which it has no place for"));
        }
        _ => return Err(format!("{} elements that are no plain numbers", tensor.dtype)),
    }
    match tensor.dtype {
        DType::F4E2M1 if tensor.count() % 2 == 1 => Err("an odd number of F4 elements".into()),
        DType::F4E2M1 => Ok(()),
        d if d.is_sub_byte() => Err(format!("it has no type {d}")),
        DType::C32 | DType::C128 => Err(format!("it has no type {}", tensor.dtype)),
        _ => Ok(()),
    }
}

/// Entries of text, which is all that the header takes; `format` tells loaders whose tensors these are.
fn metadata(model: &Model, plan: &mut Plan) -> Map<String, Json> {
    let mut kept = Map::new();
    for (key, value) in &model.metadata {
        match value {
            Value::Str(text) if model.format == "safetensors" => {
                kept.insert(key.clone(), text.clone().into());
            }
            _ => plan.dropped.push(Change::new(key, "metadata, for which safetensors has text only")),
        }
    }
    if model.format == "pytorch" {
        kept.insert("format".into(), "pt".into());
    }
    kept
}

/// Runs of tensors of at most so many bytes; a larger tensor is alone.
fn shards(tensors: &[Tensor], most: Option<u64>) -> Vec<Vec<Tensor>> {
    let mut shards = vec![Vec::new()];
    let mut bytes = 0u64;
    for tensor in tensors {
        let full = most.is_some_and(|most| bytes.saturating_add(tensor.bytes()) > most);
        if full && bytes > 0 {
            shards.push(Vec::new());
            bytes = 0;
        }
        bytes += tensor.bytes();
        shards.last_mut().expect("there is one").push(tensor.clone());
    }
    shards
}

fn shard_name(path: &Path, number: usize, total: usize) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{number:05}-of-{total:05}.safetensors")
}

fn file(path: PathBuf, tensors: &[Tensor], metadata: &Map<String, Json>) -> Result<FilePlan> {
    let mut ordered = tensors.to_vec();
    ordered.sort_by_key(|t| std::cmp::Reverse(t.dtype.bits()));
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), metadata.clone().into());
    }
    let mut at = 0;
    for tensor in &ordered {
        let end = at + tensor.bytes();
        let entry = json!({"dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [at, end]});
        header.insert(tensor.name.clone(), entry);
        at = end;
    }
    let mut head = Json::Object(header).to_string().into_bytes();
    head.resize(head.len().next_multiple_of(8), b' ');
    let len = 8 + head.len() as u64 + at;
    Ok(FilePlan {
        path,
        len: Some(len),
        content: Box::new(move |output| {
            output.bytes(&(head.len() as u64).to_le_bytes())?;
            output.bytes(&head)?;
            ordered.iter().try_for_each(|tensor| output.elements(tensor, &mut |_| {}))
        }),
    })
}
