//! Sizes: whole numbers that are known, or expressions in symbols.
//!
//! An expression is kept as a polynomial over *atoms*: symbols, and the quotients, minima and maxima that no polynomial
//! says. Terms are sorted and merged, so that two ways to write one polynomial are equal by `==`; quotients are brought
//! to one form as far as whole factors and quotients of quotients go. Different forms need not mean different sizes.

mod divide;
mod extremes;
mod show;

use std::collections::BTreeMap;
use std::sync::Arc;

/// Most atoms and terms that an expression is made of; what would be larger is not made at all.
const LARGEST: usize = 96;

/// What stands for a number that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Symbol {
    /// A size that a file names; never negative.
    Named(Arc<str>),
    /// One that inference came upon: the same number wherever it stands within the same facts.
    Fresh {
        /// Which one.
        id: u32,
        /// Whether it is the size of something, hence not negative.
        size: bool,
    },
}

/// A whole number, known or as an expression. Its order is one to sort by, not that of what it comes to.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Known(i64),
    /// Not a constant.
    Open(Arc<Polynomial>),
}

/// Atoms with their powers, sorted; the empty product is 1.
type Monomial = Vec<(Atom, u32)>;

/// A sum of terms by monomial, none of them 0.
type Terms = BTreeMap<Monomial, i64>;

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Polynomial {
    terms: Vec<(Monomial, i64)>,
    /// Atoms and terms, those within atoms included.
    weight: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Atom {
    Symbol(Symbol),
    /// The quotient rounded down.
    Floor(Size, Size),
    /// The quotient rounded towards zero.
    Toward0(Size, Size),
    Min(Vec<Size>),
    Max(Vec<Size>),
    /// What dimensions come to that are broadcast to each other: the one that is not 1.
    Broadcast(Vec<Size>),
}

impl From<i64> for Size {
    fn from(known: i64) -> Self {
        Size(Repr::Known(known))
    }
}

impl From<Symbol> for Size {
    fn from(symbol: Symbol) -> Self {
        Size::atom(Atom::Symbol(symbol)).expect("one symbol is small")
    }
}

impl Size {
    /// The size of this name.
    pub fn named(name: &str) -> Self {
        Symbol::Named(name.into()).into()
    }

    /// The number, where it is known.
    pub fn known(&self) -> Option<i64> {
        if let Repr::Known(n) = self.0 { Some(n) } else { None }
    }

    /// Whether this is the known number `n`.
    pub fn is(&self, n: i64) -> bool {
        self.known() == Some(n)
    }

    /// The symbol, where it is nothing else.
    pub fn symbol(&self) -> Option<&Symbol> {
        if let Some(Atom::Symbol(symbol)) = self.only_atom() { Some(symbol) } else { None }
    }

    /// Whether the size is one that nothing else is known of: a fresh symbol alone.
    pub fn is_unknown(&self) -> bool {
        matches!(self.symbol(), Some(Symbol::Fresh { .. }))
    }

    /// `self + other`; like all arithmetic here, `None` where the result is beyond `i64` or too long an expression.
    pub fn plus(&self, other: &Size) -> Option<Size> {
        self.combine(other, 1)
    }

    /// `self - other`.
    pub fn minus(&self, other: &Size) -> Option<Size> {
        self.combine(other, -1)
    }

    /// `self * other`.
    pub fn times(&self, other: &Size) -> Option<Size> {
        match (&self.0, &other.0) {
            (Repr::Known(a), Repr::Known(b)) => a.checked_mul(*b).map(Size::from),
            (Repr::Known(0), _) | (_, Repr::Known(0)) => Some(0.into()),
            (Repr::Known(1), _) => Some(other.clone()),
            (_, Repr::Known(1)) => Some(self.clone()),
            _ => {
                let (ours, theirs) = (self.terms(), other.terms());
                if ours.len() * theirs.len() > 3 * LARGEST {
                    return None;
                }
                let mut terms = Terms::new();
                for (m, c) in &ours {
                    for (n, d) in &theirs {
                        add(&mut terms, product(m, n)?, c.checked_mul(*d)?)?;
                    }
                }
                Size::of(terms)
            }
        }
    }

    /// The sum of all.
    pub fn sum<'a>(sizes: impl IntoIterator<Item = &'a Size>) -> Option<Size> {
        sizes.into_iter().try_fold(Size::from(0), |sum, size| sum.plus(size))
    }

    /// The product of all: how many elements a shape has. One 0 makes it 0.
    pub fn product<'a>(sizes: impl IntoIterator<Item = &'a Size> + Clone) -> Option<Size> {
        if sizes.clone().into_iter().any(|size| size.is(0)) {
            return Some(0.into());
        }
        sizes.into_iter().try_fold(Size::from(1), |product, size| product.times(size))
    }

    /// Whether one of the symbols in it is such.
    pub fn any_symbol(&self, is_such: &dyn Fn(&Symbol) -> bool) -> bool {
        match &self.0 {
            Repr::Known(_) => false,
            Repr::Open(polynomial) => {
                polynomial.terms.iter().flat_map(|(monomial, _)| monomial).any(|(atom, _)| match atom {
                    Atom::Symbol(symbol) => is_such(symbol),
                    Atom::Floor(a, b) | Atom::Toward0(a, b) => a.any_symbol(is_such) || b.any_symbol(is_such),
                    Atom::Min(of) | Atom::Max(of) | Atom::Broadcast(of) => {
                        of.iter().any(|size| size.any_symbol(is_such))
                    }
                })
            }
        }
    }

    /// A bound from below, given that sizes are not negative.
    pub fn at_least(&self) -> Option<i64> {
        match &self.0 {
            Repr::Known(n) => Some(*n),
            Repr::Open(polynomial) => {
                polynomial.terms.iter().try_fold(0, |least, (monomial, c)| match monomial.is_empty() {
                    true => Some(least + c),
                    false => (*c > 0 && monomial.iter().all(|(a, _)| a.is_natural())).then_some(least),
                })
            }
        }
    }

    /// The number that comes of binding each symbol to one; `None` where one has none, on division by 0 and on
    /// overflow.
    pub fn evaluate(&self, bind: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        let polynomial = match &self.0 {
            Repr::Known(n) => return Some(*n),
            Repr::Open(polynomial) => polynomial,
        };
        polynomial.terms.iter().try_fold(0i64, |sum, (monomial, c)| {
            let term = monomial.iter().try_fold(*c, |product, (atom, power)| {
                product.checked_mul(atom.evaluate(bind)?.checked_pow(*power)?)
            })?;
            sum.checked_add(term)
        })
    }

    fn atom(atom: Atom) -> Option<Size> {
        Size::of(Terms::from([(vec![(atom, 1)], 1)]))
    }

    fn only_atom(&self) -> Option<&Atom> {
        match &self.0 {
            Repr::Open(polynomial) => match polynomial.terms.as_slice() {
                [(monomial, 1)] => match monomial.as_slice() {
                    [(atom, 1)] => Some(atom),
                    _ => None,
                },
                _ => None,
            },
            Repr::Known(_) => None,
        }
    }

    fn of(terms: Terms) -> Option<Size> {
        let only_constant = terms.keys().all(Vec::is_empty);
        if only_constant {
            return Some(terms.into_values().next().unwrap_or(0).into());
        }
        let factors = |m: &Monomial| m.iter().map(|(atom, _)| atom.weight()).sum::<usize>();
        let weight = terms.keys().map(|m| 1 + factors(m)).sum();
        let terms = terms.into_iter().collect();
        (weight <= LARGEST).then(|| Size(Repr::Open(Arc::new(Polynomial { terms, weight }))))
    }

    fn terms(&self) -> Terms {
        match &self.0 {
            Repr::Known(0) => Terms::new(),
            Repr::Known(n) => Terms::from([(Vec::new(), *n)]),
            Repr::Open(polynomial) => polynomial.terms.iter().cloned().collect(),
        }
    }

    fn weight(&self) -> usize {
        if let Repr::Open(polynomial) = &self.0 { polynomial.weight } else { 1 }
    }

    fn combine(&self, other: &Size, sign: i64) -> Option<Size> {
        match (&self.0, &other.0) {
            (Repr::Known(a), Repr::Known(b)) => a.checked_add(b.checked_mul(sign)?).map(Size::from),
            (_, Repr::Known(0)) => Some(self.clone()),
            _ => {
                let mut terms = self.terms();
                for (monomial, c) in other.terms() {
                    add(&mut terms, monomial, c.checked_mul(sign)?)?;
                }
                Size::of(terms)
            }
        }
    }
}

