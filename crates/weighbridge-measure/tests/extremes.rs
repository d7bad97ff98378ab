//! What is not finite, not there, or at the ends of its range.

mod common;

use common::{check, figures, tensor, tensor_f32, tensor_f64, weights};
use weighbridge_measure::Number;
use weighbridge_model::storage::Memory;
use weighbridge_model::{DType, Place, Tensor};

#[test]
fn what_leads_a_block_does_not_spoil_its_spread() {
    let plain = weights(1, 66_000);
    for leader in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, 0.0] {
        for many in [1, 16, 17, 4096, 5000] {
            let mut values: Vec<f32> = plain.iter().map(|x| x + 1e4).collect();
            values[..many].fill(leader);
            values[65_536..65_536 + many.min(100)].fill(leader);
            let t = tensor_f32(&values);
            check(&t, &figures(&t));
            let t = tensor_f64(&values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            check(&t, &figures(&t));
        }
    }
}

#[test]
fn without_finite_values_there_are_only_counts() {
    for values in [vec![], vec![f32::NAN; 5], vec![f32::NAN; 70_000], vec![f32::INFINITY, f32::NEG_INFINITY]]
    {
        let t = tensor_f32(&values);
        let measured = figures(&t);
        check(&t, &measured);
        let s = measured.summary.unwrap();
        assert_eq!((s.min, s.abs_max, s.mean, s.std()), (None, None, 0.0, 0.0));
        let h = measured.histogram.unwrap();
        assert_eq!((h.low, h.high, h.counts.iter().sum::<u64>()), (-1.0, 1.0, 0));
        assert_eq!(h.exponents().count(), 0);
    }
}

#[test]
fn a_scalar_is_a_tensor_of_one() {
    let storage = std::sync::Arc::new(Memory::new(2.5f32.to_le_bytes().to_vec()));
    let t = Tensor::contiguous("t", DType::F32, vec![], storage, &Place::default()).unwrap();
    let measured = figures(&t);
    check(&t, &measured);
    let s = measured.summary.unwrap();
    assert_eq!((s.count, s.mean, s.std()), (1, 2.5, 0.0));
    let h = measured.histogram.unwrap();
    assert_eq!((h.low, h.high, h.counts[50]), (1.5, 3.5, 1));
}

#[test]
fn one_value_too_large_for_a_step_of_one_is_in_torchs_bin() {
    // torch.histc(torch.full((20,), x), 100), torch 2.15: where the neighbours above a power of two are
    // twice as far as those below, it is a third of the way; above f32's largest there is no neighbour.
    for (x, bin) in [(1e10f32, 50), (3e38, 50), (2f32.powi(31), 33), (2f32.powi(24), 33), (f32::MAX, 99)] {
        let t = tensor_f32(&[x; 20]);
        let measured = figures(&t);
        check(&t, &measured);
        assert_eq!(measured.histogram.unwrap().counts[bin], 20, "{x}");
    }
}

#[test]
fn subnormals_are_numbers() {
    let singles: Vec<f32> = (0..1 << 12).map(|i| f32::from_bits(i * 2047)).collect();
    let t = tensor_f32(&singles);
    check(&t, &figures(&t));
    let t = tensor_f32(&[f32::from_bits(1), 0.0, -0.0, -f32::from_bits(3)]);
    let measured = figures(&t);
    check(&t, &measured);
    assert_eq!(measured.histogram.unwrap().exponents().collect::<Vec<_>>(), [(-149, 1), (-148, 1)]);
    let t = tensor(DType::BF16, vec![1, 0, 0, 0, 2, 0x80]);
    check(&t, &figures(&t));
}

#[test]
fn f64_is_measured_over_all_of_its_range() {
    let tiny = f64::from_bits(1);
    for values in [
        vec![1e300, -1e300, 3e299],
        vec![f64::MAX; 40],
        vec![f64::MAX, f64::MIN],
        vec![f64::MAX, 1.0, f64::NAN, 0.0],
        vec![1e200, 1e-200],
        vec![1e-200, 3e-200, -2e-200, 0.0],
        vec![1e155, -1e155, f64::INFINITY],
        vec![1e-300; 100],
        vec![tiny, 3.0 * tiny, f64::MIN_POSITIVE],
        vec![tiny; 7],
    ] {
        let t = tensor_f64(&values);
        check(&t, &figures(&t));
        // One kind of values a block: blocks of different units meet.
        for other in [0.0, 1.0, 1e300, -1e-200] {
            let mut blocks = vec![other; 65_536];
            blocks.extend(values.iter().cycle().take(1_000));
            let t = tensor_f64(&blocks);
            check(&t, &figures(&t));
        }
    }
}

#[test]
fn f64_values_that_all_vanish_are_not_kept_exactly() {
    let measured = figures(&tensor_f64(&[1e-200, -3e-200]));
    for survival in &measured.survival {
        assert_eq!((survival.to_zero, survival.sqnr_db()), (2, Some(0.0)));
    }
}

#[test]
fn negative_zero_is_zero() {
    let s = figures(&tensor_f32(&[-0.0; 3])).summary.unwrap();
    assert_eq!(format!("{:?}", [s.min, s.max]), format!("{:?}", [Some(Number::Float(0.0)); 2]));
}
