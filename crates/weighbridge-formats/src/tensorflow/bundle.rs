//! Checkpoints ("tensor bundles"): an index from keys to places, and shards of bytes beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weighbridge_model::{
    Error, Finding, Layout, Limits, Memory, Model, PerUnit, Place, Result, Role, Severity, Storage, Tensor,
    TensorId, Value, element_count,
};

use super::slices::{self, Joined, Part, Slice};
use super::types::{self, Type};
use super::{crc, objects, pack, shape, table};
use crate::format::ReadOptions;
use crate::protobuf::Message;
use crate::refused::Refused;
use crate::source::Source;

/// Key of the graph of Python objects.
const OBJECTS: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";

/// What a checkpoint of the first version begins its header with: a message, where later ones have a number.
const FIRST_VERSION: u8 = 1 << 3 | 2;

/// Most shards that there are.
const SHARDS: i64 = 100_000;

/// What an entry of the index says.
#[derive(Default)]
struct Entry {
    dtype: i64,
    shape: Vec<u64>,
    shard: i64,
    offset: i64,
    size: i64,
    slices: Vec<Slice>,
}

/// The tensors of a checkpoint in a model, by the keys that restoring asks for.
#[derive(Default)]
pub(super) struct Keys(pub HashMap<String, TensorId>);

/// Reads an index, and finds the tensors in its shards.
///
/// # Errors
/// An index that contradicts itself, entries that leave their shards.
pub(super) fn read(source: &Source, options: &ReadOptions, model: &mut Model) -> Result<Keys> {
    let limits = &options.limits;
    let entries = table::read(source, limits)?;
    let header = match entries.first() {
        Some(first) if first.key.is_empty() => &first.value,
        _ => {
            return Err(Error::malformed(
                source.place(0),
                "a table without a checkpoint's header under the empty key",
            ));
        }
    };
    if header.first() == Some(&FIRST_VERSION) {
        return Err(Error::Unsupported {
            place: source.place(0),
            what: "a checkpoint of TensorFlow's first version (V1), which holds its tensors itself".into(),
            help: Some(
                "load it in TensorFlow, and save it with write_version=tf.compat.v1.train.SaverDef.V2".into(),
            ),
        });
    }
    let mut shards = Shards::new(source, header, options)?;
    let mut read = Vec::new();
    let mut found: HashMap<&[u8], usize> = HashMap::new();
    for (i, entry) in entries.iter().enumerate().skip(1) {
        found.insert(&entry.key, i);
        let shown = String::from_utf8_lossy(&entry.key);
        read.push(Entry::read(source, &shown, &entry.value, limits)?);
    }
    let at = |key: &[u8]| found.get(key).map(|&i| &read[i - 1]);
    let plain = || entries.iter().zip(0..).skip(1).filter(|(e, _)| e.key[0] != 0);
    let known = match at(OBJECTS.as_bytes()) {
        Some(entry) => shards.text(entry)?.map(|text| object_graph(source, text, limits)).transpose()?,
        None => None,
    };
    let keys: Vec<String> = plain()
        .map(|(entry, _)| String::from_utf8_lossy(&entry.key).into_owned())
        .filter(|key| key != OBJECTS)
        .collect();
    let known = known.unwrap_or_default();
    let names = objects::names(&keys, &known);
    let mut result = Keys::default();
    let mut renamed = Vec::new();
    let tensors = plain().filter(|(raw, _)| raw.key != OBJECTS.as_bytes()).zip(keys.iter().zip(&names));
    let mut tensors: Vec<_> = tensors.collect();
    // The index sorts keys as text, `10` before `2`; the objects stand in the order in which they were met.
    tensors.sort_by_key(|(_, (key, _))| known.get(*key).map_or(usize::MAX, |k| k.order));
    for ((raw, i), (key, name)) in tensors {
        let entry = &read[i - 1];
        let place = Place::source(source.name()).tensor(name);
        let kind = types::of(entry.dtype, &place)?;
        let tensors = match kind.dtype.bits() {
            0 => vec![text(name, entry, shards.storage(entry, &place)?, &place)?],
            _ if entry.slices.is_empty() => vec![shards.tensor(name, entry, kind, &place)?],
            _ => shards.partitioned(name, &raw.key, entry, kind, &at, &place)?,
        };
        let role = objects::role(key, known.get(key));
        for tensor in tensors {
            let opaque = (kind.dtype.bits() == 0).then_some(Role::Other);
            let role =
                role.or(opaque).or_else(|| objects::role_by_name(name, |n| at(n.as_bytes()).is_some()));
            let mut tensor = match role {
                Some(role) => tensor.with_role(role, false),
                None => tensor,
            };
            tensor.in_state_dict &= !known.get(key).is_some_and(|k| k.copy);
            let id = model.push(tensor);
            result.0.insert(key.clone(), id);
        }
        if name != objects::path(key) {
            renamed.push((name.clone(), Value::Str(objects::path(key).to_owned())));
        }
    }
    model.metadata.push(("shards".into(), Value::Int(shards.count)));
    if shards.swapped {
        model.metadata.push(("byte order".into(), Value::Str("big".into())));
    }
    if !renamed.is_empty() {
        // Names are the variables' own; these are the paths of objects that they are kept under.
        model.metadata.push(("paths".into(), Value::Map(renamed)));
    }
    let opened = shards.open.values().flatten().chain([source]);
    model.files.extend(opened.filter_map(|s| s.path().map(Path::to_owned)));
    model.files.sort();
    shards.report(model);
    Ok(result)
}

