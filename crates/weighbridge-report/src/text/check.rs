//! `weigh check` for a terminal.

use weighbridge_judge::Verdict;
use weighbridge_judge::check::{Checked, Judged};
use weighbridge_model::{Model, Severity};

use crate::style::{BAD, FAINT, GOOD, STRONG, WARN, paint};
use crate::table::clean;
use crate::units::plural;
use crate::wrap;

/// Findings of one code that are shown.
const SHOWN: usize = 12;
/// Blanks before all lines of a finding but its first.
const INDENT: usize = 8;

/// The findings, most severe first, then what was judged.
pub fn page(file: &str, model: &Model, checked: &Checked, judged: Option<&[Judged]>, width: usize) -> String {
    let mut out = format!("{}  {}\n\n", paint(STRONG, &clean(file)), clean(&model.origin));
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for finding in &checked.findings {
        let seen = counts.entry(finding.code).or_default();
        *seen += 1;
        if *seen > SHOWN {
            continue;
        }
        let style = match finding.severity {
            Severity::Error => BAD,
            Severity::Warning => WARN,
            Severity::Info => FAINT,
        };
        let places = [&finding.tensor, &finding.node].into_iter().flatten().filter(|name| !name.is_empty());
        let mut subject: Vec<&str> = places.map(String::as_str).collect();
        subject.dedup();
        let subject = if subject.is_empty() { String::new() } else { format!("{}: ", subject.join(", ")) };
        let head = format!("{:<7} {}", finding.severity.as_str(), finding.code);
        let told = format!("{}{}", clean(&subject), clean(&finding.message));
        let lines = wrap::lines(&told, head.len() + 1, INDENT, width);
        out += &format!("{} {}\n", paint(style, &head), lines.join("\n"));
        if *seen == 1 {
            out += &wrapped(&finding.help, width);
        }
    }
    for (code, n) in counts.iter().filter(|(_, n)| **n > SHOWN) {
        out += &format!("{} more of {code} (--json lists all)\n", *n - SHOWN);
    }
    if !checked.findings.is_empty() {
        out.push('\n');
    }
    let mut targets: Vec<&str> = checked.precision.iter().map(|row| row.target).collect();
    targets.sort_unstable();
    targets.dedup();
    for target in targets {
        let rows = || checked.precision.iter().filter(|row| row.target == target);
        let of = |verdict| rows().filter(|row| row.channel.is_none() && row.verdict == verdict).count();
        let channels = |verdict| rows().filter(|row| row.channel.is_some() && row.verdict == verdict).count();
        let folded = rows().filter(|row| row.channel.is_none() && row.folded.is_some()).count();
        let told = format!(
            "{target}: {}, {folded} of them after folding: {} fine, {} to watch, {} unsafe; output channels: {} to watch, \
             {} unsafe",
            plural(rows().filter(|row| row.channel.is_none()).count() as u64, "tensor"),
            of(Verdict::Fine),
            of(Verdict::Watch),
            of(Verdict::Unsafe),
            channels(Verdict::Watch),
            channels(Verdict::Unsafe),
        );
        let style = if of(Verdict::Unsafe) > 0 { BAD } else { GOOD };
        for line in wrap::lines(&told, 0, INDENT, width) {
            out += &format!("{}\n", paint(style, &line));
        }
    }
    if let Some(judged) = judged {
        let bad = judged.iter().filter(|row| row.verdict == Verdict::Unsafe).count();
        out += &format!("activations: {} looked at, {bad} unsafe\n", judged.len());
    }
    out
}

/// What to do, below the finding.
fn wrapped(help: &str, width: usize) -> String {
    let blanks = " ".repeat(INDENT);
    let lines = wrap::lines(help, INDENT, INDENT, width);
    let whole =
        lines.iter().enumerate().map(|(i, l)| if i == 0 { format!("{blanks}{l}") } else { l.clone() });
    whole.map(|line| format!("{}\n", paint(FAINT, &line))).collect()
}
