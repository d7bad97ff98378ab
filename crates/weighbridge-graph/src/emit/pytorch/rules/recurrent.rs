//! LSTM, GRU and RNN: torch has the gates in another order, both directions side by side, and its outputs without a
//! dimension for directions.

use std::sync::Arc;

use weighbridge_model::{Layout, Memory, Tensor, Value, View, element_count};

use super::Row;
use crate::emit::pytorch::scope::{Part, Ruled, Work};
use crate::emit::pytorch::text::truth;
use crate::emit::pytorch::views::of_type;

pub(super) const RULES: &[Row] = &[("LSTM", lstm), ("GRU", gru), ("RNN", rnn)];

/// Names of a direction's tensors in torch.
const NAMES: [[&str; 4]; 2] = [
    ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"],
    ["weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse"],
];

const REORDERED: &str = "one direction's gates, in torch's order";

/// Gates in ONNX are input, output, forget, cell; in torch input, forget, cell, output.
fn lstm(w: &mut Work<'_, '_>) -> Ruled {
    if w.int("input_forget", 0) != 0 {
        return Err("its forget gate is coupled to its input gate".into());
    }
    if w.has(7) && w.floats(7)?.is_none_or(|weights| weights.iter().any(|&x| x != 0.0)) {
        return Err("it has peepholes, which torch's has not".into());
    }
    let activations = activations(w, &["Sigmoid", "Tanh", "Tanh"])?;
    if activations != ["sigmoid", "tanh", "tanh"] {
        return Err(format!("its functions are {}", activations.join(", ")).into());
    }
    recurrent(w, "nn.LSTM", &[0, 2, 3, 1], "")
}

/// Gates in ONNX are update, reset, hidden; in torch reset, update, new.
fn gru(w: &mut Work<'_, '_>) -> Ruled {
    if w.int("linear_before_reset", 0) == 0 {
        return Err("it resets the state before the product, torch's GRU behind it".into());
    }
    let activations = activations(w, &["Sigmoid", "Tanh"])?;
    if activations != ["sigmoid", "tanh"] {
        return Err(format!("its functions are {}", activations.join(", ")).into());
    }
    recurrent(w, "nn.GRU", &[1, 0, 2], "")
}

fn rnn(w: &mut Work<'_, '_>) -> Ruled {
    match activations(w, &["Tanh"])?.as_slice() {
        [one] if one == "tanh" => recurrent(w, "nn.RNN", &[0], ""),
        [one] if one == "relu" => recurrent(w, "nn.RNN", &[0], ", nonlinearity=\"relu\""),
        others => Err(format!("its functions are {}", others.join(", ")).into()),
    }
}

/// Its functions in lower case, of one direction; both have to have the same.
fn activations(w: &Work<'_, '_>, usual: &[&str]) -> Ruled<Vec<String>> {
    let lower = |name: &str| name.to_lowercase();
    let Some(Value::List(given)) = w.node.attribute("activations") else {
        return Ok(usual.iter().map(|name| lower(name)).collect());
    };
    let given: Vec<String> = given.iter().filter_map(Value::as_str).map(lower).collect();
    let mut each = given.chunks(usual.len());
    let first = each.next().unwrap_or_default();
    match each.all(|other| other == first) {
        true => Ok(first.to_vec()),
        false => Err("its directions have different functions".into()),
    }
}

