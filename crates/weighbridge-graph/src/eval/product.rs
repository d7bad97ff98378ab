//! Sums of products: `Einsum`, `MatMul`, `Gemm`.

use std::collections::BTreeMap;

use weighbridge_model::Value;

use super::array::{Data, broadcast, broadcast_strides, counted, strides, walk};
use super::{Array, Call, Evaluate};

/// Products that are summed at most.
const MOST: usize = 1 << 26;

pub(super) fn operator(op: &str) -> Option<Evaluate> {
    match op {
        "Einsum" => Some(einsum),
        "MatMul" => Some(matmul),
        "Gemm" => Some(gemm),
        _ => None,
    }
}

fn einsum(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let equation = call.node.attribute("equation").and_then(Value::as_str).ok_or("no equation")?;
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (terms, result) = match equation.split_once("->") {
        Some((terms, result)) => (terms, Some(result)),
        None => (equation.as_str(), None),
    };
    if equation.contains('.') {
        return Err("an equation with '...'".into());
    }
    let mut factors: Vec<(Vec<char>, &Array)> = Vec::new();
    for (slot, term) in terms.split(',').enumerate() {
        factors.push((term.chars().collect(), call.input(slot)?));
    }
    // Without a result: letters that stand once, sorted.
    let letters: String = terms.chars().filter(|&c| c != ',').collect();
    let once = || -> Vec<char> {
        let mut once: Vec<char> = letters.chars().filter(|&c| letters.matches(c).count() == 1).collect();
        once.sort_unstable();
        once
    };
    let result = result.map_or_else(once, |result| result.chars().collect());
    Ok(vec![rounded(&factors, &result)?])
}

fn matmul(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    if a.shape.is_empty() || b.shape.is_empty() {
        return Err("a product with a number".into());
    }
    // A letter for each outer dimension, counted from the last; rows, what is summed, columns.
    let outer = |rank: usize| (0..rank.saturating_sub(2)).rev().map(|i| char::from_u32(0x100 + i as u32));
    let named = |rank: usize, last: &[char]| -> Option<Vec<char>> {
        let mut letters: Vec<char> = outer(rank).collect::<Option<_>>()?;
        letters.extend(&last[2 - rank.min(2)..]);
        Some(letters)
    };
    let ends = |rank: usize, last: [char; 2]| if rank == 1 { vec!['k', 'k'] } else { last.to_vec() };
    let (ra, rb) = (a.shape.len(), b.shape.len());
    let left = named(ra, &ends(ra, ['m', 'k'])).ok_or("too many dimensions")?;
    let right = named(rb, &ends(rb, ['k', 'n'])).ok_or("too many dimensions")?;
    let mut result: Vec<char> = outer(ra.max(rb)).collect::<Option<_>>().ok_or("too many dimensions")?;
    result.extend((ra > 1).then_some('m'));
    result.extend((rb > 1).then_some('n'));
    Ok(vec![rounded(&[(left, a), (right, b)], &result)?])
}

/// `alpha A B + beta C`.
fn gemm(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (a, b, c) = (call.input(0)?, call.input(1)?, call.optional(2));
    let letters = |name: &str, [first, last]: [char; 2]| {
        if call.int(name).unwrap_or(0) == 0 { vec![first, last] } else { vec![last, first] }
    };
    let factors = [(letters("transA", ['m', 'k']), a), (letters("transB", ['k', 'n']), b)];
    let (shape, mut all) = sums(&factors, &['m', 'n'])?;
    let number = |name: &str| call.node.attribute(name).and_then(Value::as_float).unwrap_or(1.0);
    let (alpha, beta) = (number("alpha"), number("beta"));
    all.iter_mut().for_each(|x| *x *= alpha);
    if let Some(c) = c {
        if broadcast(&c.shape, &shape)? != shape {
            return Err("a bias larger than the product".into());
        }
        let Data::Floats(bias) = &c.data else { return Err("a bias of whole numbers".into()) };
        let places = walk(&shape, 0, &broadcast_strides(&c.shape, &shape));
        all.iter_mut().zip(places).for_each(|(x, place)| *x += beta * bias[place]);
    }
    Ok(vec![finite(Array::floats(a.dtype, shape, all), &factors)?])
}

fn rounded(factors: &[(Vec<char>, &Array)], result: &[char]) -> Result<Array, String> {
    let (shape, all) = sums(factors, result)?;
    finite(Array::floats(factors[0].1.dtype, shape, all), factors)
}

/// Refuses what only overflow made infinite.
fn finite(array: Array, factors: &[(Vec<char>, &Array)]) -> Result<Array, String> {
    if array.has_infinite() && !factors.iter().any(|(_, a)| a.has_infinite()) {
        return Err(format!("it would overflow {}", array.dtype));
    }
    Ok(array)
}

