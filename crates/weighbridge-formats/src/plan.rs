//! What a writer is about to do, told before it is begun.

use std::path::{Path, PathBuf};

use weighbridge_model::{Error, Result};

use crate::output::{self, Output, Progress};

/// What a writer is asked for.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Most bytes of tensors in a file, where the format has shards; otherwise one file.
    pub shard_bytes: Option<u64>,
    /// Tensors from this size on stand in a file beside the model, where the format has such; otherwise only what
    /// one file cannot hold.
    pub external: Option<u64>,
    /// Another way of writing the format than the usual one, of those that its row names.
    pub variant: Option<&'static str>,
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
    /// What the files say that the model does not: metadata that a format asks for, a tensor that it cannot do without.
    pub added: Vec<Change>,
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
        self.files.iter().filter_map(|f| f.len).fold(0, u64::saturating_add)
    }

    /// Looks for what would go wrong: an output that is one of the `inputs`, existing files without `force`, a
    /// folder that is not there (several files may have one made for them), too little free space.
    ///
    /// # Errors
    /// What was found.
    pub fn check(&self, inputs: &[PathBuf], how: Carry) -> Result<()> {
        for file in &self.files {
            check_target(&file.path, inputs, how)?;
        }
        let Some(mut folder) = self.files.first().map(|f| folder_of(&f.path)) else { return Ok(()) };
        if self.files.len() > 1 && !folder.exists() {
            folder = folder_of(folder);
        }
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

    /// Writes the files, each beside its place and then renamed, what refers to others last. Several files get a new
    /// folder where there is none. Where they replace others, all are whole before the first is renamed: shards of two
    /// models are not mixed by a failure. Where one fails, new ones before it go again.
    ///
    /// # Errors
    /// What [`Plan::check`] finds; a failed read or write. Files that were whole before stay.
    pub fn write(&self, inputs: &[PathBuf], how: Carry, progress: &Progress<'_>) -> Result<()> {
        self.check(inputs, how)?;
        let folder = self.files.first().map(|f| folder_of(&f.path)).filter(|folder| !folder.exists());
        if let Some(folder) = folder {
            std::fs::create_dir(folder).map_err(|e| Error::io(folder.display().to_string(), e))?;
        }
        let replaces = self.files.len() > 1 && self.files.iter().any(|f| f.path.exists());
        let (mut whole, mut placed) = (Vec::new(), Vec::new());
        for file in &self.files {
            let done = file.write(progress).and_then(|output| match replaces {
                true => output.finish().map(|output| whole.push(output)),
                false => output.commit(how.sync).map(|()| placed.push(&file.path)),
            });
            if let Err(fault) = done {
                // The failure itself is what matters: as far as removing goes.
                placed.iter().for_each(|path| drop(std::fs::remove_file(path)));
                folder.map(std::fs::remove_dir);
                return Err(fault);
            }
        }
        whole.into_iter().try_for_each(|output| output.commit(how.sync))
    }
}

impl FilePlan {
    fn write<'a>(&self, progress: &'a Progress<'a>) -> Result<Output<'a>> {
        let mut output = Output::create(&self.path, progress)?;
        (self.content)(&mut output)?;
        if let Some(len) = self.len.filter(|&len| len != output.at()) {
            let what = format!("{} bytes were written where {len} were planned", output.at());
            let place = weighbridge_model::Place::source(self.path.display().to_string());
            return Err(Error::malformed(place, what));
        }
        Ok(output)
    }
}

/// Refuses to write over one of the `inputs`, over what is no regular file, and over any
/// existing file without `force`.
///
/// # Errors
/// [`Error::Usage`] that says which.
pub fn check_target(path: &Path, inputs: &[PathBuf], how: Carry) -> Result<()> {
    let shown = path.display();
    // Links are followed on both sides.
    let is_read = |path: &Path| {
        let real = path.canonicalize().ok();
        real.is_some_and(|real| inputs.iter().any(|input| input.canonicalize().is_ok_and(|i| i == real)))
    };
    if is_read(path) {
        return Err(Error::Usage { what: format!("{shown} is what is read: name another output") });
    }
    let temporary = output::temporary(path);
    if is_read(&temporary) {
        let temporary = temporary.display();
        let what = format!(
            "{temporary} is what is read, and {shown} is called so while it is written: name another"
        );
        return Err(Error::Usage { what });
    }
    if path.is_dir() {
        return Err(Error::Usage { what: format!("{shown} is a folder: name a file in it") });
    }
    // A device would be replaced, not written to.
    if path.exists() && !path.is_file() {
        return Err(Error::Usage { what: format!("{shown} is no regular file") });
    }
    // A link that leads nowhere is replaced as well.
    if path.symlink_metadata().is_ok() && !how.force {
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
