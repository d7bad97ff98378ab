//! Figures are those of plain references, for every type.

mod common;

use common::{check, figures, noise, real_dtypes, tensor, tensor_f32, tensor_f64, tensor_over, weights};
use proptest::prelude::*;
use weighbridge_model::DType;
use weighbridge_model::storage::Memory;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bits_of_any_type_give_the_figures_of_the_references(seed: u64, count in 0usize..9000) {
        for dtype in real_dtypes() {
            let bytes = noise(seed, dtype.packed_bytes(count as u64).unwrap() as usize);
            let t = tensor_over(dtype, count as u64, std::sync::Arc::new(Memory::new(bytes)));
            check(&t, &figures(&t));
        }
    }

    #[test]
    fn weights_give_the_figures_of_the_references(
        seed: u64,
        count in 1usize..20_000,
        scale in prop::sample::select(vec![1.0, 1e-3, 1e-6, 1e-9, 1e-38, 1e-43, 1e5, 1e36]),
        shift in prop::sample::select(vec![0.0, 1.0, -300.0]),
    ) {
        let singles: Vec<f32> = weights(seed, count).iter().map(|x| x * scale as f32 + shift as f32).collect();
        let t = tensor_f32(&singles);
        check(&t, &figures(&t));
        for power in [-300, -150, -5, 0, 120, 300] {
            let factor = scale * 10f64.powi(power) / if power > 290 { 1e30 } else { 1.0 };
            let doubles: Vec<f64> = singles.iter().map(|&x| f64::from(x) * factor).collect();
            let t = tensor_f64(&doubles);
            check(&t, &figures(&t));
        }
    }

    #[test]
    fn values_on_the_edges_of_bins_are_binned_as_histc_does(
        low in prop::sample::select(vec![0.0f32, 1.0, 0.3, 1e-30, 1000.0, 3e36]),
        span in prop::sample::select(vec![1.0f32, 100.0, 0.7, 1e-3, 1e38, 3.3e38]),
    ) {
        let edges = (0..=100).flat_map(|i| {
            let edge = (f64::from(low) + f64::from(span) * f64::from(i) / 100.0) as f32;
            [edge.next_down().max(low), edge, edge.next_up()]
        });
        let mut values: Vec<f32> = edges.filter(|x| x.is_finite()).collect();
        values.iter_mut().step_by(2).for_each(|x| *x = -*x);
        let t = tensor_f32(&values);
        check(&t, &figures(&t));
        let t = tensor_f64(&values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        check(&t, &figures(&t));
    }
}

#[test]
fn every_16_bit_code_is_measured() {
    for dtype in [DType::F16, DType::BF16, DType::I16, DType::U16] {
        let t = tensor(dtype, (0..=u16::MAX).flat_map(u16::to_le_bytes).collect());
        check(&t, &figures(&t));
    }
}

#[test]
fn sixty_four_bit_integers_keep_their_extremes() {
    for values in [vec![i64::MIN, i64::MIN + 1, 3], vec![i64::MAX, i64::MAX - 1], vec![-5, 7, 0, 1 << 53 | 1]]
    {
        let bytes: Vec<u8> = values.iter().flat_map(|i| i.to_le_bytes()).collect();
        for dtype in [DType::I64, DType::U64] {
            let t = tensor(dtype, bytes.clone());
            check(&t, &figures(&t));
        }
    }
}
