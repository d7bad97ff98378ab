//! Telling Caffe's files from everything else: none has a magic number, so structure must do.

use weighbridge_model::Result;

use super::{hdf5, text};
use crate::format::Confidence;
use crate::protobuf::{Field, Message, Wire};
use crate::source::Source;

/// Fields looked at on the top level of a binary file.
const FIELDS: usize = 1 << 12;

/// Fields of a layer looked at.
const LAYER_FIELDS: usize = 16;

/// Bytes of a text looked at.
pub(super) const TEXT: u64 = 1 << 16;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A net in binary.
    Net,
    /// A net as text.
    Text,
    /// A solver's settings as text.
    Solver,
    /// A solver's state in binary.
    State,
    /// One blob in binary.
    Blob,
    /// Weights in HDF5.
    Hdf5,
}

/// Whether this is one of Caffe's files. One that is cut short or damaged further on is still recognised, so that
/// reading it can say where it breaks.
///
/// # Errors
/// On a failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    Ok(what(source)?.map(|(_, confidence)| confidence))
}

/// What a file holds, and how sure that is.
pub(super) fn what(source: &Source) -> Result<Option<(What, Confidence)>> {
    let head = source.prefix(0, TEXT)?;
    if is_text(&head) {
        return Ok(of_text(source, &head));
    }
    drop(head);
    if hdf5::is(source)? {
        return Ok(Some((What::Hdf5, Confidence::Certain)));
    }
    Ok(match net(source)? {
        Some(confidence) => Some((What::Net, confidence)),
        None if is_state(source) => Some((What::State, Confidence::Likely)),
        None if is_blob(source) => Some((What::Blob, Confidence::Likely)),
        None => None,
    })
}

/// Whether the first bytes of a file are text, in whatever encoding.
pub(super) fn is_text(head: &[u8]) -> bool {
    let control = |b: &u8| *b < 0x20 && !matches!(b, 9..=13);
    !head.is_empty() && !head.iter().any(|b| control(b) || *b == 0x7f)
}

fn of_text(source: &Source, head: &[u8]) -> Option<(What, Confidence)> {
    /// Fields that a layer may begin with.
    const FIRST: &[&str] =
        &["name", "type", "bottom", "top", "layer", "include", "exclude", "blobs", "phase", "param"];
    const NET: &[&str] =
        &["name", "input", "input_dim", "input_shape", "force_backward", "state", "debug_info"];
    const SOLVER: &[&str] = &[
        "net",
        "train_net",
        "test_net",
        "base_lr",
        "lr_policy",
        "max_iter",
        "solver_mode",
        "snapshot",
        "snapshot_prefix",
        "test_iter",
        "test_interval",
        "weight_decay",
        "momentum",
    ];
    let outline = text::outline(source, head, 64);
    let is_layer = |(name, first): &(String, Option<String>)| {
        let fits = first.as_deref().is_some_and(|f| FIRST.contains(&f) || f.ends_with("_param"));
        matches!(name.as_str(), "layer" | "layers") && fits
    };
    let known = |set: &[&str]| outline.iter().filter(|(name, _)| set.contains(&name.as_str())).count();
    if outline.iter().any(is_layer) {
        return Some((What::Text, Confidence::Likely));
    }
    let inputs = outline.iter().filter(|(name, _)| name.starts_with("input")).count();
    if inputs > 0 && known(NET) == outline.len() {
        return Some((What::Text, Confidence::Plausible));
    }
    (known(SOLVER) >= 2).then_some((What::Solver, Confidence::Plausible))
}

/// How sure it is that the fields are a net's, with a layer among them.
fn net(source: &Source) -> Result<Option<Confidence>> {
    let (mut layers, mut names, mut end) = (0, 0, 0);
    let mut broken = false;
    for field in Message::whole(source, 8).fields().take(FIELDS) {
        let Ok(field) = field else {
            broken = true;
            break;
        };
        end = field.payload.end;
        match (field.number, field.wire) {
            (1, Wire::Bytes) => {
                names += 1;
                // A GraphDef of TensorFlow repeats its first field, and that is no text.
                if names > 1 || !is_printable(&field) {
                    return Ok(None);
                }
            }
            (2, Wire::Bytes) if is_v1(&field) => layers += 1,
            (100, Wire::Bytes) if is_current(&field) => layers += 1,
            // A layer of a form that is not known, among others that are.
            (2 | 100, Wire::Bytes) if layers > 0 => {}
            (3, Wire::Bytes) if is_printable(&field) => {}
            (4, Wire::Varint(_) | Wire::Bytes) | (5 | 7, Wire::Varint(_)) | (6 | 8, Wire::Bytes) => {}
            (1..=8 | 100, _) => return Ok(None),
            _ => {}
        }
    }
    let cut = broken && layers == 0 && is_cut_layer(source, end)?;
    Ok((layers > 0 || cut).then_some(Confidence::Likely))
}

