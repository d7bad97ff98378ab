//! A net of Caffe's on its way to a format of other operators.

use weighbridge_formats::{ReadOptions, open};
use weighbridge_graph::lower::Lowered;
use weighbridge_graph::lower::caffe::{self, Options, Preprocess};
use weighbridge_model::{Error, Model, Result, Tensor, Value};

use super::account::Told;
use crate::args::{LowerArgs, StateArgs};

/// The model in ONNX's operators, where its own are Caffe's, and what that tells; otherwise as it is.
pub(super) fn lowered(model: Model, args: &LowerArgs) -> Result<(Model, Told)> {
    if !caffe::is_caffe(&model) {
        return Ok((model, Told::default()));
    }
    let options = Options {
        inputs: args.shapes.iter().map(|rule| sizes(rule)).collect::<Result<_>>()?,
        allow_unknown: args.allow_unknown,
        preprocess: preprocess(&args.preprocess)?,
        ..Options::default()
    };
    let Lowered { model, choices, changed, dropped } = caffe::lower(&in_state(model, &args.state), &options)?;
    Ok((model, Told { choices, changed, dropped, ..Told::default() }))
}

/// The model with what is asked for in the net's own `state`, as Caffe puts it there: stages are added, a level is set.
pub(super) fn in_state(mut model: Model, args: &StateArgs) -> Model {
    if !caffe::is_caffe(&model) || (args.stages.is_empty() && args.level.is_none()) {
        return model;
    }
    let own = model.metadata("state");
    let mut stages = match own.and_then(|state| state.get("stage")) {
        Some(Value::List(stages)) => stages.clone(),
        Some(stage) => vec![stage.clone()],
        None => Vec::new(),
    };
    stages.extend(args.stages.iter().cloned().map(Value::Str));
    let level = args.level.map(Value::Int).or_else(|| own.and_then(|state| state.get("level")).cloned());
    let mut state = vec![("stage".to_owned(), Value::List(stages))];
    state.extend(level.map(|level| ("level".to_owned(), level)));
    model.metadata.retain(|(key, _)| key != "state");
    model.metadata.push(("state".to_owned(), Value::Map(state)));
    model
}

/// `NAME=1,3,224,224`.
fn sizes(rule: &str) -> Result<(String, Vec<u64>)> {
    let usage = || Error::Usage { what: format!("'{rule}': write NAME=SIZES, as in 'data=1,3,224,224'") };
    let (name, sizes) = rule.rsplit_once('=').ok_or_else(usage)?;
    let size = |size: &str| size.trim().parse().ok().filter(|&n: &u64| n > 0).ok_or_else(usage);
    Ok((name.to_owned(), sizes.split(',').map(size).collect::<Result<_>>()?))
}

fn preprocess(rules: &[String]) -> Result<Preprocess> {
    let mut found = Preprocess::default();
    for rule in rules {
        let usage = || Error::Usage {
            what: format!(
                "'{rule}': write net, mean=104,117,123, mean=FILE.binaryproto, scale=0.017 or rgb after --preprocess"
            ),
        };
        match rule.split_once('=') {
            None if rule == "net" => found.of_net = true,
            None if rule == "rgb" => found.rgb = true,
            Some(("scale", number)) => found.scale = Some(number.trim().parse().map_err(|_| usage())?),
            Some(("mean", given)) => {
                let numbers: Option<Vec<f64>> = given.split(',').map(|n| n.trim().parse().ok()).collect();
                match numbers {
                    Some(numbers) => found.mean = numbers,
                    None => found.mean_image = Some(mean_image(given)?),
                }
            }
            _ => return Err(usage()),
        }
    }
    Ok(found)
}

/// The only tensor of a file.
fn mean_image(path: &str) -> Result<Tensor> {
    let model = open(&[std::path::Path::new(path)], None, &ReadOptions::default())?;
    match model.tensors.as_slice() {
        [mean] => Ok(mean.clone()),
        tensors => {
            Err(Error::Usage { what: format!("{path} has {} tensors, where a mean is one", tensors.len()) })
        }
    }
}
