//! Which channel an element of a weight belongs to.

use crate::element_count;

/// The channels of a weight: its elements seen under another shape, in which a channel's number is made up of the
/// indices along some dimensions, the last of them counting fastest.
///
/// The outputs of a transposed convolution `[in, out/groups, kernel]`, for one, are the dimensions 0 and 2 of
/// `[groups, in/groups, out/groups, kernel]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    /// Elements of the weight.
    elements: u64,
    count: u64,
    /// Of each dimension: elements between neighbours along it, its size, and what a step along it adds to the number.
    terms: Vec<(u64, u64, u64)>,
}

impl Channels {
    /// Channels along `dims` of `shape`; `None` where a dimension is not there, or there are more elements than can be
    /// counted.
    pub fn of(shape: &[u64], dims: &[usize]) -> Option<Self> {
        let elements = element_count(shape)?;
        let mut count = 1u64;
        let mut terms = Vec::with_capacity(dims.len());
        for &dim in dims.iter().rev() {
            let size = *shape.get(dim)?;
            terms.push((element_count(&shape[dim + 1..])?.max(1), size.max(1), count));
            count = count.checked_mul(size)?;
        }
        Some(Channels { elements, count, terms })
    }

    /// Elements of the weight.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// How many channels there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many neighbouring elements are of one channel.
    pub fn run(&self) -> u64 {
        self.terms.first().map_or(self.elements, |&(inner, ..)| inner)
    }

    /// Elements after which the channels come again, from the first on; `None` where more than one dimension makes
    /// them up.
    pub fn period(&self) -> Option<u64> {
        match self.terms[..] {
            [(inner, size, _)] => inner.checked_mul(size),
            _ => None,
        }
    }

    /// Whether the elements of a channel lie together, and the channels in their order.
    pub fn in_order(&self) -> bool {
        self.run().saturating_mul(self.count) == self.elements
    }

    /// The channel of the element at this row-major index.
    pub fn at(&self, index: u64) -> usize {
        self.terms.iter().map(|&(inner, size, step)| index / inner % size * step).sum::<u64>() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_made_up_of_dimensions() {
        let shape = [2u64, 3, 4, 5];
        let channels = Channels::of(&shape, &[0, 2]).unwrap();
        assert_eq!((channels.count(), channels.elements()), (8, 120));
        for i in 0..120u64 {
            let (a, c) = (i / 60, i / 5 % 4);
            assert_eq!(channels.at(i) as u64, a * 4 + c);
        }
        assert_eq!(channels.period(), None);
        assert_eq!(Channels::of(&shape, &[1]).unwrap().period(), Some(60));
        assert_eq!(Channels::of(&shape, &[4]), None);
        assert_eq!(Channels::of(&[0, 7], &[1]).unwrap().count(), 7);
    }
}
