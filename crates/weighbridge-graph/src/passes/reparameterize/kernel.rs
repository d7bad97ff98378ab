//! What linear branches come to: one kernel and one bias, added, composed and put into another form without a change of
//! what they compute. All in `f64`. docs/reparameterize.md has the algebra.

/// A convolution at hand.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kernel {
    /// `[out, in/groups, taps…]`, row-major.
    pub weight: Vec<f64>,
    pub out: usize,
    /// Inputs of each group.
    pub per_group: usize,
    pub groups: usize,
    pub window: Vec<Axis>,
    /// One for each output.
    pub bias: Vec<f64>,
}

/// A convolution along one spatial dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    pub taps: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Zeros before the first and after the last element.
    pub pads: (usize, usize),
}

impl Axis {
    /// One tap that changes nothing.
    pub const POINT: Axis = Axis { taps: 1, stride: 1, dilation: 1, pads: (0, 0) };

    /// How far its last tap is from its first.
    fn reach(self) -> usize {
        (self.taps - 1) * self.dilation
    }

    fn is_padded(self) -> bool {
        self.pads != (0, 0)
    }
}

/// Most elements of a kernel that is put together in memory, as `f64`: 256 MiB.
pub(super) const MOST: usize = 1 << 25;

impl Kernel {
    /// What hands `channels` channels on, each multiplied by its scale, with its shift added.
    pub fn diagonal(scale: Vec<f64>, shift: Vec<f64>, rank: usize) -> Self {
        let n = scale.len();
        Kernel {
            weight: scale,
            out: n,
            per_group: 1,
            groups: n,
            window: vec![Axis::POINT; rank],
            bias: shift,
        }
    }

    pub fn inputs(&self) -> usize {
        self.per_group * self.groups
    }

    pub fn taps(&self) -> usize {
        taps(&self.window)
    }

    /// Whether each channel goes through by itself, with one tap.
    pub fn is_diagonal(&self) -> bool {
        self.per_group == 1 && self.out == self.groups && self.taps() == 1
    }

    /// Whether it sees the same elements as another in each output: the same strides, and windows that lie within each
    /// other once zeros are put around them. The reason otherwise.
    pub fn aligned(&self, other: &Kernel) -> Result<Vec<Axis>, String> {
        if self.out != other.out || self.inputs() != other.inputs() || self.window.len() != other.window.len()
        {
            return Err("they have other numbers of channels or dimensions".into());
        }
        let each = self.window.iter().zip(&other.window).map(|(a, b)| {
            if a.stride != b.stride {
                return Err(format!("their strides differ, {} and {}", a.stride, b.stride));
            }
            let dilation = match (a.taps, b.taps) {
                (1, _) => b.dilation,
                (_, 1) => a.dilation,
                _ if a.dilation == b.dilation => a.dilation,
                _ => 1,
            };
            let ends = |axis: &Axis| axis.reach() as i64 - axis.pads.0 as i64 - axis.pads.1 as i64;
            let pads = (a.pads.0.max(b.pads.0), a.pads.1.max(b.pads.1));
            let more = |axis: &Axis| [pads.0 - axis.pads.0, pads.1 - axis.pads.1];
            let whole = more(a).into_iter().chain(more(b)).all(|n| n.is_multiple_of(dilation));
            if ends(a) != ends(b) || !whole {
                return Err(format!(
                    "their paddings differ: {:?} around {} taps and {:?} around {} do not align",
                    a.pads, a.taps, b.pads, b.taps
                ));
            }
            let reach = a.reach() + more(a).iter().sum::<usize>();
            let merged = Axis { taps: reach / dilation + 1, stride: a.stride, dilation, pads };
            // Zeros between taps are not worth it where no branch has taps there.
            if a.dilation != b.dilation && dilation == 1 && a.taps > 1 && b.taps > 1 {
                let dense = [a, b].into_iter().find(|axis| axis.dilation == 1).map_or(0, |axis| axis.taps);
                if dense < merged.taps {
                    return Err(format!("their dilations differ, {} and {}", a.dilation, b.dilation));
                }
            }
            Ok(merged)
        });
        each.collect()
    }

