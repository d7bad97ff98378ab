//! How a source becomes a target: which order its dimensions take, and whether that is known rather than guessed.

use super::Rule;
use super::kinds::{Kind, Order, Witness};
use super::names::Slot;
use super::subject::Subject;

/// Something that is done to a source's dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Dimension `i` is what dimension `axes[i]` was.
    Permute(Vec<usize>),
    /// The same elements in the same order, under another shape.
    Reshape(Vec<u64>),
}

/// Why a source does not become its target.
pub(super) struct Misfit(pub(super) String);

/// The steps from `source` to `target`, and the shape that comes of them.
pub(super) fn fit(source: &Subject, target: &Subject, rule: Rule) -> Result<(Vec<Step>, Vec<u64>), Misfit> {
    let sizes: Vec<u64> = source.shape.iter().flatten().map(|d| d.unwrap_or(0)).collect();
    if let (Some(a), Some(b)) = (source.real, target.real)
        && a != b
    {
        let kind = |real| if real { "real" } else { "whole" };
        return Err(Misfit(format!("holds {} numbers, and it {} ones", kind(a), kind(b))));
    }
    let wanted = target.shape.as_deref();
    if source.is_recurrent() || target.is_recurrent() {
        let same = source.order == target.order && source.slot == target.slot && source.kind == target.kind;
        return match wanted {
            Some(wanted) if same && fits(&sizes, wanted) => Ok((Vec::new(), sizes)),
            _ => Err(Misfit(
                "is of a recurrent layer, whose gates every framework orders and packs in its own way: bring it into \
                 the target's form first"
                    .to_owned(),
            )),
        };
    }
    let mut steps = Steps { start: sizes.clone(), shape: sizes.clone(), steps: Vec::new() };
    let weight = source.slot == Slot::Weight && target.slot == Slot::Weight;
    let kinds = (source.kind.or(target.kind), target.kind.or(source.kind));
    if let Some(rank) = natural(kinds.0, &source.slot) {
        steps.squeeze(rank);
    }
    // The target's shape as its kind has it: Caffe's old sizes stand behind ones.
    let core = wanted.map(|w| without_ones(w, natural(kinds.1, &target.slot)));
    if weight && steps.shape.len() >= 2 && !source.arranged {
        match (source.flattened, target.flattened) {
            (None, None) | (Some(_), Some(_)) => orient(source, target, rule, kinds, core, &mut steps)?,
            (from, to) => flattened(source, target, from, to, &mut steps)?,
        }
    }
    let Some(wanted) = wanted else { return Ok(steps.done()) };
    if !fits(&steps.shape, wanted) {
        let dense = |shape: &[u64]| shape.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
        let all: Option<Vec<u64>> = wanted.iter().copied().collect();
        match all {
            // Only ones come or go.
            Some(all) if dense(&all) == dense(&steps.shape) => steps.reshape(all),
            _ => return Err(mismatch(source, target, &steps)),
        }
    }
    Ok(steps.done())
}

/// Brings the inputs of a layer behind a flattened picture into the other order: channels come last on one side, first
/// on the other. Such layers are Linear, and their orders told.
fn flattened(
    source: &Subject,
    target: &Subject,
    from: Option<Option<u64>>,
    to: Option<Option<u64>>,
    steps: &mut Steps,
) -> Result<(), Misfit> {
    let unknown = || {
        Misfit(
            "stands behind a picture that is flattened, as it seems, with its channels last on one side and first on the \
             other, and how many channels that has is not told: its inputs cannot be put in order. A whole Keras model or a \
             SavedModel would tell"
                .to_owned(),
        )
    };
    let last = from.is_some();
    let channels = from.or(to).flatten().filter(|&c| c > 0).ok_or_else(unknown)?;
    let [_, _] = steps.shape[..] else { return Err(unknown()) };
    let (Some((was, _)), Some((is, _))) = (source.order, target.order) else { return Err(unknown()) };
    if was == Order::Keras {
        steps.permute(vec![1, 0]);
    }
    let (outputs, inputs) = (steps.shape[0], steps.shape[1]);
    if inputs % channels != 0 {
        return Err(unknown());
    }
    let points = inputs / channels;
    steps.reshape(if last { vec![outputs, points, channels] } else { vec![outputs, channels, points] });
    steps.permute(vec![0, 2, 1]);
    steps.reshape(vec![outputs, inputs]);
    if is == Order::Keras {
        steps.permute(vec![1, 0]);
    }
    Ok(())
}

