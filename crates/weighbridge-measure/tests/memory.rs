//! Memory does not grow with the tensor: allocations are counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weighbridge_formats::{Access, Source};
use weighbridge_measure::{Options, Summary, measure};
use weighbridge_model::dtype::{BF16, F16};
use weighbridge_model::storage::{CHUNK, ChunkVisitor};
use weighbridge_model::{DType, Place, Result, Storage, Tensor, View};

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

/// A file that holds one block over and over, read and never mapped.
#[derive(Debug)]
struct Endless(u64);

impl Storage for Endless {
    fn len(&self) -> u64 {
        self.0
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        // What a file's buffer takes.
        let buffer = vec![0x3c; (range.end - range.start).min(CHUNK as u64) as usize];
        for at in range.clone().step_by(CHUNK) {
            visitor(at, &buffer[..(range.end - at).min(CHUNK as u64) as usize])?;
        }
        Ok(())
    }
}

fn summary(tensor: &Tensor) -> Summary {
    let measured = measure(&[tensor], &Options { histogram: true, ..Options::default() }, &|_| {}).remove(0);
    measured.expect("can be measured").summary.expect("numbers")
}

// One test, since all threads share the count.
#[test]
fn memory_is_flat_however_large_the_tensor_and_however_many_the_threads() {
    let options = Options { histogram: true, survival: &[F16, BF16], ..Options::default() };
    for threads in [2, 64] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for (dtype, bytes) in [(DType::BF16, 1 << 24), (DType::BF16, 1 << 26), (DType::I64, 1 << 28)] {
            let shape = vec![bytes * 8 / u64::from(dtype.bits())];
            let storage = Arc::new(Endless(bytes));
            let t = Tensor::contiguous("t", dtype, shape, storage, &Place::default()).unwrap();
            let (peak, measured) = peak_of(|| pool.install(|| measure(&[&t], &options, &|_| {})));
            assert_eq!(measured[0].as_ref().unwrap().summary.as_ref().unwrap().count, t.count());
            assert!(peak < 64 << 20, "{peak} bytes for {dtype} on {threads} threads");
        }
    }

    // 100 GB of holes, of which a little is measured.
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes = 100u64 << 30;
    file.as_file().set_len(bytes).unwrap();
    for no_mmap in [false, true] {
        let source = Source::open(file.path(), Access { no_mmap }).unwrap();
        let storage = source.storage(0, bytes).unwrap();
        let far = |shape: Vec<u64>, strides: Vec<i64>, offset: u64| {
            let view = View { offset, strides };
            Tensor::strided("t", DType::F32, shape, view, storage.clone(), &Place::default()).unwrap()
        };
        let last = bytes / 4 - 1;
        for t in [
            far(vec![100], vec![-(1 << 28)], last),
            far(vec![100_000], vec![1], last - 99_999),
            far(vec![1 << 40, 1000], vec![0, 1], last - 5000),
        ] {
            let (peak, s) = peak_of(|| summary(&t));
            assert_eq!((s.count, s.zero, s.std()), (t.count(), t.count(), 0.0));
            assert!(peak < 8 << 20, "{peak} bytes for {:?}, no_mmap {no_mmap}", t.shape);
        }
    }
}
