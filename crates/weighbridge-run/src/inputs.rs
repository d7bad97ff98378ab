//! What a model is run on: random values by declared type and shape, or arrays of a file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use weighbridge_formats::{ReadOptions, open};
use weighbridge_model::dtype::{self, FloatFormat};
use weighbridge_model::{DType, Dim, Error, Model, Result, element_count};

use crate::Array;
use crate::interface::{Input, Interface};

/// Most bytes of inputs that are made up: a model may declare any size.
const MOST: u64 = 256 << 20;

/// Shapes of inputs that are told from outside, by name.
pub type Shapes = BTreeMap<String, Vec<u64>>;

/// The arrays of an `.npz` file (or of any other that is read) that are inputs of the model.
///
/// # Errors
/// An input that the file does not have; a failed read.
pub fn from_file(model: &Model, path: &Path) -> Result<Vec<(String, Array)>> {
    let file = open(&[path], None, &ReadOptions::default())?;
    let take = |input: Input| {
        let found =
            file.tensors.iter().find(|tensor| tensor.name == input.name).ok_or_else(|| Error::NotFound {
                kind: "array for the input",
                name: input.name.clone(),
                near: file.tensors.iter().map(|tensor| tensor.name.clone()).collect(),
            })?;
        Ok((input.name, Array::of(found)?))
    };
    Interface::of(model)?.inputs.into_iter().map(take).collect()
}

/// Random inputs: floating-point numbers normally distributed; whole numbers within the range of the table that they
/// pick from, otherwise below 10; the same for the same seed everywhere.
///
/// # Errors
/// An input whose type or shape is not known: all of them, with what would help.
pub fn random(model: &Model, shapes: &Shapes, seed: u64) -> Result<Vec<(String, Array)>> {
    let declared = Interface::of(model)?.inputs;
    let mut symbols: HashMap<&str, u64> = HashMap::new();
    let (mut inputs, mut reasons) = (Vec::new(), Vec::new());
    let known: HashSet<&str> = declared.iter().map(|input| input.name.as_str()).collect();
    if let Some(name) = shapes.keys().find(|name| !known.contains(name.as_str())) {
        let near = declared.iter().map(|input| input.name.clone()).collect();
        return Err(Error::NotFound { kind: "input", name: name.clone(), near });
    }
    // Sizes that are told for one input hold wherever their names stand.
    for (input, told) in declared.iter().filter_map(|input| Some((input, shapes.get(&input.name)?))) {
        for (dim, size) in input.shape.iter().flatten().zip(told) {
            if let Dim::Symbol(name) = dim {
                symbols.insert(name, *size);
            }
        }
    }
    let mut left = MOST;
    for (input, position) in declared.iter().zip(1..) {
        let shape = match (shapes.get(&input.name), &input.shape) {
            (Some(told), _) => Ok(told.clone()),
            (None, Some(dims)) => sizes(dims, &symbols),
            (None, None) => Err("no shape".to_owned()),
        };
        match (shape, input.dtype) {
            (Ok(shape), Some(dtype)) => {
                let bytes = element_count(&shape).and_then(|n| n.checked_mul(dtype.chunk_bytes() as u64));
                let Some(rest) = bytes.and_then(|bytes| left.checked_sub(bytes)) else {
                    let why = format!("{shape:?} is too much to make up: {} MiB in all are", MOST >> 20);
                    reasons.push((input.name.clone(), why));
                    continue;
                };
                left = rest;
                match fill(dtype, shape, input.below, &mut Random(seed.wrapping_add(position << 32))) {
                    Some(array) => inputs.push((input.name.clone(), array)),
                    None => reasons.push((input.name.clone(), format!("{dtype} elements"))),
                }
            }
            (Err(why), _) => reasons.push((input.name.clone(), why)),
            (_, None) => reasons.push((input.name.clone(), "no tensor of a known type".to_owned())),
        }
    }
    if reasons.is_empty() {
        return Ok(inputs);
    }
    Err(Error::Refused {
        what: "no inputs can be made up".into(),
        reasons,
        help: Some("--input NAME=1,3,224,224 gives a shape, --inputs FILE.npz the values".into()),
    })
}

/// Known sizes; a first one that is not known is the batch, 1.
fn sizes(dims: &[Dim], symbols: &HashMap<&str, u64>) -> Result<Vec<u64>, String> {
    let size = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Known(n) => Ok(*n),
        Dim::Symbol(name) => match symbols.get(name.as_str()) {
            Some(&n) => Ok(n),
            None if axis == 0 => Ok(1),
            None => Err(format!("size '{name}' is open")),
        },
        Dim::Unknown if axis == 0 => Ok(1),
        Dim::Unknown => Err(format!("size of dimension {axis} is open")),
    };
    dims.iter().enumerate().map(size).collect()
}

fn fill(dtype: DType, shape: Vec<u64>, below: Option<u64>, random: &mut Random) -> Option<Array> {
    let count: u64 = shape.iter().product();
    // Caffe has its indices as floating-point numbers.
    let picks = below.is_some();
    let below = below.unwrap_or(10).max(1);
    let mut bytes = Vec::new();
    for _ in 0..count {
        match dtype {
            d if d.is_float() && !d.is_sub_byte() => {
                let number = if picks { random.below(below) as f64 } else { random.normal() };
                dtype::push(dtype, number, &mut bytes);
            }
            DType::Bool => bytes.push(random.below(2) as u8),
            DType::U8 => bytes.push(random.below(256) as u8),
            DType::I8 => bytes.push(random.below(256) as u8),
            DType::I16 | DType::U16 => bytes.extend((random.below(below) as u16).to_le_bytes()),
            DType::I32 | DType::U32 => bytes.extend((random.below(below) as u32).to_le_bytes()),
            DType::I64 | DType::U64 => bytes.extend(random.below(below).to_le_bytes()),
            _ => return None,
        }
    }
    Some(Array { dtype, shape, bytes })
}

/// The array with each floating-point number moved by one step in its last place, up or down.
pub(crate) fn nudge(array: &Array) -> Array {
    if !array.dtype.is_float() || array.dtype.is_sub_byte() {
        return array.clone();
    }
    // F64 has 52 bits behind the point.
    let bits = FloatFormat::of(array.dtype).map_or(52, |format| format.mantissa_bits);
    let step = f64::powi(2.0, -(bits as i32));
    let (mut random, mut bytes) = (Random(0), Vec::with_capacity(array.bytes.len()));
    for x in array.values() {
        let up = if random.below(2) == 0 { step } else { -step };
        dtype::push(array.dtype, x * (1.0 + up), &mut bytes);
    }
    Array { bytes, ..array.clone() }
}

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Normal enough, and the same on every machine: twelve uniform numbers have a variance of 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }
}
