//! Memory does not grow with what is written: allocations are counted, for every format that is written.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weighbridge_formats::{Access, Carry, FORMATS, Format, ReadOptions, WriteOptions, open};
use weighbridge_model::storage::Cast;
use weighbridge_model::{DType, Error, Model, Place, Tensor};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was allocated while `run` ran, beyond what was before.
fn peak_of<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let out = run();
    (PEAK.load(Ordering::Relaxed) - before, out)
}

/// The most that a conversion may allocate: some buffers of a megabyte.
const CAP: usize = 8 << 20;

/// Layers of two tensors of F32 each in a sparse file, `bytes` in all.
fn sparse(folder: &Path, layers: u64, bytes: u64) -> PathBuf {
    let (columns, mut at, mut entries) = (1024, 0, Vec::new());
    let rows = bytes / layers / 4 / columns;
    for layer in 0..layers {
        for (name, shape, count) in
            [(0, format!("[{rows},{columns}]"), rows * columns), (1, format!("[{rows}]"), rows)]
        {
            let end = at + 4 * count;
            entries.push(format!(
                r#""layer{layer}.{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{at},{end}]}}"#
            ));
            at = end;
        }
    }
    let header = format!("{{{}}}", entries.join(","));
    let path = folder.join("sparse.safetensors");
    let mut file = File::create(&path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + at).unwrap();
    path
}

fn as_half(model: &Model) -> Model {
    let mut half = Model { format: model.format, ..Model::default() };
    for tensor in &model.tensors {
        let cast = Arc::new(Cast::new(tensor.clone(), DType::F16));
        let (name, shape) = (&tensor.name, tensor.shape.clone());
        half.push(Tensor::contiguous(name, DType::F16, shape, cast, &Place::default()).unwrap());
    }
    half
}

fn target(folder: &Path, format: &Format) -> PathBuf {
    // Of NumPy's two it is .npz that holds several.
    let extension = if format.id == "numpy" { "npz" } else { format.extensions[0] };
    folder.join("out").with_extension(extension)
}

/// Plans one and writes it, in bounded memory; `None` where the format does not take it.
fn written(format: &Format, model: &Model, path: &Path, options: &WriteOptions, told: &str) -> Option<()> {
    let (peak, written) = peak_of(|| {
        let plan = (format.write?)(model, path, options);
        if let Err(Error::Refused { .. }) = plan {
            return None;
        }
        plan.unwrap().write(&[], Carry { force: true, sync: false }, &|_| {}).unwrap();
        Some(())
    });
    assert!(peak <= CAP, "{} {told}: {peak} bytes allocated", format.id);
    written
}

// One test: what others allocate would count.
#[test]
fn writing_is_flat() {
    let folder = tempfile::tempdir().unwrap();
    let small = sparse(folder.path(), 4, 64 << 20);
    let mut shards = WriteOptions::default();
    shards.shard_bytes.replace(20 << 20);
    let mut formats = 0;
    for no_mmap in [false, true] {
        let options = ReadOptions { access: Access { no_mmap }, ..ReadOptions::default() };
        let model = open(&[&small], None, &options).unwrap();
        let half = as_half(&model);
        for format in FORMATS.iter().filter(|f| f.write.is_some()) {
            let path = target(folder.path(), format);
            let plain = written(format, &model, &path, &WriteOptions::default(), "as it is");
            written(format, &model, &path, &shards, "in shards");
            written(format, &half, &path, &WriteOptions::default(), "halved in passing");
            formats += usize::from(plain.is_some());
        }
    }
    assert!(formats >= 2 * 4, "only {formats} were written");

    // 50 GB are planned without a look at them.
    let large = sparse(folder.path(), 64, 50 << 30);
    let model = open(&[&large], None, &ReadOptions::default()).unwrap();
    for format in FORMATS.iter().filter(|f| ["pytorch", "safetensors", "numpy", "wts"].contains(&f.id)) {
        let path = target(folder.path(), format);
        let (peak, bytes) =
            peak_of(|| format.write.unwrap()(&model, &path, &WriteOptions::default()).unwrap().bytes());
        assert!(bytes > 50 << 30 && peak <= 1 << 20, "{}: {bytes} planned, {peak} allocated", format.id);
    }
}