fn object_graph(source: &Source, bytes: Vec<u8>, limits: &Limits) -> Result<HashMap<String, objects::Known>> {
    let name = format!("{}, {OBJECTS}", source.name());
    let inner = Source::memory(name, bytes);
    objects::read(&Message::whole(&inner, 8), limits)
}

/// Strings, resources and variants: listed, and opaque.
fn text(name: &str, entry: &Entry, storage: Arc<dyn Storage>, place: &Place) -> Result<Tensor> {
    if element_count(&entry.shape).is_none() {
        let what = format!("shape {:?} has more elements than can be counted", entry.shape);
        return Err(Error::malformed(place.clone(), what));
    }
    let mut tensor = Tensor::contiguous(name, weighbridge_model::DType::Str, vec![0], storage, place)?;
    (tensor.shape, tensor.layout) = (entry.shape.clone(), Layout::Opaque);
    Ok(tensor)
}

impl Entry {
    fn read(source: &Source, key: &str, value: &[u8], limits: &Limits) -> Result<Entry> {
        let inner = Source::memory(format!("{}, entry '{}'", source.name(), key.escape_debug()), value);
        let mut entry = Entry::default();
        for field in Message::whole(&inner, 8).fields() {
            let field = field?;
            match field.number {
                1 => entry.dtype = field.int()?,
                2 => {
                    let place = field.place();
                    entry.shape = shape::read(&field.message()?, limits)?.known().ok_or_else(|| {
                        Error::malformed(place, "a shape that is not known, of a tensor that is")
                    })?;
                }
                3 => entry.shard = field.int()?,
                4 => entry.offset = field.int()?,
                5 => entry.size = field.int()?,
                7 => entry.slices.push(Slice::read(&field.message()?, limits.dims)?),
                _ => {}
            }
        }
        if entry.size < 0 || entry.offset < 0 {
            let what = format!("{} bytes at offset {}", entry.size, entry.offset);
            return Err(Error::malformed(inner.place(0), what));
        }
        Ok(entry)
    }
}

/// The files that hold the bytes.
struct Shards<'a> {
    index: &'a Source,
    options: &'a ReadOptions,
    count: i64,
    swapped: bool,
    open: HashMap<i64, Option<Source>>,
    missing: Vec<String>,
}

impl<'a> Shards<'a> {
    fn new(index: &'a Source, header: &[u8], options: &'a ReadOptions) -> Result<Self> {
        let inner = Source::memory(format!("{}, header", index.name()), header);
        let (mut count, mut order) = (0, 0);
        for field in Message::whole(&inner, 8).fields() {
            let field = field?;
            match field.number {
                1 => count = field.int()?,
                2 => order = field.int()?,
                _ => {}
            }
        }
        if !(1..SHARDS).contains(&count) {
            return Err(Error::malformed(inner.place(0), format!("a checkpoint of {count} shards")));
        }
        if !(0..=1).contains(&order) {
            return Err(Error::malformed(
                inner.place(0),
                format!("byte order {order}, where 0 is little and 1 big"),
            ));
        }
        Ok(Shards { index, options, count, swapped: order == 1, open: HashMap::new(), missing: Vec::new() })
    }

