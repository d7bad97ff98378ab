//! Weights in HDF5 (`.caffemodel.h5`): `data/<layer>/<number>`, and `diff/…` for gradients. Nothing else of the net is
//! there, not even the layers' types: those come from a `.prototxt`.

use weighbridge_model::{Error, Finding, Limits, Model, Result, Severity, Value};

use super::names::full;
use super::net::{Layer, Net};
use crate::hdf5::{self, Kind, Tree};
use crate::keras;
use crate::source::Source;

/// Whether this is HDF5 in which every dataset is a layer's blob.
pub(super) fn is(source: &Source) -> Result<bool> {
    if hdf5::signature_at(source, 0)?.is_none() {
        return Ok(false);
    }
    // What is damaged is for the reader of any HDF5 to say.
    Ok(hdf5::read(source, 0, &Limits::default()).is_ok_and(|tree| holds_blobs(&tree)))
}

fn holds_blobs(tree: &Tree) -> bool {
    let mut datasets = tree.objects.iter().filter(|o| o.dataset.is_some()).peekable();
    let is_float = |kind: &Kind| matches!(kind, Kind::Number { dtype, .. } if dtype.is_float());
    let fits = |o: &hdf5::Object| {
        blob(&o.path).is_some() && o.dataset.as_ref().is_some_and(|d| is_float(&d.datatype.kind))
    };
    datasets.peek().is_some() && datasets.all(fits)
}

/// Whether a path is of a gradient, the layer, the blob's number.
fn blob(path: &str) -> Option<(bool, &str, usize)> {
    let (which, rest) = path.split_once('/')?;
    let (layer, number) = rest.rsplit_once('/')?;
    let is_gradient = match which {
        "data" => false,
        "diff" => true,
        _ => return None,
    };
    let is_number = number.len() < 6 && number.bytes().all(|b| b.is_ascii_digit());
    Some((is_gradient, layer, number.parse().ok().filter(|_| is_number)?))
}

/// Reads layers by name, with their blobs as `layer.blob0` and so on, and the tensors.
pub(super) fn read(source: &Source, limits: &Limits) -> Result<(Net, Model)> {
    let tree = hdf5::read(source, 0, limits)?;
    if !holds_blobs(&tree) {
        let what = "HDF5 with more in it than the blobs of Caffe's layers (data/LAYER/NUMBER)";
        return Err(Error::malformed(source.place(0), what));
    }
    let (mut net, mut model) = (Net::default(), Model::default());
    let mut gradients = 0u64;
    let mut found = Vec::new();
    for object in tree.objects {
        let Some(dataset) = object.dataset else { continue };
        let Some((is_gradient, layer, number)) = blob(&object.path) else { continue };
        if is_gradient {
            gradients = gradients.saturating_add(dataset.storage.len());
        } else {
            found.push((layer.to_owned(), number, dataset));
        }
    }
    // Ten stands before two among names.
    found.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
    for (layer, number, dataset) in found {
        let id = model.push(keras::tensor(&full(&layer, &format!("blob{number}")), dataset, source)?);
        match net.layers.last_mut().filter(|l| l.name == layer) {
            Some(last) => last.blobs.push(id),
            None => net.layers.push(Layer { name: layer, blobs: vec![id], ..Layer::default() }),
        }
    }
    if gradients > 0 {
        let message = format!("{gradients} bytes of gradients (diff) stand beside the weights");
        let help = "training left them; inference does not need them, and they are not listed";
        let finding = Finding::new("C101", Severity::Info, message, help);
        model.findings.push(finding.with_figure("bytes", Value::Int(gradients as i64)));
    }
    Ok((net, model))
}

#[cfg(test)]
mod tests {
    use super::blob;

    #[test]
    fn paths_tell_layers_that_have_slashes_of_their_own() {
        assert_eq!(blob("data/conv1/0"), Some((false, "conv1", 0)));
        assert_eq!(blob("diff/inception/3x3/11"), Some((true, "inception/3x3", 11)));
        for other in
            ["data/conv1", "data/conv1/x", "data/conv1/", "model_weights/a/0", "data/a/0000000", "data/0/+1"]
        {
            assert_eq!(blob(other), None);
        }
    }
}
