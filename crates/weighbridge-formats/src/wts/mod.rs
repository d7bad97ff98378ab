//! TensorRT's `.wts`: weights as text, in the forms that people's scripts write.
//!
//! | form | a line |
//! |---|---|
//! | tensorrtx, the usual one | `name count word word …`: each word an F32 in hexadecimal, big-endian |
//! | of NVIDIA's samples | `name type count word word …`: type 0 is F32, type 1 F16; words without leading zeros |
//! | wts2 | `name 0 (shape) bytes`: little-endian F32 as they are |
//!
//! The first line is the number of tensors. White space is what stands between words, and there may be more of it. A
//! file tells no shapes (but wts2) and no types beyond these.
//!
//! Source of the facts: NVIDIA's sample scripts and the tensorrtx project's tutorials, as their files are.

mod lines;
mod words;
mod write;

use weighbridge_model::{Error, Finding, Model, Result, Severity};

use crate::format::{Confidence, ReadOptions};
use crate::source::Source;
use lines::{Head, Line};

pub use write::write;

/// Digits of the number of tensors.
const MAX_DIGITS: usize = 10;

/// Looks for a line with a number, and a first tensor behind it.
///
/// # Errors
/// A failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    let head = source.prefix(0, 4096)?;
    let Some((_, rest)) = count_line(&head) else { return Ok(None) };
    let line = head[rest..].split(|&b| b == b'\n').find(|line| !line.trim_ascii().is_empty());
    let mut tokens = line.unwrap_or_default().split(u8::is_ascii_whitespace).filter(|t| !t.is_empty());
    let is_number = |t: Option<&[u8]>| t.is_some_and(|t| t.iter().all(u8::is_ascii_digit));
    Ok((tokens.next().is_some() && is_number(tokens.next())).then_some(Confidence::Likely))
}

/// Reads the file: names and places of words; no word itself.
///
/// # Errors
/// Fewer tensors than the file says, lines of no known form.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    let head = source.prefix(0, 64)?;
    let fault = |at, what: String| Error::malformed(source.place(at), what);
    let (count, begin) =
        count_line(&head).ok_or_else(|| fault(0, "the first line is no number of tensors".to_owned()))?;
    if count > options.limits.items {
        let (asked, allowed) = (count, options.limits.items);
        return Err(Error::Limit { place: source.place(0), what: "tensors", asked, allowed });
    }
    let mut model = Model::default();
    let mut form = None;
    let mut at = begin as u64;
    while let Some(head) = Head::next(source, at)? {
        if model.tensors.len() as u64 == count {
            let help = "loaders stop at the number in the first line; correct it if the tensors are wanted";
            let message = format!("more tensors than the {count} that the first line says");
            model.findings.push(Finding::new("F130", Severity::Warning, message, help));
            break;
        }
        let line = Line::read(source, &head, form, model.tensors.len())?;
        form = Some(line.form);
        at = line.end;
        model.push(line.tensor);
    }
    if (model.tensors.len() as u64) < count {
        let what = format!("the first line says {count} tensors, and there are {}", model.tensors.len());
        return Err(fault(source.len(), what));
    }
    model.origin = form.map_or("TensorRT .wts".into(), |form| format!("TensorRT .wts, {}", form.name()));
    Ok(model)
}

/// The number in the first line, and where the next line begins.
fn count_line(head: &[u8]) -> Option<(u64, usize)> {
    let start = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let end = head.iter().position(|&b| b == b'\n').unwrap_or(head.len());
    let digits = head.get(start..end)?.trim_ascii();
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, (end + 1).min(head.len())))
}

#[cfg(test)]
mod tests;