fn mismatch(source: &Subject, target: &Subject, steps: &Steps) -> Misfit {
    let arrives =
        if steps.steps.is_empty() { String::new() } else { format!(", arrives as {:?}", steps.shape) };
    Misfit(format!("is {}{arrives}, and it is {}", source.sizes(), target.sizes()))
}

/// Brings a weight into the target's order.
fn orient(
    source: &Subject,
    target: &Subject,
    rule: Rule,
    kinds: (Kind, Kind),
    wanted: Option<&[Option<u64>]>,
    steps: &mut Steps,
) -> Result<(), Misfit> {
    let rank = steps.shape.len();
    if rank == 2 && (kinds.0 == Kind::Embedding || kinds.1 == Kind::Embedding) {
        // Rows are entries everywhere.
        return Ok(());
    }
    let (from, to) = (source.order, target.order);
    let told = |order: Option<(Order, Witness)>| order.map(|(o, _)| o);
    if rank == 2 && wanted.is_none_or(|w| w.len() == 2) {
        let straight = wanted.is_none_or(|w| fits(&steps.shape, w));
        let turned = wanted.is_some_and(|w| fits(&[steps.shape[1], steps.shape[0]], w));
        let turn = |order: Option<(Order, Witness)>| order.map(|(o, _)| o == Order::Keras);
        // A name that is a graph's own as well as the source's: whether the graph kept the source's order with it, its
        // name does not say.
        let doubtful = rule == Rule::Name
            && source.was.is_none()
            && told(from) != told(to)
            && [from, to].iter().flatten().any(|(_, w)| *w == Witness::Convention);
        let flip = match (turn(from), turn(to)) {
            (Some(a), Some(b)) if !doubtful => Some(a != b),
            (None, None) if rule <= Rule::Prefix => Some(false),
            _ => None,
        };
        return match (flip, straight, turned) {
            (Some(true), _, true) | (None, false, true) => {
                steps.permute(vec![1, 0]);
                Ok(())
            }
            (Some(false), true, _) | (None, true, false) => Ok(()),
            (None, true, true) => Err(Misfit(format!(
                "is square, {}, and nothing tells which of its dimensions are the outputs: say --transpose '{}', or \
                 --permute '{1}=0,1' to take it as it is",
                source.sizes(),
                source.was.as_ref().unwrap_or(&source.name)
            ))),
            // By convention alone an order is no more certain than a shape that has only one.
            (Some(true), true, false) if by_convention(from, to) => Ok(()),
            (Some(false), false, true) if by_convention(from, to) => {
                steps.permute(vec![1, 0]);
                Ok(())
            }
            _ => Err(mismatch(source, target, steps)),
        };
    }
    let (Some(from), Some(to)) = (told(from), told(to)) else {
        let same = told(from) == told(to) || rule == Rule::Name;
        return match wanted {
            Some(wanted) if rank > 2 && !same && ambiguous(&steps.shape, wanted) => Err(Misfit(format!(
                "is {}, and nothing tells which of its equal dimensions is which: say --permute '{}=AXES'",
                source.sizes(),
                source.was.as_ref().unwrap_or(&source.name)
            ))),
            _ => Ok(()),
        };
    };
    steps.permute(from.to_torch(kinds.0, rank));
    if kinds.0 == Kind::Depthwise && from == Order::Keras && rank > 2 {
        // Each channel's filters, one after another.
        let mut merged = vec![steps.shape[0].saturating_mul(steps.shape[1]), 1];
        merged.extend(&steps.shape[2..]);
        steps.reshape(merged);
    }
    if kinds.1 == Kind::Depthwise && to == Order::Keras && rank > 2 {
        let per = wanted.and_then(|w| w.last().copied().flatten()).filter(|&m| m > 0).unwrap_or(1);
        let mut split = vec![steps.shape[0] / per, per];
        split.extend(&steps.shape[2..]);
        if split[0] * per != steps.shape[0] {
            return Err(mismatch(source, target, steps));
        }
        steps.reshape(split);
    }
    // A Linear may be a convolution of one point.
    let rank = steps.shape.len();
    let after = to.to_torch(kinds.1, rank);
    let mut back = vec![0; rank];
    for (i, &axis) in after.iter().enumerate() {
        back[axis] = i;
    }
    steps.permute(back);
    Ok(())
}