    /// The same convolution under a larger window and with fewer groups; zeros fill what it had not. `window` is one
    /// that [`Kernel::aligned`] gave, and `groups` divides its groups.
    pub fn within(&self, window: &[Axis], groups: usize) -> Kernel {
        let per_group = self.inputs() / groups;
        let (own, all) = (self.taps(), taps(window));
        let mut weight = vec![0.0; self.out * per_group * all];
        let places: Vec<usize> = (0..own).map(|tap| self.place(tap, window)).collect();
        let outs = self.out / self.groups;
        for o in 0..self.out {
            let group = o / outs;
            // Where this group's inputs begin among those of the larger group.
            let first = group * self.per_group % per_group;
            for i in 0..self.per_group {
                let from = (o * self.per_group + i) * own;
                let to = (o * per_group + first + i) * all;
                for (tap, place) in places.iter().enumerate() {
                    weight[to + place] = self.weight[from + tap];
                }
            }
        }
        Kernel { weight, per_group, groups, window: window.to_vec(), bias: self.bias.clone(), ..*self }
    }

    /// Where a tap stands in a larger window.
    fn place(&self, mut tap: usize, window: &[Axis]) -> usize {
        let (mut place, mut step) = (0, 1);
        for (own, all) in self.window.iter().zip(window).rev() {
            let at = (tap % own.taps) * own.dilation + (all.pads.0 - own.pads.0);
            place += at / all.dilation * step;
            step *= all.taps;
            tap /= own.taps;
        }
        place
    }

    /// Adds another of the same form.
    pub fn add(&mut self, other: &Kernel) {
        self.weight.iter_mut().zip(&other.weight).for_each(|(a, b)| *a += b);
        self.bias.iter_mut().zip(&other.bias).for_each(|(a, b)| *a += b);
    }

    /// Multiplies and shifts each output.
    pub fn affine(&mut self, scale: &[f64], shift: &[f64]) {
        let row = self.weight.len() / self.out.max(1);
        for (o, (scale, shift)) in scale.iter().zip(shift).enumerate() {
            self.weight[o * row..(o + 1) * row].iter_mut().for_each(|w| *w *= scale);
            self.bias[o] = self.bias[o] * scale + shift;
        }
    }

