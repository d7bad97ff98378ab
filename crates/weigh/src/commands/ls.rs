//! `weigh ls FILE`: every tensor, as a tree or as JSON.

use weighbridge_measure::sha256;
use weighbridge_model::{Model, Result, Tensor, roles};
use weighbridge_report::style::{FAINT, STRONG};
use weighbridge_report::table::{Cell, Table};
use weighbridge_report::{json, units};

use crate::args::{ListOrder, LsArgs};
use crate::{input, printer, progress};

pub fn run(args: &LsArgs) -> Result<()> {
    let opened = input::read(&args.input)?;
    let model = &opened.model;
    let (mut tensors, hidden) = input::pick(model, &args.pick)?;
    match args.sort {
        ListOrder::File => {}
        ListOrder::Name => tensors.sort_by(|a, b| a.name.cmp(&b.name)),
        ListOrder::Bytes => tensors.sort_by_key(|t| std::cmp::Reverse(t.bytes())),
    }
    let hashes =
        if args.hash { Some(hashes(&tensors).map_err(|e| e.in_source(&opened.file))?) } else { None };
    printer::findings(&model.findings);
    if args.input.json {
        let storages = json::storage_numbers(model);
        let mut document = json::document(&opened.file, model);
        document.insert("metadata".into(), json::object(model, &model.metadata));
        let list = tensors.iter().enumerate().map(|(i, t)| {
            let hash = hashes.as_ref().and_then(|h| h[i].as_deref());
            serde_json::Value::Object(json::listing(t, storages[t.id.0 as usize], hash))
        });
        document.insert("tensors".into(), list.collect());
        return printer::json(document);
    }
    let tree = args.sort == ListOrder::File;
    printer::data(&table(model, &tensors, hashes.as_deref(), tree).render(printer::width()))?;
    footer(model, &tensors, hidden)
}

fn hashes(tensors: &[&Tensor]) -> Result<Vec<Option<String>>> {
    let bar = progress::bar(tensors.iter().map(|t| t.bytes()).fold(0, u64::saturating_add));
    let hashes = sha256(tensors, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    hashes
}

/// Names of more segments than this stand on one line: no framework nests so deep, and indents add up.
const DEEPEST: usize = 40;

fn table(model: &Model, tensors: &[&Tensor], hashes: Option<&[Option<String>]>, tree: bool) -> Table {
    let mut header =
        vec![("name", false), ("dtype", false), ("shape", false), ("role", false), ("bytes", true)];
    if hashes.is_some() {
        header.push(("sha256", false));
    }
    let mut table = Table::new(&header);
    let names = roles::Names::of(&model.tensors);
    let mut open: Vec<&str> = Vec::new();
    for (i, tensor) in tensors.iter().enumerate() {
        let (segments, leaf) = roles::path(&tensor.name, model.format);
        let name = if tree && segments.len() <= DEEPEST {
            let shared = open.iter().zip(&segments).take_while(|(a, b)| a == b).count();
            for (depth, segment) in segments.iter().enumerate().skip(shared) {
                table.row(vec![Cell::styled(format!("{}{segment}", "  ".repeat(depth)), STRONG)]);
            }
            let depth = segments.len();
            open = segments;
            format!("{}{leaf}", "  ".repeat(depth))
        } else {
            tensor.name.clone()
        };
        let name = if name.trim().is_empty() { "(unnamed)".to_owned() } else { name };
        let guess = if tensor.role_guessed { "?" } else { "" };
        let role = match names.scheme(tensor) {
            Some(scheme) => format!("{}{guess} ({})", tensor.role.as_str(), scheme.name),
            None => format!("{}{guess}", tensor.role.as_str()),
        };
        let mut cells: Vec<Cell> = vec![
            name.into(),
            tensor.dtype.name().into(),
            units::shape(&tensor.shape).into(),
            Cell::styled(role, FAINT),
            units::bytes(tensor.bytes()).into(),
        ];
        if let Some(hashes) = hashes {
            cells.push(hashes[i].clone().unwrap_or_default().into());
        }
        table.row(cells);
    }
    table
}

fn footer(model: &Model, tensors: &[&Tensor], hidden: usize) -> Result<()> {
    let values: u64 = tensors.iter().map(|t| t.count()).fold(0, u64::saturating_add);
    let bytes: u64 = tensors.iter().map(|t| t.bytes()).fold(0, u64::saturating_add);
    // Of blocks, since their types do not say it.
    let rate = match tensors.iter().any(|t| t.dtype.block().is_some()) {
        true => format!(", {:.2} bits a value", bytes as f64 * 8.0 / values.max(1) as f64),
        false => String::new(),
    };
    printer::note(&format!(
        "{}, {} values, {}{rate} ({}); a role with ? is a guess",
        units::plural(tensors.len() as u64, "tensor"),
        units::count(values),
        units::bytes(bytes),
        model.origin
    ));
    if hidden > 0 {
        printer::note(&format!("{hidden} more outside of the state_dict: --all shows them"));
    }
    if !model.parts.is_empty() {
        let keys: Vec<String> = model.parts.iter().map(|p| format!("#{}", p.key)).collect();
        printer::note(&format!("parts: {}", keys.join(" ")));
    }
    Ok(())
}
