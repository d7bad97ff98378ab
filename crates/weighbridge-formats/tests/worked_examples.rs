//! The worked examples of docs/architecture.md: four tensors of 64 MB and more go through the chunk visitor
//! while every allocation is counted.

use std::alloc::{GlobalAlloc, System};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use weighbridge_formats::zip::Archive;
use weighbridge_formats::{Access, ReadOptions, Source, open};
use weighbridge_model::dtype::push;
use weighbridge_model::storage::{Cast, ScaledAxis};
use weighbridge_model::{BLOCK, DType, Layout, Limits, Place, Storage, Tensor, View};

/// The most that going through a tensor may allocate.
const CAP: usize = 4 << 20;

#[test]
fn strided() {
    let _alone = alone();
    let n = 4096;
    let (_folder, path) = file_of((0..n * n).flat_map(|i| (i as f32).to_le_bytes()));

    // A matrix of 64 MB, mapped, read down its columns: one element here, the next 16 KB further on.
    let mapped = Source::open(&path, Access { no_mmap: false }).unwrap();
    let view = View { offset: 0, strides: vec![1, n as i64] };
    let transposed = strided_tensor(vec![n, n], view, mapped.storage(0, 4 * n * n).unwrap());
    each_value(&transposed, CAP, |i| (i % n * n + i / n) as f64);

    // Row 7 of it, expanded to as many rows, read by system calls: 16 KB stand for 64 MB.
    let read = Source::open(&path, Access { no_mmap: true }).unwrap();
    let view = View { offset: 7 * n, strides: vec![0, 1] };
    let expanded = strided_tensor(vec![n, n], view, read.storage(0, 4 * n * n).unwrap());
    each_value(&expanded, CAP, |i| (7 * n + i % n) as f64);
}

#[test]
fn deflated() {
    let _alone = alone();
    let count = 1 << 24;
    let (_folder, path) = zip_of("weights", (0..count).flat_map(|i| (value(i) as f32).to_le_bytes()));

    // An entry of 64 MB that cannot be addressed: it is inflated in passing, 256 KB at a time.
    let source = Source::open(&path, Access::default()).unwrap();
    let archive = Archive::open(&source, &Limits::default()).unwrap();
    let storage = archive.storage(archive.entry("weights").unwrap()).unwrap();
    assert!(storage.as_slice().is_none() && !storage.can_seek());
    let place = Place::default();
    let tensor = Tensor::contiguous("w", DType::F32, vec![count], storage.clone(), &place).unwrap();
    each_value(&tensor, CAP, |i| value(i) as f64);

    // Its transpose takes a pass over the stream for each 2^20 elements, and the memory to put those in order.
    let n = 1 << 12;
    let view = View { offset: 0, strides: vec![1, n as i64] };
    let transposed = strided_tensor(vec![n, n], view, storage);
    each_value(&transposed, 32 << 20, |i| value(i % n * n + i / n) as f64);
}

#[test]
fn quantized() {
    let _alone = alone();
    let (channels, width) = (64, 1 << 20);
    let (_folder, path) = file_of((0..channels * width).map(|i| code(i) as u8));

    // 64 MB of codes with a scale for each row: 512 MB once dequantized as f64.
    let source = Source::open(&path, Access { no_mmap: true }).unwrap();
    let storage = source.storage(0, channels * width).unwrap();
    let shape = vec![channels, width];
    let mut tensor = Tensor::contiguous("w", DType::I8, shape.clone(), storage, &Place::default()).unwrap();
    tensor.layout = Layout::Quantized {
        view: View::contiguous(&shape, 0),
        scales: (0..channels).map(scale).collect(),
        zero_points: (0..channels).map(|c| c as i64).collect(),
        axis: Some(0),
    };

    // Figures and hashes are of the codes as they are stored...
    let mut sum = 0i64;
    let codes = || {
        tensor.visit(0..tensor.count(), &mut |chunk| {
            sum += chunk.bytes.iter().map(|&c| i64::from(c as i8)).sum::<i64>();
            Ok(())
        })
    };
    capped(CAP, codes).unwrap();
    assert_eq!(sum, (0..channels * width).map(|i| i64::from(code(i))).sum::<i64>());
    // ...and the values are what is shown.
    each_value(&tensor, CAP, |i| {
        let channel = i / width;
        (f64::from(code(i)) - channel as f64) * scale(channel)
    });
}

