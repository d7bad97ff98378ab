//! ONNX Runtime, where its library is there.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{OutputSelector, RunOptions, Session as OrtSession, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorElementType, ValueType};
use weighbridge_model::{DType, Error, Model, Place, Result};

use crate::{Array, Engine, Session};

/// A process has one.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The library, loaded.
pub struct OnnxRuntime {
    environment: Environment,
    library: String,
}

impl OnnxRuntime {
    /// Loads the library. A process keeps the first one that it loads.
    ///
    /// # Errors
    /// A file that is no such library.
    pub fn open(library: &Path) -> Result<Self> {
        let shown = library.display().to_string();
        if !library.exists() {
            let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no such library");
            return Err(Error::io(shown, cause));
        }
        let fault =
            |e: String| Error::unsupported(Place::source(shown.clone()), format!("no ONNX Runtime: {e}"));
        let mut only = ENVIRONMENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let environment = match &*only {
            Some(environment) => environment.clone(),
            None => {
                let builder = ort::init_from(library).map_err(|e| fault(e.to_string()))?;
                let made = builder.with_telemetry(false).build().map_err(|e| fault(e.to_string()))?;
                made.set_log_level(ort::logging::LogLevel::Fatal);
                only.insert(made).clone()
            }
        };
        let name = library.file_name().unwrap_or_default().to_string_lossy();
        let version = name.split(".so.").nth(1).unwrap_or_default().to_owned();
        Ok(OnnxRuntime { environment, library: version })
    }
}

impl Engine for OnnxRuntime {
    fn name(&self) -> String {
        format!("onnxruntime {}", self.library).trim_end().to_owned()
    }

    /// What it has no kernel for, it does not load; but for types of 16 bits.
    fn lacks(&self, _: &Model) -> Vec<(String, String)> {
        Vec::new()
    }

    fn promotes(&self) -> bool {
        true
    }

    fn load(&self, path: &Path) -> Result<Box<dyn Session>> {
        let load = || -> std::result::Result<OrtSession, String> {
            let builder = OrtSession::builder(&self.environment).map_err(|e| e.to_string())?;
            let plain = builder.with_optimization_level(GraphOptimizationLevel::Disable);
            let mut plain = plain.map_err(|e| e.to_string())?;
            plain.commit_from_file(path).map_err(|e| e.to_string())
        };
        load().map(|session| Box::new(session) as Box<dyn Session>).map_err(|e| fault(&e))
    }
}

fn fault(what: &str) -> Error {
    Error::unsupported(Place::source("onnxruntime"), what)
}

impl Session for OrtSession {
    fn run(&mut self, inputs: &[(String, Array)], wanted: &[String]) -> Result<Vec<Option<Array>>> {
        let mut given: Vec<(String, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for (name, array) in inputs {
            given.push((name.clone(), value(array)?.into()));
        }
        // An output that is not asked for need not be computed, nor kept.
        let known: HashSet<&str> = self.outputs().iter().map(|output| output.name()).collect();
        let known = wanted.iter().filter(|name| known.contains(name.as_str()));
        let select = known.fold(OutputSelector::no_default(), |select, name| select.with(name));
        let options = RunOptions::new().map_err(|e| fault(&e.to_string()))?.with_outputs(select);
        let outputs = self.run_with_options(given, &options).map_err(|e| fault(&e.to_string()))?;
        wanted.iter().map(|name| outputs.get(name).map_or(Ok(None), array)).collect()
    }
}

/// Matches an element type with the engine's and the language's.
macro_rules! types {
    ($each:ident) => {
        $each! {
            F32 Float32 f32, F64 Float64 f64, F16 Float16 half::f16, BF16 Bfloat16 half::bf16, I8 Int8 i8,
            U8 Uint8 u8, I16 Int16 i16, U16 Uint16 u16, I32 Int32 i32, U32 Uint32 u32, I64 Int64 i64,
            U64 Uint64 u64
        }
    };
}

fn value(array: &Array) -> Result<DynValue> {
    let shape: Vec<i64> = array.shape.iter().map(|&n| n as i64).collect();
    macro_rules! make {
        ($($ours:ident $theirs:ident $rust:ty),*) => {
            match array.dtype {
                $(DType::$ours => {
                    let width = size_of::<$rust>();
                    let elements = array.bytes.chunks_exact(width);
                    let elements = elements.map(|e| <$rust>::from_le_bytes(e.try_into().expect("whole elements")));
                    Tensor::from_array((shape, elements.collect::<Vec<$rust>>())).map(|t| t.into_dyn())
                })*
                DType::Bool => {
                    let elements: Vec<bool> = array.bytes.iter().map(|&byte| byte != 0).collect();
                    Tensor::from_array((shape, elements)).map(|t| t.into_dyn())
                }
                other => return Err(fault(&format!("no inputs of type {other}"))),
            }
        };
    }
    types!(make).map_err(|e| fault(&e.to_string()))
}

/// The tensor in a value; `None` where it is of no kind that is compared.
fn array(value: &DynValue) -> Result<Option<Array>> {
    let ValueType::Tensor { ty, .. } = value.dtype() else { return Ok(None) };
    macro_rules! take {
        ($($ours:ident $theirs:ident $rust:ty),*) => {
            match ty {
                $(TensorElementType::$theirs => value.try_extract_tensor::<$rust>().map(|(shape, elements)| {
                    let bytes = elements.iter().flat_map(|e| e.to_le_bytes()).collect();
                    (DType::$ours, shape.to_vec(), bytes)
                }),)*
                TensorElementType::Bool => value.try_extract_tensor::<bool>().map(|(shape, elements)| {
                    (DType::Bool, shape.to_vec(), elements.iter().map(|&b| u8::from(b)).collect())
                }),
                _ => return Ok(None),
            }
        };
    }
    let taken: ort::Result<(DType, Vec<i64>, Vec<u8>)> = types!(take);
    let (dtype, shape, bytes) = taken.map_err(|e| fault(&e.to_string()))?;
    Ok(Some(Array { dtype, shape: shape.into_iter().map(|n| n as u64).collect(), bytes }))
}