    fn name(&self, shard: i64) -> String {
        let stem = self.index.path().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
        let stem = stem.unwrap_or_else(|| self.index.name().to_owned());
        let stem = stem.strip_suffix(".index").unwrap_or(&stem);
        format!("{stem}.data-{shard:05}-of-{:05}", self.count)
    }

    /// The shard's file; `None` where it is not there.
    fn source(&mut self, shard: i64, place: &Place) -> Result<Option<Source>> {
        if !(0..self.count).contains(&shard) {
            let what = format!("shard {shard} of {}", self.count);
            return Err(Error::malformed(place.clone(), what));
        }
        if let Some(source) = self.open.get(&shard) {
            return Ok(source.clone());
        }
        let name = self.name(shard);
        let source = match self.index.folder().map(|folder| folder.join(&name)) {
            Some(path) if path.exists() => {
                confined(&path, self.index.path())
                    .map_err(|what| Error::malformed(place.clone(), format!("its shard '{name}' {what}")))?;
                Some(Source::open(&path, self.options.access)?)
            }
            _ => None,
        };
        if source.is_none() {
            self.missing.push(name);
        }
        self.open.insert(shard, source.clone());
        Ok(source)
    }

    /// The bytes of an entry, as they stand.
    fn storage(&mut self, entry: &Entry, place: &Place) -> Result<Arc<dyn Storage>> {
        let (offset, size) = (entry.offset as u64, entry.size as u64);
        let Some(source) = self.source(entry.shard, place)? else {
            let what =
                format!("its bytes are in '{}', which is not beside the index", self.name(entry.shard));
            let help = "fetch the checkpoint's shards into the folder of its index";
            return Ok(Arc::new(Refused::new(size, place.clone(), what, help)));
        };
        if offset.checked_add(size).is_none_or(|end| end > source.len()) {
            let (name, len) = (source.name(), source.len());
            let what = format!("needs {size} bytes at offset {offset} of {name}, which has {len}");
            return Err(Error::malformed(place.clone(), what));
        }
        source.storage(offset, size)
    }

    /// The elements of an entry, which its size must fit, in the host's byte order.
    fn elements(&mut self, entry: &Entry, count: u64, kind: Type, place: &Place) -> Result<Arc<dyn Storage>> {
        let asked = count.checked_mul(kind.width);
        if asked != Some(entry.size as u64) {
            let (dtype, has) = (kind.dtype, entry.size);
            let what = format!(
                "{dtype} {:?} takes {} bytes, and it has {has}",
                entry.shape,
                asked.unwrap_or(u64::MAX)
            );
            return Err(Error::malformed(place.clone(), what));
        }
        let storage = self.storage(entry, place)?;
        Ok(match self.swapped && kind.width > 1 {
            true => Arc::new(PerUnit::swapped(storage, kind.dtype.swap_width())),
            false => storage,
        })
    }

    fn tensor(&mut self, name: &str, entry: &Entry, kind: Type, place: &Place) -> Result<Tensor> {
        let count = element_count(&entry.shape).unwrap_or(u64::MAX);
        let storage = pack::packed(self.elements(entry, count, kind, place)?, kind.dtype);
        Tensor::contiguous(name, kind.dtype, entry.shape.clone(), storage, place)
    }

