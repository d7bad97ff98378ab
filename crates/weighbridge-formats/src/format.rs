//! THE table of formats: one row each. Adding a format is a folder and a row.

use std::path::Path;

use weighbridge_model::{Error, Finding, Limits, Model, Place, Result, Severity, nearest_or_all, roles};

use crate::source::{Access, Source};
use crate::{onnx, pytorch, safetensors};

/// How sure a look at the content is. Stronger wins; ties go to the earlier row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Plausible bytes without a signature.
    Plausible,
    /// A structure that hardly anything else has.
    Likely,
    /// A magic number or signature.
    Certain,
}

/// What a reader needs beside the source.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// How further files (shards, external data) are opened.
    pub access: Access,
    /// What the input may ask of us.
    pub limits: Limits,
}

/// A row of the table.
pub struct Format {
    /// Stable id, as `--format` and JSON spell it.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Usual file extensions, without the dot.
    pub extensions: &'static [&'static str],
    /// Looks at the content: how sure is it that this is one?
    pub sniff: fn(&Source) -> Result<Option<Confidence>>,
    /// Reads it, lazily.
    pub read: fn(&Source, &ReadOptions) -> Result<Model>,
}

/// Every format there is.
pub const FORMATS: &[Format] = &[
    Format {
        id: "pytorch",
        name: "PyTorch",
        extensions: &["pth", "pt", "bin", "ckpt"],
        sniff: pytorch::sniff,
        read: pytorch::read,
    },
    Format {
        id: "safetensors",
        name: "safetensors",
        extensions: &["safetensors"],
        sniff: safetensors::sniff,
        read: safetensors::read,
    },
    Format { id: "onnx", name: "ONNX", extensions: &["onnx"], sniff: onnx::sniff, read: onnx::read },
];

/// The row of this id.
///
/// # Errors
/// [`Error::NotFound`] with the nearest ids.
pub fn by_id(id: &str) -> Result<&'static Format> {
    FORMATS.iter().find(|f| f.id == id).ok_or_else(|| Error::NotFound {
        kind: "format",
        name: id.to_owned(),
        near: nearest_or_all(id, FORMATS.iter().map(|f| f.id)),
    })
}

/// Opens a file or folder as one model. The content decides; an extension that disagrees is a finding; a
/// `format` that is given is taken at its word.
///
/// # Errors
/// What the reader finds, or [`Error::NotAModel`] that says what the file is instead.
pub fn open(path: &Path, format: Option<&Format>, options: &ReadOptions) -> Result<Model> {
    if path.is_dir() {
        let mut model = safetensors::read_folder(path, options)?;
        model.format = "safetensors";
        roles::assign(&mut model);
        return Ok(model);
    }
    let source = Source::open(path, options.access)?;
    let mut model = read(&source, format, options)?;
    if let Some(finding) = extension_finding(path, by_id(model.format)?) {
        model.findings.push(finding);
    }
    Ok(model)
}

/// Reads a source as one model, as [`open`] does a file.
///
/// # Errors
/// As [`open`].
pub fn read(source: &Source, format: Option<&Format>, options: &ReadOptions) -> Result<Model> {
    let chosen = match format {
        Some(format) => format,
        None => sniff(source)?.ok_or_else(|| crate::company::not_a_model(source))?,
    };
    let mut model = (chosen.read)(source, options)?;
    model.format = chosen.id;
    roles::assign(&mut model);
    Ok(model)
}

fn sniff(source: &Source) -> Result<Option<&'static Format>> {
    let mut best: Option<(Confidence, &Format)> = None;
    for format in FORMATS {
        if let Some(confidence) = (format.sniff)(source)?
            && best.is_none_or(|(b, _)| confidence > b)
        {
            best = Some((confidence, format));
        }
    }
    Ok(best.map(|(_, format)| format))
}

fn extension_finding(path: &Path, chosen: &Format) -> Option<Finding> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let named = FORMATS.iter().find(|f| f.extensions.contains(&extension.as_str()))?;
    (named.id != chosen.id).then(|| {
        Finding::new(
            "F101",
            Severity::Warning,
            format!("named .{extension} as {} files are, and holds {}", named.name, chosen.name),
            format!("rename it, or use --format {} if that is what it should be", named.id),
        )
    })
}

/// A place that names only the file.
pub(crate) fn place(source: &Source) -> Place {
    Place::source(source.name())
}
