//! Instruction sets.

use std::sync::OnceLock;

/// An instruction set that the kernels are compiled for. All give the same bits; they differ in speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// AVX-512 F, BW, DQ and VL, and FMA.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// What every machine of this architecture has.
    Portable,
}

impl Level {
    /// The best level that this machine has, but none above the one that the environment variable
    /// `WEIGH_SIMD` names (`avx512`, `avx2` or `portable`). It is read once; other values do nothing.
    pub fn detect() -> Level {
        static CHOSEN: OnceLock<Level> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let wanted = std::env::var("WEIGH_SIMD").ok();
            let named = Level::ALL.into_iter().find(|l| Some(l.name()) == wanted.as_deref());
            let best = named.unwrap_or(Level::Avx512);
            Level::ALL
                .into_iter()
                .skip_while(|l| *l != best)
                .find(|l| l.is_available())
                .unwrap_or(Level::Portable)
        })
    }

    /// The levels that this machine has, best first.
    pub fn available() -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|l| l.is_available())
    }

    /// As `WEIGH_SIMD` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Avx512 => "avx512",
            Level::Avx2 => "avx2",
            Level::Portable => "portable",
        }
    }

    /// Best first.
    const ALL: [Level; 3] = [Level::Avx512, Level::Avx2, Level::Portable];

    pub(super) fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Level::Portable => true,
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}
