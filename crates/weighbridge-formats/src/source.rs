//! Where a parser reads from: a file, mapped or read at offsets, or bytes in memory.
//!
//! Parsers ask for windows of bounded length; nothing here assumes that a whole file is addressable.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Advice, Mmap, MmapOptions};
use weighbridge_model::{Error, Place, Result, Storage};

/// How files are opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access {
    /// Read with system calls instead of mapping. A mapped file that shrinks while it is read ends the
    /// process with SIGBUS; a read one gives an error.
    pub no_mmap: bool,
}

#[derive(Debug)]
enum Backing {
    Mapped(Mmap),
    Read(File),
    Memory(Box<[u8]>),
}

/// A run of bytes with a name, cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    path: Option<Arc<Path>>,
    backing: Arc<Backing>,
    /// Where it begins within its backing.
    start: u64,
    len: u64,
}

impl Source {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be opened, or is no regular file.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        let name: Arc<str> = path.display().to_string().into();
        let io = |cause| Error::io(&*name, cause);
        let regular = |metadata: std::fs::Metadata| match metadata.is_file() {
            true => Ok(metadata.len()),
            false => Err(io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))),
        };
        // Before opening too: opening a pipe waits for its writer.
        regular(std::fs::metadata(path).map_err(io)?)?;
        let file = File::open(path).map_err(io)?;
        let len = regular(file.metadata().map_err(io)?)?;
        let backing = if access.no_mmap || len == 0 {
            Backing::Read(file)
        } else {
            // SAFETY: the mapping is private and read-only. Another process may change the file under us;
            // then figures are of mixed content, and a shrunk file raises SIGBUS (documented, `no_mmap`).
            // Bytes are only ever read as plain numbers and checked lengths, so no value is invalid.
            Backing::Mapped(unsafe { MmapOptions::new().map(&file) }.map_err(io)?)
        };
        Ok(Source { path: Some(path.into()), backing: Arc::new(backing), start: 0, len, name })
    }

    /// A source over bytes that are already in memory.
    pub fn memory(name: impl Into<Arc<str>>, bytes: impl Into<Box<[u8]>>) -> Self {
        let bytes = bytes.into();
        Source {
            name: name.into(),
            path: None,
            start: 0,
            len: bytes.len() as u64,
            backing: Arc::new(Backing::Memory(bytes)),
        }
    }

    /// Part of it as a source of its own, whose offsets begin at 0.
    ///
    /// # Errors
    /// Where it leaves this one.
    pub fn part(&self, name: impl Into<Arc<str>>, offset: u64, len: u64) -> Result<Self> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            let left = self.len.saturating_sub(offset);
            let what = format!("needs {len} bytes, and the file has {left} left");
            return Err(Error::malformed(self.place(offset), what));
        }
        Ok(Source { name: name.into(), start: self.start + offset, len, ..self.clone() })
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's path, where it is a file.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The folder that the file stands in, where it is a file.
    pub fn folder(&self) -> Option<PathBuf> {
        let parent = self.path()?.parent()?;
        Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A place in this source, for errors.
    pub fn place(&self, offset: u64) -> Place {
        Place::at(&*self.name, offset)
    }

    /// The bytes `offset..offset + len`: borrowed where they are addressable, read otherwise. The length is
    /// held against the source before anything is allocated.
    ///
    /// # Errors
    /// Past the end, or on a failed read.
    pub fn window(&self, offset: u64, len: u64) -> Result<Cow<'_, [u8]>> {
        let end = offset.checked_add(len).filter(|&end| end <= self.len).ok_or_else(|| {
            let left = self.len.saturating_sub(offset);
            Error::malformed(self.place(offset), format!("needs {len} bytes, and the file has {left} left"))
        })?;
        let (offset, end) = (self.start + offset, self.start + end);
        match &*self.backing {
            Backing::Mapped(bytes) => Ok(Cow::Borrowed(&bytes[offset as usize..end as usize])),
            Backing::Memory(bytes) => Ok(Cow::Borrowed(&bytes[offset as usize..end as usize])),
            Backing::Read(file) => {
                let mut buffer = vec![0; len as usize];
                read_exact_at(file, &mut buffer, offset).map_err(|e| Error::io(&*self.name, e))?;
                Ok(Cow::Owned(buffer))
            }
        }
    }

    /// Up to `len` bytes from `offset` on; fewer at the end, none past it.
    ///
    /// # Errors
    /// On a failed read.
    pub fn prefix(&self, offset: u64, len: u64) -> Result<Cow<'_, [u8]>> {
        let offset = offset.min(self.len);
        self.window(offset, len.min(self.len - offset))
    }

    /// The bytes `offset..offset + len` as a storage of their own.
    ///
    /// # Errors
    /// Where they leave the source.
    pub fn storage(&self, offset: u64, len: u64) -> Result<Arc<dyn Storage>> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            let left = self.len.saturating_sub(offset);
            let what = format!("needs {len} bytes, and the file has {left} left");
            return Err(Error::malformed(self.place(offset), what));
        }
        Ok(Arc::new(Region { source: self.clone(), offset: self.start + offset, len }))
    }
}

/// Part of a source, as a storage.
struct Region {
    source: Source,
    offset: u64,
    len: u64,
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}..+{}]", self.source.name, self.offset, self.len)
    }
}

impl Storage for Region {
    fn len(&self) -> u64 {
        self.len
    }

    fn as_slice(&self) -> Option<&[u8]> {
        let range = self.offset as usize..(self.offset + self.len) as usize;
        match &*self.source.backing {
            Backing::Mapped(bytes) => Some(&bytes[range]),
            Backing::Memory(bytes) => Some(&bytes[range]),
            Backing::Read(_) => None,
        }
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buffer.len() as u64);
        if end > self.len {
            let what = format!("bytes {offset}..{end} asked of a region of {}", self.len);
            return Err(Error::malformed(self.source.place(self.offset - self.source.start), what));
        }
        match &*self.source.backing {
            Backing::Read(file) => read_exact_at(file, buffer, self.offset + offset)
                .map_err(|e| Error::io(&*self.source.name, e)),
            _ => {
                buffer.copy_from_slice(&self.as_slice().expect("addressable")[offset as usize..end as usize]);
                Ok(())
            }
        }
    }

    fn file_offset(&self) -> Option<u64> {
        self.source.path.is_some().then_some(self.offset)
    }

    fn will_need(&self, range: std::ops::Range<u64>) {
        if let Backing::Mapped(map) = &*self.source.backing {
            let (start, len) = ((self.offset + range.start) as usize, (range.end - range.start) as usize);
            // Bringing pages in in bulk saves a fault each; a system that cannot just faults them in.
            #[cfg(target_os = "linux")]
            let _ = map.advise_range(Advice::PopulateRead, start, len);
            #[cfg(all(unix, not(target_os = "linux")))]
            let _ = map.advise_range(Advice::WillNeed, start, len);
            #[cfg(not(unix))]
            let _ = (map, start, len);
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                buffer = &mut buffer[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}