    /// A partitioned variable, as the whole that its slices make.
    fn partitioned<'e>(
        &mut self,
        name: &str,
        key: &[u8],
        whole: &Entry,
        kind: Type,
        at: &impl Fn(&[u8]) -> Option<&'e Entry>,
        place: &Place,
    ) -> Result<Vec<Tensor>> {
        let fault = |what: String| Error::malformed(place.clone(), what);
        let mut parts = Vec::new();
        for slice in &whole.slices {
            let text = slice.text();
            let entry =
                at(&slice.key(key)).ok_or_else(|| fault(format!("its slice {text} is not in the index")))?;
            let extents = slice
                .within(&whole.shape)
                .ok_or_else(|| fault(format!("a slice {text}, which is none of {:?}", whole.shape)))?;
            let shape: Vec<u64> = extents.iter().map(|e| e.1).collect();
            if entry.shape != shape || entry.dtype != whole.dtype {
                return Err(fault(format!("its slice {text} has another shape or type than its place")));
            }
            let count = element_count(&shape).unwrap_or(u64::MAX);
            parts.push((text, shape, Part { extents, storage: self.elements(entry, count, kind, place)? }));
        }
        let gathered = parts.iter().all(|(.., part)| part.storage.can_seek());
        if gathered && parts.len() <= slices::MOST {
            let parts = parts.into_iter().map(|p| p.2).collect();
            let joined: Arc<dyn Storage> =
                Arc::new(Joined::new(whole.shape.clone(), kind.width, parts).map_err(fault)?);
            let storage = pack::packed(joined, kind.dtype);
            return Ok(vec![Tensor::contiguous(name, kind.dtype, whole.shape.clone(), storage, place)?]);
        }
        let each = |(text, shape, part): (String, Vec<u64>, Part)| {
            let storage = pack::packed(part.storage, kind.dtype);
            Tensor::contiguous(format!("{name}[{text}]"), kind.dtype, shape, storage, place)
        };
        parts.into_iter().map(each).collect()
    }

    /// The bytes of a single string: its length, the checksum of that, and what it says. `None` where its shard is not
    /// there.
    fn text(&mut self, entry: &Entry) -> Result<Option<Vec<u8>>> {
        let place = Place::source(self.index.name()).tensor(OBJECTS);
        let (asked, allowed) = (entry.size as u64, self.options.limits.header_bytes);
        if asked > allowed {
            return Err(Error::Limit { place, what: "bytes of an object graph", asked, allowed });
        }
        let Some(source) = self.source(entry.shard, &place)? else { return Ok(None) };
        let bytes = source.window(entry.offset as u64, asked).map_err(|e| e.in_tensor(OBJECTS))?;
        let mut cursor = table::Cursor { bytes: &bytes, at: 0 };
        let swapped = self.swapped;
        let text = cursor.varint().and_then(|len| {
            // The checksum is of the lengths as fixed numbers.
            let said = cursor.take(4)?;
            let is = match u32::try_from(len) {
                Ok(short) => crc::masked(&short.to_le_bytes()),
                Err(_) => crc::masked(&len.to_le_bytes()),
            };
            (swapped || said == is.to_le_bytes()).then_some(())?;
            cursor.take(len)
        });
        match text {
            Some(text) => Ok(Some(text.to_vec())),
            None => {
                Err(Error::malformed(place, "a string whose length or its checksum does not fit its bytes"))
            }
        }
    }

    /// Says which shards are not there.
    fn report(self, model: &mut Model) {
        let Some(first) = self.missing.first() else { return };
        let (missing, count) = (self.missing.len(), self.count);
        let message = format!("{missing} of {count} shards are not beside the index, '{first}' first");
        let help =
            "the tensors in them are listed and cannot be measured; fetch the files into the index's folder";
        model.findings.push(Finding::new("T101", Severity::Error, message, help));
    }
}

/// Whether a file stays in the folder of the index, or where that is a link, in the folder that it leads to.
fn confined(path: &Path, index: Option<&Path>) -> Result<PathBuf, String> {
    let real = |path: &Path| path.canonicalize().map_err(|e| format!("cannot be found: {e}"));
    let file = real(path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let linked = index.and_then(|index| index.canonicalize().ok());
    let beside_link = linked.is_some_and(|index| index.parent() == file.parent());
    match file.starts_with(real(folder)?) || beside_link {
        true => Ok(file),
        false => Err(format!("is a link to {}, outside of the checkpoint's folder", file.display())),
    }
}

/// The index of the checkpoint that a path is a shard or the prefix of, where there is one.
pub(super) fn index_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = match name.rsplit_once(".data-") {
        Some((stem, numbers)) => {
            let (shard, count) = numbers.split_once("-of-")?;
            let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|b| b.is_ascii_digit());
            (is_number(shard) && is_number(count)).then_some(stem)?
        }
        None => name,
    };
    let index = path.with_file_name(format!("{stem}.index"));
    index.is_file().then_some(index)
}

/// A storage of no bytes, for what has none.
pub(super) fn nothing() -> Arc<dyn Storage> {
    Arc::new(Memory::new([]))
}
