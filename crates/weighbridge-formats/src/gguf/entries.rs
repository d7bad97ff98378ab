//! Metadata on its way into a file: that of GGUF files as their bytes tell, that of others as far as GGUF has types.

use std::collections::HashSet;

use weighbridge_model::{Model, Result, Value};

use super::cursor::{Cursor, Version};
use super::values::Kind;
use super::{DEFAULT_ALIGNMENT, types};
use crate::plan::{Change, Plan};
use crate::source::Source;

/// What the header of a file tells beside its tensors, as version 3 spells it.
pub(super) struct Entries {
    /// Key, and type and value encoded.
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) alignment: u64,
}

const ALIGNMENT: &str = "general.alignment";

impl Entries {
    /// Those of a model; the plan is told what is left out and what is added.
    ///
    /// # Errors
    /// A failed read of a file's header.
    pub(super) fn of(model: &Model, plan: &mut Plan) -> Result<Entries> {
        match model.headers.is_empty() {
            false => kept(model, plan),
            true => Ok(made(model, plan)),
        }
    }

    /// How many there are, and their bytes; for part `no` of `count` with so many tensors in all, only what it needs.
    pub(super) fn bytes(&self, part: Option<(u16, u16, usize)>) -> (u64, Vec<u8>) {
        let (mut count, mut out) = (0, Vec::new());
        let mut push = |key: &[u8], value: &[u8]| {
            count += 1;
            text(&mut out, key);
            out.extend(value);
        };
        for (key, value) in &self.entries {
            if part.is_none_or(|(no, ..)| no == 0) || key == ALIGNMENT.as_bytes() {
                push(key, value);
            }
        }
        if let Some((no, all, tensors)) = part {
            push(b"split.no", &of_kind(Kind::U16, &no.to_le_bytes()));
            push(b"split.count", &of_kind(Kind::U16, &all.to_le_bytes()));
            push(b"split.tensors.count", &of_kind(Kind::I32, &(tensors as i32).to_le_bytes()));
        }
        (count, out)
    }
}

/// The entries of GGUF files, in their types and order; those that say how files were split are made anew.
fn kept(model: &Model, plan: &mut Plan) -> Result<Entries> {
    let (mut entries, mut seen) = (Vec::new(), HashSet::new());
    for header in &model.headers {
        let mut bytes = Vec::with_capacity(header.len() as usize);
        header.visit(0..header.len(), &mut |_, chunk| {
            bytes.extend(chunk);
            Ok(())
        })?;
        let source = Source::memory("GGUF header", bytes);
        let mut cursor = Cursor::new(&source, Version::of(&source)?, 8);
        cursor.wide()?;
        for _ in 0..cursor.wide()? {
            let len = cursor.wide()?;
            let key = cursor.take(len)?.to_vec();
            let mut value = Vec::new();
            let kind = Kind::read(&mut cursor)?;
            value.extend((kind as u32).to_le_bytes());
            spell(&mut cursor, kind, &mut value)?;
            if !key.starts_with(b"split.") && seen.insert(key.clone()) {
                entries.push((key, value));
            }
        }
    }
    let file_type = model.metadata("general.file_type").and_then(Value::as_int);
    if let Some(name) = file_type.and_then(types::of_file) {
        let family = |name: &str| name.split('_').next().unwrap_or_default().to_owned();
        let is_met = model.tensors.iter().any(|t| family(t.dtype.name()) == family(name));
        if !is_met && !model.tensors.is_empty() {
            entries.retain(|(key, _)| key != b"general.file_type");
            let why = format!("metadata: it says that most tensors are {name}, and none is");
            plan.dropped.push(Change::new("general.file_type", why));
        }
    }
    // Reading checked it.
    let alignment = model.metadata(ALIGNMENT).and_then(Value::as_int);
    Ok(Entries { entries, alignment: alignment.map_or(DEFAULT_ALIGNMENT, |n| n as u64) })
}

/// Writes the value that follows as version 3 does.
fn spell(cursor: &mut Cursor<'_>, kind: Kind, out: &mut Vec<u8>) -> Result<()> {
    match (kind, kind.width()) {
        (_, Some(1)) => out.extend(cursor.number::<1>()?),
        (_, Some(2)) => out.extend(cursor.number::<2>()?),
        (_, Some(4)) => out.extend(cursor.number::<4>()?),
        (_, Some(_)) => out.extend(cursor.number::<8>()?),
        (Kind::Array, _) => {
            let kind = Kind::read(cursor)?;
            let count = cursor.wide()?;
            out.extend((kind as u32).to_le_bytes());
            out.extend(count.to_le_bytes());
            // Reading bounded the count and the depth.
            for _ in 0..count {
                spell(cursor, kind, out)?;
            }
        }
        _ => {
            let len = cursor.wide()?;
            text(out, cursor.take(len)?);
        }
    }
    Ok(())
}

/// What another format's model has that GGUF has a type for, under the format's name; and the one key that every file
/// must have.
fn made(model: &Model, plan: &mut Plan) -> Entries {
    let why = "GGUF asks for one, and the source names none";
    plan.added.push(Change::new("general.architecture", format!("'unknown': {why}")));
    let mut unknown = Vec::new();
    text(&mut unknown, b"unknown");
    let mut entries = vec![(b"general.architecture".to_vec(), of_kind(Kind::Text, &unknown))];
    let mut seen = HashSet::new();
    for (key, value) in &model.metadata {
        let full = format!("{}.{key}", model.format).into_bytes();
        let fits = full.len() <= usize::from(u16::MAX) && !seen.contains(&full);
        match encoded(value).filter(|_| fits) {
            Some((kind, bytes)) => {
                seen.insert(full.clone());
                entries.push((full, of_kind(kind, &bytes)));
            }
            None => plan.dropped.push(Change::new(key, "metadata, for which GGUF has no type")),
        }
    }
    Entries { entries, alignment: DEFAULT_ALIGNMENT }
}

/// A plain value, or a list of values of one type.
fn encoded(value: &Value) -> Option<(Kind, Vec<u8>)> {
    Some(match value {
        Value::Bool(b) => (Kind::Bool, vec![u8::from(*b)]),
        Value::Int(i) => (Kind::I64, i.to_le_bytes().to_vec()),
        Value::Float(x) => (Kind::F64, x.to_le_bytes().to_vec()),
        Value::Str(words) => {
            let mut bytes = Vec::new();
            text(&mut bytes, words.as_bytes());
            (Kind::Text, bytes)
        }
        Value::List(items) => {
            let items = items.iter().map(encoded).collect::<Option<Vec<_>>>()?;
            let kind = items.first()?.0;
            if kind == Kind::Array || items.iter().any(|(k, _)| *k != kind) {
                return None;
            }
            let mut bytes = (kind as u32).to_le_bytes().to_vec();
            bytes.extend((items.len() as u64).to_le_bytes());
            bytes.extend(items.into_iter().flat_map(|(_, bytes)| bytes));
            (Kind::Array, bytes)
        }
        _ => return None,
    })
}

fn of_kind(kind: Kind, value: &[u8]) -> Vec<u8> {
    let mut bytes = (kind as u32).to_le_bytes().to_vec();
    bytes.extend(value);
    bytes
}

/// Text behind its length.
pub(super) fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}
