//! The text format of protocol buffers, without a schema: names, values and messages as they stand.
//!
//! | | |
//! |---|---|
//! | field | `name: value`, `name { … }`, `name: < … >`, then perhaps `,` or `;` |
//! | list | `name: [value, …]`, the same as the field as many times |
//! | number | decimal, `0x1C`, `0764` (octal), `1.`, `.5`, `1e-3f`, `inf`, `nan`; perhaps `-` before |
//! | string | in either quotes, with C's escapes; neighbours are one |
//! | comment | `#` to the end of the line |

mod lexer;

use weighbridge_model::{Error, Result, Value};

use super::settings::{Budget, Settings};
use crate::source::Source;
use lexer::{Lexer, Token};

/// Largest text that is read; a net of a thousand layers takes half a megabyte.
const LARGEST: u64 = 16 << 20;

/// Deepest nesting; nets have five.
const DEPTH: usize = 64;

/// Reads a text message: its fields by name in order, repeated ones as lists.
///
/// # Errors
/// Where it is no text format, with the line.
pub(super) fn read(source: &Source) -> Result<Vec<(String, Value)>> {
    if source.len() > LARGEST {
        let (asked, allowed) = (source.len(), LARGEST);
        return Err(Error::Limit { place: source.place(0), what: "bytes of a text net", asked, allowed });
    }
    let bytes = source.window(0, source.len())?;
    let budget = Budget::of(source.len());
    let mut parser = Parser { lexer: Lexer::new(source, &bytes), ahead: None, budget, source };
    parser.message(None, DEPTH)
}

