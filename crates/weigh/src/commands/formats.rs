//! `weigh formats`: the table of formats.

use serde_json::{Map, Value, json};
use weighbridge_formats::{FORMATS, Format};
use weighbridge_model::Result;
use weighbridge_report::table::{Cell, Table};

use crate::args::FormatsArgs;
use crate::printer;

pub fn run(args: &FormatsArgs) -> Result<()> {
    if args.json {
        let mut document = Map::new();
        document.insert("schema".into(), 1.into());
        document.insert("formats".into(), FORMATS.iter().map(listing).collect());
        return printer::json(document);
    }
    let mut table = Table::new(&[
        ("format", false),
        ("name", false),
        ("extensions", false),
        ("write", false),
        ("what is read", false),
    ]);
    for format in FORMATS {
        table.row(vec![
            Cell::from(format.id),
            Cell::from(format.name),
            Cell::from(format.extensions.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(" ")),
            Cell::from(written(format)),
            Cell::from(format.about),
        ]);
    }
    printer::data(&table.render(printer::width()))
}

/// Whether it is written, and the variants that `--to` takes.
fn written(format: &Format) -> String {
    let mut told = if format.write.is_some() { "yes" } else { "no" }.to_owned();
    for variant in format.variants {
        told += &format!(", :{}", variant.id);
    }
    told
}

fn listing(format: &Format) -> Value {
    json!({
        "id": format.id,
        "name": format.name,
        "extensions": format.extensions,
        "about": format.about,
        "read": true,
        "write": format.write.is_some(),
        "variants": format.variants.iter().map(|v| json!({"id": v.id, "about": v.about})).collect::<Vec<_>>(),
    })
}
