//! The algebra of sizes: equal expressions are equal, and come to what they stand for under any binding of symbols.

use proptest::prelude::*;
use weighbridge_graph::infer::{Size, Symbol};

/// An expression as it is written.
#[derive(Debug, Clone)]
enum Written {
    Known(i64),
    Symbol(usize),
    Plus(Box<Written>, Box<Written>),
    Minus(Box<Written>, Box<Written>),
    Times(Box<Written>, Box<Written>),
    Floor(Box<Written>, Box<Written>),
    Ceil(Box<Written>, Box<Written>),
    Toward0(Box<Written>, Box<Written>),
    Modulo(Box<Written>, Box<Written>),
    Smaller(Box<Written>, Box<Written>),
    Larger(Box<Written>, Box<Written>),
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn written() -> impl Strategy<Value = Written> {
    let leaf = prop_oneof![(-6i64..20).prop_map(Written::Known), (0usize..3).prop_map(Written::Symbol)];
    leaf.prop_recursive(4, 24, 2, |inner| {
        let two = (inner.clone(), inner).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        (0..9, two).prop_map(|(kind, (a, b))| match kind {
            0 => Written::Plus(a, b),
            1 => Written::Minus(a, b),
            2 => Written::Times(a, b),
            3 => Written::Floor(a, b),
            4 => Written::Ceil(a, b),
            5 => Written::Toward0(a, b),
            6 => Written::Modulo(a, b),
            7 => Written::Smaller(a, b),
            _ => Written::Larger(a, b),
        })
    })
}

fn size(written: &Written) -> Option<Size> {
    let two = |a: &Written, b: &Written, f: fn(&Size, &Size) -> Option<Size>| f(&size(a)?, &size(b)?);
    match written {
        Written::Known(n) => Some(Size::from(*n)),
        Written::Symbol(i) => Some(Size::named(NAMES[*i])),
        Written::Plus(a, b) => two(a, b, Size::plus),
        Written::Minus(a, b) => two(a, b, Size::minus),
        Written::Times(a, b) => two(a, b, Size::times),
        Written::Floor(a, b) => two(a, b, Size::floor_div),
        Written::Ceil(a, b) => two(a, b, Size::ceil_div),
        Written::Toward0(a, b) => two(a, b, Size::div_toward_0),
        Written::Modulo(a, b) => two(a, b, Size::modulo),
        Written::Smaller(a, b) => two(a, b, Size::smaller),
        Written::Larger(a, b) => two(a, b, Size::larger),
    }
}

/// What it comes to, computed as it is written; `None` where something is divided by 0 or overflows.
fn number(written: &Written, of: &[i64; 3]) -> Option<i128> {
    let two = |a: &Written, b: &Written| Some((number(a, of)?, number(b, of)?));
    let floor =
        |a: i128, b: i128| (b != 0).then(|| a.div_euclid(b) - i128::from(b < 0 && a.rem_euclid(b) != 0));
    Some(match written {
        Written::Known(n) => i128::from(*n),
        Written::Symbol(i) => i128::from(of[*i]),
        Written::Plus(a, b) => two(a, b).and_then(|(a, b)| a.checked_add(b))?,
        Written::Minus(a, b) => two(a, b).and_then(|(a, b)| a.checked_sub(b))?,
        Written::Times(a, b) => two(a, b).and_then(|(a, b)| a.checked_mul(b))?,
        Written::Floor(a, b) => two(a, b).and_then(|(a, b)| floor(a, b))?,
        Written::Ceil(a, b) => two(a, b).and_then(|(a, b)| Some(-floor(-a, b)?))?,
        Written::Toward0(a, b) => two(a, b).and_then(|(a, b)| a.checked_div(b))?,
        Written::Modulo(a, b) => two(a, b).and_then(|(a, b)| Some(a - b * floor(a, b)?))?,
        Written::Smaller(a, b) => two(a, b).map(|(a, b)| a.min(b))?,
        Written::Larger(a, b) => two(a, b).map(|(a, b)| a.max(b))?,
    })
}

fn bind<'a>(of: &'a [i64; 3]) -> impl Fn(&Symbol) -> Option<i64> + 'a {
    |symbol| match symbol {
        Symbol::Named(name) => NAMES.iter().position(|n| **n == **name).map(|i| of[i]),
        Symbol::Fresh { .. } => None,
    }
}

