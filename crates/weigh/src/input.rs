//! From the words of the command line to a model and the tensors that are meant.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use weighbridge_formats::{Access, ReadOptions, by_id, open};
use weighbridge_model::{Error, Model, Result, Role, Tensor, nearest, nearest_or_all, roles};

use crate::args::{InputArgs, PickArgs};

/// A model that was opened.
pub struct Opened {
    /// The file or files as the user named them, without the selector.
    pub file: String,
    /// The part that the user selected.
    pub selected: Option<String>,
    /// The model, or the selected part of it.
    pub model: Model,
}

/// Opens `FILE…` or `FILE…#KEY`. A file whose own name holds the `#` is taken as it is.
pub fn read(args: &InputArgs) -> Result<Opened> {
    let mut files: Vec<&str> = args.files.iter().map(String::as_str).collect();
    let mut selected = None;
    if let Some(last) = files.last_mut()
        && let Some((file, key)) = last.rsplit_once('#')
        && !Path::new(*last).exists()
    {
        if key.is_empty() {
            let what = format!("'{last}': a part's name belongs after the #; `weigh ls {file}` lists them");
            return Err(Error::Usage { what });
        }
        (*last, selected) = (file, Some(key));
    }
    let format = args.format.as_deref().map(by_id).transpose()?;
    let options = ReadOptions { access: Access { no_mmap: args.no_mmap }, ..ReadOptions::default() };
    let paths: Vec<&Path> = files.iter().map(Path::new).collect();
    let model = open(&paths, format, &options)?;
    let model = match selected {
        Some(key) => model.select(key)?,
        None => model,
    };
    Ok(Opened { file: files.join(" "), selected: selected.map(str::to_owned), model })
}

/// The tensors that match, in file order, and how many the `state_dict` leaves out.
pub fn pick<'a>(model: &'a Model, args: &PickArgs) -> Result<(Vec<&'a Tensor>, usize)> {
    let globs = globs(&args.tensors)?;
    let role = args.role.as_deref().map(role).transpose()?;
    let ddp = roles::is_data_parallel(model.tensors.iter().map(|t| t.name.as_str()));
    let matches = |t: &Tensor| {
        args.tensors.is_empty() || globs.is_match(&t.name) || globs.is_match(&*roles::unwrapped(&t.name, ddp))
    };
    let mut hidden = 0;
    let mut picked = Vec::new();
    for tensor in &model.tensors {
        if !matches(tensor) || role.is_some_and(|r| r != tensor.role) {
            continue;
        }
        if tensor.in_state_dict || args.all {
            picked.push(tensor);
        } else {
            hidden += 1;
        }
    }
    if picked.is_empty() && role.is_some() && hidden == 0 {
        let name = args.role.clone().unwrap_or_default();
        let mut near: Vec<String> = Vec::new();
        for t in &model.tensors {
            if near.iter().all(|r| r != t.role.as_str()) {
                near.push(t.role.as_str().to_owned());
            }
        }
        return Err(Error::NotFound { kind: "tensor with the role", name, near });
    }
    if picked.is_empty() && !args.tensors.is_empty() && hidden == 0 {
        let wanted = args.tensors.join(", ");
        let near = nearest(&wanted, model.tensors.iter().map(|t| t.name.as_str()));
        return Err(Error::NotFound { kind: "tensor", name: wanted, near });
    }
    Ok((picked, hidden))
}

fn role(name: &str) -> Result<Role> {
    let all =
        [Role::Parameter, Role::Buffer, Role::Constant, Role::OptimizerState, Role::Packed, Role::Other];
    all.into_iter().find(|r| r.as_str() == name).ok_or_else(|| Error::NotFound {
        kind: "role",
        name: name.to_owned(),
        near: nearest_or_all(name, all.iter().map(|r| r.as_str())),
    })
}

/// The patterns as one matcher; `*` also matches dots.
pub fn globs(patterns: &[String]) -> Result<GlobSet> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        let usage =
            |e: globset::Error| Error::Usage { what: format!("'{pattern}' is no glob: {}", e.kind()) };
        builder.add(GlobBuilder::new(pattern).literal_separator(false).build().map_err(usage)?);
    }
    builder.build().map_err(|e| Error::Usage { what: e.to_string() })
}
