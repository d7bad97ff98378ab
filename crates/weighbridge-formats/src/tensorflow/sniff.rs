//! Telling TensorFlow's files from everything else: a checkpoint's index by its magic number, graphs by what their
//! fields look like.

use std::path::Path;

use weighbridge_model::Result;

use super::{bundle, table};
use crate::format::Confidence;
use crate::protobuf::{Field, Message, Wire};
use crate::source::{Access, Source};

/// Fields looked at on the top level.
const FIELDS: usize = 1 << 12;

/// Nodes of a graph looked at.
const NODES: usize = 16;

/// Bytes of a text looked at.
const TEXT: u64 = 1 << 12;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A checkpoint's index.
    Index,
    /// A checkpoint's index whose end is not there.
    Cut,
    /// A checkpoint's shard, its index beside it.
    Shard,
    SavedModel,
    MetaGraph,
    GraphDef,
    /// A graph or a SavedModel as text.
    Text,
}

/// Whether this is one of TensorFlow's files.
///
/// # Errors
/// A failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    Ok(what(source)?.map(|what| match what {
        What::Index | What::Shard => Confidence::Certain,
        What::Cut | What::SavedModel | What::MetaGraph | What::GraphDef => Confidence::Likely,
        What::Text => Confidence::Plausible,
    }))
}

/// What a file holds.
pub(super) fn what(source: &Source) -> Result<Option<What>> {
    if table::is_table(source)? {
        return Ok(Some(What::Index));
    }
    if begins_index(source)? {
        return Ok(Some(What::Cut));
    }
    let index = source.path().filter(|p| is_shard(p)).and_then(bundle::index_of);
    if let Some(index) = index
        && table::is_table(&Source::open(&index, Access::default())?)?
    {
        return Ok(Some(What::Shard));
    }
    if is_text(source)? {
        return Ok(Some(What::Text));
    }
    let message = Message::whole(source, 8);
    Ok(if is_saved_model(&message) {
        Some(What::SavedModel)
    } else if is_meta_graph(&message) {
        Some(What::MetaGraph)
    } else if is_graph(&message) {
        Some(What::GraphDef)
    } else {
        None
    })
}

/// Whether a table begins here with an empty key and a checkpoint's header: a number of shards, and a version.
fn begins_index(source: &Source) -> Result<bool> {
    /// The tags of the fields that a header has, and how it is versioned.
    const SHARDS: u8 = 1 << 3;
    const VERSION: [u8; 3] = [3 << 3 | 2, 2, 1 << 3];
    let head = source.prefix(0, 40)?;
    let [0, 0, len @ 6..=30, SHARDS, rest @ ..] = &head[..] else { return Ok(false) };
    let rest = &rest[..rest.len().min(usize::from(*len) - 1)];
    Ok(rest.windows(VERSION.len()).any(|w| w == VERSION))
}

fn is_shard(path: &Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.contains(".data-") && n.contains("-of-"))
}

/// Whether the text of a graph or a SavedModel begins here.
fn is_text(source: &Source) -> Result<bool> {
    let head = source.prefix(0, TEXT)?;
    let text = String::from_utf8_lossy(&head);
    let mut words = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let third = words.next().unwrap_or_default();
    Ok(first == "node {" && second.starts_with("name: \"") && third.starts_with("op: \"")
        || first.starts_with("saved_model_schema_version:") && second == "meta_graphs {"
        || first == "meta_info_def {" && (second == "stripped_op_list {" || second.starts_with("tags:")))
}

/// A schema version, and graphs.
fn is_saved_model(message: &Message<'_>) -> bool {
    let mut graphs = 0;
    for field in message.fields().take(FIELDS) {
        let Ok(field) = field else { break };
        match (field.number, field.wire) {
            (1, Wire::Varint(0..=255)) => {}
            (2, Wire::Bytes) if field.message().is_ok_and(|m| is_meta_graph(&m)) => graphs += 1,
            _ => return false,
        }
    }
    graphs > 0
}

/// A graph with what stands around it: its tags and operators come first.
fn is_meta_graph(message: &Message<'_>) -> bool {
    let mut graphs = 0;
    for field in message.fields().take(FIELDS) {
        let Ok(field) = field else { break };
        match (field.number, field.wire) {
            (2, Wire::Bytes) if field.message().is_ok_and(|m| is_graph(&m) || m.range().is_empty()) => {
                graphs += 1
            }
            (1, Wire::Bytes) if field.message().is_ok_and(|m| is_info(&m)) => {}
            (3..=7, Wire::Bytes) => {}
            _ => return false,
        }
    }
    graphs > 0
}

/// Whether fields are those of a graph's `MetaInfoDef`.
fn is_info(message: &Message<'_>) -> bool {
    message.fields().take(NODES).map_while(Result::ok).all(|f| match f.number {
        1..=6 | 8 => f.wire == Wire::Bytes,
        7 => matches!(f.wire, Wire::Varint(0..=1)),
        _ => false,
    })
}

/// Nodes with names and operators. A graph that is cut short or damaged further on is still one.
fn is_graph(message: &Message<'_>) -> bool {
    let mut nodes = 0;
    for field in message.fields().take(FIELDS) {
        let Ok(field) = field else { break };
        match (field.number, field.wire) {
            (1, Wire::Bytes) if nodes >= NODES => {}
            (1, Wire::Bytes) if is_node(&field) => nodes += 1,
            (3, Wire::Varint(_)) | (2 | 4 | 5, Wire::Bytes) => {}
            _ => return false,
        }
    }
    nodes > 0
}

/// A name, an operator in letters and digits, and nothing but runs of bytes.
fn is_node(field: &Field<'_>) -> bool {
    let Ok(message) = field.message() else { return false };
    let (mut named, mut op) = (false, false);
    for field in message.fields().take(NODES) {
        let Ok(field) = field else { return false };
        let text = || field.text().unwrap_or_default();
        match (field.number, field.wire) {
            (1, Wire::Bytes) => named = field.len() < 1 << 12 && !text().chars().any(char::is_control),
            (2, Wire::Bytes) => {
                op = (1..256).contains(&field.len())
                    && text()
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '>' | '.' | ':'));
            }
            (3..=7, Wire::Bytes) => {}
            _ => return false,
        }
    }
    named && op
}
