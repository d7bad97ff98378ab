//! Weights that no file has: as Caffe's fillers make them, where that is no matter of chance.

use weighbridge_model::Value;

use super::fault::Fault;
use super::settings::Settings;

/// Where a layer's text tells of a filler, and the constant where it does not.
#[derive(Clone, Copy)]
pub(super) struct Filler(pub(super) &'static str, pub(super) &'static str, pub(super) f32);

impl Filler {
    /// Whether the text tells of it.
    pub(super) fn is_told(self, settings: &Settings<'_>) -> bool {
        settings.has(self.1)
    }

    /// Why a blob that no file has cannot be filled, whether or not the net's other blobs are in a file.
    pub(super) fn lacks(self, settings: &Settings<'_>, others: bool) -> Option<String> {
        let told = settings.messages(self.1).last();
        match told.map(|filler| filler.get("type").and_then(Value::as_str).unwrap_or("constant")) {
            Some("constant" | "bilinear") => None,
            Some(by_chance) => {
                Some(format!("it has no weights, and its filler '{by_chance}' makes them by chance"))
            }
            None if others => None,
            None => Some("it has no weights".to_owned()),
        }
    }

    /// A blob of this shape, filled.
    pub(super) fn fill(self, settings: &Settings<'_>, shape: &[usize]) -> Result<Vec<f32>, Fault> {
        let count = super::blob::count(shape)?;
        let told = settings.messages(self.1).last();
        let field = |name: &str| told.and_then(|filler| filler.get(name));
        match (told, field("type").and_then(Value::as_str).unwrap_or("constant")) {
            (None, _) => Ok(vec![self.2; count]),
            (_, "constant") => {
                Ok(vec![field("value").and_then(Value::as_float).unwrap_or(0.0) as f32; count])
            }
            (_, "bilinear") => bilinear(shape, count),
            (_, other) => {
                Err(format!("it has no weights, and its filler '{other}' makes them by chance").into())
            }
        }
    }
}

/// Tents over each square kernel, which a Deconvolution enlarges pictures by.
fn bilinear(shape: &[usize], count: usize) -> Result<Vec<f32>, Fault> {
    let &[_, _, height, width] = shape else { return Err(format!("a bilinear filler for {shape:?}").into()) };
    if height != width {
        return Err(format!("a bilinear filler for a kernel of {height} by {width}").into());
    }
    let half = width.div_ceil(2);
    let centre = (2 * half - 1 - half % 2) as f64 / (2 * half) as f64;
    let tent = |at: usize| 1.0 - (at as f64 / half as f64 - centre).abs();
    Ok((0..count).map(|i| (tent(i % width) * tent(i / width % height)) as f32).collect())
}
