//! The smaller, the larger, and the one that broadcasting takes.

use super::{Atom, Size};

impl Size {
    /// The smaller of both.
    pub fn smaller(&self, other: &Size) -> Option<Size> {
        match self.order(other) {
            Some(true) => Some(other.clone()),
            Some(false) => Some(self.clone()),
            None => Size::atom(Atom::Min(merged(self, other, |atom| match atom {
                Atom::Min(of) => Some(of),
                _ => None,
            }))),
        }
    }

    /// The larger of both.
    pub fn larger(&self, other: &Size) -> Option<Size> {
        match self.order(other) {
            Some(true) => Some(self.clone()),
            Some(false) => Some(other.clone()),
            None => Size::atom(Atom::Max(merged(self, other, |atom| match atom {
                Atom::Max(of) => Some(of),
                _ => None,
            }))),
        }
    }

    /// What two dimensions come to that are broadcast to each other: the one that is not 1.
    ///
    /// # Errors
    /// Known sizes that differ, none of them 1.
    pub fn broadcast(&self, other: &Size) -> Result<Option<Size>, String> {
        match (self.known(), other.known()) {
            _ if self == other => Ok(Some(self.clone())),
            (Some(1), _) => Ok(Some(other.clone())),
            (_, Some(1)) => Ok(Some(self.clone())),
            (Some(a), Some(b)) => Err(format!("{a} and {b} cannot be broadcast to each other")),
            // The other one is 1 or the same.
            (Some(_), None) => Ok(Some(self.clone())),
            (None, Some(_)) => Ok(Some(other.clone())),
            (None, None) => Ok(Size::atom(Atom::Broadcast(merged(self, other, |atom| match atom {
                Atom::Broadcast(of) => Some(of),
                _ => None,
            })))),
        }
    }

    /// Whether `self >= other` (true), `self <= other` (false); `None` where that depends on symbols.
    pub fn order(&self, other: &Size) -> Option<bool> {
        let natural = |size: Option<Size>| size.and_then(|size| size.at_least()).is_some_and(|n| n >= 0);
        if natural(self.minus(other)) {
            return Some(true);
        }
        natural(other.minus(self)).then_some(false)
    }
}

/// The operands of both, each once and sorted.
fn merged(a: &Size, b: &Size, of: impl Fn(&Atom) -> Option<&Vec<Size>>) -> Vec<Size> {
    let operands = |size: &Size| match size.only_atom().and_then(&of) {
        Some(operands) => operands.clone(),
        None => vec![size.clone()],
    };
    let mut all = operands(a);
    all.extend(operands(b));
    all.sort();
    all.dedup();
    all
}
