//! A sparse tensor whose dimensions, whole or cut into blocks, are levels of a tree: each level either has every index,
//! or lists those that are there. Zeros are made as they are read, in row-major order whatever the order of the levels.
//!
//! Source of the facts: TACO's formats, as TensorFlow Lite's schema describes its sparse tensors.

use std::ops::Range;
use std::sync::Arc;

use super::sparse::{EXPANSION, SLACK};
use super::{CHUNK, ChunkVisitor, Storage, check_range};
use crate::{Error, Place, Result};

/// Bytes of an index or value list that are kept at hand where it is not addressable.
const PAGE: u64 = 1 << 16;

/// Whole numbers of 1, 2 or 4 bytes, little-endian; negative ones are beyond any size.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Where they stand, back to back.
    pub storage: Arc<dyn Storage>,
    /// Bytes of each.
    pub width: u64,
}

impl Numbers {
    fn count(&self) -> u64 {
        self.storage.len() / self.width.max(1)
    }
}

/// Which indices a level has.
#[derive(Debug, Clone)]
pub enum Indices {
    /// Every one.
    Dense,
    /// Those listed. Entry `i` of the level above has `listed[starts[i]..starts[i + 1]]`, in order.
    Listed {
        /// One for each entry of the level above, and one past the last.
        starts: Numbers,
        /// Indices within the level.
        listed: Numbers,
    },
}

/// A level: index `position / divisor % size` along a dimension.
#[derive(Debug, Clone)]
pub struct Level {
    /// The dimension that it walks along.
    pub dimension: usize,
    /// Elements of the dimension to one step: the block's size on the level of blocks, 1 otherwise.
    pub divisor: u64,
    /// Indices that the level could have.
    pub size: u64,
    /// Those that it has.
    pub indices: Indices,
}

/// The dense elements, row-major.
#[derive(Debug)]
pub struct Levels {
    shape: Vec<u64>,
    levels: Vec<Level>,
    values: Arc<dyn Storage>,
    width: u64,
    place: Place,
}

impl Levels {
    /// Over `values` of `width` bytes each, one for each entry of the last level. Lists of indices are read to check
    /// them; values are not.
    ///
    /// # Errors
    /// What contradicts itself, as malformed at `place`; tensors so sparse that going through the zeros would take
    /// forever, as unsupported.
    pub fn new(
        shape: Vec<u64>,
        levels: Vec<Level>,
        values: Arc<dyn Storage>,
        width: u64,
        place: Place,
    ) -> Result<Self> {
        let fault = |what: String| Error::malformed(place.clone(), what);
        let count = crate::element_count(&shape).filter(|n| width > 0 && n.checked_mul(width).is_some());
        let count = count.ok_or_else(|| fault("it has more elements than can be counted".into()))?;
        let stored = values.len() / width;
        if count > stored.saturating_mul(EXPANSION).saturating_add(SLACK) {
            let what = format!("{count} elements would have to be gone through for {stored} that are stored");
            return Err(Error::unsupported(place, what));
        }
        for (d, &size) in shape.iter().enumerate() {
            let mut along: Vec<&Level> = levels.iter().filter(|l| l.dimension == d).collect();
            along.sort_by_key(|l| (l.divisor, l.size));
            let covered = along.iter().try_fold(1u64, |at, level| {
                if level.divisor == at { at.checked_mul(level.size) } else { None }
            });
            if along.is_empty() || covered != Some(size) {
                let text = format!("levels that do not make up dimension {d} of {size} elements");
                return Err(fault(text));
            }
        }
        if levels.iter().any(|l| l.dimension >= shape.len()) {
            return Err(fault(format!("levels of a tensor of {} dimensions", shape.len())));
        }
        let mut entries = 1u64;
        for level in &levels {
            entries = match &level.indices {
                Indices::Dense => entries.checked_mul(level.size),
                Indices::Listed { starts, listed } => {
                    let expected = entries.checked_add(1);
                    if Some(starts.count()) != expected {
                        let text = format!("{} starts of {entries} entries", starts.count());
                        return Err(fault(text));
                    }
                    check(starts, listed, level.size, &place)?;
                    Some(listed.count())
                }
            }
            .ok_or_else(|| fault("levels of more entries than can be counted".into()))?;
        }
        if entries != stored || !values.len().is_multiple_of(width) {
            return Err(fault(format!("{stored} stored values for {entries} entries of the last level")));
        }
        Ok(Levels { shape, levels, values, width, place })
    }
}

