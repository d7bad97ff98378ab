//! Tensors to measure.
#![allow(dead_code, unused_imports)]

mod reference;

pub use reference::check;

use std::ops::Range;
use std::sync::Arc;

use weighbridge_measure::{Level, Measured, Options, measure};
use weighbridge_model::dtype::{self, BF16, F16, FloatFormat};
use weighbridge_model::storage::{ChunkVisitor, Memory};
use weighbridge_model::{DType, Place, Result, Storage, Tensor, View};

/// Every type that has figures.
pub fn real_dtypes() -> impl Iterator<Item = DType> {
    DType::ALL.iter().copied().filter(|d| d.is_real())
}

pub const FORMATS: &[FloatFormat] = &[F16, BF16];

/// Everything there is to measure.
pub fn all(level: Level) -> Options<'static> {
    Options { histogram: true, survival: FORMATS, level, ..Options::default() }
}

pub fn figures(tensor: &Tensor) -> Measured {
    figures_at(Level::detect(), tensor)
}

pub fn figures_at(level: Level, tensor: &Tensor) -> Measured {
    measure(&[tensor], &all(level), &|_| {}).remove(0).expect("can be measured")
}

/// Every bit of the figures, told apart: `-0` from `0`, too.
pub fn bits(measured: &Measured) -> String {
    format!("{measured:?}")
}

pub fn tensor_over(dtype: DType, count: u64, storage: Arc<dyn Storage>) -> Tensor {
    Tensor::contiguous("t", dtype, vec![count], storage, &Place::default()).expect("fits")
}

/// A tensor of whole-byte elements.
pub fn tensor(dtype: DType, bytes: Vec<u8>) -> Tensor {
    let count = bytes.len() / dtype.chunk_bytes();
    tensor_over(dtype, count as u64, Arc::new(Memory::new(bytes)))
}

pub fn tensor_f32(values: &[f32]) -> Tensor {
    tensor(DType::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

pub fn tensor_f64(values: &[f64]) -> Tensor {
    tensor(DType::F64, values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

pub fn view(dtype: DType, bytes: Vec<u8>, shape: &[u64], offset: u64, strides: &[i64]) -> Tensor {
    let view = View { offset, strides: strides.to_vec() };
    Tensor::strided("t", dtype, shape.to_vec(), view, Arc::new(Memory::new(bytes)), &Place::default())
        .expect("fits")
}

/// The same elements, contiguous.
pub fn materialised(t: &Tensor) -> Tensor {
    let mut bytes = Vec::new();
    t.visit(0..t.count(), &mut |chunk| {
        bytes.extend_from_slice(chunk.bytes);
        Ok(())
    })
    .expect("can be read");
    tensor(t.dtype, bytes)
}

/// Stored elements as f64, and as whole numbers.
pub fn values(t: &Tensor) -> (Vec<f64>, Vec<Option<i128>>) {
    let (mut floats, mut integers) = (Vec::new(), Vec::new());
    t.visit(0..t.count(), &mut |chunk| {
        for element in chunk.bytes.chunks_exact(t.dtype.chunk_bytes()) {
            floats.push(dtype::to_f64(t.dtype, element));
            integers.push(dtype::to_integer(t.dtype, element));
        }
        Ok(())
    })
    .expect("can be read");
    (floats, integers)
}

/// Bytes without a pattern.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len).collect()
}

/// Values that look like weights.
pub fn weights(seed: u64, count: usize) -> Vec<f32> {
    let uniform = |b: &[u8]| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0;
    noise(seed, count * 8).chunks(8).map(|b| b.chunks(2).map(uniform).sum::<f32>() * 0.02).collect()
}

/// Bytes that can only be read in order, in pieces of awkward sizes.
#[derive(Debug)]
pub struct Stream {
    pub bytes: Vec<u8>,
    pub pieces: Vec<usize>,
}

impl Storage for Stream {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        let mut at = range.start as usize;
        for piece in self.pieces.iter().cycle() {
            let end = (at + piece).min(range.end as usize);
            if at == end {
                break;
            }
            visitor(at as u64, &self.bytes[at..end])?;
            at = end;
        }
        Ok(())
    }
}

/// Bytes that are read at offsets, as a file is.
#[derive(Debug)]
pub struct File(pub Vec<u8>);

impl Storage for File {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
        Ok(())
    }
}
