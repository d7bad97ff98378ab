//! Caffe: `.caffemodel` and `.prototxt`, which hold one message in binary and as text; a pair of both; solver states
//! and single blobs.
//!
//! A file has no magic number. In binary it is one message, `NetParameter`:
//!
//! | field | |
//! |---|---|
//! | 1 | name |
//! | 2 | layers of 2014 (V1), each with a layer of 2013 (V0) in its field 1, or without |
//! | 3, 4, 8 | inputs: names, four sizes each, or shapes |
//! | 100 | layers |
//!
//! A layer, by the generation of its message:
//!
//! | | V0 | V1 | current |
//! |---|---|---|---|
//! | name | 1 | 4 | 1 |
//! | type | 2, text | 5, an enumeration | 2, text |
//! | bottoms, tops | (2, 3 of the V1 layer around it) | 2, 3 | 3, 4 |
//! | blobs | 50 | 6 | 7 |
//!
//! A blob:
//!
//! | field | |
//! |---|---|
//! | 1 to 4 | num, channels, height, width: where one is there, they are the shape |
//! | 7 | shape: its field 1, sizes |
//! | 5, 8 | data in single and in double precision, packed or one by one; double precision wins |
//! | 6, 9 | their gradients |
//! | 10 | NVCaffe: half-precision codes, or the type of field 12 |
//! | 12 | NVCaffe: data as raw bytes |
//!
//! A solver's state has its iteration in field 1, the weights' file in 2 and its history in 3, a blob each. A blob
//! alone is a file too: `mean.binaryproto`.
//!
//! Weights may be in HDF5 instead (`.caffemodel.h5`): `hdf5.rs` has their layout.
//!
//! Tensors are named by layer and type: `conv1.weight`, `conv1.bias`, `bn1.running_mean`; of types that are not
//! known, `layer.blob0`. Layers with their types and blobs in order are in the metadata.
//!
//! What the reader notices:
//!
//! | code | severity | |
//! |---|---|---|
//! | C101 | info | gradients beside the weights |
//! | C102 | warning | blobs with a shape and no values |
//! | C103 | error | a pair: another number of blobs than the net has |
//! | C104 | error | a pair: a blob of another shape |
//! | C105 | warning | a pair: weights that are not there |
//! | C106 | info | a pair: weights that the net has no layer for |
//! | C107 | info | a net as text, without weights |

mod binary;
mod blob;
mod encode;
mod from_text;
mod graph;
mod hdf5;
mod join;
mod names;
mod net;
mod runs;
mod schema;
mod settings;
mod sniff;
mod text;
mod ungraph;
mod write;

use weighbridge_model::{Error, Finding, Limits, Model, Result, Role, Severity, Value};

use crate::format::ReadOptions;
use crate::protobuf::Message;
use crate::source::Source;
use blob::Blob;
use net::Blobs;
use sniff::What;

pub use join::{Declared, declared, join};
pub use sniff::sniff;
pub use write::write;

/// Reads a file; its weights stay where they are.
///
/// # Errors
/// Where the bytes contradict themselves, with offset, layer and tensor.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    let limits = &options.limits;
    let what = match sniff::what(source)? {
        Some((what, _)) => what,
        // What is called Caffe's and looks like nothing is most likely a damaged net.
        None if sniff::is_text(&source.prefix(0, sniff::TEXT)?) => What::Text,
        None => What::Net,
    };
    match what {
        What::Text => {
            let (net, mut model) = from_text::read(source, limits)?;
            net.describe(&mut model, "net as text");
            if model.tensors.is_empty() {
                let help = "name its .caffemodel too: weigh NET.prototxt NET.caffemodel";
                let message = "a net without weights, which Caffe keeps in a file of their own";
                model.findings.push(Finding::new("C107", Severity::Info, message, help));
            }
            Ok(model)
        }
        What::Solver => {
            let metadata = text::read(source)?;
            Ok(Model {
                format: "caffe",
                origin: "Caffe solver settings".to_owned(),
                metadata,
                ..Model::default()
            })
        }
        What::State => state(source, limits),
        What::Blob => single(source, limits),
        What::Hdf5 => {
            let (net, mut model) = hdf5::read(source, limits)?;
            net.describe(&mut model, "weights in HDF5");
            Ok(model)
        }
        What::Net => {
            let (net, mut model) = binary::read(source, limits)?;
            if net.layers.is_empty() {
                return Err(Error::malformed(source.place(0), "a Caffe net without layers"));
            }
            net.describe(&mut model, "net");
            Ok(model)
        }
    }
}

/// `SolverState`: an optimizer's memory, in the order of the net's learnable blobs.
fn state(source: &Source, limits: &Limits) -> Result<Model> {
    let mut blobs = Blobs::new(source.len(), limits);
    let mut metadata = Vec::new();
    let mut count = 0u64;
    for field in Message::whole(source, limits.depth).fields() {
        let field = field?;
        match field.number {
            1 => metadata.push(("iteration".to_owned(), Value::Int(field.int()?))),
            2 => metadata.push(("learned_net".to_owned(), Value::Str(field.text()?))),
            3 => {
                let name = format!("history.{count}");
                count += 1;
                let blob = Blob::read(&field.message()?, &name, limits)?;
                blobs.push(blob, name, Some(Role::OptimizerState))?;
            }
            4 => metadata.push(("current_step".to_owned(), Value::Int(field.int()?))),
            _ => {}
        }
        if metadata.len() > 64 {
            return Err(Error::malformed(
                field.place(),
                "a solver's state that tells its iteration many times",
            ));
        }
    }
    let mut model = blobs.finish();
    (model.format, model.origin, model.metadata) = ("caffe", "Caffe solver state".to_owned(), metadata);
    Ok(model)
}

/// A file that is one blob: the mean image of a training set.
fn single(source: &Source, limits: &Limits) -> Result<Model> {
    let mut blobs = Blobs::new(source.len(), limits);
    let blob = Blob::read(&Message::whole(source, limits.depth), "mean", limits)?;
    blobs.push(blob, "mean".to_owned(), Some(Role::Constant))?;
    let mut model = blobs.finish();
    (model.format, model.origin) = ("caffe", "Caffe blob".to_owned());
    Ok(model)
}
