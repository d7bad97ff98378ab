//! Words of the text format of protocol buffers.

use weighbridge_model::{Error, Result, Value};

use crate::source::Source;

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, or one of an enumeration's values.
    Name(String),
    /// A whole or floating-point number, without its sign.
    Number(Value),
    /// One string, escapes resolved.
    Text(Vec<u8>),
    /// One of `{}<>[]:,;-`.
    Mark(u8),
}

/// Goes through text word by word.
pub(super) struct Lexer<'a> {
    source: &'a Source,
    bytes: &'a [u8],
    at: usize,
    /// Where the last word began.
    pub(super) start: usize,
}

impl<'a> Lexer<'a> {
    /// From the first word on; a byte order mark is stepped over.
    pub(super) fn new(source: &'a Source, bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Lexer { source, bytes, at, start: at }
    }

    /// An error at the last word, with its line and column, both counted from one, columns in characters.
    pub(super) fn fault(&self, what: impl std::fmt::Display) -> Error {
        let before = &self.bytes[..self.start.min(self.bytes.len())];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        let begun = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let column = 1 + String::from_utf8_lossy(&before[begun..]).chars().count();
        Error::malformed(self.source.place(self.start as u64), format!("line {line}, column {column}: {what}"))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&b| !keep(b)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn skip_blank(&mut self) {
        loop {
            self.take_while(|b| b.is_ascii_whitespace() || b == 0x0b);
            if self.peek() != Some(b'#') {
                return;
            }
            self.take_while(|b| b != b'\n');
        }
    }

    /// The next word; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>> {
        self.skip_blank();
        self.start = self.at;
        let Some(byte) = self.peek() else { return Ok(None) };
        Ok(Some(match byte {
            b'{' | b'}' | b'<' | b'>' | b'[' | b']' | b':' | b',' | b';' | b'-' => {
                self.at += 1;
                Token::Mark(byte)
            }
            b'"' | b'\'' => Token::Text(self.text(byte)?),
            b'0'..=b'9' | b'.' => self.number()?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let name = self.take_while(|b| b.is_ascii_alphanumeric() || b == b'_');
                Token::Name(String::from_utf8_lossy(name).into_owned())
            }
            other => return Err(self.fault(format!("'{}' begins no word", other.escape_ascii()))),
        }))
    }

    /// What stands between brackets as a name: that of an extension, or a type's address.
    pub(super) fn extension(&mut self) -> Result<String> {
        let name = self.take_while(|b| b != b']' && b != b'\n' && b != b'{');
        if self.peek() != Some(b']') {
            return Err(self.fault("a bracket that is not closed"));
        }
        self.at += 1;
        Ok(format!("[{}]", String::from_utf8_lossy(name).trim()))
    }

    fn number(&mut self) -> Result<Token> {
        let rest = &self.bytes[self.at..];
        let whole = |digits: &[u8], radix: u32| {
            let text = std::str::from_utf8(digits).unwrap_or_default();
            match (i64::from_str_radix(text, radix), u64::from_str_radix(text, radix)) {
                (Ok(n), _) => Some(Value::Int(n)),
                (_, Ok(n)) => Some(Value::BigInt(n.to_string())),
                _ => None,
            }
        };
        if rest.len() > 2 && rest[0] == b'0' && matches!(rest[1], b'x' | b'X') {
            self.at += 2;
            let digits = self.take_while(|b| b.is_ascii_alphanumeric());
            return whole(digits, 16)
                .map(Token::Number)
                .ok_or_else(|| self.fault("no hexadecimal number of 64 bits"));
        }
        // A sign belongs to a number only behind its exponent's `e`.
        let mut len = 0;
        while let Some(&byte) = rest.get(len) {
            let sign = matches!(byte, b'+' | b'-') && matches!(rest[len - 1], b'e' | b'E');
            if !(byte.is_ascii_alphanumeric() || byte == b'.' || len > 0 && sign) {
                break;
            }
            len += 1;
        }
        self.at += len;
        let word = &rest[..len];
        let all_digits = word.iter().all(u8::is_ascii_digit);
        if all_digits && word.len() > 1 && word[0] == b'0' {
            return whole(word, 8).map(Token::Number).ok_or_else(|| self.fault("no octal number of 64 bits"));
        }
        if all_digits && let Some(number) = whole(word, 10) {
            return Ok(Token::Number(number));
        }
        let text = std::str::from_utf8(word).unwrap_or_default();
        let text = text.strip_suffix(['f', 'F']).unwrap_or(text);
        match text.parse::<f64>() {
            Ok(x) => Ok(Token::Number(Value::Float(x))),
            Err(_) => Err(self.fault(format!("'{}' is no number", word.escape_ascii()))),
        }
    }

    fn text(&mut self, quote: u8) -> Result<Vec<u8>> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            text.extend_from_slice(self.take_while(|b| b != quote && b != b'\\' && b != b'\n'));
            match self.peek() {
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut text)?;
                }
                Some(b) if b == quote => {
                    self.at += 1;
                    return Ok(text);
                }
                _ => return Err(self.fault("a string that is not closed on its line")),
            }
        }
    }

    /// The digits of a radix at hand, `most` of them at most.
    fn digits(&mut self, radix: u32, most: usize) -> Option<u32> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().take(most).take_while(|&&b| char::from(b).is_digit(radix)).count();
        let digits = std::str::from_utf8(&rest[..len]).ok()?;
        self.at += len;
        u32::from_str_radix(digits, radix).ok()
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<()> {
        let Some(byte) = self.peek() else { return Err(self.fault("a string that ends within an escape")) };
        if byte.is_ascii_digit() {
            let code = self.digits(8, 3).ok_or_else(|| self.fault("an escape that is no octal number"))?;
            text.push(code as u8);
            return Ok(());
        }
        self.at += 1;
        let unicode = |code: Option<u32>| code.and_then(char::from_u32);
        match byte {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'a' => text.push(7),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'v' => text.push(11),
            b'\\' | b'\'' | b'"' | b'?' => text.push(byte),
            b'x' | b'X' => {
                let code = self
                    .digits(16, 2)
                    .ok_or_else(|| self.fault("an escape that is no hexadecimal number"))?;
                text.push(code as u8);
            }
            b'u' | b'U' => {
                let code = self.digits(16, if byte == b'u' { 4 } else { 8 });
                let found = unicode(code).ok_or_else(|| self.fault("an escape that is no character"))?;
                text.extend(found.to_string().bytes());
            }
            other => return Err(self.fault(format!("the escape \\{} is not known", other.escape_ascii()))),
        }
        Ok(())
    }
}
