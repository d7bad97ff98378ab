//! The side that asks: starts a process for each model, and waits no longer than it may.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use weighbridge_model::{Error, Model, Place, Result};

use super::Bounds;
use super::wire::{Reply, receive_reply, send_request};
use crate::Array;
use crate::engine::{Engine, EngineChoice, Session};

/// An engine whose models run in processes of their own.
pub(super) struct Bounded {
    pub engine: Box<dyn Engine>,
    pub choice: EngineChoice,
    pub bounds: Bounds,
    /// When the time is up.
    pub ends: Instant,
}

impl Engine for Bounded {
    fn name(&self) -> String {
        self.engine.name()
    }

    fn lacks(&self, model: &Model) -> Vec<(String, String)> {
        self.engine.lacks(model)
    }

    fn promotes(&self) -> bool {
        self.engine.promotes()
    }

    fn load(&self, path: &Path) -> Result<Box<dyn Session>> {
        if self.ends <= Instant::now() {
            return Err(fault(&self.engine.name(), self.bounds.late(), MORE_TIME));
        }
        let (program, arguments) = &self.bounds.program;
        let mut command = Command::new(program);
        command.args(arguments).arg(path);
        if let Some(name) = &self.choice.name {
            command.args(["--engine", name]);
        }
        if let Some(library) = &self.choice.library {
            command.arg("--ort").arg(library);
        }
        if let Some(memory) = self.bounds.memory {
            command.args(["--memory", &memory.to_string()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| Error::io("a process to run a model in", e))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            unreachable!("all three are piped");
        };
        let (replies, received) = channel();
        std::thread::spawn(move || {
            let mut from = BufReader::new(stdout);
            loop {
                let reply = receive_reply(&mut from);
                let ended = reply.is_err();
                if replies.send(reply).is_err() || ended {
                    break;
                }
            }
        });
        let (words, last) = channel();
        std::thread::spawn(move || drop(words.send(last_words(stderr))));
        let engine = self.engine.name();
        let mut running = Running {
            child,
            to: BufWriter::new(stdin),
            received,
            last,
            engine,
            bounds: self.bounds.clone(),
            ends: self.ends,
            nanoseconds: 0,
        };
        running.reply()?;
        Ok(Box::new(running))
    }
}

/// What a process said last: engines talk before they go down.
fn last_words(mut from: impl Read) -> String {
    const KEPT: usize = 2048;
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..n]);
        let beyond = kept.len().saturating_sub(KEPT);
        kept.drain(..beyond);
    }
    let text = String::from_utf8_lossy(&kept);
    let said = text.lines().map(str::trim).find(|line| line.contains("alloc") || line.contains("overflow"));
    said.or_else(|| text.lines().map(str::trim).rfind(|line| !line.is_empty())).unwrap_or_default().to_owned()
}

/// A model that a process has read.
struct Running {
    child: Child,
    to: BufWriter<ChildStdin>,
    received: Receiver<io::Result<Result<Reply>>>,
    last: Receiver<String>,
    engine: String,
    bounds: Bounds,
    ends: Instant,
    /// How long the latest run took.
    nanoseconds: u64,
}

impl Running {
    fn reply(&mut self) -> Result<Vec<Option<Array>>> {
        match self.received.recv_timeout(self.ends.saturating_duration_since(Instant::now())) {
            Ok(Ok(reply)) => {
                let (nanoseconds, arrays) = reply?;
                self.nanoseconds = nanoseconds;
                Ok(arrays)
            }
            Err(RecvTimeoutError::Timeout) => Err(fault(&self.engine, self.bounds.late(), MORE_TIME)),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    /// Why the process is gone.
    fn ended(&mut self) -> Error {
        let status = self.child.wait().ok();
        let said = self.last.recv_timeout(std::time::Duration::from_secs(1)).unwrap_or_default();
        let how = status.map_or_else(|| "it is gone".to_owned(), told);
        let said = if said.is_empty() { said } else { format!(": {said}") };
        let within = match self.bounds.memory {
            Some(bytes) => format!("; it may take {} MB of memory", bytes / 1_000_000),
            None => String::new(),
        };
        let what = format!("the process that ran the model went down, {how}{said}{within}");
        fault(&self.engine, what, "--memory-limit gives it more")
    }
}

const MORE_TIME: &str = "--timeout gives it more";

fn fault(engine: &str, what: String, help: &str) -> Error {
    Error::Unsupported { place: Place::source(engine), what, help: Some(help.to_owned()) }
}

#[cfg(unix)]
fn told(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(signal) => format!("by signal {signal}"),
        None => status.to_string(),
    }
}

#[cfg(not(unix))]
fn told(status: ExitStatus) -> String {
    status.to_string()
}

impl Session for Running {
    fn run(&mut self, inputs: &[(String, Array)], wanted: &[String]) -> Result<Vec<Option<Array>>> {
        // A process that is gone shows when its reply is waited for.
        let _ = send_request(&mut self.to, inputs, wanted);
        self.reply()
    }

    fn seconds(&mut self, inputs: &[(String, Array)], wanted: &[String]) -> Result<f64> {
        self.run(inputs, wanted)?;
        Ok(self.nanoseconds as f64 * 1e-9)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.to.flush();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
