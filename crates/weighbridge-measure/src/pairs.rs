//! Counting keys two at a time: one store for two values.

use crate::tally::{Counts, Tally};

/// Keys of a window that pairs are counted in: a table of its square stays in a core's first cache.
const WINDOW: usize = 128;
/// Keys that are looked at together.
pub(crate) const AT_ONCE: usize = 512;
const HALF: usize = AT_ONCE / 2;

/// Counts of keys below `KEYS`. Where [`AT_ONCE`] neighbours all lie within the window below the highest key of
/// a finite value, as nearly all weights do, they are counted as pairs; others one by one.
pub(crate) struct Keys<const KEYS: usize, const TABLES: usize> {
    /// A cell for all that u16 can say, so that no index is checked; the window's are the first.
    pairs: Box<[u16; 1 << 16]>,
    /// Pairs since the table was last emptied: no sum over it may leave u16.
    pending: u16,
    /// The window's first key.
    base: u16,
    single: Tally<KEYS, TABLES>,
}

impl<const KEYS: usize, const TABLES: usize> Keys<KEYS, TABLES> {
    /// For finite values whose keys are not above `highest`.
    pub(crate) fn below(highest: usize) -> Self {
        const { assert!(KEYS <= 1 << 15 && KEYS >= WINDOW) };
        let base = (highest + 1).saturating_sub(WINDOW).min(KEYS - WINDOW) as u16;
        let pairs = vec![0; 1 << 16].try_into().expect("as many as were made");
        Keys { pairs, pending: 0, base, single: Tally::new() }
    }

    /// Counts keys.
    #[inline(always)]
    pub(crate) fn count(&mut self, keys: &[u16]) {
        match keys.try_into() {
            Ok(keys) if self.count_pairs(keys) => {}
            _ => self.count_single(keys),
        }
    }

    #[inline(always)]
    fn count_pairs(&mut self, keys: &[u16; AT_ONCE]) -> bool {
        let (mut places, mut seen) = ([0u16; HALF], 0);
        let (first, second) = keys.split_at(HALF);
        for ((place, &a), &b) in places.iter_mut().zip(first).zip(second) {
            let (a, b) = (a.wrapping_sub(self.base), b.wrapping_sub(self.base));
            seen |= a | b;
            *place = a.wrapping_mul(WINDOW as u16) | b;
        }
        if usize::from(seen) >= WINDOW {
            return false;
        }
        if self.pending > u16::MAX - HALF as u16 {
            self.empty();
        }
        self.pending += HALF as u16;
        for &place in &places {
            self.pairs[usize::from(place)] += 1;
        }
        true
    }

    #[inline(always)]
    fn count_single(&mut self, keys: &[u16]) {
        let tables = self.single.tables(keys.len());
        let (groups, rest) = keys.as_chunks::<TABLES>();
        for group in groups {
            for (table, &key) in tables.iter_mut().zip(group) {
                table[usize::from(key) % KEYS] += 1;
            }
        }
        for &key in rest {
            tables[0][usize::from(key) % KEYS] += 1;
        }
    }

    fn empty(&mut self) {
        let totals = &mut self.single.totals_mut()[usize::from(self.base)..][..WINDOW];
        let mut seconds = [0u16; WINDOW];
        for (row, total) in self.pairs.as_chunks_mut::<WINDOW>().0.iter_mut().zip(&mut *totals) {
            let firsts: u16 = row.iter().sum();
            *total += u64::from(firsts);
            if firsts > 0 {
                seconds.iter_mut().zip(&*row).for_each(|(sum, n)| *sum += n);
                row.fill(0);
            }
        }
        totals.iter_mut().zip(seconds).for_each(|(total, n)| *total += u64::from(n));
        self.pending = 0;
    }

    pub(crate) fn finish(mut self) -> Counts {
        self.empty();
        self.single.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of `keys` by key, the plain way.
    fn plain(keys: &[u16]) -> Vec<(usize, u64)> {
        let mut counts = std::collections::BTreeMap::new();
        keys.iter().for_each(|&key| *counts.entry(usize::from(key)).or_insert(0) += 1);
        counts.into_iter().collect()
    }

    fn counted(highest: usize, keys: &[u16]) -> Vec<(usize, u64)> {
        let mut counting = Keys::<512, 8>::below(highest);
        keys.chunks(AT_ONCE).for_each(|part| counting.count(part));
        counting.finish().iter().filter(|&(_, n)| n > 0).collect()
    }

    #[test]
    fn pairs_count_what_single_keys_do() {
        let spread: Vec<u16> = (0..300_001u64).map(|i| 100 + (i * i / 7 % 125) as u16).collect();
        for highest in [0, 50, 127, 200, 224, 227, 228, 300, 511] {
            assert_eq!(counted(highest, &spread), plain(&spread), "{highest}");
        }
    }

    #[test]
    fn a_pair_may_be_all_there_is() {
        let one = vec![354; 500_000];
        assert_eq!(counted(354, &one), [(354, 500_000)]);
    }
}
