//! Exported programs of `torch.export.save` (`.pt2`).
//!
//! | entry, below one top folder | content |
//! |---|---|
//! | `archive_format` | `pt2` |
//! | `models/NAME.json` | the program: a graph, and the signature that tells what its inputs are |
//! | `data/weights/NAME_weights_config.json` | for each parameter and buffer: its entry, dtype, sizes, strides, offset |
//! | `data/weights/weight_N` | a raw storage, or a file of torch.save where the configuration says `use_pickle` |
//! | `data/constants/NAME_constants_config.json`, `data/constants/tensor_N` | the same of constants and of buffers that are not persistent |
//! | `data/weights/NAME.pt`, `data/constants/NAME.pt` | in torch 2.8: dicts of torch.save instead |
//!
//! Before torch 2.8 there is no top folder: `serialized_exported_program.json`, `serialized_state_dict.pt` and
//! `serialized_constants.pt`, the latter two dicts of torch.save.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use weighbridge_model::{
    DType, Error, Model, Part, Place, Result, Role, Storage, Tensor, TensorId, Value, View,
};

use super::program::{Ordered, Program};
use super::read_saved;
use crate::format::ReadOptions;
use crate::source::Source;
use crate::zip::{Archive, Entry};

/// Most bytes of JSON that are read; it grows with the graph, not with the weights.
const MAX_JSON: u64 = 64 << 20;

/// What is kept of a tensor: `PayloadConfig`.
#[derive(Deserialize)]
struct Payloads {
    config: Ordered<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    path_name: String,
    #[serde(default)]
    is_param: bool,
    #[serde(default)]
    use_pickle: bool,
    tensor_meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    dtype: u64,
    sizes: Vec<Size>,
    strides: Vec<Size>,
    storage_offset: Size,
}

#[derive(Deserialize)]
struct Size {
    as_int: Option<i64>,
}

/// The element type of a number in the program's schema.
fn dtype(number: u64) -> Option<DType> {
    Some(match number {
        1 => DType::U8,
        2 => DType::I8,
        3 => DType::I16,
        4 => DType::I32,
        5 => DType::I64,
        6 => DType::F16,
        7 => DType::F32,
        8 => DType::F64,
        9 => DType::C32,
        10 => DType::C64,
        11 => DType::C128,
        12 => DType::Bool,
        13 => DType::BF16,
        28 => DType::U16,
        29 => DType::F8E4M3,
        30 => DType::F8E5M2,
        31 => DType::F8E4M3Fnuz,
        32 => DType::F8E5M2Fnuz,
        33 => DType::F8E8M0,
        34 => DType::U32,
        35 => DType::U64,
        _ => return None,
    })
}

/// Reads an exported program.
///
/// # Errors
/// Damage, with its place; packages that hold compiled code alone.
pub fn read(archive: &Archive, options: &ReadOptions) -> Result<Model> {
    let mut reader =
        Reader { archive, options, model: Model::default(), storages: HashMap::new(), nested: 0 };
    if let Some(entry) = archive.entry("serialized_exported_program.json") {
        let program: Program = reader.json(entry)?;
        let roles = program.roles();
        let files = [
            ("serialized_state_dict.pt", Role::Parameter, true),
            ("serialized_constants.pt", Role::Constant, false),
        ];
        for (name, role, in_state_dict) in files {
            if let Some(entry) = archive.entry(name) {
                reader.saved(entry, "", &roles, (role, in_state_dict))?;
            }
        }
        reader.finish_program(&program, 0);
        reader.model.origin = reader.origin(&program, "before 2.8");
        return Ok(reader.model);
    }
    let (root, names) = reader.models()?;
    let Some(first) = names.first() else {
        return Err(Error::Unsupported {
            place: Place::source(archive.source().name()),
            what: "a PyTorch package without an exported program, as AOTInductor writes for compiled code"
                .into(),
            help: Some("save the exported program with torch.export.save".into()),
        });
    };
    reader.check_order(&root)?;
    let mut origin = String::new();
    for name in &names {
        let entry = archive.entry(&format!("{root}models/{name}.json")).expect("was listed");
        let program: Program = reader.json(entry)?;
        let first_tensor = reader.model.tensors.len();
        let prefix = if names.len() > 1 { format!("{name}.") } else { String::new() };
        reader.weights(&root, name, &prefix, &program)?;
        if names.len() > 1 {
            let tensors = reader.model.tensors[first_tensor..].iter().map(|t| t.id).collect::<Vec<_>>();
            reader.model.parts.push(Part { key: name.clone(), tensors });
        }
        if name == first {
            origin = reader.origin(&program, "pt2");
            reader.finish_program(&program, first_tensor);
        }
    }
    reader.model.origin = origin;
    Ok(reader.model)
}

