//! The table of a graph's nodes, for a file that has no tensors to show: a net without its weights.

use weighbridge_model::{Attribute, Graph, Node, Value, ValueId};

use super::brief;
use crate::style::FAINT;
use crate::table::{Cell, Table};

/// Longest text of a cell, in characters.
const LONGEST: usize = 44;

/// One line a node: its name, operator, settings, what it reads and gives. Nothing of a graph without nodes.
pub(super) fn table(graph: &Graph) -> Option<Table> {
    if graph.nodes.is_empty() {
        return None;
    }
    let mut table =
        Table::new(&[("layer", false), ("kind", false), ("settings", false), ("from", false), ("to", false)]);
    for node in &graph.nodes {
        let name = |id: &ValueId| graph.values.get(id.0 as usize).map_or("", |v| v.name.as_str());
        let names =
            |ids: &[Option<ValueId>]| cut(&ids.iter().flatten().map(name).collect::<Vec<_>>().join(" "));
        table.row(vec![
            node.name.as_str().into(),
            node.op.as_str().into(),
            Cell::styled(settings(node), FAINT),
            names(&node.inputs).into(),
            names(&node.outputs).into(),
        ]);
    }
    Some(table)
}

/// Plain settings, those of nested messages without the message's name; what is nested deeper is left out.
fn settings(node: &Node) -> String {
    let mut shown = Vec::new();
    for (key, attribute) in &node.attributes {
        match attribute {
            Attribute::Value(Value::Map(entries)) => {
                shown.extend(entries.iter().filter_map(|(k, v)| setting(k, v)));
            }
            Attribute::Value(value) => shown.extend(setting(key, value)),
            _ => {}
        }
    }
    cut(&shown.join(" "))
}

fn setting(key: &str, value: &Value) -> Option<String> {
    let text = match value {
        Value::Map(_) => return None,
        Value::List(items) => {
            let items = items.iter().take(LONGEST).map(brief).collect::<Option<Vec<_>>>()?;
            items.join(",")
        }
        value => brief(value)?,
    };
    Some(format!("{key} {text}"))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
