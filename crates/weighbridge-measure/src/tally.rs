//! Counting keys: several tables in turn, so that neighbours with one key do not wait for each other.

use crate::merge::Merge;

/// Counts by key, from the least to the largest one that was seen: as small as what was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    first: usize,
    counts: Vec<u64>,
}

impl Counts {
    pub(crate) fn get(&self, key: usize) -> u64 {
        key.checked_sub(self.first).and_then(|at| self.counts.get(at)).copied().unwrap_or(0)
    }

    /// Keys in ascending order with their counts, some of which may be 0.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        self.counts.iter().enumerate().map(|(i, &n)| (self.first + i, n))
    }

    fn of(all: &[u64]) -> Self {
        let Some(first) = all.iter().position(|&n| n > 0) else { return Counts::default() };
        let end = all.iter().rposition(|&n| n > 0).map_or(0, |last| last + 1);
        Counts { first, counts: all[first..end].to_vec() }
    }
}

impl Merge for Counts {
    fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.clone_from(other);
        } else if !other.counts.is_empty() {
            let first = self.first.min(other.first);
            let end = (self.first + self.counts.len()).max(other.first + other.counts.len());
            self.counts = (first..end).map(|key| self.get(key) + other.get(key)).collect();
            self.first = first;
        }
    }
}

/// Tables of counts below `KEYS`, a power of two.
pub(crate) struct Tally<const KEYS: usize, const TABLES: usize> {
    tables: Box<[[u32; KEYS]; TABLES]>,
    /// Counts since the tables were last emptied: at most these stand in any one place.
    pending: u32,
    totals: Vec<u64>,
}

impl<const KEYS: usize, const TABLES: usize> Tally<KEYS, TABLES> {
    pub(crate) fn new() -> Self {
        let tables = vec![[0; KEYS]; TABLES].try_into().expect("as many as were made");
        Tally { tables, pending: 0, totals: vec![0; KEYS] }
    }

    /// The tables, with room for `n` more counts in any place.
    pub(crate) fn tables(&mut self, n: usize) -> &mut [[u32; KEYS]; TABLES] {
        let n = u32::try_from(n).expect("a block is small");
        if self.pending.checked_add(n).is_none() {
            self.empty();
        }
        self.pending += n;
        &mut self.tables
    }

    /// The counts of what was taken out of the tables, to add others to.
    pub(crate) fn totals_mut(&mut self) -> &mut [u64] {
        &mut self.totals
    }

    pub(crate) fn finish(mut self) -> Counts {
        self.empty();
        Counts::of(&self.totals)
    }

    fn empty(&mut self) {
        for table in &mut *self.tables {
            self.totals.iter_mut().zip(table).for_each(|(total, n)| *total += u64::from(std::mem::take(n)));
        }
        self.pending = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_outgrow_their_tables() {
        let mut tally = Tally::<4, 2>::new();
        for _ in 0..3 {
            tally.tables(u32::MAX as usize)[1][2] = u32::MAX;
        }
        tally.tables(1)[0][3] += 1;
        let mut counts = tally.finish();
        assert_eq!(counts.iter().collect::<Vec<_>>(), [(2, 3 * u64::from(u32::MAX)), (3, 1)]);
        counts.merge(&Counts { first: 0, counts: vec![5] });
        assert_eq!([counts.get(0), counts.get(1), counts.get(3)], [5, 0, 1]);
    }
}
