//! Where data enters a net: what the text tells of its shape.

use weighbridge_model::{Dim, Node};

use super::blob::{Blob, zeros};
use super::call::{Call, Tops};
use super::fault::Fault;
use super::settings::{Settings, ints_of};

/// The shape of top `index` of a layer that reads data: `Input`'s as it is told; of layers that read files the size of
/// a batch, and for `MemoryData` the rest.
pub(super) fn shape(node: &Node, kind: &str, index: usize) -> Option<Vec<Dim>> {
    let known = |size: i64| u64::try_from(size).map_or(Dim::Unknown, Dim::Known);
    match kind {
        "Input" => {
            let shapes = Settings::of(node, "input_param").messages("shape");
            let shape = shapes.get(index).or(if shapes.len() == 1 { shapes.first() } else { None })?;
            Some(ints_of(shape, "dim").ok()?.into_iter().map(known).collect())
        }
        "MemoryData" => {
            let settings = Settings::of(node, "memory_data_param");
            let size = |name: &str| settings.int(name, -1).map_or(Dim::Unknown, known);
            Some(match index {
                0 => ["batch_size", "channels", "height", "width"].map(size).to_vec(),
                _ => vec![size("batch_size")],
            })
        }
        _ => {
            let messages = ["data_param", "image_data_param", "hdf5_data_param", "window_data_param"];
            let told = messages.into_iter().find_map(|message| {
                let settings = Settings::of(node, message);
                let name = if settings.has("batch_size") { "batch_size" } else { "batchsize" };
                settings.int(name, -1).ok().filter(|&size| size > 0)
            });
            let batch = told.map_or(Dim::Unknown, known);
            Some(match (kind, index) {
                ("HDF5Data", _) => return None,
                (_, 0) => vec![batch, Dim::Unknown, Dim::Unknown, Dim::Unknown],
                _ => vec![batch],
            })
        }
    }
}

/// `DummyData`: blobs that a filler makes, of which `constant` is no chance.
pub(super) fn dummy(call: &Call<'_>) -> Tops {
    let settings = call.settings("dummy_data_param");
    let shapes = settings.messages("shape");
    let old = ["num", "channels", "height", "width"].map(|name| settings.sizes(name));
    let [num, channels, height, width] = old;
    let old = [num?, channels?, height?, width?];
    let fillers = settings.messages("data_filler");
    let mut tops = Vec::new();
    for index in 0..call.layer.tops.len() {
        let at = |count: usize| if count == 1 { 0 } else { index };
        let shape = match shapes.get(at(shapes.len())) {
            Some(shape) => sizes(&ints_of(shape, "dim")?)?,
            None => {
                let size = |sizes: &Vec<usize>| sizes.get(at(sizes.len())).copied();
                old.iter().map(size).collect::<Option<_>>().ok_or("a top whose shape is not told")?
            }
        };
        let mut data = zeros(&shape)?;
        if let Some(filler) = fillers.get(at(fillers.len())) {
            let kind = filler.get("type").and_then(|kind| kind.as_str()).unwrap_or("constant");
            if kind != "constant" {
                return Err(format!("the filler '{kind}' makes data by chance").into());
            }
            let value = filler.get("value").and_then(|value| value.as_float()).unwrap_or(0.0);
            data.fill(f64::from(value as f32));
        }
        tops.push(Blob::new(shape, data));
    }
    Ok(tops)
}

/// `Parameter`: a blob of weights as a top.
pub(super) fn parameter(call: &Call<'_>) -> Tops {
    Ok(vec![call.any_weight(0)?])
}

/// `Silence`: takes its bottoms and gives nothing.
pub(super) fn silence(_: &Call<'_>) -> Tops {
    Ok(Vec::new())
}

fn sizes(dims: &[i64]) -> Result<Vec<usize>, Fault> {
    let size = |&dim: &i64| usize::try_from(dim).map_err(|_| format!("a size of {dim}").into());
    dims.iter().map(size).collect()
}
