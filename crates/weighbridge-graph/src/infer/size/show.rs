//! Sizes as people read them: `2*N + floor((H - 1)/2)`.

use std::fmt::{self, Display, Formatter};

use super::{Atom, Repr, Size, Symbol};

impl Display for Symbol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Symbol::Named(name) => f.write_str(name),
            Symbol::Fresh { id, size: true } => write!(f, "?{id}"),
            Symbol::Fresh { id, size: false } => write!(f, "?{id}i"),
        }
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let polynomial = match &self.0 {
            Repr::Known(n) => return write!(f, "{n}"),
            Repr::Open(polynomial) => polynomial,
        };
        // The constant comes last.
        let ordered = polynomial.terms.iter().filter(|(m, _)| !m.is_empty());
        let constant = polynomial.terms.iter().filter(|(m, _)| m.is_empty());
        for (i, (monomial, c)) in ordered.chain(constant).enumerate() {
            f.write_str(match (i, *c < 0) {
                (0, true) => "-",
                (0, false) => "",
                (_, true) => " - ",
                (_, false) => " + ",
            })?;
            let magnitude = c.unsigned_abs();
            if magnitude != 1 || monomial.is_empty() {
                write!(f, "{magnitude}")?;
            }
            for (j, (atom, power)) in monomial.iter().enumerate() {
                f.write_str(if j > 0 || magnitude != 1 { "*" } else { "" })?;
                write!(f, "{atom}")?;
                if *power > 1 {
                    write!(f, "^{power}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl Display for Atom {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let list = |f: &mut Formatter<'_>, name: &str, of: &[Size]| {
            let of: Vec<String> = of.iter().map(Size::to_string).collect();
            write!(f, "{name}({})", of.join(", "))
        };
        match self {
            Atom::Symbol(symbol) => write!(f, "{symbol}"),
            Atom::Floor(a, b) => write!(f, "floor(({a})/({b}))"),
            Atom::Toward0(a, b) => write!(f, "trunc(({a})/({b}))"),
            Atom::Min(of) => list(f, "min", of),
            Atom::Max(of) => list(f, "max", of),
            Atom::Broadcast(of) => list(f, "broadcast", of),
        }
    }
}