proptest! {
    #[test]
    fn an_expression_comes_to_what_it_is_written_as(written in written(), of in [1i64..50, 1i64..50, 1i64..50]) {
        // Where something is divided by 0, there is nothing to come to.
        if let (Some(size), Some(expected)) = (size(&written), number(&written, &of))
            && let Some(found) = size.evaluate(&bind(&of))
        {
            prop_assert_eq!(i128::from(found), expected, "{}", size);
        }
    }

    #[test]
    fn a_bound_from_below_is_one(written in written(), of in [0i64..50, 0i64..50, 0i64..50]) {
        if let Some(size) = size(&written)
            && let (Some(least), Some(found)) = (size.at_least(), size.evaluate(&bind(&of)))
        {
            prop_assert!(least <= found, "{} is {}", size, found);
        }
    }

    #[test]
    fn polynomials_have_one_form(a in written(), b in written(), c in written()) {
        let (Some(a), Some(b), Some(c)) = (size(&a), size(&b), size(&c)) else { return Ok(()) };
        if let (Some(x), Some(y)) = (
            a.plus(&b).and_then(|sum| sum.times(&c)),
            a.times(&c).and_then(|x| x.plus(&b.times(&c)?)),
        ) {
            prop_assert_eq!(x, y);
        }
        prop_assert_eq!(a.plus(&b), b.plus(&a));
        prop_assert_eq!(a.times(&b), b.times(&a));
        if let Some(sum) = a.plus(&b) {
            prop_assert_eq!(sum.minus(&b), Some(a.clone()));
        }
        prop_assert_eq!(a.smaller(&b), b.smaller(&a));
        prop_assert_eq!(a.larger(&b), b.larger(&a));
    }

    #[test]
    fn a_product_over_a_factor_is_the_other(a in written(), b in written()) {
        if let (Some(a), Some(b)) = (size(&a), size(&b))
            && let Some(product) = a.times(&b)
            && !b.is(0)
            && let Some(quotient) = product.exact_div(&b)
        {
            prop_assert_eq!(quotient, a);
        }
    }

    #[test]
    fn what_is_broadcast_is_what_is_not_1(of in [1i64..4, 1i64..4]) {
        let (a, b) = (Size::named("a"), Size::named("b"));
        let both = a.broadcast(&b).unwrap().unwrap();
        let found = both.evaluate(&bind(&[of[0], of[1], 1])).unwrap();
        match Size::from(of[0]).broadcast(&Size::from(of[1])) {
            Ok(expected) => prop_assert_eq!(expected.unwrap().known(), Some(found)),
            Err(_) => prop_assert!(of[0] != of[1]),
        }
        prop_assert_eq!(a.broadcast(&b), b.broadcast(&a));
        prop_assert_eq!(a.broadcast(&1.into()), Ok(Some(a.clone())));
        prop_assert_eq!(a.broadcast(&7.into()), Ok(Some(7.into())));
    }
}

#[test]
fn quotients_of_quotients_are_one() {
    let h = Size::named("h");
    let half =
        |size: &Size| size.minus(&1.into()).unwrap().floor_div(&2.into()).unwrap().plus(&1.into()).unwrap();
    // Five convolutions of stride 2, as an encoder has them.
    let small = (0..5).fold(h.clone(), |size, _| half(&size));
    assert_eq!(small.to_string(), "floor((h + 31)/(32))");
    assert_eq!(small, h.ceil_div(&32.into()).unwrap());
    assert_eq!(small.evaluate(&|_| Some(224)), Some(7));
}

#[test]
fn sizes_cancel() {
    let (n, h) = (Size::named("n"), Size::named("h"));
    let all = n.times(&h).and_then(|x| x.times(&12.into())).unwrap();
    assert_eq!(all.floor_div(&n.times(&4.into()).unwrap()), h.times(&3.into()));
    assert_eq!(
        all.floor_div(&h.times(&5.into()).unwrap()),
        n.times(&12.into()).and_then(|x| x.floor_div(&5.into()))
    );
    let sum = n.plus(&h).unwrap();
    assert_eq!(sum.times(&sum).unwrap().floor_div(&sum), Some(sum));
}

#[test]
fn expressions_do_not_grow_without_bound() {
    let mut size = Size::named("n");
    for i in 0..1000 {
        let other = Size::named(&format!("m{i}"));
        match size.plus(&other).and_then(|sum| sum.times(&other)) {
            Some(larger) => size = larger,
            None => return,
        }
    }
    panic!("an expression of 1000 symbols");
}
