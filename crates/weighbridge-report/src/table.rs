//! Tables that fit the width: the flexible column gives way, with an ellipsis in its middle.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::style::{STRONG, paint};

/// A cell: text and how it looks.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in this style.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Cell { text: clean(&text.into()), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::styled(text, Style::new())
    }
}

/// Control characters (terminal escapes among them), and those that turn the direction of writing or end a line.
pub fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text from a file, safe to print: characters that [`is_unsafe`] are replaced.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect()
}

/// As [`clean`], with line ends kept.
pub fn clean_lines(text: &str) -> String {
    text.split_inclusive('\n').map(|l| l.strip_suffix('\n').map_or(clean(l), |l| clean(l) + "\n")).collect()
}

/// The first column gives way down to this width.
const MIN_FIRST: usize = 12;

/// A table under construction.
#[derive(Debug, Clone)]
pub struct Table {
    header: Vec<(&'static str, bool)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns: heading, and whether it is aligned right.
    pub fn new(header: &[(&'static str, bool)]) -> Self {
        Table { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, mut cells: Vec<Cell>) {
        cells.resize_with(self.header.len(), Cell::default);
        self.rows.push(cells);
    }

    /// The lines, none longer than `width` where the first column can give way to that.
    pub fn render(&self, width: usize) -> String {
        let mut widths: Vec<usize> = self.header.iter().map(|(h, _)| h.width()).collect();
        for row in &self.rows {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(cell.text.width());
            }
        }
        let total: usize = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        if total > width
            && let Some(first) = widths.first_mut()
        {
            *first = first.saturating_sub(total - width).max(MIN_FIRST.min(*first));
        }
        let mut out = String::new();
        let header: Vec<Cell> = self.header.iter().map(|(h, _)| Cell::styled(*h, STRONG)).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for (i, cell) in row.iter().enumerate() {
                let text = shorten(&cell.text, widths[i]);
                let pad = " ".repeat(widths[i] - text.width());
                let painted = if cell.style == Style::new() { text } else { paint(cell.style, &text) };
                if i > 0 {
                    line.push_str("  ");
                }
                if self.header[i].1 {
                    line += &pad;
                    line += &painted;
                } else {
                    line += &painted;
                    line += &pad;
                }
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }
}

/// At most `width` columns of the text, the middle left out where it is longer.
pub fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(1);
    let tail_width = keep * 2 / 3;
    let take = |chars: &mut dyn Iterator<Item = char>, limit: usize| {
        let mut used = 0;
        chars
            .take_while(|c| {
                used += c.width().unwrap_or(0);
                used <= limit
            })
            .collect::<Vec<char>>()
    };
    let head: String = take(&mut text.chars(), keep - tail_width).into_iter().collect();
    let tail: String = take(&mut text.chars().rev(), tail_width).into_iter().rev().collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_column_gives_way_and_no_line_is_too_long() {
        let mut table = Table::new(&[("name", false), ("bytes", true)]);
        table.row(vec!["a.very.long.tensor.name.that.does.not.fit".into(), "123".into()]);
        let text = table.render(30);
        // The heading carries escapes of its own.
        assert!(text.lines().skip(1).all(|l| l.width() <= 30), "{text}");
        assert!(text.contains('…') && text.contains("123"));
    }

    #[test]
    fn terminal_escapes_in_names_are_not_passed_on() {
        assert_eq!(clean("a\u{1b}[31mb"), "a\u{fffd}[31mb");
        assert_eq!(clean("a\u{202e}b"), "a\u{fffd}b");
    }
}