struct Reader<'a> {
    archive: &'a Archive,
    options: &'a ReadOptions,
    model: Model,
    /// Storages by entry.
    storages: HashMap<String, Arc<dyn Storage>>,
    /// Bytes of the files of torch.save that were read so far.
    nested: u64,
}

/// The role of a name, and whether `state_dict()` has it.
type Roles<'a> = HashMap<&'a str, (Role, bool)>;

impl Reader<'_> {
    fn json<T: DeserializeOwned>(&self, entry: &Entry) -> Result<T> {
        if entry.size > MAX_JSON {
            return Err(Error::Limit {
                place: self.archive.place(entry, 0),
                what: "bytes of JSON",
                asked: entry.size,
                allowed: MAX_JSON,
            });
        }
        serde_json::from_slice(&self.archive.read(entry)?)
            .map_err(|e| Error::malformed(self.archive.place(entry, 0), e.to_string()))
    }

    /// The top folder and the names of the programs.
    fn models(&self) -> Result<(String, Vec<String>)> {
        let mut root: Option<String> = None;
        let mut names = Vec::new();
        for entry in self.archive.entries() {
            let Some((folder, below)) = entry.name.split_once('/') else { continue };
            let name = below.strip_prefix("models/").and_then(|n| n.strip_suffix(".json"));
            let Some(name) = name.filter(|n| !n.contains('/')) else { continue };
            let folder = format!("{folder}/");
            if root.get_or_insert_with(|| folder.clone()) != &folder {
                let what = "exported programs below two top folders: which is meant is anyone's guess";
                return Err(Error::malformed(self.archive.place(entry, 0), what));
            }
            names.push(name.to_owned());
        }
        Ok((root.unwrap_or_default(), names))
    }

    fn check_order(&self, root: &str) -> Result<()> {
        let Some(entry) = self.archive.entry(&format!("{root}byteorder")) else { return Ok(()) };
        if entry.size <= 16 && self.archive.read(entry)?.trim_ascii() == b"little" {
            return Ok(());
        }
        let what = "an exported program that is not little-endian";
        Err(Error::unsupported(self.archive.place(entry, 0), what))
    }

    /// Weights, then constants.
    fn weights(&mut self, root: &str, name: &str, prefix: &str, program: &Program) -> Result<()> {
        let roles = program.roles();
        for (folder, otherwise) in [("weights", None), ("constants", Some((Role::Constant, false)))] {
            let config = self.archive.entry(&format!("{root}data/{folder}/{name}_{folder}_config.json"));
            if let Some(config) = config {
                let payloads: Payloads = self.json(config)?;
                for (tensor, payload) in &payloads.config.0 {
                    let plain = if payload.is_param { Role::Parameter } else { Role::Buffer };
                    let known = roles.get(tensor.as_str()).copied();
                    let role = known.or(otherwise).unwrap_or((plain, true));
                    let path = format!("{root}data/{folder}/{}", payload.path_name);
                    self.payload(&path, &format!("{prefix}{tensor}"), payload, role)?;
                }
            } else if let Some(entry) = self.archive.entry(&format!("{root}data/{folder}/{name}.pt")) {
                self.saved(entry, prefix, &roles, otherwise.unwrap_or((Role::Parameter, true)))?;
            }
        }
        Ok(())
    }

    fn payload(&mut self, path: &str, name: &str, payload: &Payload, role: (Role, bool)) -> Result<()> {
        let entry = self.archive.entry(path).ok_or_else(|| {
            let what = format!("no entry '{}', which the configuration names", path.escape_debug());
            Error::malformed(Place::source(self.archive.source().name()).tensor(name), what)
        })?;
        let place = Place { offset: None, ..self.archive.place(entry, 0) };
        let Some(meta) = payload.tensor_meta.as_ref().filter(|_| !payload.use_pickle) else {
            // One tensor by torch.save, or an object of a class of its own.
            if payload.tensor_meta.is_some() {
                let found = read_saved(&self.inner(entry)?, self.options)?;
                self.take(found, |inner| join(name, inner), |_| role);
            }
            return Ok(());
        };
        let fault = |what: &str| Error::malformed(place.clone().tensor(name), what);
        let dtype = dtype(meta.dtype).ok_or_else(|| {
            Error::unsupported(
                place.clone().tensor(name),
                format!("element type {} of torch.export", meta.dtype),
            )
        })?;
        let whole = |size: &Size| size.as_int.ok_or_else(|| fault("a size that is no number"));
        let unsigned = |size: &Size| u64::try_from(whole(size)?).map_err(|_| fault("a negative size"));
        if meta.sizes.len() > self.options.limits.dims {
            return Err(fault("more dimensions than any tensor has"));
        }
        let shape = meta.sizes.iter().map(unsigned).collect::<Result<Vec<_>>>()?;
        let strides = meta.strides.iter().map(whole).collect::<Result<Vec<_>>>()?;
        let view = View { offset: unsigned(&meta.storage_offset)?, strides };
        let storage = match self.storages.get(path) {
            Some(storage) => storage.clone(),
            None => self.archive.storage(entry)?,
        };
        self.storages.insert(path.to_owned(), storage.clone());
        let tensor = Tensor::strided(name, dtype, shape, view, storage, &place)?;
        self.push(tensor, role)
    }

    /// A dict of torch.save in an entry.
    fn saved(
        &mut self,
        entry: &Entry,
        prefix: &str,
        roles: &Roles<'_>,
        otherwise: (Role, bool),
    ) -> Result<()> {
        if entry.size == 0 {
            return Ok(());
        }
        let found = read_saved(&self.inner(entry)?, self.options)?;
        self.take(
            found,
            |inner| format!("{prefix}{inner}"),
            |inner| roles.get(inner).copied().unwrap_or(otherwise),
        );
        Ok(())
    }

    fn take(&mut self, found: Model, name: impl Fn(&str) -> String, role: impl Fn(&str) -> (Role, bool)) {
        for tensor in found.tensors {
            let (role, in_state_dict) = role(&tensor.name);
            let is_plain = tensor.role == Role::Parameter || tensor.role == Role::Buffer;
            let role = if is_plain { role } else { tensor.role };
            let in_state_dict = in_state_dict && tensor.in_state_dict;
            let tensor = Tensor { name: name(&tensor.name), in_state_dict, ..tensor };
            self.model.push(tensor.with_role(role, false));
        }
        self.model.findings.extend(found.findings);
    }

    fn push(&mut self, tensor: Tensor, (role, in_state_dict): (Role, bool)) -> Result<()> {
        self.model.push(Tensor { in_state_dict, ..tensor.with_role(role, false) });
        Ok(())
    }

    /// An entry as a source of its own. All together are no longer than the archive, but for some that are deflated:
    /// more are one entry read again and again.
    fn inner(&mut self, entry: &Entry) -> Result<Source> {
        let source = self.archive.source();
        let allowed = source.len().saturating_add(MAX_JSON);
        self.nested = self.nested.saturating_add(entry.size);
        if self.nested > allowed {
            let place = self.archive.place(entry, 0);
            let what = "bytes of files within the archive";
            return Err(Error::Limit { place, what, asked: self.nested, allowed });
        }
        let name = format!("{}: {}", source.name(), entry.name);
        match self.archive.stored_at(entry)? {
            Some(at) => source.part(name, at, entry.size),
            None => Ok(Source::memory(name, self.archive.read(entry)?.into_owned())),
        }
    }

    fn origin(&self, program: &Program, form: &str) -> String {
        let version = program.torch_version.as_deref().map(|v| format!(", torch {v}")).unwrap_or_default();
        format!("torch.export.save ({form}{version})")
    }

    /// The graph, and what else the program tells.
    fn finish_program(&mut self, program: &Program, first: usize) {
        let by_name: HashMap<&str, TensorId> =
            self.model.tensors[first..].iter().rev().map(|t| (t.name.as_str(), t.id)).collect();
        self.model.graph = Some(program.graph(|name| by_name.get(name).copied()));
        let opsets =
            program.opset_version.0.iter().map(|(k, v)| (k.clone(), Value::Int(*v))).collect::<Vec<_>>();
        let entries = [
            ("torch_version", program.torch_version.clone().map(Value::Str)),
            ("opset", (!opsets.is_empty()).then_some(Value::Map(opsets))),
        ];
        let entries = entries.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?)));
        self.model.metadata.extend(entries);
    }
}

/// Names of what is within a tensor's own file: nothing, or parts of it.
fn join(name: &str, inner: &str) -> String {
    match inner {
        "" => name.to_owned(),
        inner => format!("{name}.{inner}"),
    }
}
