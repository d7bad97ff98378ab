//! A run: layer after layer, each blob kept for as long as another layer reads it.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{DType, Error, Model, Place, Result};

use super::blob::{Blob, count};
use super::call::{Call, steps};
use super::fault::Fault;
use super::net::Net;
use super::table::Rule;
use crate::{Array, Session};

/// Most elements that are kept at a time: 2 GiB.
const KEPT: usize = 1 << 28;

/// A net that is ready to run.
pub(super) struct Interpreter(pub(super) Model);

impl Session for Interpreter {
    fn run(&mut self, inputs: &[(String, Array)], wanted: &[String]) -> Result<Vec<Option<Array>>> {
        let net = Net::of(&self.0)?;
        let mut found: HashMap<&str, Array> = HashMap::new();
        let asked: HashSet<&str> = wanted.iter().map(String::as_str).collect();
        walk(&self.0, &net, inputs, &asked, |name, blob| {
            found.insert(name, array(blob));
        })?;
        let taken = |name: &String| found.get(name.as_str()).cloned();
        Ok(wanted.iter().map(taken).collect())
    }
}

/// Computes the values that are asked for, and hands each to `take`.
fn walk<'a>(
    model: &Model,
    net: &'a Net<'_>,
    inputs: &[(String, Array)],
    asked: &HashSet<&str>,
    mut take: impl FnMut(&'a str, &Blob),
) -> Result<()> {
    let count_of = net.names.len();
    // What has to be computed, and which layer is the last to read it.
    let mut needed: Vec<bool> = net.names.iter().map(|name| asked.contains(name.as_str())).collect();
    let mut last = vec![usize::MAX; count_of];
    for (at, layer) in net.layers.iter().enumerate().rev() {
        if layer.tops.iter().any(|&top| needed[top]) {
            for &bottom in &layer.bottoms {
                needed[bottom] = true;
                if last[bottom] == usize::MAX {
                    last[bottom] = at;
                }
            }
        }
    }
    let mut values: Vec<Option<Blob>> = vec![None; count_of];
    let mut kept = 0;
    let given: HashMap<&str, &Array> = inputs.iter().map(|(name, array)| (name.as_str(), array)).collect();
    for input in net.inputs.iter().filter(|input| needed[input.value]) {
        let name = net.names[input.value].as_str();
        let array = given.get(name).ok_or_else(|| Error::NotFound {
            kind: "array for the input",
            name: name.to_owned(),
            near: Vec::new(),
        })?;
        let blob = blob(array).map_err(|fault| fault.at(name, "input"))?;
        kept += blob.data.len();
        if asked.contains(name) {
            take(name, &blob);
        }
        values[input.value] = Some(blob);
    }
    let steps = steps();
    for (at, layer) in net.layers.iter().enumerate() {
        if !layer.tops.iter().any(|&top| needed[top]) {
            continue;
        }
        let at_fault = |fault: Fault| fault.at(&layer.node.name, layer.kind);
        let bottom =
            |&value: &usize| values[value].clone().ok_or_else(|| at_fault("a bottom without a value".into()));
        let bottoms = layer.bottoms.iter().map(bottom).collect::<Result<Vec<Blob>>>()?;
        let Rule::Computed(compute) = layer.rule else { continue };
        let call = Call { layer, bottoms, model, steps: &steps };
        let tops = compute(&call).map_err(at_fault)?;
        if tops.len() != layer.tops.len() {
            return Err(at_fault(format!("{} tops, where it has {}", layer.tops.len(), tops.len()).into()));
        }
        for (&value, top) in layer.tops.iter().zip(tops) {
            if top.data.is_empty() {
                return Err(at_fault(format!("a top of shape {:?}, without elements", top.shape).into()));
            }
            call.take(&[top.data.len()]).map_err(at_fault)?;
            if asked.contains(net.names[value].as_str()) {
                take(&net.names[value], &top);
            }
            if last[value] != usize::MAX {
                kept += top.data.len();
                values[value] = Some(top);
            }
        }
        for &bottom in &layer.bottoms {
            if last[bottom] == at
                && let Some(blob) = values[bottom].take()
            {
                kept -= blob.data.len();
            }
        }
        if kept > KEPT {
            let (asked, allowed) = (kept as u64, KEPT as u64);
            let place = Place::source("Caffe's interpreter").node(&layer.node.name);
            return Err(Error::Limit { place, what: "elements kept at a time", asked, allowed });
        }
    }
    Ok(())
}

/// What is fed, as a blob.
fn blob(array: &Array) -> Result<Blob, Fault> {
    let shape: Vec<usize> = array.shape.iter().map(|&size| size as usize).collect();
    if count(&shape)? == 0 {
        return Err(format!("a shape of {shape:?}, without elements").into());
    }
    let data: Vec<f64> = array.values().collect();
    if data.len() != count(&shape)? {
        return Err(format!("{} elements for a shape of {shape:?}", data.len()).into());
    }
    Ok(Blob::new(shape, data))
}

fn array(blob: &Blob) -> Array {
    Array {
        dtype: DType::F64,
        shape: blob.shape.iter().map(|&size| size as u64).collect(),
        bytes: blob.data.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}