/// A module of one layer. `gates` says which of ONNX's stands at each place of torch's.
fn recurrent(w: &mut Work<'_, '_>, class: &str, gates: &[u64], more: &str) -> Ruled {
    if w.node.attribute("clip").is_some() {
        return Err("it clips what its gates take".into());
    }
    let lengths = w.ints(4)?;
    let steps =
        w.known(0).dims.and_then(|dims| dims.get(if w.int("layout", 0) == 1 { 1 } else { 0 }).copied());
    let whole = |lengths: Vec<i64>| lengths.iter().all(|&n| Some(Some(n as u64)) == steps);
    if w.has(4) && !lengths.is_some_and(whole) {
        return Err("its sequences are of different lengths".into());
    }
    let (reverse, directions) = match w.word("direction", "forward") {
        "forward" => (false, 1),
        "reverse" => (true, 1),
        "bidirectional" => (false, 2),
        other => return Err(format!("direction is '{other}', of which nothing is known").into()),
    };
    let parts = [1, 2].map(|at| w.constant(at).filter(|t| t.dtype.is_float()).cloned());
    let [Some(input), Some(state)] = parts else {
        return Err("its weights are computed".into());
    };
    let (&[d, rows, taken], &[e, same, hidden]) = (&input.shape[..], &state.shape[..]) else {
        return Err("its weights have not three dimensions".into());
    };
    if (d, e) != (directions, directions)
        || rows != same
        || hidden.checked_mul(gates.len() as u64) != Some(rows)
    {
        return Err("its weights are not of the sizes that it says".into());
    }
    let bias = w.constant(3).filter(|t| t.shape == [directions, 2 * rows]).cloned();
    if w.has(3) && bias.is_none() {
        return Err("its bias is computed, or of another size".into());
    }
    let mut tensors = Vec::new();
    for (direction, names) in (0..directions).zip(NAMES) {
        let each = [Some((&input, 0, taken)), Some((&state, 0, hidden))].into_iter();
        let biases = bias.iter().flat_map(|bias| [(bias, 0, 1), (bias, rows, 1)]).map(Some);
        for (suffix, (of, from, width)) in names.into_iter().zip(each.chain(biases).flatten()) {
            let above = direction * element_count(&of.shape[1..]).unwrap_or(0);
            let blocks = gates.iter().map(|gate| above + (from + gate * hidden) * width);
            let shape = if of.shape.len() == 3 { vec![rows, width] } else { vec![rows] };
            let tensor = gathered(of, blocks, hidden * width, shape)?;
            tensors.push(Part { change: Some(REORDERED), ..Part::of(suffix, &tensor) });
        }
    }
    let batch_first = w.int("layout", 0) == 1;
    let mut made = format!("{class}({taken}, {hidden}{more}");
    for (name, given, usual) in [
        ("bias", bias.is_some(), true),
        ("batch_first", batch_first, false),
        ("bidirectional", directions == 2, false),
    ] {
        if given != usual {
            made += &format!(", {name}={}", truth(given));
        }
    }
    made += &format!("{})", of_type(&input));
    let x = w.x(0)?;
    let dtype = w.dtype(0);
    let mut states = vec![w.x_or_none(5)?];
    if class == "nn.LSTM" {
        states.push(w.x_or_none(6)?);
    }
    let told = states.iter().any(|state| state != "None");
    let states = if told { format!(", {}", states.join(", ")) } else { String::new() };
    let module = w.module(&made, tensors);
    let help = w.help("recurrent");
    let reverse = if reverse { ", reverse=True" } else { "" };
    w.learn(0, dtype, Some(4));
    w.learn(1, dtype, Some(3));
    w.learn(2, dtype, Some(3));
    let call = format!("{help}({module}, {x}{states}{reverse})");
    match w.node.outputs.len() {
        1 => w.give(format!("{call}[0]")),
        2 if class == "nn.LSTM" => w.give_first(2, format!("{call}[:2]")),
        count => w.give_first(count, call),
    }
}

/// Blocks of so many elements, which begin at these places, one after the other.
fn gathered(of: &Tensor, starts: impl Iterator<Item = u64>, length: u64, shape: Vec<u64>) -> Ruled<Tensor> {
    let mut bytes = Vec::new();
    for start in starts {
        of.visit(start..start + length, &mut |chunk| {
            bytes.extend_from_slice(chunk.bytes);
            Ok(())
        })?;
    }
    let layout = Layout::Strided(View::contiguous(&shape, 0));
    Ok(Tensor { shape, layout, storage: Arc::new(Memory::new(bytes)), ..of.clone() })
}