/// Whether a layer begins at `at` whose length leads past the end of the file.
fn is_cut_layer(source: &Source, at: u64) -> Result<bool> {
    let head = source.prefix(at, 12)?;
    // The tag of a current layer takes two bytes, that of an older one one.
    let (length, current) = match *head {
        [0xa2, 6, ref length @ ..] => (length, true),
        [0x12, ref length @ ..] if at > 0 => (length, false),
        _ => return Ok(false),
    };
    let Some(last) = length.iter().position(|byte| byte & 0x80 == 0) else { return Ok(false) };
    let start = at + (head.len() - length.len() + last + 1) as u64;
    let rest = Message::at(source, start.min(source.len())..source.len(), 8);
    let mut fields = rest.fields();
    let first = fields.next().and_then(Result::ok);
    // A current layer's tag is hardly anything else; what little is left of it decides nothing.
    Ok(current && first.is_none() || first.is_some_and(|f| f.wire == Wire::Bytes && f.number <= 4))
}

/// Short text without control characters.
fn is_printable(field: &Field<'_>) -> bool {
    field.len() <= 1 << 12 && field.text().is_ok_and(|text| !text.chars().any(char::is_control))
}

/// The first fields of a message; `None` where the first is none.
fn first_fields<'a>(field: &Field<'a>) -> Option<Vec<Field<'a>>> {
    let message = field.message().ok()?;
    let fields: Vec<_> = message.fields().take(LAYER_FIELDS).map_while(Result::ok).collect();
    (!fields.is_empty()).then_some(fields)
}

/// Whether a field is a layer as Caffe writes them today: with a name or a type, and nothing else in their place.
fn is_current(field: &Field<'_>) -> bool {
    let Some(fields) = first_fields(field) else { return false };
    fields.iter().any(|f| matches!(f.number, 1 | 2))
        && fields.iter().all(|f| match (f.number, f.wire) {
            (1..=4, Wire::Bytes) => is_printable(f),
            (6..=9, wire) => wire == Wire::Bytes,
            (1..=4, _) => false,
            _ => true,
        })
}

/// Whether a field is a layer of 2014, or one of 2013 within it.
fn is_v1(field: &Field<'_>) -> bool {
    let Some(fields) = first_fields(field) else { return false };
    let is_v0 = |f: &Field<'_>| {
        first_fields(f).is_some_and(|inner| {
            inner.iter().any(|f| matches!(f.number, 1 | 2))
                && inner
                    .iter()
                    .all(|f| !matches!(f.number, 1 | 2) || f.wire == Wire::Bytes && is_printable(f))
        })
    };
    fields.iter().any(|f| matches!(f.number, 1 | 4 | 5))
        && fields.iter().all(|f| match (f.number, f.wire) {
            (1, Wire::Bytes) => is_v0(f),
            (2..=4, Wire::Bytes) => is_printable(f),
            (5, wire) => matches!(wire, Wire::Varint(0..=255)),
            (6, wire) => wire == Wire::Bytes,
            (1..=4, _) => false,
            _ => true,
        })
}

/// Whether the whole file is a solver's state: an iteration, and blobs.
fn is_state(source: &Source) -> bool {
    let (mut iterations, mut blobs) = (false, 0);
    for field in Message::whole(source, 8).fields().take(FIELDS) {
        let Ok(field) = field else { break };
        match (field.number, field.wire) {
            (1, Wire::Varint(_)) => iterations = true,
            (2, Wire::Bytes) if is_printable(&field) => {}
            (3, Wire::Bytes) if field.message().is_ok_and(|m| is_blob_message(&m, false)) => blobs += 1,
            (4, Wire::Varint(_)) => {}
            _ => return false,
        }
    }
    iterations && blobs > 0
}

/// Whether the whole file is one blob with as many numbers as its shape asks for.
fn is_blob(source: &Source) -> bool {
    is_blob_message(&Message::whole(source, 8), true)
}

/// Whether fields are a blob's; where it must be `whole`, its numbers must fit the old shape or there must be a new
/// one.
fn is_blob_message(message: &Message<'_>, whole: bool) -> bool {
    let (mut legacy, mut shaped, mut values) = ([None; 4], false, 0);
    for field in message.fields().take(FIELDS) {
        let Ok(field) = field else { return !whole && (shaped || values > 0) };
        match (field.number, field.wire) {
            (1..=4, Wire::Varint(size)) => legacy[field.number as usize - 1] = Some(size),
            (5, Wire::Bytes | Wire::Fixed32(_)) => values += field.len() / 4,
            (8, Wire::Bytes | Wire::Fixed64(_)) => values += field.len() / 8,
            (7, Wire::Bytes) => shaped = true,
            (6, Wire::Bytes | Wire::Fixed32(_)) | (9, Wire::Bytes | Wire::Fixed64(_)) | (10..=13, _) => {}
            _ => return false,
        }
    }
    let size = legacy.iter().try_fold(1u64, |n, d| n.checked_mul(d.unwrap_or(0)));
    let old = legacy.iter().any(Option::is_some);
    values > 0 && if old { !whole || size == Some(values) } else { shaped }
}
