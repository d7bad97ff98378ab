//! `RNN`, `GRU`, `LSTM`.

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// All of them: data `[length, batch, in]`, recurrent weights `[directions, gates * hidden, hidden]`; with `layout` the batch
/// comes first. Outputs are all states, the last one, and of an LSTM the last cell.
pub(in crate::infer) fn recurrent(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.shape_of_rank(0, 3)?;
    let hidden = call.shape_of_rank(2, 3)?.map(|weights| weights[2].clone());
    let hidden = call.int("hidden_size").map(Size::from).or(hidden);
    let hidden = call.open(hidden);
    let directions = Size::from(if call.text("direction") == Some("bidirectional") { 2 } else { 1 });
    let batch_first = call.int_or("layout", 0) != 0;
    let (length, batch) = match data {
        Some([batch, length, _]) if batch_first => (length.clone(), batch.clone()),
        Some([length, batch, _]) => (length.clone(), batch.clone()),
        _ => (call.fresh(), call.fresh()),
    };
    let (all, last) = match batch_first {
        true => {
            (vec![batch.clone(), length, directions.clone(), hidden.clone()], vec![batch, directions, hidden])
        }
        false => {
            (vec![length, directions.clone(), batch.clone(), hidden.clone()], vec![directions, batch, hidden])
        }
    };
    let fact = |shape| Fact::tensor(call.dtype(0), Some(shape));
    Ok(vec![fact(all), fact(last.clone()), fact(last)])
}