/// Holds starts and lists against each other: starts that rise from 0 to the end, indices that rise between them.
fn check(starts: &Numbers, listed: &Numbers, size: u64, place: &Place) -> Result<()> {
    let fault = |what: String| Error::malformed(place.clone(), what);
    let (mut starts_at, mut at) = (Reader::new(starts), Reader::new(listed));
    let mut from = starts_at.get(0)?;
    if from != 0 {
        return Err(fault(format!("a first start of {from}")));
    }
    for entry in 1..starts.count() {
        let to = starts_at.get(entry)?;
        if to < from || to > listed.count() {
            return Err(fault(format!("entries {from} to {to} of {}", listed.count())));
        }
        let mut before = None;
        for i in from..to {
            let index = at.get(i)?;
            if index >= size || before.is_some_and(|b| b >= index) {
                return Err(fault(format!("a sparse index of {index} of {size}, out of place")));
            }
            before = Some(index);
        }
        from = to;
    }
    match from == listed.count() {
        true => Ok(()),
        false => Err(fault(format!("{from} of {} sparse indices belong to an entry", listed.count()))),
    }
}

/// Reads elements of a storage from any place, most often from near the one before.
struct Reader<'a> {
    storage: &'a dyn Storage,
    width: u64,
    page: Vec<u8>,
    page_at: u64,
}

impl<'a> Reader<'a> {
    fn new(numbers: &'a Numbers) -> Self {
        Reader::over(&*numbers.storage, numbers.width)
    }

    fn over(storage: &'a dyn Storage, width: u64) -> Self {
        Reader { storage, width, page: Vec::new(), page_at: 0 }
    }

    fn bytes(&mut self, index: u64) -> Result<&[u8]> {
        let at = index * self.width;
        let end = at + self.width;
        check_range(&(at..end), self.storage.len())?;
        if let Some(all) = self.storage.as_slice() {
            return Ok(&all[at as usize..end as usize]);
        }
        // Widths divide a page, so that no element crosses its end.
        if at < self.page_at || end > self.page_at + self.page.len() as u64 {
            self.page_at = at - at % PAGE;
            let until = (self.page_at + PAGE).min(self.storage.len());
            self.page.clear();
            let page = &mut self.page;
            self.storage.visit(self.page_at..until, &mut |_, chunk| {
                page.extend_from_slice(chunk);
                Ok(())
            })?;
        }
        let skip = (at - self.page_at) as usize;
        Ok(&self.page[skip..skip + self.width as usize])
    }

    fn get(&mut self, index: u64) -> Result<u64> {
        let bytes = self.bytes(index)?;
        Ok(match *bytes {
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u64::try_from(i32::from_le_bytes([a, b, c, d])).unwrap_or(u64::MAX),
            _ => u64::MAX,
        })
    }
}

/// The way from the root to the entry of a dense element.
struct Walk<'a> {
    levels: &'a [Level],
    lists: Vec<Option<(Reader<'a>, Reader<'a>)>>,
    /// Index on each level, and the entry that it leads to; those of `..valid` are known.
    path: Vec<(u64, Option<u64>)>,
    valid: usize,
}

impl<'a> Walk<'a> {
    fn new(levels: &'a [Level]) -> Self {
        let lists = levels.iter().map(|level| match &level.indices {
            Indices::Dense => None,
            Indices::Listed { starts, listed } => Some((Reader::new(starts), Reader::new(listed))),
        });
        Walk { levels, lists: lists.collect(), path: vec![(u64::MAX, None); levels.len()], valid: 0 }
    }

    /// The entry of the last level at a position; `None` where a zero is.
    fn entry(&mut self, position: &[u64]) -> Result<Option<u64>> {
        for (l, level) in self.levels.iter().enumerate() {
            let index = position[level.dimension] / level.divisor % level.size;
            if l < self.valid && self.path[l].0 == index {
                continue;
            }
            self.valid = l + 1;
            let above = if l == 0 { Some(0) } else { self.path[l - 1].1 };
            let entry = match (above, &mut self.lists[l]) {
                (None, _) => None,
                (Some(above), None) => Some(above * level.size + index),
                (Some(above), Some((starts, listed))) => {
                    let (from, to) = (starts.get(above)?, starts.get(above + 1)?);
                    find(listed, from..to, index)?
                }
            };
            self.path[l] = (index, entry);
        }
        self.valid = self.levels.len();
        Ok(self.path.last().map_or(Some(0), |p| p.1))
    }
}

