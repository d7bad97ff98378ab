//! THE table of formats: one row each. Adding a format is a folder and a row.

use std::path::Path;

use weighbridge_model::{Error, Limits, Model, Place, Result, Tensor, nearest_or_all};

use crate::plan::{Plan, WriteOptions};
use crate::source::{Access, Source};
use crate::{caffe, gguf, keras, numpy, onnx, pytorch, safetensors, tensorflow, tensorrt, tflite, wts};

/// How sure a look at the content is. Stronger wins; ties go to the earlier row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Plausible bytes without a signature.
    Plausible,
    /// A structure that hardly anything else has.
    Likely,
    /// A magic number or signature.
    Certain,
}

/// What a reader needs beside the source.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// How further files (shards, external data) are opened.
    pub access: Access,
    /// What the input may ask of us.
    pub limits: Limits,
}

/// A row of the table.
pub struct Format {
    /// Stable id, as `--format` and JSON spell it.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Usual file extensions, without the dot.
    pub extensions: &'static [&'static str],
    /// Other ways of writing it, which `--to ID:VARIANT` asks for.
    pub variants: &'static [Variant],
    /// What of it is read, in a few words, for people.
    pub about: &'static str,
    /// Looks at the content: how sure is it that this is one?
    pub sniff: fn(&Source) -> Result<Option<Confidence>>,
    /// Reads it, lazily.
    pub read: fn(&Source, &ReadOptions) -> Result<Model>,
    /// Reads several files that make one model, where that is more than shards side by side.
    pub join: Option<Join>,
    /// Whether what is written is a graph with its tensors, rather than tensors alone.
    pub graph: bool,
    /// Plans the files of a model at a path, where the format is written.
    pub write: Option<Write>,
}

/// Another way of writing a format than the usual one.
pub struct Variant {
    /// Its name behind the format's and a colon.
    pub id: &'static str,
    /// What it is, in a few words, for people.
    pub about: &'static str,
}

/// Plans the files of a model at a path: nothing is written yet.
pub type Write = fn(&Model, &Path, &WriteOptions) -> Result<Plan>;

/// Reads several files as one model.
pub type Join = fn(&[Source], &ReadOptions) -> Result<Model>;

