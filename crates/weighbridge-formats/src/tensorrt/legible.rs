//! What an engine says in plain text: its compiler's account of targets, inputs, outputs and layers.

use std::collections::HashSet;

use weighbridge_model::{Result, Value};

use super::header::Header;
use crate::source::Source;

/// Bytes of the engine that are looked through.
const LOOKED_AT: u64 = 4 << 20;
/// Most words that are kept of a kind.
const KEPT: usize = 4096;
/// Longest word.
const LONGEST: usize = 512;

/// What is found, by name; nothing where there is no such text.
pub(super) fn facts(source: &Source, header: &Header) -> Result<Vec<(&'static str, Value)>> {
    let text = source.prefix(header.at, header.len.min(LOOKED_AT))?;
    let mut facts = Vec::new();
    let mut add = |key, words: Vec<String>| {
        if !words.is_empty() {
            facts.push((key, Value::List(words.into_iter().map(Value::Str).collect())));
        }
    };
    add("targets", listed(&text, b"accelerators={"));
    add("inputs", listed(&text, b"\n  inputs={"));
    add("outputs", listed(&text, b"\n  outputs={"));
    add("onnx layers", layers(&text));
    Ok(facts)
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    // The first letter is searched for on its own, which is fast.
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|&b| b == word[0]) {
        if text[from + at..].starts_with(word) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Words in the order in which they came, each once.
#[derive(Default)]
struct Words {
    kept: Vec<String>,
    seen: HashSet<String>,
}

impl Words {
    fn add(&mut self, word: &[u8]) {
        let is_plain =
            !word.is_empty() && word.len() <= LONGEST && word.iter().all(|b| (32..127).contains(b));
        if is_plain && self.kept.len() < KEPT {
            let word = String::from_utf8_lossy(word).into_owned();
            if self.seen.insert(word.clone()) {
                self.kept.push(word);
            }
        }
    }
}

/// The words of every list that begins so, each once: `{ sm80 sm89 }`, `{ "x" "y" }`.
fn listed(text: &[u8], begin: &[u8]) -> Vec<String> {
    let mut words = Words::default();
    let mut rest = text;
    while let Some(at) = find(rest, begin) {
        rest = &rest[at + begin.len()..];
        let Some(end) = rest.iter().position(|&b| b == b'}') else { break };
        for word in rest[..end].split(|&b| b == b' ') {
            words.add(word.strip_prefix(b"\"").and_then(|w| w.strip_suffix(b"\"")).unwrap_or(word));
        }
        rest = &rest[end..];
    }
    words.kept
}

/// Names of the ONNX layers that became part of the engine, in the order in which it tells them, each once.
fn layers(text: &[u8]) -> Vec<String> {
    let begin = b"[ONNX Layer: ";
    let mut names = Words::default();
    let mut rest = text;
    while let Some(at) = find(rest, begin) {
        rest = &rest[at + begin.len()..];
        if let Some(end) = rest.iter().take(LONGEST).position(|&b| b == b']') {
            names.add(&rest[..end]);
        }
    }
    names.kept
}