    /// This one, then `next`, as one convolution; the reason where that is none. One of the two has to have one tap.
    pub fn then(&self, next: &Kernel) -> Result<Kernel, String> {
        if next.inputs() != self.out || next.window.len() != self.window.len() {
            return Err("what follows has other channels or dimensions".into());
        }
        let padded = next.window.iter().any(|axis| axis.is_padded());
        if padded && self.bias.iter().any(|&b| b != 0.0) {
            return Err(
                "what follows is padded with zeros, which the bias before it has not been added to".into()
            );
        }
        let window = self.window.iter().zip(&next.window).map(|(a, b)| {
            if a.taps == 1 && a.stride == 1 {
                Ok(Axis { pads: (a.pads.0 + b.pads.0, a.pads.1 + b.pads.1), ..*b })
            } else if b.taps == 1 && !b.is_padded() {
                Ok(Axis { stride: a.stride * b.stride, ..*a })
            } else {
                Err("both have more than one tap, or the first has a stride".to_owned())
            }
        });
        let window = window.collect::<Result<Vec<_>, _>>()?;
        // Taps that one of both has along each dimension: never more than one has in all.
        if self.taps() > 1 && next.taps() > 1 {
            return Err("both have more than one tap".into());
        }
        let mut bias = next.bias.clone();
        let (n_out, n_per) = (next.out / next.groups, next.per_group);
        let next_taps = next.taps();
        for (o, bias) in bias.iter_mut().enumerate() {
            for i in 0..n_per {
                let from = (o * n_per + i) * next_taps;
                let sum: f64 = next.weight[from..from + next_taps].iter().sum();
                *bias += sum * self.bias[o / n_out * n_per + i];
            }
        }
        let groups = if self.is_diagonal() {
            next.groups
        } else if self.groups == next.groups || n_per == 1 && next.groups == next.out {
            self.groups
        } else if next.groups == 1 && self.groups > 1 {
            1
        } else {
            return Err(format!("their groups differ, {} and {}", self.groups, next.groups));
        };
        let (a, b) = (self.taps(), next_taps);
        let per_group = self.inputs() / groups;
        let size = next.out.checked_mul(per_group).and_then(|n| n.checked_mul(a.max(b)));
        if size.is_none_or(|n| n > MOST) {
            return Err("the kernel of both together is too large".into());
        }
        let taps = a.max(b);
        let mut weight = vec![0.0; next.out * per_group * taps];
        let outs = self.out / self.groups;
        for o in 0..next.out {
            let base = o / (next.out / groups) * per_group;
            for m in 0..n_per {
                let middle = o / n_out * n_per + m;
                let first = middle / outs * self.per_group;
                for i in 0..self.per_group {
                    let to = (o * per_group + first + i - base) * taps;
                    for t in 0..taps {
                        let w1 = self.weight[(middle * self.per_group + i) * a + if a > 1 { t } else { 0 }];
                        let w2 = next.weight[(o * n_per + m) * b + if b > 1 { t } else { 0 }];
                        weight[to + t] += w1 * w2;
                    }
                }
            }
        }
        Ok(Kernel { weight, out: next.out, per_group, groups, window, bias })
    }
}

