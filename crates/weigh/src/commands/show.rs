//! `weigh show FILE -t 'NAME[0,:,3:5]'`: the values themselves.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use weighbridge_formats::Carry;
use weighbridge_model::{Error, Limits, Model, Result, Tensor, dtype, nearest, roles};
use weighbridge_report::units;

use crate::args::ShowArgs;
use crate::{input, printer, slice};

pub fn run(args: &ShowArgs) -> Result<()> {
    let opened = input::read(&args.input)?;
    show(&opened, args).map_err(|e| e.in_source(&opened.file))
}

fn show(opened: &input::Opened, args: &ShowArgs) -> Result<()> {
    let (tensor, slice_text) = find(&opened.model, &args.tensor)?;
    let tensor = match slice_text {
        Some(text) => slice::apply(tensor, text)?,
        None => tensor.clone(),
    };
    if let Some(path) = &args.output {
        weighbridge_measure::check_expansion(&tensor, &Limits::default())?;
        let plan = weighbridge_formats::numpy::write_array(&tensor, path)?;
        let how = Carry { force: args.force, ..Carry::default() };
        plan.write(&opened.model.files, how, &|_| {})?;
        let changed = plan.changed.first().map(|c| format!("; {}", c.why)).unwrap_or_default();
        printer::note(&format!("{}: {} {:?}{changed}", path.display(), tensor.dtype, tensor.shape));
        return Ok(());
    }
    let ranked = args.sorted || args.largest.is_some() || args.smallest.is_some();
    if tensor.dtype == dtype::DType::Str && !ranked {
        let strings = tensor.storage.strings(args.limit.min(tensor.count()) as usize)?;
        if !strings.is_empty() {
            return words(&opened.file, &tensor, &strings, args);
        }
    }
    let picked = pick(&tensor, args)?;
    if args.input.json {
        return printer::json(document(&opened.file, &tensor, &picked));
    }
    print(&tensor, &picked, args)
}

/// The tensor by its exact name, with wrappers seen through where that is unique.
fn find<'a, 't>(model: &'a Model, text: &'t str) -> Result<(&'a Tensor, Option<&'t str>)> {
    let (name, slice) = slice::split(text);
    let ddp = roles::is_data_parallel(model.tensors.iter().map(|t| t.name.as_str()));
    let exact = |wanted: &str| model.tensors.iter().find(|t| t.name == wanted);
    if let Some(tensor) = exact(text) {
        return Ok((tensor, None));
    }
    let through = || {
        let mut found = model.tensors.iter().filter(|t| roles::unwrapped(&t.name, ddp) == name);
        found.next().filter(|_| found.next().is_none())
    };
    let below_part = || {
        let part = model.weights_part()?;
        exact(&format!("{}.{name}", part.key))
    };
    match exact(name).or_else(through).or_else(below_part) {
        Some(tensor) => Ok((tensor, slice)),
        None if slice.is_none() && text.contains('[') => Err(Error::Usage {
            what: format!("'{text}': the slice's closing ] is missing, or no tensor has this name"),
        }),
        None => Err(Error::NotFound {
            kind: "tensor",
            name: name.to_owned(),
            near: nearest(name, model.tensors.iter().map(|t| t.name.as_str())),
        }),
    }
}

/// Values with their logical indices within the slice.
struct Picked {
    values: Vec<(u64, Shown)>,
    /// Whether values were left out for the limit.
    cut: bool,
}

/// A value as it is printed: whole numbers exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shown {
    Int(i128),
    Float(f64),
}

impl Shown {
    fn abs(self) -> Self {
        match self {
            Shown::Int(i) => Shown::Int(i.abs()),
            Shown::Float(x) => Shown::Float(x.abs()),
        }
    }

    fn to_f64(self) -> f64 {
        match self {
            Shown::Int(i) => i as f64,
            Shown::Float(x) => x,
        }
    }

    fn json(self) -> serde_json::Value {
        match self {
            Shown::Int(i) => match (i64::try_from(i), u64::try_from(i)) {
                (Ok(i), _) => i.into(),
                (_, Ok(u)) => u.into(),
                _ => serde_json::Value::Null,
            },
            Shown::Float(x) => x.into(),
        }
    }
}