/// The names of the top-level fields in the first bytes of a text, and for those that are messages the name within
/// that comes first. Ends where the text makes no sense.
pub(super) fn outline(source: &Source, bytes: &[u8], most: usize) -> Vec<(String, Option<String>)> {
    let mut lexer = Lexer::new(source, bytes);
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    let mut depth = 0usize;
    let mut last = None;
    while let Ok(Some(token)) = lexer.next() {
        match &token {
            Token::Mark(b'{' | b'<') => {
                if depth == 0 {
                    match last.take() {
                        Some(Token::Name(name)) => found.push((name, None)),
                        Some(Token::Mark(b':' | b'[' | b',')) => {}
                        _ => break,
                    }
                }
                depth += 1;
            }
            Token::Mark(b'}' | b'>') => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => break,
            },
            Token::Mark(b':') if depth == 0 => match last.take() {
                Some(Token::Name(name)) => found.push((name, None)),
                _ => break,
            },
            Token::Name(name) if depth == 1 => {
                if let Some((_, inner @ None)) = found.last_mut() {
                    *inner = Some(name.clone());
                }
            }
            _ => {}
        }
        if found.len() > most {
            break;
        }
        last = Some(token);
    }
    found
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    budget: Budget,
    source: &'a Source,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<Option<Token>> {
        match self.ahead.take() {
            Some(token) => Ok(Some(token)),
            None => self.lexer.next(),
        }
    }

    /// The next word, if it is this mark.
    fn accept(&mut self, mark: u8) -> Result<bool> {
        let token = self.next()?;
        let is = token == Some(Token::Mark(mark));
        if !is {
            self.ahead = token;
        }
        Ok(is)
    }

    /// Fields up to `end`, or up to the end of the text.
    fn message(&mut self, end: Option<u8>, depth: usize) -> Result<Vec<(String, Value)>> {
        let mut settings = Settings::default();
        loop {
            let name = match (self.next()?, end) {
                (None, None) => return Ok(settings.finish()),
                (None, Some(end)) => {
                    return Err(self
                        .lexer
                        .fault(format!("the text ends where '{}' is missing", char::from(end))));
                }
                (Some(Token::Mark(mark)), Some(end)) if mark == end => return Ok(settings.finish()),
                (Some(Token::Mark(b'[')), _) => self.lexer.extension()?,
                (Some(Token::Name(name)), _) => name,
                // A field's number, as the text of an unknown field has it.
                (Some(Token::Number(Value::Int(number))), _) => format!("field_{number}"),
                (Some(token), _) => {
                    return Err(self.lexer.fault(format!("{} where a field's name belongs", shown(&token))));
                }
            };
            let place = || self.source.place(self.lexer.start as u64);
            self.budget.take(place)?;
            let colon = self.accept(b':')?;
            let value = self.value(colon, depth)?;
            let place = || self.source.place(self.lexer.start as u64);
            settings.add(name, value, &mut self.budget, place)?;
            if !self.accept(b',')? {
                self.accept(b';')?;
            }
        }
    }

    /// A value, a message, or a list of either.
    fn value(&mut self, colon: bool, depth: usize) -> Result<Value> {
        match self.next()? {
            Some(Token::Mark(open @ (b'{' | b'<'))) => {
                let Some(depth) = depth.checked_sub(1) else {
                    let (asked, allowed) = (DEPTH as u64 + 1, DEPTH as u64);
                    let place = self.source.place(self.lexer.start as u64);
                    return Err(Error::Limit { place, what: "messages within messages", asked, allowed });
                };
                let end = if open == b'{' { b'}' } else { b'>' };
                Ok(Value::Map(self.message(Some(end), depth)?))
            }
            Some(Token::Mark(b'[')) => self.list(depth),
            Some(token) if colon => self.scalar(token),
            Some(token) => Err(self.lexer.fault(format!("{} where ':' or '{{' belongs", shown(&token)))),
            None => Err(self.lexer.fault("the text ends where a value belongs")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value> {
        let mut items = Vec::new();
        if self.accept(b']')? {
            return Ok(Value::List(items));
        }
        loop {
            self.budget.take(|| self.source.place(self.lexer.start as u64))?;
            if self.accept(b'[')? {
                return Err(self.lexer.fault("a list within a list"));
            }
            items.push(self.value(true, depth)?);
            if self.accept(b']')? {
                return Ok(Value::List(items));
            }
            if !self.accept(b',')? {
                return Err(self.lexer.fault("a list whose items no comma parts"));
            }
        }
    }

    fn scalar(&mut self, token: Token) -> Result<Value> {
        Ok(match token {
            Token::Text(mut text) => {
                loop {
                    match self.next()? {
                        Some(Token::Text(more)) => text.extend(more),
                        other => {
                            self.ahead = other;
                            break;
                        }
                    }
                }
                Value::Str(String::from_utf8_lossy(&text).into_owned())
            }
            Token::Number(number) => number,
            Token::Name(name) => word(&name, 1.0).unwrap_or(Value::Str(name)),
            Token::Mark(b'-') => match self.next()? {
                Some(Token::Number(Value::Int(n))) => Value::Int(-n),
                Some(Token::Number(Value::Float(x))) => Value::Float(-x),
                Some(Token::Number(Value::BigInt(digits))) => Value::BigInt(format!("-{digits}")),
                Some(Token::Name(name)) => match word(&name, -1.0) {
                    Some(value @ Value::Float(_)) => value,
                    _ => return Err(self.lexer.fault(format!("-{name} is no number"))),
                },
                _ => return Err(self.lexer.fault("a minus sign without a number")),
            },
            other => return Err(self.lexer.fault(format!("{} where a value belongs", shown(&other)))),
        })
    }
}

/// What a word means that is no value of an enumeration.
fn word(name: &str, sign: f64) -> Option<Value> {
    Some(match name.to_ascii_lowercase().as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "inf" | "infinity" | "inff" | "infinityf" => Value::Float(sign * f64::INFINITY),
        "nan" | "nanf" => Value::Float(f64::NAN),
        _ => return None,
    })
}

fn shown(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("'{name}'"),
        Token::Number(_) => "a number".to_owned(),
        Token::Text(_) => "a string".to_owned(),
        Token::Mark(mark) => format!("'{}'", char::from(*mark)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(String, Value)>> {
        read(&Source::memory("net.prototxt", text.as_bytes()))
    }

    fn one(text: &str) -> Value {
        let mut fields = parse(&format!("x: {text}")).unwrap();
        assert_eq!(fields.len(), 1, "{text}");
        fields.pop().unwrap().1
    }

    #[test]
    fn numbers_are_read_in_every_spelling() {
        for (text, value) in [
            ("0x1C", Value::Int(28)),
            ("0764", Value::Int(500)),
            ("0", Value::Int(0)),
            ("- 5", Value::Int(-5)),
            ("18446744073709551615", Value::BigInt("18446744073709551615".to_owned())),
            ("1.", Value::Float(1.0)),
            (".5f", Value::Float(0.5)),
            ("-1e-3", Value::Float(-0.001)),
            ("1E+2F", Value::Float(100.0)),
            ("-inf", Value::Float(f64::NEG_INFINITY)),
            ("true", Value::Bool(true)),
            ("MAX", Value::Str("MAX".to_owned())),
        ] {
            assert_eq!(one(text), value, "{text}");
        }
        assert!(matches!(one("nan"), Value::Float(x) if x.is_nan()));
    }

    #[test]
    fn strings_are_joined_and_unescaped() {
        for (text, value) in [
            (r#"'len' "et""#, "lenet"),
            (r#""\x52e\114U""#, "ReLU"),
            (r#""a\n\t\\\'\"\?b""#, "a\n\t\\'\"?b"),
            (r#""\u00e9\U0001F600""#, "é😀"),
            (r##""no # comment" # one"##, "no # comment"),
            ("\"\\303\\251\"", "é"),
        ] {
            assert_eq!(one(text), Value::Str(value.to_owned()), "{text}");
        }
    }

    #[test]
    fn messages_lists_and_separators() {
        let text = "\u{feff}# first\r\na < b: [1, 2]; b: 3, c { } >\r\nd: { e: 'x' };d { e: 'y' } l: [] 7: 1 [a.b] { x: 1 } m: [{n:1},<n:2>]";
        let fields = parse(text).unwrap();
        let names: Vec<&str> = fields.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["a", "d", "l", "field_7", "[a.b]", "m"]);
        let list = [1, 2, 3].map(Value::Int).to_vec();
        assert_eq!(fields[0].1.get("b"), Some(&Value::List(list)));
        assert_eq!(fields[0].1.get("c"), Some(&Value::Map(vec![])));
        let texts: Vec<_> =
            fields[1].1.as_list().unwrap().iter().map(|v| v.get("e").unwrap().as_str().unwrap()).collect();
        assert_eq!(texts, ["x", "y"]);
        assert_eq!(fields[2].1, Value::List(vec![]));
        assert_eq!(fields[5].1.as_list().unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        for (text, expected) in [
            ("a: 1\nb 2", "net.prototxt at byte 7: line 2, column 3: a number where ':' or '{' belongs"),
            ("a {\n", "net.prototxt at byte 4: line 2, column 1: the text ends where '}' is missing"),
            ("a { b: 1 >", "net.prototxt at byte 9: line 1, column 10: '>' where a field's name belongs"),
            ("a: 'x\n'", "net.prototxt at byte 3: line 1, column 4: a string that is not closed on its line"),
            ("a: 09", "net.prototxt at byte 3: line 1, column 4: no octal number of 64 bits"),
            ("a: 1x", "net.prototxt at byte 3: line 1, column 4: '1x' is no number"),
            ("a: [1 2]", "net.prototxt at byte 6: line 1, column 7: a list whose items no comma parts"),
            ("a: [[1]]", "net.prototxt at byte 4: line 1, column 5: a list within a list"),
            ("a: \"\\q\"", "net.prototxt at byte 3: line 1, column 4: the escape \\q is not known"),
            ("a: @", "net.prototxt at byte 3: line 1, column 4: '@' begins no word"),
            ("a:", "net.prototxt at byte 2: line 1, column 3: the text ends where a value belongs"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn nesting_ends_where_it_is_told_to() {
        for open in ["a {", "a <", "a: [{", "a: [<"] {
            assert!(matches!(parse(&open.repeat(100_000)), Err(Error::Limit { .. })), "{open}");
        }
    }
}
