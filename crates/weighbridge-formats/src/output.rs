//! A file that is being written: beside its target, and renamed into place when it is whole.

use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use weighbridge_model::{DType, Error, Layout, Result, Tensor, View};

/// What a file's name has behind it while the file is written. The next run that writes the same file replaces it.
pub const TEMPORARY: &str = ".weighbridge-tmp";

/// Bytes that are handed to the system at once.
const STEP: usize = 1 << 20;
/// Bytes of a mapping that are brought in at once.
const AHEAD: u64 = 16 << 20;

/// Told each number of bytes that has been written.
pub type Progress<'a> = dyn Fn(u64) + Sync + 'a;

/// A file on its way.
pub struct Output<'a> {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    at: u64,
    progress: &'a Progress<'a>,
    whole: bool,
}

impl<'a> Output<'a> {
    /// Begins the file that will stand at `path`.
    ///
    /// # Errors
    /// A failed creation; another run that is writing the same file.
    pub fn create(path: &Path, progress: &'a Progress<'a>) -> Result<Self> {
        let temporary = temporary(path);
        let file = begun(&temporary).map_err(|e| Error::io(temporary.display().to_string(), e))?;
        let file = BufWriter::with_capacity(STEP, file);
        Ok(Output { path: path.to_owned(), temporary, file, at: 0, progress, whole: false })
    }

    /// Bytes written so far.
    pub fn at(&self) -> u64 {
        self.at
    }

    fn fault(&self, cause: io::Error) -> Error {
        Error::io(self.path.display().to_string(), cause)
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// A failed write.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| self.fault(e))?;
        self.at += bytes.len() as u64;
        (self.progress)(bytes.len() as u64);
        Ok(())
    }

    /// Appends so many zeros.
    ///
    /// # Errors
    /// A failed write.
    pub fn zeros(&mut self, count: u64) -> Result<()> {
        for at in (0..count).step_by(STEP) {
            self.bytes(&vec![0; (count - at).min(STEP as u64) as usize])?;
        }
        Ok(())
    }

    /// Appends the stored elements of a tensor, contiguous and little-endian, packed where several share a byte; blocks
    /// as they are.
    /// `each` sees all bytes as they pass.
    ///
    /// # Errors
    /// A failed read or write; opaque elements.
    pub fn elements(&mut self, tensor: &Tensor, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        if let Some(range) = verbatim(tensor) {
            let slice = tensor.storage.as_slice().expect("verbatim is addressable");
            let mut at = range.start;
            while at < range.end {
                let ahead = range.end.min(at.saturating_add(AHEAD));
                tensor.storage.will_need(at..ahead);
                for part in slice[at as usize..ahead as usize].chunks(STEP) {
                    each(part);
                    self.bytes(part)?;
                }
                at = ahead;
            }
            return Ok(());
        }
        if let Layout::Blocks { .. } = tensor.layout {
            return tensor.storage.visit(0..tensor.bytes(), &mut |_, bytes| {
                each(bytes);
                self.bytes(bytes)
            });
        }
        let mut packed = Vec::new();
        tensor.visit(0..tensor.count(), &mut |chunk| {
            if !tensor.dtype.is_sub_byte() {
                each(chunk.bytes);
                return self.bytes(chunk.bytes);
            }
            packed.clear();
            pack(tensor.dtype, chunk.bytes, &mut packed);
            each(&packed);
            self.bytes(&packed)
        })
    }

    /// Overwrites bytes that were written before.
    ///
    /// # Errors
    /// A failed write.
    pub fn patch(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let end = self.at;
        let patched = (|| {
            self.file.seek(SeekFrom::Start(at))?;
            self.file.write_all(bytes)?;
            self.file.seek(SeekFrom::Start(end)).map(drop)
        })();
        patched.map_err(|e| self.fault(e))
    }

    /// Hands the rest to the system: the file is whole, beside its place.
    ///
    /// # Errors
    /// A failed write.
    pub fn finish(mut self) -> Result<Self> {
        let file = self.file.flush().and_then(|()| self.file.get_ref().try_clone());
        // Many may wait at a time: without their buffers.
        self.file = BufWriter::with_capacity(0, file.map_err(|e| self.fault(e))?);
        Ok(self)
    }

    /// Ends the file and puts it in place; with `sync`, not before it is on the disk.
    ///
    /// # Errors
    /// A failed write or rename.
    pub fn commit(mut self, sync: bool) -> Result<()> {
        let done = (|| {
            self.file.flush()?;
            if sync {
                self.file.get_ref().sync_all()?;
            }
            std::fs::rename(&self.temporary, &self.path)?;
            if sync && let Some(folder) = self.path.parent() {
                let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                File::open(folder)?.sync_all()?;
            }
            Ok(())
        })();
        self.whole = done.is_ok();
        done.map_err(|e| self.fault(e))
    }
}

/// What the file at `path` is called while it is written.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY);
    PathBuf::from(temporary)
}