/// Orders by a number, then by index, so that equal runs give equal answers.
#[derive(PartialEq)]
struct Ranked(f64, Reverse<u64>, Shown);

impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

fn each(tensor: &Tensor, range: std::ops::Range<u64>, mut f: impl FnMut(u64, Shown)) -> Result<()> {
    if !tensor.dtype.is_real() {
        return Err(Error::Usage {
            what: format!("'{}' holds {}: no real values", tensor.name, tensor.dtype),
        });
    }
    let is_code = matches!(tensor.layout, weighbridge_model::Layout::Strided(_));
    if tensor.dtype.is_integer() && is_code {
        return tensor.visit(range, &mut |chunk| {
            for (i, e) in chunk.bytes.chunks_exact(tensor.dtype.chunk_bytes()).enumerate() {
                f(chunk.first + i as u64, Shown::Int(dtype::to_integer(tensor.dtype, e).unwrap_or(0)));
            }
            Ok(())
        });
    }
    tensor.visit_values(range, &mut |first, values| {
        values.iter().enumerate().for_each(|(i, &x)| f(first + i as u64, Shown::Float(x)));
        Ok(())
    })
}

fn pick(tensor: &Tensor, args: &ShowArgs) -> Result<Picked> {
    let count = tensor.count();
    let map = |v: Shown| if args.abs { v.abs() } else { v };
    if let Some(n) = args.largest.or(args.smallest) {
        let sign = if args.smallest.is_some() { -1.0 } else { 1.0 };
        // NaN is neither large nor small.
        let rank = |v: Shown| Some(sign * v.to_f64().abs()).filter(|x| !x.is_nan());
        let values = highest(tensor, n, rank)?.into_iter().map(|(i, v)| (i, map(v))).collect();
        return Ok(Picked { values, cut: false });
    }
    let cut = count > args.limit;
    if args.sorted {
        let values = highest(tensor, args.limit as usize, |v| Some(-map(v).to_f64()))?;
        return Ok(Picked { values: values.into_iter().map(|(i, v)| (i, map(v))).collect(), cut });
    }
    let limit = count.min(args.limit);
    let mut values = Vec::with_capacity(limit as usize);
    each(tensor, 0..limit, |i, v| values.push((i, map(v))))?;
    Ok(Picked { values, cut })
}

/// The `n` values of highest rank, the highest first; those without a rank are left out. No more than these are
/// held.
fn highest(tensor: &Tensor, n: usize, rank: impl Fn(Shown) -> Option<f64>) -> Result<Vec<(u64, Shown)>> {
    weighbridge_measure::check_expansion(tensor, &Limits::default())?;
    let mut heap: BinaryHeap<Reverse<Ranked>> = BinaryHeap::new();
    each(tensor, 0..tensor.count(), |i, v| {
        let Some(rank) = rank(v) else { return };
        heap.push(Reverse(Ranked(rank, Reverse(i), v)));
        if heap.len() > n {
            heap.pop();
        }
    })?;
    Ok(heap.into_sorted_vec().into_iter().map(|Reverse(r)| (r.1.0, r.2)).collect())
}

fn coordinates(mut index: u64, shape: &[u64]) -> Vec<u64> {
    let mut at = vec![0; shape.len()];
    for (c, &n) in at.iter_mut().zip(shape).rev() {
        *c = index % n;
        index /= n;
    }
    at
}

/// Strings, one a line.
fn words(file: &str, tensor: &Tensor, strings: &[String], args: &ShowArgs) -> Result<()> {
    let at = |i: usize| coordinates(i as u64, &tensor.shape);
    let cut = (strings.len() as u64) < tensor.count();
    if args.input.json {
        let values =
            strings.iter().enumerate().map(|(i, s)| serde_json::json!({ "index": at(i), "value": s }));
        return printer::json(head(file, tensor, values.collect(), cut));
    }
    let mut out = format!("{} {} {}\n", tensor.name, tensor.dtype, units::shape(&tensor.shape));
    for (i, text) in strings.iter().enumerate() {
        let at: Vec<String> = at(i).iter().map(u64::to_string).collect();
        out += &format!("[{}]  {text:?}\n", at.join(","));
    }
    printer::data(&weighbridge_report::table::clean_lines(&out))?;
    if cut {
        printer::note(&format!("{} of {} strings shown", strings.len(), tensor.count()));
    }
    Ok(())
}

