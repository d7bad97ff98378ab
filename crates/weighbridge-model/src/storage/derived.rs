//! Storages that are computed from others as they are read: nothing is materialised.

use std::ops::Range;
use std::sync::Arc;

use super::{Channels, ChunkVisitor, Storage, check_range, visit_units};
use crate::dtype::BlockType;
use crate::{DType, Result, Tensor, dtype};

/// The same elements, each changed in its own bytes.
#[derive(Debug)]
pub struct PerUnit {
    inner: Arc<dyn Storage>,
    width: usize,
    change: Change,
}

/// What is done to a unit.
#[derive(Debug, Clone, Copy)]
enum Change {
    Reverse,
    FlipSign,
    SwapFields(BlockType),
}

impl Change {
    fn apply(self, units: &mut [u8], width: usize) {
        match self {
            Change::Reverse => units.chunks_exact_mut(width).for_each(<[u8]>::reverse),
            Change::FlipSign => units.chunks_exact_mut(width).for_each(|unit| unit[width - 1] ^= 0x80),
            Change::SwapFields(block) => block.swap(units),
        }
    }
}

impl PerUnit {
    /// Reverses the bytes of each unit of `width` bytes: the other byte order.
    pub fn swapped(inner: Arc<dyn Storage>, width: usize) -> Self {
        PerUnit { inner, width: width.max(1), change: Change::Reverse }
    }

    /// Flips the sign of the little-endian float that ends each unit of `width` bytes: negates floats of
    /// that width, conjugates complex numbers of that width.
    pub fn sign_flipped(inner: Arc<dyn Storage>, width: usize) -> Self {
        PerUnit { inner, width: width.max(1), change: Change::FlipSign }
    }

    /// Turns the numbers within each block into the other byte order.
    pub fn swapped_blocks(inner: Arc<dyn Storage>, block: BlockType) -> Self {
        PerUnit { inner, width: block.bytes() as usize, change: Change::SwapFields(block) }
    }
}

impl Storage for PerUnit {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn can_seek(&self) -> bool {
        self.inner.can_seek()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let width = self.width as u64;
        let start = offset - offset % width;
        let end = (offset + buffer.len() as u64).next_multiple_of(width).min(self.len());
        let mut units = vec![0; end.saturating_sub(start) as usize];
        self.inner.read_at(start, &mut units)?;
        self.change.apply(&mut units, self.width);
        let skip = (offset - start) as usize;
        buffer.copy_from_slice(&units[skip..skip + buffer.len()]);
        Ok(())
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        check_range(&range, self.len())?;
        let width = self.width as u64;
        let whole = range.start - range.start % width..range.end.next_multiple_of(width).min(self.len());
        let mut units = Vec::new();
        visit_units(&*self.inner, whole, self.width, &mut |at, chunk| {
            units.clear();
            units.extend_from_slice(chunk);
            self.change.apply(&mut units, self.width);
            let from = range.start.saturating_sub(at) as usize;
            let to = (range.end - at).min(units.len() as u64) as usize;
            visitor(at + from as u64, &units[from..to])
        })
    }

    fn base(&self) -> Option<&Arc<dyn Storage>> {
        Some(&self.inner)
    }

    fn will_need(&self, range: Range<u64>) {
        self.inner.will_need(range);
    }
}

/// The logical elements of a tensor, contiguous, mapped one by one into `dtype`.
trait ElementMap: Send + Sync {
    fn source(&self) -> &Tensor;
    fn dtype(&self) -> DType;
    fn map(&self, index: u64, x: f64) -> f64;
}

fn visit_mapped(map: &dyn ElementMap, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
    let to = map.dtype();
    let width = to.chunk_bytes() as u64;
    let elements = range.start / width..range.end.div_ceil(width);
    let mut out = Vec::new();
    map.source().visit_values(elements, &mut |first, values| {
        out.clear();
        for (i, &x) in values.iter().enumerate() {
            dtype::push(to, map.map(first + i as u64, x), &mut out);
        }
        let at = first * width;
        let skip = range.start.saturating_sub(at) as usize;
        let end = (out.len() as u64).min(range.end - at) as usize;
        visitor(at + skip as u64, &out[skip..end])
    })
}

macro_rules! mapped_storage {
    ($name:ident) => {
        impl Storage for $name {
            fn len(&self) -> u64 {
                self.source.count().saturating_mul(ElementMap::dtype(self).chunk_bytes() as u64)
            }

            fn can_seek(&self) -> bool {
                self.source.storage.can_seek()
            }

            fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
                self.visit(offset..offset.saturating_add(buffer.len() as u64), &mut |at, chunk| {
                    let at = (at - offset) as usize;
                    buffer[at..at + chunk.len()].copy_from_slice(chunk);
                    Ok(())
                })
            }

            fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
                check_range(&range, self.len())?;
                visit_mapped(self, range, visitor)
            }
        }
    };
}

/// A tensor's real values (quantized ones dequantized), contiguous, cast to a whole-byte real type (nearest,
/// ties to even).
#[derive(Debug)]
pub struct Cast {
    source: Tensor,
    to: DType,
}

impl Cast {
    /// Casts the elements of `source` as they are read. `to` must be at least a byte wide.
    pub fn new(source: Tensor, to: DType) -> Self {
        assert!(to.is_real() && !to.is_sub_byte(), "casts go to whole-byte real types");
        Cast { source, to }
    }
}

impl ElementMap for Cast {
    fn source(&self) -> &Tensor {
        &self.source
    }
    fn dtype(&self) -> DType {
        self.to
    }
    fn map(&self, _: u64, x: f64) -> f64 {
        x
    }
}

mapped_storage!(Cast);

/// A tensor's elements, contiguous, each multiplied by a factor of its channel and rounded once to the tensor's own
/// type: what folding a BatchNorm does to a convolution's weights.
#[derive(Debug)]
pub struct ScaledAxis {
    source: Tensor,
    scales: Vec<(Channels, Vec<f64>)>,
}

impl ScaledAxis {
    /// Scales `source` along `axis`; one factor for each index along it.
    ///
    /// Panics where the number of factors is not the size of the axis: the caller computes both.
    pub fn new(source: Tensor, axis: usize, factors: Vec<f64>) -> Self {
        let channels = Channels::of(&source.shape, &[axis]).expect("an axis of a tensor");
        ScaledAxis::by_channels(source, vec![(channels, factors)])
    }

    /// Scales `source` by a factor for each channel, of several kinds of channels at once.
    ///
    /// Panics where channels are of another tensor, or have another number of factors: the caller computes both.
    pub fn by_channels(source: Tensor, scales: Vec<(Channels, Vec<f64>)>) -> Self {
        for (channels, factors) in &scales {
            assert_eq!(channels.elements(), source.count(), "channels of this tensor");
            assert_eq!(channels.count(), factors.len() as u64, "one factor for each channel");
        }
        ScaledAxis { source, scales }
    }
}

impl ElementMap for ScaledAxis {
    fn source(&self) -> &Tensor {
        &self.source
    }
    fn dtype(&self) -> DType {
        self.source.dtype.in_chunks()
    }
    fn map(&self, index: u64, x: f64) -> f64 {
        self.scales.iter().fold(x, |x, (channels, factors)| x * factors[channels.at(index)])
    }
}

mapped_storage!(ScaledAxis);
