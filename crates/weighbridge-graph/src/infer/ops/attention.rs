//! Attention.

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// Queries, keys or values by head: batch, heads, length, width of a head.
struct Heads([Option<Size>; 4]);

/// An input `[batch, heads, length, width]`, or `[batch, length, heads * width]` with the number of heads in an attribute.
fn heads(call: &Call<'_, '_>, input: usize, count: &str) -> Result<Heads, String> {
    let shape = match call.shape(input) {
        None => return Ok(Heads([const { None }; 4])),
        Some(shape) => shape,
    };
    match shape {
        [batch, heads, length, width] => {
            Ok(Heads([batch, heads, length, width].map(|size| Some(size.clone()))))
        }
        [batch, length, all] => {
            let heads = call.int(count).map(Size::from);
            let width = heads.as_ref().and_then(|heads| all.floor_div(heads));
            Ok(Heads([Some(batch.clone()), heads, Some(length.clone()), width]))
        }
        _ => Err(format!("input {input} has {} dimensions, where 3 or 4 are asked for", shape.len())),
    }
}

/// `Attention`: queries, keys, values, a mask, past keys and values; gives the result, all keys and values, and scores.
pub(in crate::infer) fn attention(call: &mut Call<'_, '_>) -> Outcome {
    let Heads([batch, query_heads, length, _]) = heads(call, 0, "q_num_heads")?;
    let Heads([_, key_heads, new, key_width]) = heads(call, 1, "kv_num_heads")?;
    let Heads([_, _, _, value_width]) = heads(call, 2, "kv_num_heads")?;
    let total = match call.has(4) {
        true => call.dim(4, 2).zip(new).and_then(|(past, new)| past.plus(&new)),
        false => new,
    };
    let (query, value) = (call.dtype(0), call.dtype(2).or(call.dtype(0)));
    let mut open = |sizes: [Option<Size>; 4]| sizes.map(|size| call.open(size)).to_vec();
    let scores = open([batch.clone(), query_heads.clone(), length.clone(), total.clone()]);
    let total = Some(scores[3].clone());
    let keys = open([batch.clone(), key_heads.clone(), total.clone(), key_width]);
    let values = open([batch.clone(), key_heads, total, value_width.clone()]);
    let result = open([batch.clone(), query_heads, length, value_width]);
    let result = match call.shape(0).map(<[Size]>::len) {
        Some(3) => {
            let all = call.open(result[1].times(&result[3]));
            Some(vec![result[0].clone(), result[2].clone(), all])
        }
        Some(_) => Some(result),
        None => None,
    };
    let rank_known = call.shape(1).is_some();
    Ok(vec![
        Fact::tensor(query, result),
        Fact::tensor(query, rank_known.then_some(keys)),
        Fact::tensor(value, rank_known.then_some(values)),
        Fact::tensor(query, Some(scores)),
    ])
}

/// `FlexAttention`: `[batch, heads, length, width of the values]`.
pub(in crate::infer) fn flex(call: &mut Call<'_, '_>) -> Outcome {
    let (query, value) = (call.shape_of_rank(0, 4)?, call.shape_of_rank(2, 4)?);
    let width = call.open(value.map(|value| value[3].clone()));
    let shape = query.map(|query| [&query[..3], &[width]].concat());
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}

/// `LinearAttention`: `[batch, length, query heads * width of the values]`, and the state by head of the keys.
pub(in crate::infer) fn linear(call: &mut Call<'_, '_>) -> Outcome {
    let query = call.shape_of_rank(0, 3)?;
    let Heads([batch, heads_of_keys, _, key_width]) = heads(call, 1, "kv_num_heads")?;
    let Heads([_, _, _, value_width]) = heads(call, 2, "kv_num_heads")?;
    let heads_of_queries = call.int("q_num_heads").map(Size::from);
    let all = heads_of_queries.zip(value_width.as_ref()).and_then(|(heads, width)| heads.times(width));
    let all = call.open(all);
    let result = query.map(|query| vec![query[0].clone(), query[1].clone(), all]);
    let state = [batch, heads_of_keys, key_width, value_width].map(|size| call.open(size)).to_vec();
    let dtype = call.dtype(3).or(call.dtype(0));
    Ok(vec![Fact::tensor(call.dtype(0), result), Fact::tensor(dtype, Some(state))])
}