/// Every format there is.
pub const FORMATS: &[Format] = &[
    Format {
        id: "pytorch",
        name: "PyTorch",
        extensions: &["pth", "pt", "bin", "ckpt", "pt2"],
        variants: &[Variant { id: "legacy", about: "the stream of before 1.6, without a zip" }],
        about: "torch.save of any age: state dicts, checkpoints, pickled modules; TorchScript, .pt2, bare pickles",
        sniff: pytorch::sniff,
        read: pytorch::read,
        join: None,
        graph: false,
        write: Some(pytorch::write),
    },
    Format {
        id: "safetensors",
        name: "safetensors",
        extensions: &["safetensors"],
        variants: &[],
        about: "one file, or shards with their index",
        sniff: safetensors::sniff,
        read: safetensors::read,
        join: None,
        graph: false,
        write: Some(safetensors::write),
    },
    Format {
        id: "onnx",
        name: "ONNX",
        extensions: &["onnx"],
        variants: &[],
        about: "initializers, constants, external data; the graph",
        sniff: onnx::sniff,
        read: onnx::read,
        join: None,
        graph: true,
        write: Some(onnx::write),
    },
    Format {
        id: "caffe",
        name: "Caffe",
        extensions: &["caffemodel", "prototxt", "solverstate", "binaryproto", "h5"],
        variants: &[],
        about: "weights and nets of all generations, alone or as a pair, in HDF5 too; solver states, mean images",
        sniff: caffe::sniff,
        read: caffe::read,
        join: Some(caffe::join),
        graph: false,
        write: Some(caffe::write),
    },
    Format {
        id: "tflite",
        name: "TensorFlow Lite",
        extensions: &["tflite", "lite"],
        variants: &[],
        about: "tensors of every subgraph, sparse ones too, scales and zero points; the operators",
        sniff: tflite::sniff,
        read: tflite::read,
        join: None,
        graph: false,
        write: None,
    },
    Format {
        id: "tensorflow",
        name: "TensorFlow",
        extensions: &["index", "pb", "meta"],
        variants: &[],
        about: "checkpoints and their shards, SavedModels, frozen graphs; names, signatures, the graph",
        sniff: tensorflow::sniff,
        read: tensorflow::read,
        join: None,
        graph: false,
        write: None,
    },
    Format {
        id: "numpy",
        name: "NumPy",
        extensions: &["npy", "npz"],
        variants: &[],
        about: ".npy arrays, .npz archives of them, stored or deflated",
        sniff: numpy::sniff,
        read: numpy::read,
        join: None,
        graph: false,
        write: Some(numpy::write),
    },
    Format {
        id: "keras",
        name: "Keras or HDF5",
        extensions: &["keras", "h5", "hdf5"],
        variants: &[],
        about: ".keras archives, .weights.h5, whole .h5 models, any HDF5 file's datasets",
        sniff: keras::sniff,
        read: keras::read,
        join: None,
        graph: false,
        write: None,
    },
    Format {
        id: "wts",
        name: "TensorRT .wts",
        extensions: &["wts"],
        variants: &[Variant {
            id: "nvidia",
            about: "that of NVIDIA's samples: a type before each count, words unpadded",
        }],
        about: "weights as text: the usual form, that of NVIDIA's samples, wts2",
        sniff: wts::sniff,
        read: wts::read,
        join: None,
        graph: false,
        write: Some(wts::write),
    },
    Format {
        id: "gguf",
        name: "GGUF",
        extensions: &["gguf"],
        variants: &[],
        about: "versions 1 to 3, either byte order, split files; every GGML block type dequantized",
        sniff: gguf::sniff,
        read: gguf::read,
        join: Some(gguf::join),
        graph: false,
        write: Some(gguf::write),
    },
    Format {
        id: "tensorrt",
        name: "TensorRT engine",
        extensions: &["engine", "plan", "trt"],
        variants: &[],
        about: "the version that built it, its sections, what is legible; no weights, which it does not name",
        sniff: tensorrt::sniff,
        read: tensorrt::read,
        join: None,
        graph: false,
        write: None,
    },
];

/// The row of this id.
///
/// # Errors
/// [`Error::NotFound`] with the nearest ids.
pub fn by_id(id: &str) -> Result<&'static Format> {
    FORMATS.iter().find(|f| f.id == id).ok_or_else(|| Error::NotFound {
        kind: "format",
        name: id.to_owned(),
        near: nearest_or_all(id, FORMATS.iter().map(|f| f.id)),
    })
}

/// Most bytes of tensors to write: more than any disk has, and few enough to be counted with.
const MOST: u64 = 1 << 56;

impl Format {
    /// Plans the files of a model at a path.
    ///
    /// # Errors
    /// A format that is not written; more bytes than can be; what the format cannot carry.
    pub fn plan(&self, model: &Model, path: &Path, options: &WriteOptions) -> Result<Plan> {
        let Some(write) = self.write else {
            return Err(Error::Usage { what: format!("{} is not written", self.name) });
        };
        let asked = model.tensors.iter().map(Tensor::bytes).fold(0, u64::saturating_add);
        if asked > MOST {
            let place = Place::source(path.display().to_string());
            return Err(Error::Limit { place, what: "bytes of tensors to write", asked, allowed: MOST });
        }
        write(model, path, options)
    }

    /// The variant of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`] with those that there are.
    pub fn variant(&self, id: &str) -> Result<&'static str> {
        self.variants.iter().find(|v| v.id == id).map(|v| v.id).ok_or_else(|| Error::NotFound {
            kind: "variant of this format",
            name: id.to_owned(),
            near: self.variants.iter().map(|v| v.id.to_owned()).collect(),
        })
    }
}

/// A place that names only the file.
pub(crate) fn place(source: &Source) -> Place {
    Place::source(source.name())
}
