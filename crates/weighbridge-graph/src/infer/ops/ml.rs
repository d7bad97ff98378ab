//! Classical models: the domain `ai.onnx.ml`.

use weighbridge_model::{Attribute, DType};

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// `Scaler`, `Normalizer`: floats of the same shape.
pub(in crate::infer) fn floats(call: &mut Call<'_, '_>) -> Outcome {
    Ok(vec![Fact::tensor(Some(DType::F32), call.shape(0).map(<[Size]>::to_vec))])
}

/// `ArrayFeatureExtractor`: columns of the last dimension by index.
pub(in crate::infer) fn extract(call: &mut Call<'_, '_>) -> Outcome {
    let count = call.shape(1).and_then(Size::product);
    let count = call.open(count);
    let shape = call.shape(0).map(|shape| match shape {
        [] | [_] => vec![1.into(), count],
        [rows @ .., _] => [rows, &[count]].concat(),
    });
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}

/// `CastMap`: values of a map as a row.
pub(in crate::infer) fn cast_map(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = match call.text("cast_to") {
        Some("TO_STRING") => DType::Str,
        Some("TO_INT64") => DType::I64,
        _ => DType::F32,
    };
    let columns = call.fresh();
    Ok(vec![Fact::tensor(Some(dtype), Some(vec![1.into(), columns]))])
}

/// `CategoryMapper`: text to numbers, or numbers to text.
pub(in crate::infer) fn category(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = call.dtype(0).map(|dtype| if dtype == DType::Str { DType::I64 } else { DType::Str });
    Ok(vec![Fact::tensor(dtype, call.shape(0).map(<[Size]>::to_vec))])
}

/// `LabelEncoder`: of the type of the values.
pub(in crate::infer) fn label(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = match call.attribute("values_tensor") {
        Some(Attribute::Tensor(id)) => call.engine.constant(*id).dtype(),
        _ if call.attribute("values_strings").is_some() => Some(DType::Str),
        _ if call.attribute("values_int64s").is_some() => Some(DType::I64),
        _ if call.attribute("values_floats").is_some() => Some(DType::F32),
        // The first version: between its one list of text and numbers.
        _ => return category(call),
    };
    Ok(vec![Fact::tensor(dtype, call.shape(0).map(<[Size]>::to_vec))])
}

/// `OneHotEncoder`: one more dimension, of the categories.
pub(in crate::infer) fn one_hot(call: &mut Call<'_, '_>) -> Outcome {
    let count = list_length(call, "cats_int64s").or(list_length(call, "cats_strings"));
    let count = call.open(count);
    let shape = call.shape(0).map(|shape| [shape, &[count]].concat());
    Ok(vec![Fact::tensor(Some(DType::F32), shape)])
}

/// `FeatureVectorizer`: all features in a row.
pub(in crate::infer) fn features(call: &mut Call<'_, '_>) -> Outcome {
    let sizes = call.ints("inputdimensions");
    let columns =
        call.open(sizes.map(|sizes| Size::from(sizes.iter().fold(0i64, |a, &b| a.saturating_add(b)))));
    let rows = match call.shape(0) {
        Some([rows, _]) => rows.clone(),
        Some([_]) => 1.into(),
        _ => call.fresh(),
    };
    Ok(vec![Fact::tensor(Some(DType::F32), Some(vec![rows, columns]))])
}

/// `LinearClassifier` and others: a label and scores for each row.
pub(in crate::infer) fn classifier(call: &mut Call<'_, '_>) -> Outcome {
    let text = ["classlabels_strings"].iter().find_map(|name| list_length(call, name)).filter(|n| !n.is(0));
    let ints = ["classlabels_ints", "classlabels_int64s"].iter().find_map(|name| list_length(call, name));
    let dtype = if text.is_some() { DType::Str } else { DType::I64 };
    let rows = rows(call);
    let classes = text.or(ints.filter(|n| !n.is(0)));
    let classes = call.open(classes);
    Ok(vec![
        Fact::tensor(Some(dtype), Some(vec![rows.clone()])),
        Fact::tensor(Some(DType::F32), Some(vec![rows, classes])),
    ])
}

/// `LinearRegressor`, `TreeEnsembleRegressor` and others: targets for each row.
pub(in crate::infer) fn regressor(call: &mut Call<'_, '_>) -> Outcome {
    let targets = call.int("n_targets").or(call.int("targets")).unwrap_or(1);
    let shape = vec![rows(call), targets.into()];
    Ok(vec![Fact::tensor(Some(DType::F32), Some(shape))])
}

/// `TreeEnsemble`: the same, of the type of the data.
pub(in crate::infer) fn trees(call: &mut Call<'_, '_>) -> Outcome {
    let shape = vec![rows(call), call.int_or("n_targets", 1).into()];
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}

/// `ZipMap`: a map from labels to scores for each row.
pub(in crate::infer) fn zip_map(call: &mut Call<'_, '_>) -> Outcome {
    let key = if call.attribute("classlabels_strings").is_some() { DType::Str } else { DType::I64 };
    let value = Box::new(Fact::tensor(Some(DType::F32), Some(Vec::new())));
    Ok(vec![Fact::Sequence { of: Box::new(Fact::Map { key: Some(key), value }), items: None }])
}

/// `DictVectorizer`: a column for each word.
pub(in crate::infer) fn dictionary(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = match call.fact(0) {
        Fact::Map { value, .. } => value.dtype(),
        _ => None,
    };
    let count = list_length(call, "int64_vocabulary").or(list_length(call, "string_vocabulary"));
    let shape = vec![1.into(), call.open(count)];
    Ok(vec![Fact::tensor(dtype, Some(shape))])
}

fn rows(call: &mut Call<'_, '_>) -> Size {
    match call.shape(0) {
        Some([_]) | Some([]) => 1.into(),
        Some([rows, ..]) => rows.clone(),
        None => call.fresh(),
    }
}

fn list_length(call: &Call<'_, '_>, name: &str) -> Option<Size> {
    match call.attribute(name)? {
        Attribute::Value(value) => value.as_list().map(|list| Size::from(list.len() as i64)),
        Attribute::EmptyList { .. } => Some(0.into()),
        _ => None,
    }
}
