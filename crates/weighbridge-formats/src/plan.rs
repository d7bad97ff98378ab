//! What a writer is about to do, told before it is begun.

use std::path::{Path, PathBuf};

use weighbridge_model::{Error, Result};

use crate::output::{Output, Progress};

/// What a writer is asked for.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Most bytes of tensors in a file, where the format has shards; otherwise one file.
    pub shard_bytes: Option<u64>,
}

/// A tensor, or a piece of metadata, that does not arrive as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub tensor: String,
    /// What becomes of it, and why.
    pub why: String,
}

impl Change {
    /// A change to `tensor`.
    pub fn new(tensor: impl Into<String>, why: impl Into<String>) -> Self {
        Change { tensor: tensor.into(), why: why.into() }
    }
}

/// Writes one file's content.
pub type Content = Box<dyn Fn(&mut Output<'_>) -> Result<()> + Send + Sync>;

/// A file to write.
pub struct FilePlan {
    /// Where it will stand.
    pub path: PathBuf,
    /// How many bytes it will have, where that is known beforehand.
    pub len: Option<u64>,
    /// What writes it.
    pub content: Content,
}

/// Everything that is about to happen.
#[derive(Default)]
pub struct Plan {
    /// Tensors that arrive bit for bit.
    pub kept: Vec<String>,
    /// Tensors that arrive changed.
    pub changed: Vec<Change>,
    /// What does not arrive.
    pub dropped: Vec<Change>,
    /// Files, in the order of writing: what refers to others comes last.
    pub files: Vec<FilePlan>,
}

/// How a plan is carried out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carry {
    /// Replace existing files.
    pub force: bool,
    /// Return only when everything is on the disk.
    pub sync: bool,
}

impl Plan {
    /// Bytes of all files whose size is known.
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|f| f.len).sum()
    }

    /// Looks for what would go wrong: an output that is one of the `inputs`, existing files without `force`, a
    /// folder that is not there, too little free space.
    ///
    /// # Errors
    /// What was found.
    pub fn check(&self, inputs: &[PathBuf], how: Carry) -> Result<()> {
        for file in &self.files {
            check_target(&file.path, inputs, how)?;
        }
        let Some(folder) = self.files.first().map(|f| folder_of(&f.path)) else { return Ok(()) };
        if !folder.is_dir() {
            let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no such folder");
            return Err(Error::io(folder.display().to_string(), cause));
        }
        match free_space(folder) {
            Some(free) if free < self.bytes() => {
                let what = format!("{} bytes are to be written, and {free} are free", self.bytes());
                let cause = std::io::Error::new(std::io::ErrorKind::StorageFull, what);
                Err(Error::io(folder.display().to_string(), cause))
            }
            _ => Ok(()),
        }
    }

    /// Writes the files, each beside its place and then renamed. Where one fails, those before it go again, unless
    /// they have replaced others.
    ///
    /// # Errors
    /// What [`Plan::check`] finds; a failed read or write. Files that were whole before stay.
    pub fn write(&self, inputs: &[PathBuf], how: Carry, progress: &Progress<'_>) -> Result<()> {
        self.check(inputs, how)?;
        let mut fresh = Vec::new();
        for file in &self.files {
            let is_fresh = !file.path.exists();
            if let Err(fault) = file.write(how, progress) {
                // The failure itself is what matters: as far as removing goes.
                fresh.iter().for_each(|path| drop(std::fs::remove_file(path)));
                return Err(fault);
            }
            if is_fresh {
                fresh.push(&file.path);
            }
        }
        Ok(())
    }
}

impl FilePlan {
    fn write(&self, how: Carry, progress: &Progress<'_>) -> Result<()> {
        let mut output = Output::create(&self.path, progress)?;
        (self.content)(&mut output)?;
        if let Some(len) = self.len.filter(|&len| len != output.at()) {
            let what = format!("{} bytes were written where {len} were planned", output.at());
            let place = weighbridge_model::Place::source(self.path.display().to_string());
            return Err(Error::malformed(place, what));
        }
        output.commit(how.sync)
    }
}

/// Refuses to write over one of the `inputs`, over what is no regular file, and over any
/// existing file without `force`.
///
/// # Errors
/// [`Error::Usage`] that says which.
pub fn check_target(path: &Path, inputs: &[PathBuf], how: Carry) -> Result<()> {
    let shown = path.display();
    let same = |input: &PathBuf| match (input.canonicalize(), path.canonicalize()) {
        // Any file of a folder, or beside an index, may be one of the shards.
        (Ok(a), Ok(b)) if a.is_dir() => b.starts_with(a),
        (Ok(a), Ok(b)) if a.extension().is_some_and(|e| e == "json") => a.parent() == b.parent(),
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    if inputs.iter().any(same) {
        return Err(Error::Usage { what: format!("{shown} is what is read: name another output") });
    }
    if path.is_dir() {
        return Err(Error::Usage { what: format!("{shown} is a folder: name a file in it") });
    }
    // A device would be replaced, not written to.
    if path.exists() && !path.is_file() {
        return Err(Error::Usage { what: format!("{shown} is no regular file") });
    }
    if path.exists() && !how.force {
        return Err(Error::Usage { what: format!("{shown} exists: --force replaces it") });
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

#[cfg(not(unix))]
fn free_space(_: &Path) -> Option<u64> {
    None
}
