//! Bytes per second of the passes over one task's worth of values in memory, on one thread, beside a bare
//! sum of the same values.

use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use weighbridge_measure::{Level, Options, measure};
use weighbridge_model::dtype::{self, BF16, F16};
use weighbridge_model::storage::Memory;
use weighbridge_model::{DType, Place, Tensor};

/// Few enough to stay in the second-level cache, where the page cache's bytes come through.
const COUNT: u64 = 2 * 65_536;

fn main() {
    divan::main();
}

/// Values that look like weights, scaled for integers to see more than zeros.
fn tensor(dtype: DType) -> Tensor {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::new();
    for _ in 0..COUNT {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let pair = state
            .to_le_bytes()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&b| f64::from(i16::from_le_bytes(b)))
            .sum::<f64>();
        dtype::push(dtype, pair / if dtype.is_float() { 1e6 } else { 1e3 }, &mut bytes);
    }
    let storage = Arc::new(Memory::new(bytes));
    Tensor::contiguous("values", dtype, vec![COUNT], storage, &Place::default()).expect("fits")
}

fn run(bencher: Bencher<'_, '_>, dtype: DType, options: &Options<'_>) {
    let tensor = tensor(dtype);
    bencher
        .counter(BytesCount::new(tensor.bytes()))
        .bench_local(|| measure(&[black_box(&tensor)], options, &|_| {}));
}

#[divan::bench]
fn bare_sum(bencher: Bencher<'_, '_>) {
    let tensor = tensor(DType::F32);
    let bytes = tensor.storage.as_slice().expect("in memory");
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| {
        let mut lanes = [0f32; 64];
        for group in black_box(bytes).as_chunks::<4>().0.as_chunks::<64>().0 {
            for (lane, value) in lanes.iter_mut().zip(group) {
                *lane += f32::from_le_bytes(*value);
            }
        }
        lanes.iter().sum::<f32>()
    });
}

#[divan::bench(args = Level::available())]
fn summary_f32(bencher: Bencher<'_, '_>, level: Level) {
    run(bencher, DType::F32, &Options { level, ..Options::default() });
}

#[divan::bench(args = Level::available())]
fn summary_histogram_f32(bencher: Bencher<'_, '_>, level: Level) {
    run(bencher, DType::F32, &Options { level, histogram: true, ..Options::default() });
}

#[divan::bench(args = Level::available())]
fn summary_survival_f32(bencher: Bencher<'_, '_>, level: Level) {
    run(bencher, DType::F32, &Options { level, survival: &[F16, BF16], ..Options::default() });
}

#[divan::bench(args = [DType::F64, DType::F16, DType::BF16, DType::F8E4M3, DType::I8, DType::I32, DType::I64])]
fn summary_of(bencher: Bencher<'_, '_>, dtype: DType) {
    run(bencher, dtype, &Options::default());
}

#[divan::bench(args = [DType::F64, DType::F16, DType::BF16, DType::F8E4M3, DType::I8, DType::I32, DType::I64])]
fn summary_histogram_of(bencher: Bencher<'_, '_>, dtype: DType) {
    run(bencher, dtype, &Options { histogram: true, ..Options::default() });
}