impl Atom {
    /// Whether it cannot be negative.
    fn is_natural(&self) -> bool {
        let natural = |size: &Size| size.at_least().is_some_and(|n| n >= 0);
        match self {
            Atom::Symbol(Symbol::Named(_)) => true,
            Atom::Symbol(Symbol::Fresh { size, .. }) => *size,
            Atom::Floor(a, b) | Atom::Toward0(a, b) => natural(a) && natural(b),
            Atom::Min(of) | Atom::Broadcast(of) => of.iter().all(natural),
            Atom::Max(of) => of.iter().any(natural),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Atom::Symbol(_) => 1,
            Atom::Floor(a, b) | Atom::Toward0(a, b) => 1 + a.weight() + b.weight(),
            Atom::Min(of) | Atom::Max(of) | Atom::Broadcast(of) => {
                1 + of.iter().map(Size::weight).sum::<usize>()
            }
        }
    }

    fn evaluate(&self, bind: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        let all = |of: &[Size]| of.iter().map(|size| size.evaluate(bind)).collect::<Option<Vec<i64>>>();
        match self {
            Atom::Symbol(symbol) => bind(symbol),
            Atom::Floor(a, b) => divide::floor(a.evaluate(bind)?, b.evaluate(bind)?),
            Atom::Toward0(a, b) => a.evaluate(bind)?.checked_div(b.evaluate(bind)?),
            Atom::Min(of) => all(of)?.into_iter().min(),
            Atom::Max(of) => all(of)?.into_iter().max(),
            Atom::Broadcast(of) => Some(all(of)?.into_iter().find(|&n| n != 1).unwrap_or(1)),
        }
    }
}

fn add(terms: &mut Terms, monomial: Monomial, c: i64) -> Option<()> {
    use std::collections::btree_map::Entry;
    match terms.entry(monomial) {
        Entry::Vacant(entry) => {
            if c != 0 {
                entry.insert(c);
            }
        }
        Entry::Occupied(mut entry) => match entry.get().checked_add(c)? {
            0 => {
                entry.remove();
            }
            sum => *entry.get_mut() = sum,
        },
    }
    Some(())
}

fn product(a: &Monomial, b: &Monomial) -> Option<Monomial> {
    let mut powers: BTreeMap<&Atom, u32> = a.iter().map(|(atom, power)| (atom, *power)).collect();
    for (atom, power) in b {
        let known = powers.entry(atom).or_insert(0);
        *known = known.checked_add(*power)?;
    }
    Some(powers.into_iter().map(|(atom, power)| (atom.clone(), power)).collect())
}
