//! Data to stdout, talk to stderr; both strip colour where it is not wanted.

use std::io::Write;

use weighbridge_model::{Error, Finding, Result, Severity};
use weighbridge_report::style::{BAD, FAINT, STRONG, WARN, paint};
use weighbridge_report::table::{clean, is_unsafe};

/// What comes before the help in an error's text.
const HELP: &str = "\n  help: ";

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

/// Writes a JSON document, one line. Characters that a terminal would obey are escaped: outside of strings JSON
/// has none.
pub fn json(document: serde_json::Map<String, serde_json::Value>) -> Result<()> {
    let mut text = serde_json::Value::Object(document).to_string();
    if text.contains(is_unsafe) {
        text = text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                c if is_unsafe(c) => out += &format!("\\u{:04x}", u32::from(c)),
                c => out.push(c),
            }
            out
        });
    }
    text.push('\n');
    data(&text)
}

/// Writes a line of talk.
pub fn note(text: &str) {
    anstream::eprintln!("{}", paint(FAINT, &with_help(text)));
}

/// Writes what a reader noticed.
pub fn findings(findings: &[Finding]) {
    for finding in findings {
        let style = if finding.severity == Severity::Info { FAINT } else { WARN };
        let head = paint(style, &format!("{} {}", finding.severity.as_str(), finding.code));
        let subject = finding.tensor.as_ref().or(finding.node.as_ref()).map(|s| format!("{s}: "));
        let message = subject.unwrap_or_default() + &finding.message;
        anstream::eprintln!("{head}: {}\n  help: {}", clean(&message), clean(&finding.help));
    }
}

/// Writes a failure.
pub fn error(error: &Error) {
    let head = format!("{}{}", paint(BAD, "error"), paint(STRONG, ":"));
    if let Error::Refused { what, reasons, help } = error {
        anstream::eprintln!("{head} {}", clean(what));
        for (tensor, why) in reasons {
            anstream::eprintln!("  {}: {}", clean(tensor), clean(why));
        }
        help.iter().for_each(|help| anstream::eprintln!("  help: {}", clean(help)));
        return;
    }
    anstream::eprintln!("{head} {}", with_help(&error.to_string()));
}

/// A text in which only the help has a line of its own: a name with line ends in it stays within its line.
fn with_help(text: &str) -> String {
    match text.rsplit_once(HELP) {
        Some((what, help)) => format!("{}{HELP}{}", clean(what), clean(help)),
        None => clean(text).to_string(),
    }
}
