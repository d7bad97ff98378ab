//! From files to a model: which format each is, and what several of them make together.

use std::path::Path;

use weighbridge_model::{Error, Finding, Model, Result, Severity, roles};

use crate::format::{Confidence, FORMATS, Format, ReadOptions, by_id};
use crate::source::Source;
use crate::{folder, shards, tensorflow};

/// Opens files as one model: a file, a folder, shards, or files that belong together. The content decides what they
/// are; an extension that disagrees is a finding; a `format` that is given is taken at its word.
///
/// # Errors
/// What the reader finds, or [`Error::NotAModel`] that says what a file is instead.
pub fn open(paths: &[&Path], format: Option<&Format>, options: &ReadOptions) -> Result<Model> {
    match paths {
        [] => Err(Error::Usage { what: "no file is named".into() }),
        [path] if path.is_dir() => folder::read(path, format, options),
        [path] => match tensorflow::of_prefix(path) {
            Some(index) => open_file(&index, format, options),
            None => open_file(path, format, options),
        },
        several => {
            let open = |path: &&Path| Source::open(path, options.access);
            join(&several.iter().map(open).collect::<Result<Vec<_>>>()?, format, options)
        }
    }
}

fn open_file(path: &Path, format: Option<&Format>, options: &ReadOptions) -> Result<Model> {
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
    let mut model = if format.is_none() && shards::is_index(source)? {
        shards::read_index(source, options)?
    } else {
        let chosen = format_of(source, format)?;
        finished((chosen.read)(source, options)?, chosen)
    };
    model.files.extend(source.path().map(Path::to_owned));
    Ok(model)
}

/// Reads several sources as one model.
///
/// # Errors
/// Sources of different formats; otherwise as [`open`].
pub(crate) fn join(sources: &[Source], format: Option<&Format>, options: &ReadOptions) -> Result<Model> {
    let mut chosen: Option<&Format> = None;
    for source in sources {
        let this = format_of(source, format)?;
        let first = chosen.get_or_insert(this);
        if first.id != this.id {
            return Err(Error::Usage {
                what: format!(
                    "{} holds {} and {} holds {}: they make no model together",
                    sources[0].name(),
                    first.name,
                    source.name(),
                    this.name
                ),
            });
        }
    }
    let chosen = chosen.ok_or_else(|| Error::Usage { what: "no file is named".into() })?;
    let mut model = match chosen.join {
        Some(join) => join(sources, options)?,
        None => shards::join(sources, chosen, options)?.0,
    };
    model.files.extend(sources.iter().filter_map(|s| s.path().map(Path::to_owned)));
    Ok(finished(model, chosen))
}

fn finished(mut model: Model, format: &'static Format) -> Model {
    model.format = format.id;
    roles::assign(&mut model);
    model
}

/// The format that is given, or that the content shows.
///
/// # Errors
/// [`Error::NotAModel`] that says what the source is instead.
pub(crate) fn format_of(source: &Source, given: Option<&Format>) -> Result<&'static Format> {
    if let Some(given) = given {
        return by_id(given.id);
    }
    let mut best: Option<(Confidence, &Format)> = None;
    for format in FORMATS {
        if let Some(confidence) = (format.sniff)(source)?
            && best.is_none_or(|(b, _)| confidence > b)
        {
            best = Some((confidence, format));
        }
    }
    best.map(|(_, format)| format).ok_or_else(|| crate::company::not_a_model(source))
}

fn extension_finding(path: &Path, chosen: &Format) -> Option<Finding> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let named = |format: &&Format| format.extensions.contains(&extension.as_str());
    if named(&chosen) {
        return None;
    }
    let named = FORMATS.iter().find(named)?;
    Some(Finding::new(
        "F101",
        Severity::Warning,
        format!("named .{extension} as {} files are, and holds {}", named.name, chosen.name),
        format!("rename it, or use --format {} if that is what it should be", named.id),
    ))
}
