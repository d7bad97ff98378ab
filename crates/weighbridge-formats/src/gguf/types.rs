//! Types of tensors, by their numbers.

use weighbridge_model::{BlockType, DType};

/// What a number stands for: its name, and the type where it is read.
pub(super) fn of(number: u32) -> Option<(&'static str, Option<DType>)> {
    let block = |block: BlockType| Some((block.name(), Some(DType::Block(block))));
    let plain = |dtype: DType| Some((dtype.name(), Some(dtype)));
    let gone = |name| Some((name, None));
    match number {
        0 => plain(DType::F32),
        1 => plain(DType::F16),
        2 => block(BlockType::Q4_0),
        3 => block(BlockType::Q4_1),
        4 => gone("Q4_2"),
        5 => gone("Q4_3"),
        6 => block(BlockType::Q5_0),
        7 => block(BlockType::Q5_1),
        8 => block(BlockType::Q8_0),
        9 => block(BlockType::Q8_1),
        10 => block(BlockType::Q2K),
        11 => block(BlockType::Q3K),
        12 => block(BlockType::Q4K),
        13 => block(BlockType::Q5K),
        14 => block(BlockType::Q6K),
        15 => block(BlockType::Q8K),
        16 => block(BlockType::Iq2Xxs),
        17 => block(BlockType::Iq2Xs),
        18 => block(BlockType::Iq3Xxs),
        19 => block(BlockType::Iq1S),
        20 => block(BlockType::Iq4Nl),
        21 => block(BlockType::Iq3S),
        22 => block(BlockType::Iq2S),
        23 => block(BlockType::Iq4Xs),
        24 => plain(DType::I8),
        25 => plain(DType::I16),
        26 => plain(DType::I32),
        27 => plain(DType::I64),
        28 => plain(DType::F64),
        29 => block(BlockType::Iq1M),
        30 => plain(DType::BF16),
        31 => gone("Q4_0_4_4"),
        32 => gone("Q4_0_4_8"),
        33 => gone("Q4_0_8_8"),
        34 => block(BlockType::Tq1_0),
        35 => block(BlockType::Tq2_0),
        36 => gone("IQ4_NL_4_4"),
        37 => gone("IQ4_NL_4_8"),
        38 => gone("IQ4_NL_8_8"),
        39 => block(BlockType::Mxfp4),
        40 => block(BlockType::Nvfp4),
        41 => block(BlockType::Q1_0),
        _ => None,
    }
}

/// The number of a type.
pub(super) fn number(dtype: DType) -> Option<u32> {
    let dtype =
        if dtype == DType::Block(BlockType::Q8_1Wide) { DType::Block(BlockType::Q8_1) } else { dtype };
    (0..64).find(|&number| of(number).is_some_and(|(_, found)| found == Some(dtype)))
}

/// What `general.file_type` says of most tensors.
pub(super) fn of_file(number: i64) -> Option<&'static str> {
    const NAMES: &[(i64, &str)] = &[
        (0, "F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (3, "Q4_1"),
        (7, "Q8_0"),
        (8, "Q5_0"),
        (9, "Q5_1"),
        (10, "Q2_K"),
        (11, "Q3_K_S"),
        (12, "Q3_K_M"),
        (13, "Q3_K_L"),
        (14, "Q4_K_S"),
        (15, "Q4_K_M"),
        (16, "Q5_K_S"),
        (17, "Q5_K_M"),
        (18, "Q6_K"),
        (19, "IQ2_XXS"),
        (20, "IQ2_XS"),
        (21, "Q2_K_S"),
        (22, "IQ3_XS"),
        (23, "IQ3_XXS"),
        (24, "IQ1_S"),
        (25, "IQ4_NL"),
        (26, "IQ3_S"),
        (27, "IQ3_M"),
        (28, "IQ2_S"),
        (29, "IQ2_M"),
        (30, "IQ4_XS"),
        (31, "IQ1_M"),
        (32, "BF16"),
        (36, "TQ1_0"),
        (37, "TQ2_0"),
        (38, "MXFP4"),
        (39, "NVFP4"),
        (40, "Q1_0"),
    ];
    NAMES.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}
