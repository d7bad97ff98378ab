//! PyTorch files, of every age and kind.
//!
//! | what begins or is in the file | module |
//! |---|---|
//! | a zip with one `data.pkl` and raw storages: `torch.save` since 1.6 | `archive` |
//! | pickles in a row, the first of them a magic number: before 1.6 | `legacy` |
//! | a tar with `storages`, `tensors` and `pickle`: before 0.2 | `tarred` |
//! | a zip with `constants.pkl` too: TorchScript | `script` |
//! | a zip with the JSON of a program: `.pt2` of `torch.export.save` | `exported`, `program` |
//! | one pickle, with arrays in it: `pickle.dump` | `records` |
//!
//! Each says where its storages are, as `Records`. From there on all are the same: `rebuild` turns the calls that
//! torch pickles for tensors into tensors, `arrays` does so for NumPy's, `sparse` makes dense ones of sparse ones,
//! `walk` goes through the pickled tree and names what it meets, `modules` knows how a pickled `nn.Module` lays out its
//! `state_dict()`, and `danger` warns of what Python would run. Nothing is executed here.
//!
//! Source of the facts: what torch.save, torch.jit.save and torch.export.save of 2.15 write, and the public
//! behaviour of torch.load.

mod archive;
mod arrays;
mod danger;
mod exported;
mod legacy;
mod modules;
mod names;
mod program;
mod rebuild;
mod records;
mod script;
mod sparse;
mod tarred;
mod walk;
mod wrapped;
mod write;

use weighbridge_model::{Error, Limits, Model, Result};

use crate::format::{Confidence, ReadOptions, place};
use crate::source::Source;
use crate::tar;
use crate::zip::Archive;
use archive::Saved;
use records::{Bare, Records, Verbatim};

pub use write::write;

/// What a legacy file begins with, after its protocol: the pickled magic number 0x1950a86a20f9469cfc6c.
const LEGACY: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// The same in protocols 0 and 1.
const LEGACY_TEXT: &[u8] = b"L119547037146038801333356L\n.";

/// What is in a zip, as far as PyTorch goes.
enum Kind {
    /// `torch.save`.
    Saved,
    /// `torch.jit.save`.
    Script,
    /// `torch.jit.save` in its first form.
    OldScript,
    /// `torch.export.save`.
    Exported,
}

/// Looks for a zip with a `data.pkl`, and for the other things that PyTorch has written.
///
/// # Errors
/// A failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    let head = source.prefix(0, 512)?;
    if is_legacy(&head) || is_tar_checkpoint(&head) {
        return Ok(Some(Confidence::Certain));
    }
    if let Ok(archive) = Archive::open(source, &Limits::default()) {
        return Ok(kind(&archive).map(|_| Confidence::Certain));
    }
    // A cut-off archive has no directory, and still begins with the header of its first entry.
    let names_pickle = head.starts_with(b"PK\x03\x04") && head.windows(9).any(|w| w == b"/data.pkl");
    Ok(if names_pickle {
        Some(Confidence::Certain)
    } else if is_bare_pickle(&head) {
        Some(Confidence::Plausible)
    } else {
        None
    })
}

