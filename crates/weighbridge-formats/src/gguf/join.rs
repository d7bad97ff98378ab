//! The files of a split model as one.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Error, Model, Place, Result, Tensor};

use super::{read_alone, split};
use crate::format::ReadOptions;
use crate::source::Source;

/// Reads the files of a split model, in whatever order they are named.
///
/// # Errors
/// Files that are not all of those that make one model; a tensor that is in two; what reading them finds.
pub fn join(sources: &[Source], options: &ReadOptions) -> Result<Model> {
    let mut parts = Vec::with_capacity(sources.len());
    for source in sources {
        let model = read_alone(source, options)?;
        let Some((number, count)) = split::of(&model) else {
            let what = format!("{} is a model of its own, and no part of a split one", source.name());
            return Err(Error::Usage { what });
        };
        if count != sources.len() as i64 {
            let what = format!("{} is one of {count} files, and {} are named", source.name(), sources.len());
            return Err(Error::Usage { what });
        }
        parts.push((number, source, model));
    }
    parts.sort_by_key(|(number, ..)| *number);
    if let Some((i, (number, source, _))) = (0..).zip(&parts).find(|(i, (number, ..))| i != number) {
        let what =
            format!("split.no is {number} where {i} is the next: the files are not those of one model");
        return Err(Error::malformed(Place::source(source.name()), what));
    }
    let mut joined = Model::default();
    let mut seen: HashMap<String, &Source> = HashMap::new();
    let (mut all, mut first, mut keys) = (None, true, HashSet::new());
    for (_, source, model) in parts {
        all = all.or(split::tensors(&model));
        for tensor in model.tensors {
            let Tensor { name, .. } = &tensor;
            if let Some(other) = seen.insert(name.clone(), source) {
                let what = format!("the tensor is also in '{}'", other.name());
                return Err(Error::malformed(Place::source(source.name()).tensor(name), what));
            }
            joined.push(tensor);
        }
        // The first file has the metadata of the whole, others their number, and perhaps some of it again.
        for (key, value) in model.metadata {
            if key != "split.no" && keys.insert(key.clone()) {
                joined.metadata.push((key, value));
            }
        }
        joined.headers.extend(model.headers);
        joined.findings.extend(model.findings);
        if std::mem::take(&mut first) {
            joined.origin = format!("{}, in {} files", model.origin, sources.len());
        }
    }
    if let Some(all) = all.filter(|&all| all != joined.tensors.len() as i64) {
        let what = format!(
            "split.tensors.count is {all}, and the files have {} tensors: they are not those of one model",
            joined.tensors.len()
        );
        return Err(Error::malformed(Place::source(sources[0].name()), what));
    }
    Ok(joined)
}