/// The temporary file, empty, and ours alone as long as it is open: two runs do not write into one file. A link that
/// somebody put there is not written through, and a pipe not waited for.
fn begun(temporary: &Path) -> io::Result<File> {
    let plain = |metadata: std::fs::Metadata| match is_plain(&metadata) {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "a link or no regular file: remove it")),
    };
    loop {
        if let Ok(metadata) = temporary.symlink_metadata() {
            plain(metadata)?;
        }
        let file = unlinked().write(true).create(true).truncate(false).open(temporary)?;
        plain(file.metadata()?)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another run is writing it"));
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => {}
            // The run that had it may have renamed it since it was opened: it is whole then, and no longer here.
            Ok(()) if !is_at(&file, temporary) => continue,
            Ok(()) => {}
        }
        file.set_len(0)?;
        return Ok(file);
    }
}

/// Options that open neither what a link leads to nor, waiting for its reader, a pipe.
#[cfg(unix)]
fn unlinked() -> std::fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.custom_flags(flags.bits() as i32);
    options
}

#[cfg(not(unix))]
fn unlinked() -> std::fs::OpenOptions {
    File::options()
}

/// Whether it is a regular file of one name only: emptied, nothing else is.
#[cfg(unix)]
fn is_plain(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.is_file() && metadata.nlink() <= 1
}

#[cfg(not(unix))]
fn is_plain(metadata: &std::fs::Metadata) -> bool {
    metadata.is_file()
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().map(id).ok() == path.metadata().map(id).ok()
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if !self.whole {
            // The failure itself is what matters; a leftover is removed as far as that goes.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Where the bytes of a tensor stand just as they are to be written.
fn verbatim(tensor: &Tensor) -> Option<std::ops::Range<u64>> {
    if let Layout::Blocks { .. } = tensor.layout {
        return tensor.storage.as_slice().map(|_| 0..tensor.bytes());
    }
    let (Layout::Strided(view) | Layout::Quantized { view, .. }) = &tensor.layout else { return None };
    let contiguous = view.is_contiguous(&tensor.shape) && !tensor.dtype.is_sub_byte();
    tensor.storage.as_slice().filter(|_| contiguous)?;
    let View { offset, .. } = view;
    let start = tensor.dtype.packed_bytes(*offset)?;
    Some(start..start.checked_add(tensor.bytes())?)
}

/// Packs elements that come one a byte, the first in the lowest bits.
fn pack(dtype: DType, elements: &[u8], out: &mut Vec<u8>) {
    let bits = dtype.bits() as usize;
    let mask = (1u8 << bits) - 1;
    out.extend(elements.chunks(8 / bits).map(|group| {
        group.iter().enumerate().fold(0, |byte, (i, &element)| byte | (element & mask) << (i * bits))
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_committed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        std::fs::write(&path, b"old").unwrap();
        let mut output = Output::create(&path, &|_| {}).unwrap();
        output.bytes(b"new").unwrap();
        drop(output);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_runs_do_not_write_into_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        std::fs::write(folder.path().join(format!("x.bin{TEMPORARY}")), b"left by a run that was killed")
            .unwrap();
        let mut first = Output::create(&path, &|_| {}).unwrap();
        first.bytes(b"first").unwrap();
        let told = Output::create(&path, &|_| {}).err().unwrap().to_string();
        assert!(told.contains("another run"), "{told}");
        first.commit(false).unwrap();
        Output::create(&path, &|_| {}).unwrap().commit(false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[cfg(unix)]
    #[test]
    fn what_stands_in_the_temporary_files_place_is_not_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("x.bin"), folder.path().join("other"));
        let place = folder.path().join(format!("x.bin{TEMPORARY}"));
        std::fs::write(&other, b"precious").unwrap();
        let link = |to: &str| std::os::unix::fs::symlink(folder.path().join(to), &place).unwrap();
        for trap in ["link", "hard link", "link to nothing", "pipe"] {
            match trap {
                "link" => link("other"),
                "hard link" => std::fs::hard_link(&other, &place).unwrap(),
                "link to nothing" => link("nothing"),
                _ => drop(std::process::Command::new("mkfifo").arg(&place).status().unwrap()),
            }
            let told = Output::create(&path, &|_| {}).err().unwrap().to_string();
            assert!(told.contains("remove it"), "{trap}: {told}");
            assert_eq!(std::fs::read(&other).unwrap(), b"precious");
            assert!(!folder.path().join("nothing").exists());
            std::fs::remove_file(&place).unwrap();
        }
    }

    #[test]
    fn bytes_that_were_written_can_be_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        let mut output = Output::create(&path, &|_| {}).unwrap();
        output.bytes(b"0123").unwrap();
        output.patch(1, b"ab").unwrap();
        output.bytes(b"45").unwrap();
        output.commit(true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"0ab345");
    }

    #[test]
    fn packing_puts_the_first_element_lowest() {
        let mut out = Vec::new();
        pack(DType::I4, &[0x01, 0xff, 0x07], &mut out);
        assert_eq!(out, [0xf1, 0x07]);
        out.clear();
        pack(DType::U2, &[1, 2, 3, 0, 1], &mut out);
        assert_eq!(out, [0b00_11_10_01, 1]);
    }
}
