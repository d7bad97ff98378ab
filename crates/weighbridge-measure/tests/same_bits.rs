//! The same bits come out whatever the instruction set, the thread count or the split.

mod common;

use std::sync::Arc;

use common::{File, Stream, bits, figures_at, noise, tensor, tensor_over, weights};
use proptest::prelude::*;
use weighbridge_measure::Level;
use weighbridge_model::DType;

const DTYPES: [DType; 9] = [
    DType::F64,
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::F8E4M3,
    DType::F8E5M2,
    DType::I64,
    DType::I32,
    DType::U8,
];

/// Random bits, or values of one kind, as elements of the type.
fn elements(dtype: DType, seed: u64, count: usize) -> Vec<u8> {
    let width = dtype.chunk_bytes();
    if seed.is_multiple_of(2) || !dtype.is_float() {
        return noise(seed, count * width);
    }
    let mut bytes = Vec::with_capacity(count * width);
    for x in weights(seed, count) {
        weighbridge_model::dtype::push(dtype, f64::from(x), &mut bytes);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn at_every_level(seed: u64, count in 0usize..150_000) {
        for dtype in DTYPES {
            let t = tensor(dtype, elements(dtype, seed, count));
            let all: Vec<String> = Level::available().map(|level| bits(&figures_at(level, &t))).collect();
            prop_assert!(all.windows(2).all(|w| w[0] == w[1]), "{dtype}: {all:?}");
        }
    }

    #[test]
    fn for_any_split(
        seed: u64,
        count in 0usize..150_000,
        pieces in prop::collection::vec(1usize..200_000, 1..5),
    ) {
        for dtype in DTYPES {
            let bytes = elements(dtype, seed, count);
            let whole = bits(&figures_at(Level::detect(), &tensor(dtype, bytes.clone())));
            let read = tensor_over(dtype, count as u64, Arc::new(File(bytes.clone())));
            prop_assert_eq!(&bits(&figures_at(Level::detect(), &read)), &whole, "{} read", dtype);
            let stream = tensor_over(dtype, count as u64, Arc::new(Stream { bytes, pieces: pieces.clone() }));
            prop_assert_eq!(&bits(&figures_at(Level::detect(), &stream)), &whole, "{} streamed", dtype);
        }
    }
}

#[test]
fn on_any_number_of_threads() {
    // Three tasks, and a part of a fourth.
    let count = 3 * 64 * 65_536 + 1234;
    let part: Vec<u8> =
        weights(3, 70_001).iter().flat_map(|x| x.to_bits().to_le_bytes()[2..].to_vec()).collect();
    let bytes: Vec<u8> = part.iter().copied().cycle().take(2 * count).collect();
    let stream = Stream { bytes: bytes.clone(), pieces: vec![1 << 20, 77_777] };
    let expected =
        bits(&figures_at(Level::detect(), &tensor_over(DType::BF16, count as u64, Arc::new(stream))));
    let t = tensor(DType::BF16, bytes);
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let got = pool.install(|| bits(&figures_at(Level::detect(), &t)));
        assert_eq!(got, expected, "{threads} threads");
    }
}
