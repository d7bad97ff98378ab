//! Operators on text, and on what is no tensor yet.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// `StringConcat`.
pub(in crate::infer) fn concat(call: &mut Call<'_, '_>) -> Outcome {
    let shape = call.broadcast_inputs(&[0, 1])?;
    Ok(vec![Fact::tensor(Some(DType::Str), shape)])
}

/// `StringSplit`: as many parts as the text with most has, and how many each has.
pub(in crate::infer) fn split(call: &mut Call<'_, '_>) -> Outcome {
    let most = call.fresh();
    let shape = call.shape(0).map(<[Size]>::to_vec);
    let parts = shape.clone().map(|mut shape| {
        shape.push(most);
        shape
    });
    Ok(vec![Fact::tensor(Some(DType::Str), parts), Fact::tensor(Some(DType::I64), shape)])
}

/// `StringNormalizer`: stop words are left out.
pub(in crate::infer) fn normalize(call: &mut Call<'_, '_>) -> Outcome {
    let shape = match (call.shape(0), call.attribute("stopwords")) {
        (Some(shape), Some(_)) => {
            let mut shape = shape.to_vec();
            if let Some(last) = shape.last_mut() {
                *last = call.fresh();
            }
            Some(shape)
        }
        (shape, _) => shape.map(<[Size]>::to_vec),
    };
    Ok(vec![Fact::tensor(Some(DType::Str), shape)])
}

/// `TfIdfVectorizer`: a column for each n-gram.
pub(in crate::infer) fn tf_idf(call: &mut Call<'_, '_>) -> Outcome {
    let columns = call.ints("ngram_indexes").and_then(|indices| indices.into_iter().max());
    let columns = call.open(columns.and_then(|last| last.checked_add(1)).map(Size::from));
    let shape = match call.shape(0) {
        Some([rows, _]) => Some(vec![rows.clone(), columns]),
        Some(_) => Some(vec![columns]),
        None => None,
    };
    Ok(vec![Fact::tensor(Some(DType::F32), shape)])
}

/// `ImageDecoder`: `[height, width, channels]`.
pub(in crate::infer) fn image(call: &mut Call<'_, '_>) -> Outcome {
    let channels = if call.text("pixel_format") == Some("Grayscale") { 1 } else { 3 };
    let shape = vec![call.fresh(), call.fresh(), channels.into()];
    Ok(vec![Fact::tensor(Some(DType::U8), Some(shape))])
}