fn by_convention(a: Option<(Order, Witness)>, b: Option<(Order, Witness)>) -> bool {
    [a, b].iter().flatten().any(|(_, w)| *w == Witness::Convention)
}

/// Whether sizes agree although dimensions may be exchanged.
fn ambiguous(shape: &[u64], wanted: &[Option<u64>]) -> bool {
    let mut sizes: Vec<u64> = shape.iter().copied().filter(|&d| d != 1).collect();
    sizes.sort_unstable();
    fits(shape, wanted) && sizes.windows(2).any(|w| w[0] == w[1])
}

fn fits(shape: &[u64], wanted: &[Option<u64>]) -> bool {
    shape.len() == wanted.len() && shape.iter().zip(wanted).all(|(&d, w)| w.is_none_or(|w| w == d))
}

/// How many dimensions such a tensor has where it is not wrapped in ones.
fn natural(kind: Kind, slot: &Slot) -> Option<usize> {
    match (slot, kind) {
        (Slot::Bias | Slot::Mean | Slot::Variance, _) => Some(1),
        (Slot::Weight, Kind::Linear | Kind::Embedding) => Some(2),
        _ => None,
    }
}

/// The sizes behind leading ones, down to `rank` of them.
fn without_ones(shape: &[Option<u64>], rank: Option<usize>) -> &[Option<u64>] {
    let more = rank.map_or(0, |rank| shape.len().saturating_sub(rank));
    if shape[..more].iter().all(|d| *d == Some(1)) { &shape[more..] } else { shape }
}

/// A shape on its way.
struct Steps {
    start: Vec<u64>,
    shape: Vec<u64>,
    steps: Vec<Step>,
}

impl Steps {
    fn permute(&mut self, axes: Vec<usize>) {
        if axes.iter().copied().eq(0..axes.len()) {
            return;
        }
        self.shape = axes.iter().map(|&a| self.shape[a]).collect();
        self.steps.push(Step::Permute(axes));
    }

    fn reshape(&mut self, shape: Vec<u64>) {
        if shape != self.shape {
            self.steps.push(Step::Reshape(shape.clone()));
            self.shape = shape;
        }
    }

    fn squeeze(&mut self, rank: usize) {
        let more = self.shape.len().saturating_sub(rank);
        if more > 0 && self.shape[..more].iter().all(|&d| d == 1) {
            self.reshape(self.shape[more..].to_vec());
        }
    }

    /// The steps, those that undo each other left out.
    fn done(mut self) -> (Vec<Step>, Vec<u64>) {
        while let Some(at) = self.steps.windows(2).position(|w| undone(&w[0], &w[1])) {
            self.steps.drain(at..at + 2);
        }
        // Of reshapes in a row the last counts.
        let mut steps: Vec<Step> = Vec::new();
        for step in self.steps {
            match (steps.last_mut(), &step) {
                (Some(last @ Step::Reshape(_)), Step::Reshape(_)) => *last = step,
                (Some(Step::Permute(before)), Step::Permute(after)) => {
                    *before = after.iter().map(|&a| before[a]).collect();
                }
                _ => steps.push(step),
            }
        }
        steps.retain(|s| !matches!(s, Step::Permute(axes) if axes.iter().copied().eq(0..axes.len())));
        if matches!(steps.as_slice(), [Step::Reshape(shape)] if *shape == self.start) {
            steps.clear();
        }
        (steps, self.shape)
    }
}

fn undone(a: &Step, b: &Step) -> bool {
    match (a, b) {
        (Step::Permute(a), Step::Permute(b)) => b.iter().map(|&i| a[i]).eq(0..a.len()),
        _ => false,
    }
}