pub(super) fn taps(window: &[Axis]) -> usize {
    window.iter().map(|axis| axis.taps).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same every time.
    fn numbers(n: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        (0..n).map(|_| next()).collect()
    }

    fn kernel(out: usize, inputs: usize, groups: usize, window: &[Axis], seed: u64) -> Kernel {
        let per_group = inputs / groups;
        let weight = numbers(out * per_group * taps(window), seed);
        Kernel { weight, out, per_group, groups, window: window.to_vec(), bias: numbers(out, seed + 1) }
    }

    fn axis(taps: usize, stride: usize, dilation: usize, pad: usize) -> Axis {
        Axis { taps, stride, dilation, pads: (pad, pad) }
    }

    /// A convolution along one dimension, by its definition; `x` is `[inputs, n]`.
    fn run(k: &Kernel, x: &[f64]) -> Vec<f64> {
        let w = k.window[0];
        let n = x.len() / k.inputs();
        let padded = n + w.pads.0 + w.pads.1;
        let size = (padded - w.reach() - 1) / w.stride + 1;
        let mut y = Vec::new();
        for o in 0..k.out {
            let group = o / (k.out / k.groups);
            for at in 0..size {
                let mut sum = k.bias[o];
                for i in 0..k.per_group {
                    for t in 0..w.taps {
                        let from = (at * w.stride + t * w.dilation) as i64 - w.pads.0 as i64;
                        if (0..n as i64).contains(&from) {
                            let x = x[(group * k.per_group + i) * n + from as usize];
                            sum += k.weight[(o * k.per_group + i) * w.taps + t] * x;
                        }
                    }
                }
                y.push(sum);
            }
        }
        y
    }

    fn close(a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-12, "{a} and {b}");
        }
    }

    #[test]
    fn sums_of_aligned_branches_are_one_convolution() {
        let x = numbers(8 * 11, 7);
        let cases = [
            (axis(3, 1, 1, 1), axis(1, 1, 1, 0)),
            (axis(3, 2, 1, 1), axis(1, 2, 1, 0)),
            (axis(7, 1, 1, 3), axis(3, 1, 1, 1)),
            (axis(3, 1, 2, 2), axis(1, 1, 1, 0)),
            (axis(3, 1, 2, 2), axis(3, 1, 2, 2)),
            // A dilated kernel within a dense one.
            (axis(5, 1, 1, 2), axis(3, 1, 2, 2)),
        ];
        for (a, b) in cases {
            for groups in [1, 2] {
                let (a, b) = (kernel(4, 8, groups, &[a], 1), kernel(4, 8, 2, &[b], 3));
                let window = a.aligned(&b).unwrap();
                let mut sum = a.within(&window, groups);
                sum.add(&b.within(&window, groups));
                let apart: Vec<f64> = run(&a, &x).iter().zip(run(&b, &x)).map(|(a, b)| a + b).collect();
                close(&run(&sum, &x), &apart);
            }
        }
    }

    #[test]
    fn branches_that_see_other_elements_are_told_apart() {
        let of = |axis| kernel(4, 8, 1, &[axis], 1);
        for (a, b, why) in [
            (axis(3, 1, 1, 1), axis(1, 1, 1, 1), "paddings"),
            (axis(3, 1, 1, 1), axis(3, 2, 1, 1), "strides"),
            (axis(3, 1, 2, 2), axis(3, 1, 3, 3), "dilations"),
            (axis(3, 1, 1, 0), axis(1, 1, 1, 0), "paddings"),
        ] {
            assert!(of(a).aligned(&of(b)).unwrap_err().contains(why));
        }
    }

    #[test]
    fn sequences_with_one_point_are_one_convolution() {
        let x = numbers(8 * 11, 9);
        let point = |out, inputs, groups| kernel(out, inputs, groups, &[Axis::POINT], 11);
        for (a, b) in [
            (point(6, 8, 1), kernel(4, 6, 1, &[axis(3, 1, 1, 0)], 5)),
            (point(6, 8, 2), kernel(4, 6, 2, &[axis(3, 2, 2, 0)], 5)),
            (point(6, 8, 2), kernel(4, 6, 1, &[axis(3, 1, 1, 0)], 5)),
            (point(6, 8, 1), kernel(6, 6, 6, &[axis(3, 1, 1, 0)], 5)),
            (kernel(6, 8, 2, &[axis(3, 2, 1, 1)], 5), point(4, 6, 2)),
            (
                kernel(6, 8, 2, &[Axis { pads: (1, 1), ..Axis::POINT }], 5),
                kernel(4, 6, 2, &[axis(3, 1, 1, 0)], 8),
            ),
            (Kernel::diagonal(numbers(8, 2), numbers(8, 3), 1), kernel(4, 8, 2, &[axis(3, 1, 1, 0)], 5)),
        ] {
            let both = a.then(&b).unwrap();
            close(&run(&both, &x), &run(&b, &run(&a, &x)));
        }
    }

    #[test]
    fn a_bias_before_padding_is_none_within() {
        let a = kernel(6, 8, 1, &[Axis::POINT], 11);
        let b = kernel(4, 6, 1, &[axis(3, 1, 1, 1)], 5);
        assert!(a.then(&b).unwrap_err().contains("padded"));
        let a = Kernel { bias: vec![0.0; 6], ..a };
        let x = numbers(8 * 11, 9);
        close(&run(&a.then(&b).unwrap(), &x), &run(&b, &run(&a, &x)));
    }

    #[test]
    fn an_affine_goes_in() {
        let x = numbers(8 * 11, 9);
        let mut k = kernel(4, 8, 2, &[axis(3, 1, 1, 1)], 5);
        let plain = run(&k, &x);
        let (scale, shift) = (numbers(4, 20), numbers(4, 21));
        k.affine(&scale, &shift);
        let wanted: Vec<f64> =
            plain.iter().enumerate().map(|(i, y)| y * scale[i / 11] + shift[i / 11]).collect();
        close(&run(&k, &x), &wanted);
    }
}
