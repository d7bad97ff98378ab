//! The few colours there are. Whether they reach the terminal is decided by the writer (NO_COLOR, pipes).

use anstyle::{AnsiColor, Style};

/// Headings and names that matter.
pub const STRONG: Style = Style::new().bold();
/// What may be skipped.
pub const FAINT: Style = Style::new().dimmed();
/// Fine.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Look at it.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Broken.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Pictures.
pub const DRAW: Style = AnsiColor::Cyan.on_default();

/// The text in this style.
pub fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
