//! One tensor's line: which form it is of, and where its words stand.

use std::sync::Arc;

use weighbridge_model::{DType, Error, Result, Tensor, element_count};

use super::words::{Places, Words};
use crate::source::Source;

/// Bytes of a line that are looked at for what comes before its words.
const HEAD: u64 = 1 << 16;
/// Most bytes of white space between lines.
const GAP: u64 = 1 << 20;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `name count word…`
    Tensorrtx,
    /// `name type count word…`
    Nvidia,
    /// `name 0 (shape) bytes`
    Wts2,
}

impl Form {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Form::Tensorrtx => "name and count",
            Form::Nvidia => "name, type and count (NVIDIA's samples)",
            Form::Wts2 => "shapes and raw bytes (wts2)",
        }
    }
}

/// What stands before the words: up to three tokens, and where each ends.
pub struct Head {
    /// Where the line begins.
    pub start: u64,
    name: String,
    /// Texts of the second and third token, with the offset behind each.
    tokens: Vec<(String, u64)>,
}

impl Head {
    /// The beginning of the next line that is not empty; `None` at the end of the file.
    pub fn next(source: &Source, at: u64) -> Result<Option<Head>> {
        let mut start = at;
        loop {
            let gap = source.prefix(start, HEAD)?;
            if gap.is_empty() {
                return Ok(None);
            }
            match gap.iter().position(|b| !b.is_ascii_whitespace()) {
                Some(n) => {
                    start += n as u64;
                    break;
                }
                None => start += gap.len() as u64,
            }
            if start - at > GAP {
                return Err(Error::malformed(source.place(at), "a megabyte of white space and more"));
            }
        }
        let window = source.prefix(start, HEAD)?;
        let line = window.iter().position(|&b| b == b'\n').map_or(&window[..], |n| &window[..n]);
        let mut texts = Vec::new();
        let mut position = 0;
        while texts.len() < 3 {
            let Some(begin) = line[position..].iter().position(|b| !b.is_ascii_whitespace()) else { break };
            let begin = position + begin;
            let len = line[begin..].iter().position(u8::is_ascii_whitespace).unwrap_or(line.len() - begin);
            position = begin + len;
            texts.push((
                String::from_utf8_lossy(&line[begin..position]).into_owned(),
                start + position as u64,
            ));
        }
        let mut tokens = texts.into_iter();
        let (name, _) = tokens.next().unwrap_or_default();
        Ok(Some(Head { start, name, tokens: tokens.collect() }))
    }

    fn number(&self, token: usize) -> Option<u64> {
        let text = &self.tokens.get(token)?.0;
        let is_plain = text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| is_plain)
    }

    fn behind(&self, token: usize) -> u64 {
        self.tokens[token].1
    }
}

/// A tensor's line.
pub struct Line {
    /// Its form.
    pub form: Form,
    /// Its tensor.
    pub tensor: Tensor,
    /// Where the next one may begin.
    pub end: u64,
}

impl Line {
    /// Reads a line in the form of those before it, or in the one that fits.
    pub fn read(source: &Source, head: &Head, form: Option<Form>, number: usize) -> Result<Line> {
        let place = || source.place(head.start).tensor(&head.name);
        let first = head.number(0).ok_or_else(|| {
            Error::malformed(place(), format!("line {} has no count behind the name", number + 2))
        })?;
        if head.tokens.get(1).is_some_and(|(text, _)| text.starts_with('('))
            && form.is_none_or(|f| f == Form::Wts2)
        {
            return raw(source, head);
        }
        let plain = || words(source, head, DType::F32, head.behind(0), first);
        if form == Some(Form::Tensorrtx) {
            return Ok(Line { form: Form::Tensorrtx, ..plain()? });
        }
        let typed = || {
            let dtype = match first {
                0 => DType::F32,
                1 => DType::F16,
                other => {
                    let what = format!("words of type {other}; 0 (F32) and 1 (F16) are known");
                    return Err(Error::unsupported(place(), what));
                }
            };
            let count = head
                .number(1)
                .ok_or_else(|| Error::malformed(place(), "there is no count behind the type"))?;
            Ok(Line { form: Form::Nvidia, ..words(source, head, dtype, head.behind(1), count)? })
        };
        if form == Some(Form::Nvidia) {
            return typed();
        }
        // The first line: the form whose count fits is meant.
        match plain() {
            Ok(line) => Ok(Line { form: Form::Tensorrtx, ..line }),
            Err(error) => typed().map_err(|_| error),
        }
    }
}

fn words(source: &Source, head: &Head, dtype: DType, at: u64, count: u64) -> Result<Line> {
    let place = source.place(head.start).tensor(&head.name);
    // A word has a digit and a space at least.
    if count > (source.len() - at) / 2 + 1 {
        let what = format!("{count} words, and the file has {} bytes left", source.len() - at);
        return Err(Error::malformed(place, what));
    }
    let places = Places::find(source, at, count).map_err(|e| e.in_tensor(&head.name))?;
    let end = places.end();
    let storage = Arc::new(Words::new(source.clone(), dtype, count, places));
    let tensor = Tensor::contiguous(&head.name, dtype, vec![count], storage, &source.place(head.start))?;
    Ok(Line { form: Form::Tensorrtx, tensor, end })
}

/// `name 0 (shape) bytes`.
fn raw(source: &Source, head: &Head) -> Result<Line> {
    let place = || source.place(head.start).tensor(&head.name);
    let window = source.prefix(head.behind(0), HEAD)?;
    let open = window.iter().position(|&b| b == b'(').unwrap_or(0);
    let close = window.iter().position(|&b| b == b')').filter(|&close| close > open);
    let close = close.ok_or_else(|| Error::malformed(place(), "a shape without its closing parenthesis"))?;
    let text = String::from_utf8_lossy(&window[open + 1..close]);
    let sizes = text.split([',', ' ']).filter(|size| !size.is_empty());
    let shape: Option<Vec<u64>> = sizes.map(|size| size.trim_end_matches('L').parse().ok()).collect();
    let bytes = shape.as_ref().and_then(|shape| element_count(shape)).and_then(|n| n.checked_mul(4));
    let (Some(shape), Some(bytes)) = (shape, bytes) else {
        return Err(Error::malformed(place(), format!("({text}) is no shape")));
    };
    if head.number(0) != Some(0) {
        return Err(Error::unsupported(place(), "raw values of another type than 0 (F32)"));
    }
    let at = head.behind(0) + close as u64 + 2;
    let storage = source.storage(at.min(source.len()), bytes)?;
    let tensor = Tensor::contiguous(&head.name, DType::F32, shape, storage, &source.place(at))?;
    Ok(Line { form: Form::Wts2, tensor, end: at + bytes })
}
