//! Asking memory for what is read next: processors look ahead by themselves, but not across pages.

/// Asks for the bytes that stand `ahead` of `part`, as many as it has.
#[inline(always)]
pub(super) fn prefetch<T>(part: &[T], ahead: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let begin = part.as_ptr().cast::<i8>().wrapping_add(ahead);
        for at in (0..size_of_val(part)).step_by(64) {
            // SAFETY: a hint, which neither reads nor faults, wherever it points.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(begin.wrapping_add(at)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (part, ahead);
}
