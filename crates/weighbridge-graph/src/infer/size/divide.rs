//! Quotients and remainders.

use std::cmp::Ordering;

use super::{Atom, Monomial, Size, Terms, add, product};

/// The quotient of known numbers, rounded down.
pub(super) fn floor(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}

impl Size {
    /// `self / other` rounded down; `None` also where `other` is 0. Symbols that are divided by are taken not to be 0.
    pub fn floor_div(&self, other: &Size) -> Option<Size> {
        match (self.known(), other.known()) {
            (_, Some(0)) => None,
            (_, Some(1)) => Some(self.clone()),
            (Some(0), _) => Some(0.into()),
            (Some(a), Some(b)) => floor(a, b).map(Size::from),
            (None, Some(b)) if b < 0 => Size::from(0).minus(self)?.floor_by(b.checked_neg()?),
            (None, Some(b)) => self.floor_by(b),
            (_, None) => {
                if let Some(exact) = self.exact_div(other) {
                    return Some(exact);
                }
                let (a, b) = without_common(self, other)?;
                if a.weight() + b.weight() < self.weight() + other.weight() {
                    return a.floor_div(&b);
                }
                Size::atom(Atom::Floor(a, b))
            }
        }
    }

    /// `self / other` rounded up.
    pub fn ceil_div(&self, other: &Size) -> Option<Size> {
        match other.at_least() {
            Some(0..) => self.plus(other)?.minus(&1.into())?.floor_div(other),
            _ => Size::from(0).minus(&Size::from(0).minus(self)?.floor_div(other)?),
        }
    }

    /// `self / other` rounded towards zero, as integers are divided in ONNX.
    pub fn div_toward_0(&self, other: &Size) -> Option<Size> {
        if let (Some(a), Some(b)) = (self.known(), other.known()) {
            return a.checked_div(b).map(Size::from);
        }
        let natural = |size: &Size| size.at_least().is_some_and(|n| n >= 0);
        if natural(self) && natural(other) {
            return self.floor_div(other);
        }
        if other.is(0) {
            return None;
        }
        self.exact_div(other).or_else(|| Size::atom(Atom::Toward0(self.clone(), other.clone())))
    }

    /// `self - other * floor(self / other)`: the remainder with the sign of `other`.
    pub fn modulo(&self, other: &Size) -> Option<Size> {
        self.minus(&other.times(&self.floor_div(other)?)?)
    }

    /// The quotient, where the division leaves nothing whatever the symbols are.
    pub fn exact_div(&self, other: &Size) -> Option<Size> {
        if let (Some(a), Some(b)) = (self.known(), other.known()) {
            return (a.checked_rem(b)? == 0).then(|| Size::from(a / b));
        }
        let divisor = other.terms();
        let (lead, by) = leading(&divisor)?;
        let (mut rest, mut quotient) = (self.terms(), Terms::new());
        if rest.len() * divisor.len() > 3 * super::LARGEST {
            return None;
        }
        // Each step takes the leading term away, and puts smaller ones in its place.
        for _ in 0..super::LARGEST {
            let Some((monomial, c)) = leading(&rest) else { return Size::of(quotient) };
            if c % by != 0 {
                return None;
            }
            let (factor, c) = (without(monomial, lead)?, c / by);
            add(&mut quotient, factor.clone(), c)?;
            for (m, d) in &divisor {
                add(&mut rest, product(&factor, m)?, c.checked_mul(*d)?.checked_neg()?)?;
            }
        }
        None
    }

    /// Rounded down, by a known number over 0.
    fn floor_by(&self, by: i64) -> Option<Size> {
        let (mut whole, mut rest, mut constant) = (Terms::new(), Terms::new(), 0);
        for (monomial, c) in self.terms() {
            add(&mut whole, monomial.clone(), c.div_euclid(by))?;
            match monomial.is_empty() {
                true => constant = c.rem_euclid(by),
                false => add(&mut rest, monomial, c.rem_euclid(by))?,
            }
        }
        let whole = Size::of(whole)?;
        if rest.is_empty() {
            return Some(whole);
        }
        let common = rest.values().fold(by, |g, &c| gcd(g, c));
        rest.values_mut().for_each(|c| *c /= common);
        let (by, constant) = (by / common, constant / common);
        let rest = Size::of(rest)?;
        // A quotient of a quotient is one quotient.
        if let Some(Atom::Floor(a, b)) = rest.only_atom()
            && let Some(inner) = b.known()
        {
            let a = a.plus(&constant.checked_mul(inner)?.into())?;
            return whole.plus(&a.floor_by(inner.checked_mul(by)?)?);
        }
        whole.plus(&Size::atom(Atom::Floor(rest.plus(&constant.into())?, by.into()))?)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The leading term in an order that multiplication keeps: by the power of the first atom, then of the second…
fn leading(terms: &Terms) -> Option<(&Monomial, i64)> {
    terms.iter().max_by(|(a, _), (b, _)| lexical(a, b)).map(|(monomial, c)| (monomial, *c))
}

fn lexical(a: &Monomial, b: &Monomial) -> Ordering {
    for ((x, p), (y, q)) in a.iter().zip(b) {
        // Of two atoms the smaller one counts first; the monomial without it has it to the power 0.
        match x.cmp(y) {
            Ordering::Equal if p == q => {}
            Ordering::Equal => return p.cmp(q),
            Ordering::Less => return Ordering::Greater,
            Ordering::Greater => return Ordering::Less,
        }
    }
    a.len().cmp(&b.len())
}

/// `monomial / by`, where that is one.
fn without(monomial: &Monomial, by: &Monomial) -> Option<Monomial> {
    let mut left = Vec::new();
    let mut taken = by.iter().peekable();
    for (atom, power) in monomial {
        let mut power = *power;
        if let Some((_, p)) = taken.next_if(|(a, _)| a == atom) {
            power = power.checked_sub(*p)?;
        }
        if power > 0 {
            left.push((atom.clone(), power));
        }
    }
    taken.next().is_none().then_some(left)
}

/// Both without the atoms and the factor that all their terms share.
fn without_common(a: &Size, b: &Size) -> Option<(Size, Size)> {
    let (a, b) = (a.terms(), b.terms());
    let mut all = a.iter().chain(&b);
    let (first, c) = all.next()?;
    let (mut shared, mut factor) = (first.clone(), c.checked_abs()?);
    for (monomial, c) in all {
        factor = gcd(factor, c.checked_abs()?);
        shared.retain_mut(|(atom, power)| {
            let other = monomial.iter().find(|(a, _)| a == atom).map_or(0, |(_, p)| *p);
            *power = other.min(*power);
            *power > 0
        });
    }
    let less = |terms: Terms| {
        let terms = terms.into_iter().map(|(m, c)| Some((without(&m, &shared)?, c / factor)));
        Size::of(terms.collect::<Option<Terms>>()?)
    };
    Some((less(a)?, less(b)?))
}
