//! The whole model's magnitudes as bars by exponent, with FP16's limits marked.

use std::collections::BTreeMap;

use weighbridge_model::Role;

use super::Report;
use crate::style::{BAD, DRAW, FAINT, WARN, paint};

const HEIGHT: usize = 6;
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Exponents where FP16 changes: below -24 (and half of it) values vanish, below -14 they are subnormal,
/// above 15 they overflow.
const VANISH: i32 = -25;
const SUBNORMAL: i32 = -14;
const OVERFLOW: i32 = 16;

pub(super) fn picture(report: &Report<'_>, width: usize) -> Option<String> {
    let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
    for tensor in &report.model.tensors {
        let weights = matches!(tensor.role, Role::Parameter | Role::Buffer) && tensor.dtype.is_float();
        if !weights || !tensor.in_state_dict {
            continue;
        }
        if let Some(h) = report.measured[tensor.id.0 as usize].as_ref().and_then(|m| m.histogram.as_ref()) {
            for (e, n) in h.exponents() {
                *counts.entry(e).or_default() += n;
            }
        }
    }
    let (&low, _) = counts.first_key_value()?;
    let (&high, _) = counts.last_key_value()?;
    let (low, high) = (low.min(VANISH - 2), high.max(OVERFLOW + 1));
    let columns = (high - low + 1) as usize;
    // Two characters a column where they fit; several exponents a column where they do not.
    let room = width.saturating_sub(4).max(20);
    let wide = if columns * 2 <= room { 2 } else { 1 };
    let step = columns.div_ceil(room).max(1) as i32;
    let bars: Vec<(i32, u64)> = (low..=high)
        .step_by(step as usize)
        .map(|e| (e, counts.range(e..e + step).map(|(_, n)| n).sum()))
        .collect();
    let top = bars.iter().map(|b| b.1).max().unwrap_or(1).max(1);
    let heights: Vec<usize> = bars.iter().map(|&(_, n)| height(n, top)).collect();
    let mut out = String::new();
    for level in (0..HEIGHT).rev() {
        let mut line = String::from("  ");
        for (&(e, _), &height) in bars.iter().zip(&heights) {
            let c = EIGHTHS[height.saturating_sub(level * 8).min(8)];
            let style = match e {
                e if !(VANISH..OVERFLOW).contains(&e) => BAD,
                e if e < SUBNORMAL => WARN,
                _ => DRAW,
            };
            let bar = c.to_string().repeat(wide);
            line += &if c == ' ' { bar } else { paint(style, &bar) };
        }
        out += line.trim_end();
        out.push('\n');
    }
    out += &axis(&bars, wide, step);
    let total: u64 = counts.values().sum();
    let of = |range: std::ops::Range<i32>| -> u64 { counts.range(range).map(|(_, n)| n).sum() };
    let share = |n: u64| match n {
        0 => "0".to_owned(),
        n => format!("{n} ({:.2} %)", n as f64 * 100.0 / total.max(1) as f64),
    };
    out += &paint(
        FAINT,
        &format!(
            "  bars on a log scale; ┊ marks f16's limits\n  vanish below 2^-25: {}; subnormal below 2^-14: {}; overflow from 2^16: {}\n",
            share(of(i32::MIN..VANISH)),
            share(of(VANISH..SUBNORMAL)),
            share(of(OVERFLOW..i32::MAX)),
        ),
    );
    Some(out)
}

/// Eighths of a line; one value is seen beside billions.
fn height(n: u64, top: u64) -> usize {
    if n == 0 {
        return 0;
    }
    let full = (HEIGHT * 8) as f64;
    let ratio = (n as f64).ln_1p() / (top as f64).ln_1p();
    (ratio * full).round().max(1.0) as usize
}

fn axis(bars: &[(i32, u64)], wide: usize, step: i32) -> String {
    let len = bars.len() * wide;
    let mut line: Vec<char> = vec!['─'; len];
    let mut labels: Vec<char> = vec![' '; len + 8];
    for (mark, label) in [(VANISH, "2^-25"), (SUBNORMAL, "2^-14"), (0, "1"), (OVERFLOW, "65504")] {
        let Some(i) = bars.iter().position(|&(e, _)| (e..e + step).contains(&mark)) else { continue };
        line[i * wide] = if mark == 0 { '┬' } else { '┊' };
        let at = i * wide;
        let end = (at + label.len() + 1).min(labels.len());
        if labels[at.saturating_sub(1)..end].iter().all(|&c| c == ' ') {
            for (slot, c) in labels[at..].iter_mut().zip(label.chars()) {
                *slot = c;
            }
        }
    }
    let text = |chars: Vec<char>| chars.into_iter().collect::<String>();
    format!("  {}\n  {}\n", text(line), text(labels).trim_end())
}
