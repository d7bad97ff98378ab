//! What executes a model.

use std::path::{Path, PathBuf};
use std::time::Instant;

use weighbridge_model::{Error, Model, Result};

use crate::caffe::{self, CaffeReference};
use crate::rounded::rounded;
use crate::{Array, Probe};

/// Executes models: ONNX files, or graphs of a domain of its own.
pub trait Engine {
    /// Its name and version.
    fn name(&self) -> String;

    /// What in a model it would execute in another type than the model's own, or not at all: names of tensors or
    /// nodes, each with the reason. A proof on a promoted type proves nothing.
    fn lacks(&self, model: &Model) -> Vec<(String, String)>;

    /// Whether it computes types of 16 bits in F32 without a word: then each node of a model rounds what it gives by
    /// itself.
    fn promotes(&self) -> bool {
        false
    }

    /// Prepares the file at `path`, its optimisations off.
    ///
    /// # Errors
    /// What the engine says against it.
    fn load(&self, path: &Path) -> Result<Box<dyn Session>>;

    /// Prepares a model, so that the values `inner` may be asked for beside its outputs: written as a file for the
    /// purpose, unless the engine can do without.
    ///
    /// # Errors
    /// What is in the way of writing it; what the engine says against it.
    fn open(&self, model: &Model, inner: &[String]) -> Result<Box<dyn Session>> {
        let explicit = if self.promotes() { rounded(model)? } else { None };
        let probe = Probe::new(explicit.as_ref().unwrap_or(model), inner)?;
        let session = self.load(&probe.path())?;
        Ok(Box::new(Probed { session, _probe: probe }))
    }
}

/// A session whose file goes away with it.
struct Probed {
    session: Box<dyn Session>,
    _probe: Probe,
}

impl Session for Probed {
    fn run(&mut self, inputs: &[(String, Array)], wanted: &[String]) -> Result<Vec<Option<Array>>> {
        self.session.run(inputs, wanted)
    }
}

/// A model that is ready to run.
pub trait Session {
    /// Runs it, and gives the `wanted` outputs; `None` for one that is no tensor of numbers.
    ///
    /// # Errors
    /// What the engine says.
    fn run(&mut self, inputs: &[(String, Array)], wanted: &[String]) -> Result<Vec<Option<Array>>>;

    /// How many seconds a run takes.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn seconds(&mut self, inputs: &[(String, Array)], wanted: &[String]) -> Result<f64> {
        let started = Instant::now();
        self.run(inputs, wanted)?;
        Ok(started.elapsed().as_secs_f64())
    }
}

/// Which engine is asked for.
#[derive(Debug, Clone, Default)]
pub struct EngineChoice {
    /// `rten` or `onnxruntime`; without a name, ONNX Runtime where its library is found, otherwise rten.
    pub name: Option<String>,
    /// Where the library of ONNX Runtime is.
    pub library: Option<PathBuf>,
}

/// The engine that stands in for a framework of which there is none here: the interpreter, for a net of Caffe's.
pub fn reference(model: &Model) -> Option<Box<dyn Engine>> {
    let graph = model.graph.as_ref()?;
    caffe::is_caffe(graph).then(|| Box::new(CaffeReference) as Box<dyn Engine>)
}

/// The engine to use for ONNX graphs.
///
/// # Errors
/// A name that is none, or a library that is not there.
pub fn choose(choice: &EngineChoice) -> Result<Box<dyn Engine>> {
    match (choice.name.as_deref(), library(choice)) {
        #[cfg(feature = "onnxruntime")]
        (None | Some("onnxruntime"), Some(library)) => {
            Ok(Box::new(crate::onnxruntime::OnnxRuntime::open(&library)?))
        }
        #[cfg(feature = "rten")]
        (None | Some("rten"), _) => Ok(Box::new(crate::rten_engine::Rten)),
        (Some("onnxruntime"), None) => Err(Error::Usage {
            what: "no library of ONNX Runtime is found: --ort names it, or a Python environment that has onnxruntime \
                   may be active"
                .into(),
        }),
        (name, _) => Err(Error::NotFound {
            kind: "engine",
            name: name.unwrap_or("rten").to_owned(),
            near: vec!["rten".into(), "onnxruntime".into()],
        }),
    }
}

/// The library that is named, by the caller or by `ORT_DYLIB_PATH`; otherwise the active Python's.
fn library(choice: &EngineChoice) -> Option<PathBuf> {
    if choice.library.is_some() {
        return choice.library.clone();
    }
    if let Some(named) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return Some(named.into());
    }
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&path).find(|folder| folder.join("python3").exists());
    let beside = first.and_then(|bin| bin.parent().map(Path::to_owned));
    active.chain(beside).find_map(|prefix| in_environment(&prefix))
}

/// The library within `PREFIX/lib/python3*/site-packages/onnxruntime/capi`.
fn in_environment(prefix: &Path) -> Option<PathBuf> {
    let list = |folder: PathBuf| {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let named = |path: &Path, start: &str| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
    };
    let pythons = list(prefix.join("lib")).into_iter().filter(|path| named(path, "python3"));
    let packages = pythons.flat_map(|python| ["site-packages", "dist-packages"].map(|p| python.join(p)));
    packages
        .flat_map(|packages| list(packages.join("onnxruntime/capi")))
        .find(|path| named(path, "libonnxruntime.so") || named(path, "libonnxruntime.dylib"))
}
