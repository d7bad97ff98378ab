//! The passes over values of two bytes and more.

use std::marker::PhantomData;

use weighbridge_model::DType;
use weighbridge_model::dtype::FloatFormat;

use crate::histogram::{Histogram, scale_of};
use crate::kernels::{Buffers, Level, Measure, Scale, Subnormals, count_subnormals, summarize};
use crate::merge::{Merge, Tree};
use crate::scale::power_for;
use crate::summary::{Number, Summary};
use crate::survival::Survival;
use crate::tally::Counts;
use crate::walk::Pass;

/// The first pass.
pub(crate) struct First {
    pub(crate) level: Level,
    pub(crate) dtype: DType,
}

impl Pass for First {
    type Task = (Tree<Summary>, Buffers);
    type Out = Summary;

    fn start(&self) -> Self::Task {
        (Tree::new(), Buffers::default())
    }

    fn block(&self, (tree, buffers): &mut Self::Task, bytes: &[u8]) {
        tree.push(summarize(self.level, self.dtype, bytes, buffers));
    }

    fn finish(&self, (tree, _): Self::Task) -> Summary {
        tree.finish().unwrap_or_default()
    }
}

/// The second pass, over values measured in `T`: histogram and losses.
pub(crate) struct Second<'a, T> {
    level: Level,
    dtype: DType,
    scale: Option<Scale<T>>,
    /// Whether there are subnormals, whose exponents are counted apart.
    subnormals: bool,
    formats: &'a [FloatFormat],
    /// Unit of the losses' squares.
    power: i32,
}

impl<'a, T: Measure> Second<'a, T> {
    /// For the values that `summary` is of.
    pub(crate) fn of(
        level: Level,
        dtype: DType,
        summary: &Summary,
        histogram: bool,
        formats: &'a [FloatFormat],
    ) -> Self {
        let least = summary.abs_min_nonzero.map_or(f64::INFINITY, Number::to_f64);
        Second {
            level,
            dtype,
            scale: histogram.then(|| scale_of(summary)),
            subnormals: least < T::of_field(1).0.widen(),
            formats,
            power: power_for(summary.largest()),
        }
    }

    /// What the pass came to.
    pub(crate) fn figures(&self, gathered: Gathered<T>) -> (Option<Histogram>, Vec<Survival>) {
        let histogram = self
            .scale
            .as_ref()
            .map(|scale| Histogram::from_keys(scale, &gathered.keys, &gathered.subnormals));
        (histogram, gathered.survival)
    }
}

/// A task of the second pass.
pub(crate) struct Gathering<T: Measure> {
    buffers: Buffers,
    keys: Option<T::Keys>,
    subnormals: Option<Subnormals>,
    survival: Vec<Tree<Survival>>,
}

/// Results of the second pass.
pub(crate) struct Gathered<T> {
    keys: Counts,
    subnormals: Counts,
    survival: Vec<Survival>,
    of: PhantomData<T>,
}

impl<T: Measure> Pass for Second<'_, T> {
    type Task = Gathering<T>;
    type Out = Gathered<T>;
    const AGAIN: bool = true;

    fn start(&self) -> Gathering<T> {
        Gathering {
            buffers: Buffers::default(),
            keys: self.scale.as_ref().map(T::keys),
            subnormals: (self.scale.is_some() && self.subnormals).then(Subnormals::new),
            survival: self.formats.iter().map(|_| Tree::new()).collect(),
        }
    }

    fn block(&self, task: &mut Gathering<T>, bytes: &[u8]) {
        let values = T::values(self.level, self.dtype, bytes, &mut task.buffers);
        if let (Some(scale), Some(keys)) = (&self.scale, &mut task.keys) {
            T::count(self.level, values, scale, keys);
        }
        if let Some(subnormals) = &mut task.subnormals {
            count_subnormals::<T>(values, subnormals);
        }
        for (tree, &format) in task.survival.iter_mut().zip(self.formats) {
            tree.push(T::survive(self.level, values, format, self.power));
        }
    }

    fn finish(&self, task: Gathering<T>) -> Gathered<T> {
        let survival = task.survival.into_iter().zip(self.formats);
        Gathered {
            keys: task.keys.map(T::finish).unwrap_or_default(),
            subnormals: task.subnormals.map(Subnormals::finish).unwrap_or_default(),
            survival: survival.map(|(tree, &f)| tree.finish().unwrap_or_else(|| Survival::new(f))).collect(),
            of: PhantomData,
        }
    }
}

impl<T> Merge for Gathered<T> {
    fn merge(&mut self, other: &Self) {
        self.keys.merge(&other.keys);
        self.subnormals.merge(&other.subnormals);
        self.survival.iter_mut().zip(&other.survival).for_each(|(a, b)| a.merge(b));
    }
}
