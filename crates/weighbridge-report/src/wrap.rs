//! Sentences broken into lines of a width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The lines of `text`, none wider than `width`: the first begins after `first` columns that are taken already, all others
/// after `indent` blanks, which they have. Words that no line holds are cut.
pub fn lines(text: &str, first: usize, indent: usize, width: usize) -> Vec<String> {
    let width = width.max(indent + 8);
    let mut lines = vec![String::new()];
    let mut used = first;
    let mut empty = true;
    for word in text.split_whitespace() {
        let fits = used + usize::from(!empty) + word.width() <= width;
        if !fits && (!empty || used > indent) {
            lines.push(" ".repeat(indent));
            (used, empty) = (indent, true);
        }
        if !empty {
            push(&mut lines, " ");
            used += 1;
        }
        empty = false;
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > width {
                lines.push(" ".repeat(indent));
                used = indent;
            }
            push(&mut lines, c.encode_utf8(&mut [0; 4]));
            used += wide;
        }
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_and_no_word_is_lost() {
        let text =
            "rounding leaves 12.5 dB of /features/features.18/features.18.0/Conv_output_0 and little else";
        for width in [20, 40, 60, 80] {
            let lines = lines(text, 10, 4, width);
            assert!(lines.iter().skip(1).all(|line| line.width() <= width && line.starts_with("    ")));
            assert!(lines[0].width() + 10 <= width);
            let joined: String = lines.concat().split_whitespace().collect();
            assert_eq!(joined, text.split_whitespace().collect::<String>());
        }
    }
}
