//! Bytes per CPU-second of the passes over a mapped file of F32 values, beside a bare sum of the same
//! mapping by the same threads: `throughput FILE`. `throughput FILE --make GIB` writes such a file first.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use weighbridge_formats::{Access, Source};
use weighbridge_measure::{Options, measure};
use weighbridge_model::dtype::{BF16, F16, FloatFormat};
use weighbridge_model::{DType, Place, Storage, Tensor};

/// What a task of the passes reads, too.
const TASK: u64 = 16 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(path) = args.first().map(Path::new) else { return Err("throughput FILE [--make GIB]".into()) };
    if let [_, flag, size] = &args[..]
        && flag == "--make"
    {
        make(path, size.parse()?)?;
    }
    // Once for the page cache.
    bare_sum(&*Source::open(path, Access::default())?.storage(0, std::fs::metadata(path)?.len())?);
    // A mapping of its own for each pass: each pays for its own page faults.
    let sum = time("bare sum", path, |tensor| {
        std::hint::black_box(bare_sum(&*tensor.storage));
    })?;
    let pass = |name: &str, histogram: bool, survival: &[FloatFormat]| {
        let options = Options { histogram, survival, ..Options::default() };
        let speed = time(name, path, |tensor| {
            std::hint::black_box(measure(&[tensor], &options, &|_| {}));
        })?;
        println!("{:28} {:5.0} % of the bare sum", "", 100.0 * speed / sum);
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    pass("summary", false, &[])?;
    pass("summary, histogram", true, &[])?;
    pass("summary, histogram, survival", true, &[F16, BF16])
}

/// Tells and returns the GB per CPU-second of `run` over a fresh mapping, unmapping included.
fn time(name: &str, path: &Path, run: impl FnOnce(&Tensor)) -> Result<f64, Box<dyn std::error::Error>> {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let bytes = {
        let source = Source::open(path, Access::default())?;
        let storage: Arc<dyn Storage> = source.storage(0, source.len())?;
        let shape = vec![source.len() / 4];
        let tensor = Tensor::contiguous("values", DType::F32, shape, storage, &Place::default())?;
        run(&tensor);
        tensor.bytes() as f64
    };
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("{name:28} {:5.2} GB/s, {:5.2} GB per CPU-second", bytes / wall / 1e9, bytes / cpu / 1e9);
    Ok(bytes / cpu)
}

fn bare_sum(storage: &dyn Storage) -> f32 {
    let bytes = storage.as_slice().unwrap_or_default();
    let part = |task: u64| {
        let range = task * TASK..((task + 1) * TASK).min(storage.len());
        storage.will_need(range.clone());
        let mut lanes = [0f32; 64];
        for group in bytes[range.start as usize..range.end as usize].as_chunks::<4>().0.as_chunks::<64>().0 {
            for (lane, value) in lanes.iter_mut().zip(group) {
                *lane += f32::from_le_bytes(*value);
            }
        }
        lanes.iter().sum::<f32>()
    };
    (0..storage.len().div_ceil(TASK)).into_par_iter().map(part).sum()
}

/// CPU time of this process: all of its threads, user and system.
fn cpu_seconds() -> f64 {
    let of = |task: std::io::Result<std::fs::DirEntry>| -> Option<f64> {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    std::fs::read_dir("/proc/self/task").map_or(f64::NAN, |tasks| tasks.filter_map(of).sum::<f64>() / 1e9)
}

/// Values that look like weights: sums of uniform ones, which are near enough to normal.
fn make(path: &Path, gib: u64) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut part = Vec::with_capacity(64 << 20);
    for _ in 0..part.capacity() / 4 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let sum: i32 =
            state.to_le_bytes().as_chunks::<2>().0.iter().map(|&b| i32::from(i16::from_le_bytes(b))).sum();
        part.extend((sum as f32 / 1e6).to_le_bytes());
    }
    for _ in 0..gib * 16 {
        file.write_all(&part)?;
    }
    file.flush()
}
