//! Engines under bounds: a model may ask for any amount of memory, and never end. It runs in a process of its own, whose
//! memory and time are limited, so that an error is told where the process would have gone down.
//!
//! That process is this program again, under a command that starts [`serve`]. What goes back and forth is in `wire`.

mod child;
mod parent;
mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use weighbridge_model::Result;

use crate::engine::{Engine, EngineChoice, choose};

pub use child::serve;

/// What a run may take.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The program, with the arguments that let it call [`serve`].
    pub program: (PathBuf, Vec<String>),
    /// Bytes of memory that a model may take beside the file that it is read from; `None` for as much as there is.
    /// Held on Linux only.
    pub memory: Option<u64>,
    /// How long reading and running models may take, in all.
    pub time: Duration,
}

impl Bounds {
    /// What is said when the time is up.
    fn late(&self) -> String {
        format!("running has not come to an end within {:.1} seconds", self.time.as_secs_f64())
    }
}

/// The engine to use, each of whose models runs in a process of its own.
///
/// # Errors
/// As [`choose`].
pub fn choose_bounded(choice: &EngineChoice, bounds: Bounds) -> Result<Box<dyn Engine>> {
    let engine = choose(choice)?;
    let ends = Instant::now() + bounds.time;
    Ok(Box::new(parent::Bounded { engine, choice: choice.clone(), bounds, ends }))
}

/// Four fifths of the memory that is available now: what a run may take unless told. `None` where the system does not
/// tell.
pub fn usual_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes.saturating_mul(1024) / 5 * 4)
}
