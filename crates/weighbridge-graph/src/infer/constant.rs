//! Tensors of the model as facts: their elements too, where shapes may be made of them.

use weighbridge_model::{DType, Tensor};

use super::engine::Fresh;
use super::fact::{Elements, Fact, TensorFact};
use super::size::Size;

/// Most elements that are followed of a value: more are no shape, and no part of one.
pub const MOST_ELEMENTS: usize = 256;
/// Most elements of a float tensor that are read: scales and bounds, not weights.
const MOST_FLOATS: u64 = 16;
/// Most elements of an integer input that are symbols.
const MOST_SYMBOLS: i64 = 16;

/// What a tensor is.
pub(super) fn fact(tensor: &Tensor) -> Fact {
    let shape = tensor.shape.iter().map(|&n| Size::from(i64::try_from(n).unwrap_or(i64::MAX))).collect();
    Fact::Tensor(TensorFact { dtype: Some(tensor.dtype), shape: Some(shape), elements: elements(tensor) })
}

fn elements(tensor: &Tensor) -> Option<Elements> {
    let dtype = tensor.dtype;
    let most = if dtype.is_integer() { MOST_ELEMENTS as u64 } else { MOST_FLOATS };
    if tensor.count() > most || !dtype.is_real() || dtype.block().is_some() {
        return None;
    }
    let (mut whole, mut real) = (Vec::new(), Vec::new());
    let width = dtype.chunk_bytes();
    let read = tensor.visit(0..tensor.count(), &mut |chunk| {
        for element in chunk.bytes.chunks_exact(width) {
            match weighbridge_model::dtype::to_integer(dtype, element) {
                Some(n) => whole.push(i64::try_from(n).ok()),
                None => real.push(weighbridge_model::dtype::to_f64(dtype, element)),
            }
        }
        Ok(())
    });
    read.ok()?;
    match real.is_empty() {
        true => Some(Elements::Whole(whole.into_iter().map(|n| n.map(Size::from)).collect::<Option<_>>()?)),
        false => Some(floats(real)),
    }
}

/// Floats as elements: whole numbers where all of them are.
pub(super) fn floats(floats: Vec<f64>) -> Elements {
    let is_whole = |x: &f64| x.fract() == 0.0 && x.abs() < 2f64.powi(53);
    match floats.iter().all(is_whole) {
        true => Elements::Whole(floats.into_iter().map(|x| Size::from(x as i64)).collect()),
        false => Elements::Real(floats.into()),
    }
}

/// The same with a symbol for each element, of a few integers.
pub(super) fn unknown_elements(fact: Fact, fresh: &mut Fresh) -> Fact {
    let Fact::Tensor(mut tensor) = fact else { return fact };
    let wanted = matches!(tensor.dtype, Some(DType::I64 | DType::I32));
    let count = tensor.shape.as_ref().filter(|shape| shape.len() < 2).and_then(Size::product);
    if let Some(count) = count.and_then(|count| count.known())
        && wanted
        && (0..=MOST_SYMBOLS).contains(&count)
    {
        tensor.elements = Some(Elements::Whole((0..count).map(|_| fresh.number()).collect()));
    }
    Fact::Tensor(tensor)
}
