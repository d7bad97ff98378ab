//! Views have the figures of the tensors that they stand for.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{all, bits, check, figures, materialised, noise, tensor, tensor_over, view};
use weighbridge_measure::{Level, Options, measure};
use weighbridge_model::storage::Memory;
use weighbridge_model::{DType, Layout, Tensor, View};

#[test]
fn views_without_repeats_give_the_bits_of_the_materialised_tensor() {
    for dtype in [DType::F32, DType::F16, DType::F64, DType::I8, DType::I32] {
        let bytes = || noise(7, 90_000 * dtype.chunk_bytes());
        for t in [
            view(dtype, bytes(), &[300, 300], 0, &[1, 300]),
            view(dtype, bytes(), &[300, 300], 89_999, &[-300, -1]),
            view(dtype, bytes(), &[20, 30, 100], 5, &[100, 2000, 1]),
            view(dtype, bytes(), &[1000], 17, &[80]),
            // Overlapping windows.
            view(dtype, bytes(), &[800, 100], 3, &[100, 7]),
            view(dtype, bytes(), &[70_000], 12_345, &[1]),
            view(dtype, bytes(), &[0, 4], 0, &[0, 1]),
        ] {
            let (got, whole) = (figures(&t), materialised(&t));
            assert_eq!(bits(&got), bits(&figures(&whole)), "{dtype} {:?}", t.layout);
            check(&whole, &got);
        }
    }
}

#[test]
fn an_expanded_tensor_counts_each_element_as_often_as_it_stands() {
    for dtype in [DType::F32, DType::BF16, DType::F64, DType::U8, DType::I64] {
        for t in [
            view(dtype, noise(9, 300 * dtype.chunk_bytes()), &[40, 300], 0, &[0, 1]),
            view(dtype, noise(9, 300 * dtype.chunk_bytes()), &[5, 60, 7, 5], 0, &[60, 1, 0, 0]),
            view(dtype, noise(9, dtype.chunk_bytes()), &[9, 9], 0, &[0, 0]),
        ] {
            check(&materialised(&t), &figures(&t));
        }
    }
}

#[test]
fn an_expanded_tensor_is_read_once_however_large_it_is() {
    let t = view(DType::F32, noise(9, 4000), &[1 << 53, 1000], 0, &[0, 1]);
    let s = figures(&t).summary.unwrap();
    assert_eq!(s.count, 1000 << 53);
    let one = figures(&tensor(DType::F32, noise(9, 4000)));
    assert_eq!(s.nan, one.summary.unwrap().nan << 53);
}

#[test]
fn quantized_codes_are_measured_as_stored_and_once() {
    let plain = view(DType::I8, noise(4, 100), &[1 << 40, 100], 0, &[0, 1]);
    let mut quantized = plain.clone();
    quantized.layout = Layout::Quantized {
        view: View { offset: 0, strides: vec![0, 1] },
        scales: vec![0.5],
        zero_points: vec![3],
        axis: None,
    };
    assert_eq!(bits(&figures(&quantized)), bits(&figures(&plain)));
}

#[test]
fn a_view_that_repeats_without_end_is_refused() {
    let t = view(DType::F32, noise(4, 4000), &[1 << 20, 999], 0, &[0, 1]);
    let overlapping = Tensor { shape: vec![500, 500, 500, 500], ..t.clone() };
    let strides = vec![1, 1, 0, 0];
    let overlapping = Tensor { layout: Layout::Strided(View { offset: 0, strides }), ..overlapping };
    assert!(measure(&[&overlapping], &Options::default(), &|_| {})[0].is_ok());
    let bytes = noise(4, 4000);
    let windows = view(DType::F32, bytes, &[30, 30, 30, 30, 30, 30], 0, &[1, 2, 3, 4, 5, 6]);
    assert!(measure(&[&windows], &Options::default(), &|_| {})[0].is_err());
}

#[test]
fn progress_adds_up_to_the_bytes_of_the_tensors() {
    let packed = tensor_over(DType::U4, 99_999, Arc::new(Memory::new(noise(1, 50_000))));
    let complex = tensor_over(DType::C64, 10, Arc::new(Memory::new(noise(1, 80))));
    let tensors = [
        tensor(DType::F32, noise(1, 4 * 100_003)),
        tensor(DType::F16, noise(1, 2 * 65_537)),
        view(DType::F64, noise(1, 8 * 1001), &[77, 1001], 0, &[0, 1]),
        packed,
        complex,
        tensor(DType::I8, vec![]),
    ];
    for options in [Options::default(), all(Level::detect())] {
        for t in &tensors {
            let told = AtomicU64::new(0);
            let measured = measure(&[t], &options, &|bytes| {
                told.fetch_add(bytes, Ordering::Relaxed);
            });
            assert!(measured[0].is_ok());
            assert_eq!(told.into_inner(), t.bytes(), "{} {:?}", t.dtype, t.shape);
        }
    }
}

#[test]
fn tensors_without_numbers_have_no_figures_and_keep_no_others_from_theirs() {
    let complex = tensor_over(DType::C64, 2, Arc::new(Memory::new(noise(1, 16))));
    let mut text = complex.clone();
    (text.dtype, text.layout) = (DType::Str, Layout::Opaque);
    let short = Tensor { shape: vec![100], ..tensor(DType::F32, noise(1, 40)) };
    let fine = tensor(DType::F32, noise(1, 40));
    let all = measure(&[&complex, &text, &short, &fine], &Options::default(), &|_| {});
    assert_eq!(all.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    assert!(all[0].as_ref().unwrap().summary.is_none());
    assert!(all[3].as_ref().unwrap().summary.is_some());
}
