//! Telling a `ModelProto` from everything else, without a magic number to go by: its top-level fields have
//! types that hardly another file has, and its graph looks like a graph.

use weighbridge_model::Result;

use crate::format::Confidence;
use crate::protobuf::{Field, Message, Wire};
use crate::source::Source;

/// Largest version of the format that is plausible; 14 is current.
const IR_VERSIONS: u64 = 255;

/// Fields looked at on the top level.
const FIELDS: usize = 1 << 16;

/// Fields of a graph looked at.
const GRAPH_FIELDS: usize = 16;

#[derive(Default)]
struct Evidence {
    version: bool,
    graph: bool,
    opset: bool,
}

/// Whether this is a model. A file that is cut short or damaged further on is still recognised, so that
/// reading it can say where it breaks.
///
/// # Errors
/// On a failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    let mut seen = Evidence::default();
    let mut whole = true;
    let mut end = 0;
    for field in Message::whole(source, 8).fields().take(FIELDS) {
        let Ok(field) = field else {
            whole = false;
            break;
        };
        end = field.payload.end;
        match (field.number, field.wire) {
            (1, Wire::Varint(version)) => seen.version = (1..=IR_VERSIONS).contains(&version),
            (7, Wire::Bytes) => seen.graph |= is_graph(&field),
            (8, Wire::Bytes) => seen.opset |= is_opset(&field),
            (5, Wire::Varint(_)) | (2 | 3 | 4 | 6 | 14 | 20 | 25 | 26, Wire::Bytes) => {}
            (1..=8 | 14 | 20 | 25 | 26, _) => return Ok(None),
            // Fields that later versions may bring.
            _ => {}
        }
    }
    let cut = !whole && seen.version && !seen.graph && is_cut_graph(source, end)?;
    Ok(match seen {
        Evidence { version: true, graph: true, opset: true } => Some(Confidence::Certain),
        Evidence { graph: true, version: true, .. } | Evidence { graph: true, opset: true, .. } => {
            Some(Confidence::Likely)
        }
        Evidence { version: true, opset: true, .. } => Some(Confidence::Plausible),
        _ if cut => Some(Confidence::Likely),
        _ => None,
    })
}

/// Whether a field is what a graph's are: a run of bytes with a number that graphs have.
fn is_graph_field(field: &Field<'_>) -> bool {
    matches!(field.number, 1 | 2 | 5 | 10..=16) && field.wire == Wire::Bytes
}

/// Whether a graph's first fields are a graph's; one that is damaged further on is still one.
fn is_graph(field: &Field<'_>) -> bool {
    let Ok(graph) = field.message() else { return false };
    let mut first = graph.fields().take(GRAPH_FIELDS).map_while(Result::ok).peekable();
    first.peek().is_some() && first.all(|f| is_graph_field(&f))
}

fn is_opset(field: &Field<'_>) -> bool {
    let Ok(opset) = field.message() else { return false };
    opset.fields().all(|f| {
        f.is_ok_and(|f| matches!((f.number, f.wire), (1, Wire::Bytes) | (2, Wire::Varint(_)) | (3.., _)))
    })
}

/// Whether a graph begins at `at` whose length leads past the end of the file.
fn is_cut_graph(source: &Source, at: u64) -> Result<bool> {
    const TAG: u8 = 7 << 3 | 2;
    let head = source.prefix(at, 11)?;
    let Some((&TAG, length)) = head.split_first() else { return Ok(false) };
    let Some(last) = length.iter().position(|byte| byte & 0x80 == 0) else { return Ok(false) };
    let graph = Message::at(source, at + 2 + last as u64..source.len(), 8);
    Ok(graph.fields().next().is_some_and(|first| first.is_ok_and(|first| is_graph_field(&first))))
}
