//! PyTorch files as `torch.save` writes them since 1.6: a zip with one pickle and raw storages.
//!
//! `records` finds storages in the archive, `rebuild` turns the calls that torch pickles for tensors into
//! tensors, `arrays` does so for NumPy's, `walk` goes through the pickled tree and names what it meets,
//! `modules` knows how a pickled `nn.Module` lays out its `state_dict()`, and `danger` warns of what Python
//! would run. Nothing is executed here.
//!
//! Source of the facts: what torch.save 2.15 writes, and the public behaviour of torch.load.

mod arrays;
mod danger;
mod modules;
mod names;
mod rebuild;
mod records;
mod walk;
mod write;

use weighbridge_model::{Error, Limits, Model, Result};

use crate::format::{Confidence, ReadOptions, place};
use crate::source::Source;
use crate::zip::Archive;

pub use write::write;

/// What a legacy file begins with, after its protocol: the pickled magic number 0x1950a86a20f9469cfc6c.
const LEGACY: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// What is in a zip, as far as PyTorch goes.
enum Kind {
    /// `torch.save`.
    Saved,
    /// `torch.jit.save`.
    Script,
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
        return Err(unsupported("a legacy PyTorch file (torch.save before 1.6), which is not read yet"));
    }
    if is_tar_checkpoint(&head) {
        return Err(unsupported("a PyTorch tar checkpoint (before 0.2), which is not read yet"));
    }
    if !head.starts_with(b"PK\x03\x04") && is_bare_pickle(&head) {
        return Err(unsupported("a bare Python pickle, which is not read yet"));
    }
    let archive = Archive::open(source, &options.limits)?;
    match kind(&archive) {
        Some(Kind::Saved) => {}
        Some(Kind::Script) => {
            return Err(unsupported("a TorchScript archive (torch.jit.save), which is not read yet"));
        }
        Some(Kind::Exported) => {
            return Err(unsupported("an exported program (torch.export.save, .pt2), which is not read yet"));
        }
        None => return Err(unsupported("a zip archive without a data.pkl")),
    }
    let records = records::Records::open(archive)?;
    walk::model(&records, &options.limits)
}

fn kind(archive: &Archive) -> Option<Kind> {
    let mut saved = None;
    for entry in archive.entries() {
        // One top folder of any name; what counts is below it.
        match entry.name.split_once('/').map_or("", |(_, below)| below) {
            "constants.pkl" => return Some(Kind::Script),
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
    head.first() == Some(&0x80)
        && head.iter().take(12).enumerate().any(|(i, _)| head[i..].starts_with(LEGACY))
}

fn is_tar_checkpoint(head: &[u8]) -> bool {
    let is_member = [&b"storages\0"[..], b"tensors\0", b"pickle\0", b"sys_info\0", b"./\0"];
    head.get(257..262) == Some(b"ustar") && is_member.iter().any(|name| head.starts_with(name))
}

/// A pickle of protocol 2 and up states its protocol first; what follows must be an opcode that can begin
/// an object.
fn is_bare_pickle(head: &[u8]) -> bool {
    matches!(head, [0x80, 2..=5, next, ..] if b"}]()c\x8a\x95\x8c\x8e\x8f".contains(next))
}