fn document(file: &str, tensor: &Tensor, picked: &Picked) -> serde_json::Map<String, serde_json::Value> {
    let values = picked
        .values
        .iter()
        .map(|(i, v)| serde_json::json!({ "index": coordinates(*i, &tensor.shape), "value": v.json() }));
    head(file, tensor, values.collect(), picked.cut)
}

fn head(
    file: &str,
    tensor: &Tensor,
    values: serde_json::Value,
    cut: bool,
) -> serde_json::Map<String, serde_json::Value> {
    let mut map = serde_json::Map::new();
    map.insert("schema".into(), weighbridge_report::json::SCHEMA.into());
    map.insert("file".into(), file.into());
    map.insert("name".into(), tensor.name.as_str().into());
    map.insert("dtype".into(), tensor.dtype.name().into());
    map.insert("shape".into(), tensor.shape.clone().into());
    map.insert("values".into(), values);
    map.insert("cut".into(), cut.into());
    map
}

fn text(value: Shown, dtype: dtype::DType) -> String {
    match value {
        Shown::Int(i) => i.to_string(),
        Shown::Float(x) if dtype == dtype::DType::F64 => plain(x, x.to_string()),
        // As many digits as tell this f32 from its neighbours; dequantized values are f32 in torch as well.
        Shown::Float(x) => plain(x, (x as f32).to_string()),
    }
}

fn plain(x: f64, shortest: String) -> String {
    if shortest.len() > 16 {
        if f64::from(x as f32) == x { format!("{:e}", x as f32) } else { format!("{x:e}") }
    } else {
        shortest
    }
}

fn print(tensor: &Tensor, picked: &Picked, args: &ShowArgs) -> Result<()> {
    let mut out = format!("{} {} {}\n", tensor.name, tensor.dtype, units::shape(&tensor.shape));
    let ranked = args.sorted || args.largest.is_some() || args.smallest.is_some();
    if ranked {
        for (i, v) in &picked.values {
            let at: Vec<String> = coordinates(*i, &tensor.shape).iter().map(u64::to_string).collect();
            out += &format!("[{}]  {}\n", at.join(","), text(*v, tensor.dtype));
        }
    } else {
        rows(&mut out, tensor, picked);
    }
    printer::data(&weighbridge_report::table::clean_lines(&out))?;
    if picked.cut {
        printer::note(&format!(
            "{} of {} values shown: --limit N shows more, a slice picks, -o FILE.npy saves all",
            picked.values.len(),
            tensor.count()
        ));
    }
    Ok(())
}

/// Rows of the last dimension, each block of them under its index.
fn rows(out: &mut String, tensor: &Tensor, picked: &Picked) {
    let row = tensor.shape.last().copied().unwrap_or(1).max(1);
    let texts: Vec<String> = picked.values.iter().map(|(_, v)| text(*v, tensor.dtype)).collect();
    let wide = texts.iter().map(String::len).max().unwrap_or(0);
    let per_line = ((printer::width() - 2) / (wide + 2)).max(1);
    for (r, line) in texts.chunks(row as usize).enumerate() {
        let at = coordinates(r as u64 * row, &tensor.shape);
        if let Some((_, outer)) = at.split_last()
            && !outer.is_empty()
        {
            let outer: Vec<String> = outer.iter().map(u64::to_string).collect();
            *out += &format!("[{},:]\n", outer.join(","));
        }
        for part in line.chunks(per_line) {
            let cells: Vec<String> = part.iter().map(|t| format!("{t:>wide$}")).collect();
            *out += &format!("  {}\n", cells.join("  "));
        }
    }
}
