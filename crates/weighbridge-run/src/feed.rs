//! Inputs that are made up for a model that leaves sizes open: which ones it runs with is found by running it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use weighbridge_model::{Dim, Error, Model, Result};

use crate::inputs::random;
use crate::{Array, Engine, Interface, Shapes};

/// Sizes that are tried, in this order: most networks take the first; the others are for those that are too deep for
/// it, that take a token or a frame at a time, or a window of sound.
const TRIED: [u64; 6] = [64, 1, 16, 224, 512, 640];

/// No other sizes are tried after so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a model is run on.
#[derive(Debug, Clone)]
pub struct Fed {
    /// Arrays by the input's name.
    pub inputs: Vec<(String, Array)>,
    /// Shapes that neither the model nor the caller tells.
    pub guessed: Vec<(String, Vec<u64>)>,
}

impl Fed {
    /// Inputs as they are.
    pub fn given(inputs: Vec<(String, Array)>) -> Self {
        Fed { inputs, guessed: Vec::new() }
    }
}

/// Random inputs as [`random`] makes them; sizes that are open are those that the model is found to run with.
///
/// # Errors
/// As [`random`]; no size that the model runs with, with what it says against the first one.
pub fn feed(model: &Model, engine: &dyn Engine, shapes: &Shapes, seed: u64) -> Result<Fed> {
    let open = open_inputs(model, shapes)?;
    if open.is_empty() {
        return random(model, shapes, seed).map(Fed::given);
    }
    let outputs = Interface::of(model)?.outputs;
    let started = Instant::now();
    let mut first = None;
    for guess in guesses(&open) {
        let mut told = shapes.clone();
        told.extend(guess.iter().cloned());
        let inputs = random(model, &told, seed)?;
        match engine.open(model, &[]).and_then(|mut session| session.run(&inputs, &outputs)) {
            Ok(_) => return Ok(Fed { inputs, guessed: guess }),
            Err(error) => first = first.or(Some((guess, error))),
        }
        if started.elapsed() > PATIENCE {
            break;
        }
    }
    let reason = |(guess, error): (Vec<(String, Vec<u64>)>, Error)| {
        let (name, shape) = guess.into_iter().next()?;
        Some((name, format!("its sizes are open, and as {shape:?} or with others that were tried: {error}")))
    };
    Err(Error::Refused {
        what: "no inputs can be made up".into(),
        reasons: first.and_then(reason).into_iter().collect(),
        help: Some("--input NAME=1,3,224,224 gives a shape, --inputs FILE.npz the values".into()),
    })
}

/// Inputs with sizes that are not known, with what is known of them. A symbol that an input of a known shape stands for
/// has its size wherever it stands.
fn open_inputs(model: &Model, shapes: &Shapes) -> Result<Vec<(String, Vec<Dim>)>> {
    let declared = Interface::of(model)?.inputs;
    let mut symbols: HashMap<&str, u64> = HashMap::new();
    for (dims, told) in declared.iter().filter_map(|i| Some((i.shape.as_ref()?, shapes.get(&i.name)?))) {
        for (dim, &size) in dims.iter().zip(told) {
            if let Dim::Symbol(name) = dim {
                symbols.insert(name, size);
            }
        }
    }
    let left = declared.iter().filter(|input| !shapes.contains_key(&input.name));
    let known = left.filter_map(|input| {
        let dims = input.shape.as_ref()?.iter().map(|dim| match dim {
            Dim::Symbol(name) => symbols.get(name.as_str()).map_or_else(|| dim.clone(), |&n| Dim::Known(n)),
            dim => dim.clone(),
        });
        Some((input.name.clone(), dims.collect::<Vec<_>>()))
    });
    Ok(known.filter(|(_, dims)| dims.iter().any(|dim| !matches!(dim, Dim::Known(_)))).collect())
}

/// Shapes to try. A first size is the batch, 1, unless its symbol stands elsewhere too; all others are one of
/// [`TRIED`], in all inputs or in the first input alone, the others then being 1.
fn guesses(open: &[(String, Vec<Dim>)]) -> Vec<Vec<(String, Vec<u64>)>> {
    let inner: HashSet<&str> = open
        .iter()
        .flat_map(|(_, dims)| dims.iter().skip(1))
        .filter_map(|dim| if let Dim::Symbol(name) = dim { Some(name.as_str()) } else { None })
        .collect();
    let shape = |dims: &[Dim], size: u64| -> Vec<u64> {
        let each = dims.iter().enumerate().map(|(axis, dim)| match dim {
            Dim::Known(n) => *n,
            Dim::Symbol(name) if inner.contains(name.as_str()) => size,
            _ if axis == 0 => 1,
            _ => size,
        });
        each.collect()
    };
    let mut all: Vec<Vec<(String, Vec<u64>)>> = Vec::new();
    for only_first in [false, true] {
        for size in TRIED {
            let sized = |at: usize| if only_first && at > 0 { 1 } else { size };
            let each = open.iter().enumerate();
            let guess = each.map(|(at, (name, dims))| (name.clone(), shape(dims, sized(at)))).collect();
            if !all.contains(&guess) {
                all.push(guess);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_has_one_size_wherever_it_stands() {
        let open = [
            ("tokens".to_owned(), vec![Dim::Symbol("length".into()), Dim::Symbol("batch".into())]),
            ("mask".to_owned(), vec![Dim::Known(1), Dim::Symbol("length".into())]),
            ("other".to_owned(), vec![Dim::Unknown, Dim::Known(3)]),
        ];
        let first = guesses(&open).remove(0);
        let shapes: Vec<Vec<u64>> = first.into_iter().map(|(_, shape)| shape).collect();
        assert_eq!(shapes, [vec![64, 64], vec![1, 64], vec![1, 3]]);
    }

    #[test]
    fn where_only_the_batch_is_open_nothing_is_tried_twice() {
        let open = [("x".to_owned(), vec![Dim::Symbol("batch".into()), Dim::Known(3)])];
        assert_eq!(guesses(&open), [vec![("x".to_owned(), vec![1, 3])]]);
    }
}