/// Reads a file that [`sniff`] takes for one of ours.
///
/// # Errors
/// What PyTorch has written in other forms, by name; damage, with its place.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    let unsupported = |what: &str| Error::Unsupported {
        place: place(source),
        what: what.into(),
        help: Some("load it in PyTorch and torch.save its state_dict(), or export it to safetensors".into()),
    };
    let head = source.prefix(0, 512)?;
    if is_legacy(&head) {
        let (records, bytes, pickle) = legacy::open(source, 0..source.len(), &options.limits)?;
        let order = if records.big_endian() { ", big-endian" } else { "" };
        let origin = format!("torch.save legacy (before 1.6), pickle protocol {}{order}", pickle.protocol);
        return described(walk::model(&records, &bytes, &pickle, &options.limits), origin);
    }
    if is_tar_checkpoint(&head) {
        let (records, bytes, pickle) = tarred::open(source, &options.limits)?;
        let origin = format!("torch.save tar (before 0.2), pickle protocol {}", pickle.protocol);
        return described(walk::model(&records, &bytes, &pickle, &options.limits), origin);
    }
    if !head.starts_with(b"PK\x03\x04") && is_bare_pickle(&head) {
        let (bytes, pickle) = records::pickle_at(source, 0, source.len(), &options.limits)?;
        let records = Bare(Verbatim { source: source.clone(), at: 0 });
        let origin = format!("Python pickle, protocol {}", pickle.protocol);
        return described(walk::model(&records, &bytes, &pickle, &options.limits), origin);
    }
    let archive = Archive::open(source, &options.limits)?;
    match kind(&archive) {
        Some(Kind::Saved) => saved(&archive, options),
        Some(Kind::Script) => script::read(&archive, options),
        Some(Kind::OldScript) => {
            Err(unsupported("a TorchScript archive of torch before 1.4 (model.json), which is not read"))
        }
        Some(Kind::Exported) => exported::read(&archive, options),
        None => Err(unsupported("a zip archive without a data.pkl")),
    }
}

/// Reads a file of torch.save that stands within another file.
fn read_saved(source: &Source, options: &ReadOptions) -> Result<Model> {
    if is_legacy(&source.prefix(0, 512)?) {
        return read(source, options);
    }
    let archive = Archive::open(source, &options.limits)?;
    match kind(&archive) {
        Some(Kind::Saved) => saved(&archive, options),
        _ => Err(Error::malformed(place(source), "not a file of torch.save")),
    }
}

/// The same model, with a line on who wrote it.
fn described(model: Result<Model>, origin: String) -> Result<Model> {
    model.map(|model| Model { origin, ..model })
}

/// A zip of `torch.save`.
fn saved(archive: &Archive, options: &ReadOptions) -> Result<Model> {
    let records = Saved::open(archive)?;
    let bytes = records.pickle()?;
    let pickle = records.interpret(&bytes, &options.limits)?;
    let mut model = walk::model(&records, &bytes, &pickle, &options.limits)?;
    let version = records.version.as_deref().map(|v| format!(", version {v}")).unwrap_or_default();
    let order = if records.big_endian() { ", big-endian" } else { "" };
    model.origin = format!("torch.save zip{version}, pickle protocol {}{order}", pickle.protocol);
    model.findings.extend(records.damage(&bytes));
    Ok(model)
}

fn kind(archive: &Archive) -> Option<Kind> {
    let mut saved = None;
    for entry in archive.entries() {
        // One top folder of any name; what counts is below it.
        match entry.name.split_once('/').map_or("", |(_, below)| below) {
            "constants.pkl" => return Some(Kind::Script),
            "model.json" => return Some(Kind::OldScript),
            "models/model.json" | "archive_format" => return Some(Kind::Exported),
            "data.pkl" => saved = Some(Kind::Saved),
            _ if entry.name == "data.pkl" => saved = Some(Kind::Saved),
            _ if entry.name == "serialized_exported_program.json" => return Some(Kind::Exported),
            _ => {}
        }
    }
    saved
}

fn is_legacy(head: &[u8]) -> bool {
    // Protocols 4 and 5 have a frame before it.
    head.starts_with(LEGACY_TEXT)
        || head.first() == Some(&0x80)
            && head.iter().take(12).enumerate().any(|(i, _)| head[i..].starts_with(LEGACY))
}

fn is_tar_checkpoint(head: &[u8]) -> bool {
    let is_member = [&b"storages\0"[..], b"tensors\0", b"pickle\0", b"sys_info\0", b"./\0"];
    tar::is_tar(head) && is_member.iter().any(|name| head.starts_with(name))
}

/// A pickle of protocol 2 and up states its protocol first; what follows must be an opcode that can begin
/// an object.
fn is_bare_pickle(head: &[u8]) -> bool {
    matches!(head, [0x80, 2..=5, next, ..] if b"}]()c\x8a\x95\x8c\x8e\x8f".contains(next))
}