/// Where `index` stands in a range that rises.
fn find(listed: &mut Reader<'_>, range: Range<u64>, index: u64) -> Result<Option<u64>> {
    let (mut from, mut to) = (range.start, range.end);
    while from < to {
        let middle = from + (to - from) / 2;
        let found = listed.get(middle)?;
        if found == index {
            return Ok(Some(middle));
        }
        if found < index {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    Ok(None)
}

impl Storage for Levels {
    fn len(&self) -> u64 {
        crate::element_count(&self.shape).map_or(0, |n| n.saturating_mul(self.width))
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut done = 0;
        self.visit(offset..offset.saturating_add(buffer.len() as u64), &mut |_, chunk| {
            buffer[done..done + chunk.len()].copy_from_slice(chunk);
            done += chunk.len();
            Ok(())
        })
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        check_range(&range, self.len())?;
        let elements = range.start / self.width..range.end.div_ceil(self.width);
        let mut position = vec![0; self.shape.len()];
        let mut rest = elements.start;
        for (at, &size) in position.iter_mut().zip(&self.shape).rev() {
            *at = rest % size.max(1);
            rest /= size.max(1);
        }
        let mut walk = Walk::new(&self.levels);
        let mut values = Reader::over(&*self.values, self.width);
        let (mut out, mut at) = (Vec::new(), range.start);
        for element in elements {
            // The first and the last element may be asked for in part.
            let begin = element * self.width;
            let from = range.start.saturating_sub(begin) as usize;
            let to = (range.end - begin).min(self.width) as usize;
            match walk.entry(&position).map_err(|e| self.placed(e))? {
                Some(entry) => out.extend_from_slice(&values.bytes(entry)?[from..to]),
                None => out.resize(out.len() + to - from, 0),
            }
            if out.len() + self.width as usize > CHUNK {
                visitor(at, &out)?;
                at += out.len() as u64;
                out.clear();
            }
            for (at, &size) in position.iter_mut().zip(&self.shape).rev() {
                *at += 1;
                if *at < size {
                    break;
                }
                *at = 0;
            }
        }
        if out.is_empty() { Ok(()) } else { visitor(at, &out) }
    }
}

impl Levels {
    fn placed(&self, error: Error) -> Error {
        match error {
            Error::Malformed { what, .. } => Error::malformed(self.place.clone(), what),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    fn numbers(list: &[u8]) -> Numbers {
        Numbers { storage: Arc::new(Memory::new(list.to_vec())), width: 1 }
    }

    fn level(dimension: usize, divisor: u64, size: u64, listed: Option<(&[u8], &[u8])>) -> Level {
        let indices = match listed {
            None => Indices::Dense,
            Some((starts, listed)) => Indices::Listed { starts: numbers(starts), listed: numbers(listed) },
        };
        Level { dimension, divisor, size, indices }
    }

    fn of(shape: &[u64], levels: Vec<Level>, values: &[u16]) -> Result<Levels> {
        let values: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Levels::new(shape.to_vec(), levels, Arc::new(Memory::new(values)), 2, Place::default())
    }

    fn dense(levels: &Levels) -> Vec<u16> {
        let mut bytes = vec![0; levels.len() as usize];
        levels.read_at(0, &mut bytes).unwrap();
        bytes.as_chunks::<2>().0.iter().map(|&b| u16::from_le_bytes(b)).collect()
    }

    #[test]
    fn blocks_are_put_in_row_major_order() {
        // 4 x 4 in blocks of 2 x 2, of which two are there: (0, 1) and (1, 0).
        let levels = vec![
            level(0, 2, 2, None),
            level(1, 2, 2, Some((&[0, 1, 2], &[1, 0]))),
            level(0, 1, 2, None),
            level(1, 1, 2, None),
        ];
        let s = of(&[4, 4], levels, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        let whole = [0, 0, 1, 2, 0, 0, 3, 4, 5, 6, 0, 0, 7, 8, 0, 0];
        assert_eq!(dense(&s), whole);
        let bytes: Vec<u8> = whole.iter().flat_map(|v: &u16| v.to_le_bytes()).collect();
        for start in 0..32 {
            for end in start..=32 {
                let mut part = vec![0; end - start];
                s.read_at(start as u64, &mut part).unwrap();
                assert_eq!(part, bytes[start..end]);
            }
        }
    }

    #[test]
    fn columns_may_be_walked_first() {
        let levels = vec![level(1, 1, 3, None), level(0, 1, 2, Some((&[0, 1, 1, 3], &[1, 0, 1])))];
        assert_eq!(dense(&of(&[2, 3], levels, &[7, 8, 9]).unwrap()), [0, 0, 8, 7, 0, 9]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let csr = |starts: &[u8], listed: &[u8]| {
            of(&[2, 3], vec![level(0, 1, 2, None), level(1, 1, 3, Some((starts, listed)))], &[7, 8])
        };
        assert!(csr(&[0, 1, 2], &[2, 0]).is_ok());
        for (starts, listed) in [
            (&[0u8, 1][..], &[2u8, 0][..]),
            (&[1, 1, 2], &[2, 0]),
            (&[0, 3, 2], &[2, 0]),
            (&[0, 2, 2], &[2, 0]),
            (&[0, 2, 2], &[1, 1]),
            (&[0, 1, 2], &[3, 0]),
            (&[0, 1, 1], &[2, 0]),
            (&[0, 1, 3], &[2, 0, 1]),
        ] {
            assert!(csr(starts, listed).is_err(), "{starts:?} {listed:?}");
        }
        assert!(of(&[2, 3], vec![level(0, 1, 2, None)], &[7, 8]).is_err());
        assert!(of(&[2], vec![level(0, 1, 2, None), level(5, 1, 1, None)], &[7, 8]).is_err());
    }
}
