//! Data to stdout, talk to stderr; both strip colour where it is not wanted.

use std::io::Write;

use weighbridge_model::{Error, Finding, Result, Severity};
use weighbridge_report::style::{BAD, FAINT, STRONG, WARN, paint};
use weighbridge_report::table::clean;

/// Columns to draw in: `COLUMNS`, the terminal's, or 100 where neither is known.
pub fn width() -> usize {
    let terminal = terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
    let asked = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    asked.or(terminal).unwrap_or(100).clamp(40, 400)
}

/// Writes data. A reader that went away (`| head`) is no failure.
pub fn data(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| Error::io("stdout", e)),
    }
}

/// Writes a JSON document, one line.
pub fn json(document: serde_json::Map<String, serde_json::Value>) -> Result<()> {
    let mut text = serde_json::Value::Object(document).to_string();
    text.push('\n');
    data(&text)
}

/// Writes a line of talk.
pub fn note(text: &str) {
    anstream::eprintln!("{}", paint(FAINT, &clean(text)));
}

/// Writes what a reader noticed.
pub fn findings(findings: &[Finding]) {
    for finding in findings {
        let style = if finding.severity == Severity::Info { FAINT } else { WARN };
        let head = paint(style, &format!("{} {}", finding.severity.as_str(), finding.code));
        anstream::eprintln!("{head}: {}\n  help: {}", clean(&finding.message), clean(&finding.help));
    }
}

/// Writes a failure.
pub fn error(error: &Error) {
    let message = error.to_string();
    let lines: Vec<String> = message.lines().map(clean).collect();
    anstream::eprintln!("{}{} {}", paint(BAD, "error"), paint(STRONG, ":"), lines.join("\n"));
}
