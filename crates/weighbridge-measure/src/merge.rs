//! The fixed merge tree: which results meet is decided by block indices alone.

/// Figures of two neighbouring runs that become figures of both.
pub(crate) trait Merge {
    /// Adds the figures of the run that follows.
    fn merge(&mut self, other: &Self);
}

/// Merges leaves as a binary counter does: equal subtrees meet as soon as both are there, and what is left
/// over at the end is folded from the right. Aligned runs of 2^k leaves may be folded elsewhere first and
/// pushed whole: the tree stays the same.
pub(crate) struct Tree<T> {
    /// Subtrees not yet paired, leftmost and largest first, each with its height.
    pending: Vec<(u32, T)>,
}

impl<T: Merge> Tree<T> {
    pub(crate) fn new() -> Self {
        Tree { pending: Vec::new() }
    }

    pub(crate) fn push(&mut self, leaf: T) {
        let (mut height, mut node) = (0, leaf);
        while self.pending.last().is_some_and(|(h, _)| *h == height) {
            let (_, mut left) = self.pending.pop().expect("just seen");
            left.merge(&node);
            node = left;
            height += 1;
        }
        self.pending.push((height, node));
    }

    pub(crate) fn finish(mut self) -> Option<T> {
        let (_, mut right) = self.pending.pop()?;
        while let Some((_, mut left)) = self.pending.pop() {
            left.merge(&right);
            right = left;
        }
        Some(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Shape(String);
    impl Merge for Shape {
        fn merge(&mut self, other: &Self) {
            self.0 = format!("({}{})", self.0, other.0);
        }
    }

    fn tree(leaves: impl Iterator<Item = String>) -> String {
        let mut tree = Tree::new();
        leaves.for_each(|l| tree.push(Shape(l)));
        tree.finish().map(|s| s.0).unwrap_or_default()
    }

    #[test]
    fn folding_aligned_runs_first_does_not_change_the_tree() {
        for n in 1..40u32 {
            let whole = tree((0..n).map(|i| format!("{i},")));
            for run in [1, 2, 4, 8, 16] {
                let runs = (0..n.div_ceil(run))
                    .map(|r| tree((r * run..n.min((r + 1) * run)).map(|i| format!("{i},"))));
                assert_eq!(tree(runs), whole, "{n} leaves in runs of {run}");
            }
        }
    }
}