#[test]
fn derived() {
    let _alone = alone();
    let (channels, width) = (1024, 1 << 15);
    let header =
        format!(r#"{{"w":{{"dtype":"F16","shape":[{channels},{width}],"data_offsets":[0,{}]}}}}"#, 64 << 20);
    let head = (header.len() as u64).to_le_bytes().into_iter().chain(header.into_bytes());
    let mut half = Vec::new();
    let values = (0..channels * width).flat_map(|i| {
        half.clear();
        push(DType::F16, value(i) as f64, &mut half);
        [half[0], half[1]]
    });
    let (_folder, path) = file_of(head.chain(values));

    // A tensor of 64 MB that was opened and not read, widened to F32 and scaled as folding a BatchNorm
    // scales it. Neither step reads anything either.
    let model = open(&[&path], None, &ReadOptions::default()).unwrap();
    let opened = model.tensors[0].clone();
    let (shape, place) = (opened.shape.clone(), Place::default());
    let wide = Arc::new(Cast::new(opened, DType::F32));
    let wide = Tensor::contiguous("wide", DType::F32, shape.clone(), wide, &place).unwrap();
    let folded = Arc::new(ScaledAxis::new(wide, 0, (0..channels).map(scale).collect()));
    let folded = Tensor::contiguous("folded", DType::F32, shape, folded, &place).unwrap();
    each_value(&folded, CAP, |i| value(i) as f64 * scale(i / width));
}

/// Whole numbers that F16 and F32 hold exactly.
fn value(i: u64) -> u64 {
    i * 7 % 2039
}

fn code(i: u64) -> i8 {
    (i * 7 % 251) as u8 as i8
}

/// A power of two, so that products are exact.
fn scale(channel: u64) -> f64 {
    0.5f64.powi(channel as i32 % 8)
}

fn strided_tensor(shape: Vec<u64>, view: View, storage: Arc<dyn Storage>) -> Tensor {
    Tensor::strided("w", DType::F32, shape, view, storage, &Place::default()).unwrap()
}

/// Goes through `tensor` from end to end, holding each value against `expected` and allocations against `cap`.
fn each_value(tensor: &Tensor, cap: usize, expected: impl Fn(u64) -> f64) {
    let mut next = 0;
    let visited = capped(cap, || {
        tensor.visit_values(0..tensor.count(), &mut |first, values| {
            assert_eq!(first, next, "in order, without gaps");
            assert_eq!(values.len() as u64, BLOCK, "a block at a time");
            for (i, &x) in (first..).zip(values) {
                assert!(x == expected(i), "{x} at {i}, where {} should be", expected(i));
            }
            next += values.len() as u64;
            Ok(())
        })
    });
    visited.unwrap();
    assert_eq!(next, tensor.count());
}

type Made = (tempfile::TempDir, PathBuf);

fn file_of(bytes: impl Iterator<Item = u8>) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tensor");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).unwrap());
    write_all(&mut out, bytes);
    out.flush().unwrap();
    (folder, path)
}

/// A zip archive with one deflated entry.
fn zip_of(name: &str, bytes: impl Iterator<Item = u8>) -> Made {
    let mut encoder =
        Checked { crc: flate2::Crc::new(), out: DeflateEncoder::new(Vec::new(), Compression::fast()) };
    write_all(&mut encoder, bytes);
    let (crc, deflated) = (encoder.crc, encoder.out.finish().unwrap());
    // What the local header and the directory's record have in common: version, flags, method, date, sizes, name.
    let mut common: Vec<u8> = [20u16, 0, 8, 0, 0].into_iter().flat_map(u16::to_le_bytes).collect();
    let numbers = [crc.sum(), deflated.len() as u32, crc.amount()];
    common.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
    common.extend([name.len() as u16, 0].into_iter().flat_map(u16::to_le_bytes));
    let local = [b"PK\x03\x04", &common[..], name.as_bytes()].concat();
    // Made by, the record, no comment, attributes, and where the local header stands: at 0.
    let directory = [b"PK\x01\x02\x14\x00", &common[..], &[0; 14], name.as_bytes()].concat();
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    let stands = [directory.len() as u32, (local.len() + deflated.len()) as u32];
    end.extend(stands.into_iter().flat_map(u32::to_le_bytes).chain([0, 0]));
    file_of([local, deflated, directory, end].into_iter().flatten())
}

struct Checked {
    crc: flate2::Crc,
    out: DeflateEncoder<Vec<u8>>,
}

impl Write for Checked {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.crc.update(bytes);
        self.out.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn write_all(out: &mut impl Write, bytes: impl Iterator<Item = u8>) {
    let mut buffer = Vec::with_capacity(1 << 16);
    for byte in bytes {
        buffer.push(byte);
        if buffer.len() == buffer.capacity() {
            out.write_all(&buffer).unwrap();
            buffer.clear();
        }
    }
    out.write_all(&buffer).unwrap();
}

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `run`, which may allocate `cap` bytes at any one time beyond what was there before.
fn capped<T>(cap: usize, run: impl FnOnce() -> T) -> T {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let out = run();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    assert!(peak <= cap, "{peak} bytes at the peak, {cap} allowed");
    out
}

/// One example at a time, since all threads share the count.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_documentation_quotes_this_file() {
    let _alone = alone();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/architecture.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, examples) = text.split_once("## Worked examples").expect("a section");
    let quotes: Vec<&str> =
        examples.split("```rust\n").skip(1).filter_map(|q| q.split("```").next()).collect();
    assert_eq!(quotes.len(), 4);
    for quote in quotes {
        assert!(include_str!("worked_examples.rs").contains(quote), "not in this file:\n{quote}");
    }
}