/// The sums of the products of `factors`, at least one, over all letters that `result` has not, and their shape;
/// dimensions of 1 are broadcast.
fn sums(factors: &[(Vec<char>, &Array)], result: &[char]) -> Result<(Vec<usize>, Vec<f64>), String> {
    let mut sizes: BTreeMap<char, usize> = BTreeMap::new();
    for (letters, array) in factors {
        if letters.len() != array.shape.len() {
            return Err(format!("{} letters for {} dimensions", letters.len(), array.shape.len()));
        }
        for (letter, &size) in letters.iter().zip(&array.shape) {
            let known = sizes.entry(*letter).or_insert(size);
            match (*known, size) {
                (known, size) if known == size || size == 1 => {}
                (1, size) => *known = size,
                (known, size) => return Err(format!("{known} and {size} elements for one letter")),
            }
        }
    }
    let shape: Vec<usize> =
        result.iter().map(|c| sizes.get(c).copied()).collect::<Option<_>>().ok_or("a letter of no input")?;
    let summed: Vec<char> = sizes.keys().copied().filter(|c| !result.contains(c)).collect();
    let along: Vec<usize> = summed.iter().map(|c| sizes[c]).collect();
    let count = counted(&shape)?.checked_mul(counted(&along)?);
    if count.is_none_or(|count| count > MOST) {
        return Err(format!("more than {MOST} products"));
    }
    // Where each factor's elements are, for the result's and for what is summed.
    let mut places = Vec::with_capacity(factors.len());
    for (letters, array) in factors {
        let own = strides(&array.shape);
        let step = |letter: &char| -> isize {
            let dims = letters.iter().zip(&array.shape).zip(&own);
            dims.filter(|((c, size), _)| *c == letter && **size > 1).map(|(_, &step)| step as isize).sum()
        };
        let steps = |letters: &[char]| letters.iter().map(step).collect::<Vec<_>>();
        places.push((walk(&shape, 0, &steps(result)), walk(&along, 0, &steps(&summed))));
    }
    let (outer, inner) = (places[0].0.len(), places[0].1.len());
    let floats: Option<Vec<&Vec<f64>>> =
        factors.iter().map(|(_, a)| if let Data::Floats(all) = &a.data { Some(all) } else { None }).collect();
    let floats = floats.ok_or("products of whole numbers")?;
    let one = |o: usize| -> f64 {
        let product = |i: usize| {
            let each = floats.iter().zip(&places).map(|(all, (starts, steps))| all[starts[o] + steps[i]]);
            each.product::<f64>()
        };
        (0..inner).map(product).sum()
    };
    Ok((shape, (0..outer).map(one).collect()))
}

#[cfg(test)]
mod tests {
    use weighbridge_model::DType;

    use super::*;

    fn array(shape: &[usize]) -> Array {
        let count = shape.iter().product::<usize>();
        Array::floats(DType::F32, shape.to_vec(), (1..=count).map(|i| i as f64).collect())
    }

    fn of(factors: &[(&str, &Array)], result: &str) -> Result<Array, String> {
        let factors: Vec<_> = factors.iter().map(|(letters, a)| (letters.chars().collect(), *a)).collect();
        rounded(&factors, &result.chars().collect::<Vec<_>>())
    }

    #[test]
    fn outer_products_traces_and_matrices() {
        let (a, b) = (array(&[2]), array(&[3]));
        assert_eq!(
            of(&[("i", &a), ("j", &b)], "ij").unwrap().data,
            Data::Floats(vec![1., 2., 3., 2., 4., 6.])
        );
        let square = array(&[2, 2]);
        assert_eq!(of(&[("ii", &square)], "").unwrap().data, Data::Floats(vec![5.0]));
        assert_eq!(of(&[("ij", &square)], "ji").unwrap().data, Data::Floats(vec![1., 3., 2., 4.]));
        let product = of(&[("ik", &square), ("kj", &square)], "ij").unwrap();
        assert_eq!(product.data, Data::Floats(vec![7., 10., 15., 22.]));
    }

    #[test]
    fn dimensions_of_1_are_broadcast_and_others_must_agree() {
        let (one, two) = (array(&[1, 2]), array(&[2, 2]));
        assert_eq!(of(&[("bi", &one), ("bi", &two)], "b").unwrap().data, Data::Floats(vec![5.0, 11.0]));
        assert!(of(&[("i", &array(&[2])), ("i", &array(&[3]))], "i").is_err());
        assert!(of(&[("i", &array(&[2]))], "j").is_err());
    }

    #[test]
    fn what_would_be_infinite_is_left() {
        let huge = Array::floats(DType::F16, vec![2], vec![60000.0, 60000.0]);
        assert!(of(&[("i", &huge)], "").unwrap_err().contains("overflow"));
    }
}
