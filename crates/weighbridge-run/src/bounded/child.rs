//! The process that a model runs in.

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Instant;

use weighbridge_model::{Error, Result};

use super::wire::{receive_request, send_reply};
use crate::engine::{EngineChoice, Session, choose};

/// Bytes of the stack: engines go down a chain of nodes by recursion, however long it is.
const STACK: usize = 256 << 20;

/// Reads the model at `path` and runs it for each request that comes in, until there is none. `memory` is what may be
/// taken, in bytes.
///
/// # Errors
/// A limit that cannot be set; a parent that is gone.
pub fn serve(
    choice: &EngineChoice,
    path: &Path,
    memory: Option<u64>,
    input: impl Read + Send,
    output: impl Write + Send,
) -> Result<()> {
    limit(memory)?;
    std::thread::scope(|scope| {
        let work = || requests(choice, path, BufReader::new(input), BufWriter::new(output));
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|e| Error::io("a thread to run a model in", e))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn requests(choice: &EngineChoice, path: &Path, mut input: impl Read, mut output: impl Write) -> Result<()> {
    let gone = |e| Error::io("the process that asks", e);
    let mut session: Box<dyn Session> = match choose(choice).and_then(|engine| engine.load(path)) {
        Ok(session) => {
            send_reply(&mut output, &Ok((0, Vec::new()))).map_err(gone)?;
            session
        }
        Err(error) => return send_reply(&mut output, &Err(error)).map_err(gone),
    };
    // A request that breaks off is the end.
    while let Ok((inputs, wanted)) = receive_request(&mut input) {
        let started = Instant::now();
        let ran = session.run(&inputs, &wanted);
        let nanoseconds = started.elapsed().as_nanos() as u64;
        send_reply(&mut output, &ran.map(|arrays| (nanoseconds, arrays))).map_err(gone)?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn limit(memory: Option<u64>) -> Result<()> {
    use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
    let fault = |e: rustix::io::Errno| Error::io("the limits of a process", e.into());
    // Should the parent be killed, a model that never ends would stay.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(fault)?;
    if let Some(bytes) = memory {
        // What is written to: not the model's own file, where that is mapped.
        let bytes = Some(bytes.saturating_add(STACK as u64));
        setrlimit(Resource::Data, Rlimit { current: bytes, maximum: bytes }).map_err(fault)?;
    }
    // A process that goes down leaves no image of itself.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(fault)
}

#[cfg(not(target_os = "linux"))]
fn limit(_: Option<u64>) -> Result<()> {
    Ok(())
}
