//! `weigh convert --manifest FILE`: each tensor's hashes and figures on both sides.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value as Json, json};
use weighbridge_convert::Transfer;
use weighbridge_formats::{Plan, ReadOptions, open};
use weighbridge_measure::{Options, measure, sha256};
use weighbridge_model::{Error, Result, Tensor};
use weighbridge_report::json as figures;

use crate::args::ConvertArgs;

/// Each tensor on both sides, the written ones read back.
pub(super) fn write(path: &Path, transfer: &Transfer, plan: &Plan, args: &ConvertArgs) -> Result<()> {
    let last = plan.files.last().expect("a plan has a file");
    // The last file leads to the others, where it is not one of several alike.
    let paths: Vec<&Path> =
        plan.files.iter().map(|f| &*f.path).filter(|p| p.extension() == last.path.extension()).collect();
    let written = open(&paths, None, &ReadOptions::default())?;
    let sources: Vec<&Tensor> = transfer.moved.iter().map(|m| &m.source).collect();
    let by_name: HashMap<&str, &Tensor> = written.tensors.iter().map(|t| (t.name.as_str(), t)).collect();
    let mut targets = Vec::with_capacity(sources.len());
    for moved in &transfer.moved {
        // A .npy names its one array nowhere.
        if let ([_], [only]) = (transfer.moved.as_slice(), written.tensors.as_slice()) {
            targets.push(only);
            continue;
        }
        // Where a format spells a name otherwise, order tells.
        let nth =
            written.tensors.get(targets.len()).filter(|_| written.tensors.len() == transfer.moved.len());
        let found = by_name.get(moved.target.name.as_str()).copied().or(nth);
        targets.push(found.ok_or_else(|| Error::NotFound {
            kind: "tensor in the written file",
            name: moved.target.name.clone(),
            near: Vec::new(),
        })?);
    }
    let sides = [side(&sources)?, side(&targets)?];
    let [source, target] = sides.map(Vec::into_iter);
    let tensors: Json = source.zip(target).map(|(s, t)| json!({"source": s, "target": t})).collect();
    let document = json!({
        "schema": figures::SCHEMA,
        "inputs": args.input.files,
        "files": plan.files.iter().map(|f| f.path.display().to_string()).collect::<Vec<_>>(),
        "tensors": tensors,
    });
    let text = serde_json::to_string_pretty(&document).expect("JSON of plain values") + "\n";
    let mut output = weighbridge_formats::output::Output::create(path, &|_| {})?;
    output.bytes(text.as_bytes())?;
    output.commit(args.sync)
}

fn side(tensors: &[&Tensor]) -> Result<Vec<Json>> {
    let hashes = sha256(tensors, &|_| {})?;
    let measured = measure(tensors, &Options::default(), &|_| {});
    let mut list = Vec::with_capacity(tensors.len());
    for ((tensor, hash), measured) in tensors.iter().zip(hashes).zip(measured) {
        let mut entry = figures::listing(tensor, tensor.id.0 as usize, hash.as_deref());
        figures::figures(&mut entry, tensor, &measured?);
        list.push(Json::Object(entry));
    }
    Ok(list)
}
