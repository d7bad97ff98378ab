//! A small evaluator: what ONNX's operators give for constants, in the model's own types.
//!
//! Whole numbers wrap around as their type does. Floating-point numbers are computed in F64 and rounded once to their
//! type, which for sums, products, quotients and square roots of F32, F16 and BF16 is the correctly rounded result.
//! Random operators and those that quantize are not here on purpose: what they give is not folded.

mod array;
mod cast;
mod elementwise;
mod make;
mod movement;
mod norm;
mod product;
mod reduce;

use weighbridge_model::{Attribute, Node, TensorId, Value};

pub use array::{Array, Data, LARGEST};

/// A node to evaluate.
pub struct Call<'a> {
    /// Operator and attributes.
    pub node: &'a Node,
    /// Version of ONNX's operators.
    pub opset: i64,
    /// What its inputs are; `None` where an optional one is left out.
    pub inputs: Vec<Option<&'a Array>>,
    /// The content of a tensor in an attribute.
    pub tensor: &'a dyn Fn(TensorId) -> Option<Array>,
}

impl Call<'_> {
    fn input(&self, slot: usize) -> Result<&Array, String> {
        self.inputs.get(slot).copied().flatten().ok_or_else(|| format!("input {slot} is missing"))
    }

    fn optional(&self, slot: usize) -> Option<&Array> {
        self.inputs.get(slot).copied().flatten()
    }

    fn int(&self, name: &str) -> Option<i64> {
        self.node.attribute(name).and_then(Value::as_int)
    }

    fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.node.attribute(name)?.as_list()?.iter().map(Value::as_int).collect()
    }

    /// A list that is an attribute, or in later versions an input.
    fn ints_or_input(&self, name: &str, slot: usize) -> Option<Vec<i64>> {
        self.ints(name).or_else(|| self.optional(slot)?.integers().map(<[i64]>::to_vec))
    }

    fn attribute_tensor(&self, name: &str) -> Option<Array> {
        self.node.attributes.iter().find_map(|(n, attribute)| match attribute {
            Attribute::Tensor(id) if n == name => (self.tensor)(*id),
            _ => None,
        })
    }

    /// An axis, counted from the front.
    fn axis(&self, axis: i64, rank: usize) -> Result<usize, String> {
        at(axis, rank)
    }
}

/// An index counted from the front, where negative ones are counted from the back.
fn at(index: i64, size: usize) -> Result<usize, String> {
    let from_front = if index < 0 { index.checked_add(size as i64) } else { Some(index) };
    from_front
        .and_then(|i| usize::try_from(i).ok())
        .filter(|&i| i < size)
        .ok_or_else(|| format!("index {index} is outside of 0..{size}"))
}

type Evaluate = fn(&Call<'_>) -> Result<Vec<Array>, String>;

/// What evaluates an operator of ONNX's own domain; `None` for those that are not folded.
pub fn operator(op: &str) -> Option<Evaluate> {
    let families: [fn(&str) -> Option<Evaluate>; 7] = [
        elementwise::operator,
        movement::operator,
        make::operator,
        reduce::operator,
        product::operator,
        norm::operator,
        cast::operator,
    ];
    families.iter().find_map(|family| family(op))
}

pub(crate) use cast::{dtype, number};
pub(crate) use movement::{bounds, sizes as reshaped};

/// As an index from the front, where it is one.
pub(crate) fn index(index: i64, size: usize) -> Option<usize> {
    at(index, size).ok()
}

/// A permutation of so many dimensions, where it is one.
pub(crate) fn permutation(perm: &[i64], rank: usize) -> Option<Vec<usize>> {
    let axes: Vec<usize> = perm.iter().map(|&axis| index(axis, rank)).collect::<Option<_>>()?;
    let mut met = vec![false; rank];
    axes.iter().for_each(|&axis| met[axis] = true);
    (axes.len() == rank && met.iter().all(|&met| met)).then_some(axes)
}
