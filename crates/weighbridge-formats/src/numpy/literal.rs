//! Python literals, as far as NumPy's headers have them: parsed, never evaluated.

/// Deepest nesting of lists, tuples and dicts.
const DEPTH: usize = 16;

/// A Python literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Str(String),
    /// Negative numbers too, so that they can be refused by name.
    Int(i128),
    Bool(bool),
    None,
    /// A list or a tuple.
    Sequence(Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

/// Parses one literal that takes up all of `text`.
///
/// # Errors
/// What is wrong, and the byte of the text where.
pub fn parse(text: &[u8]) -> Result<Literal, (usize, String)> {
    let mut parser = Parser { text, at: 0 };
    let literal = parser.value(0)?;
    match parser.next() {
        None => Ok(literal),
        Some(_) => Err(parser.fault("something after the literal's end")),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

type Parsed<T> = Result<T, (usize, String)>;

impl Parser<'_> {
    fn fault(&self, what: impl Into<String>) -> (usize, String) {
        (self.at, what.into())
    }

    /// The next byte that is no white space, which stays.
    fn next(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c)) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.next() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Parsed<Literal> {
        if depth > DEPTH {
            return Err(self.fault("brackets nested too deeply"));
        }
        match self.next() {
            Some(quote @ (b'\'' | b'"')) => self.string(quote).map(Literal::Str),
            Some(b'(') => self.sequence(b')', depth),
            Some(b'[') => self.sequence(b']', depth),
            Some(b'{') => self.dict(depth),
            Some(b'-' | b'0'..=b'9') => self.integer(),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => self.word(),
            Some(_) => Err(self.fault("no literal")),
            None => Err(self.fault("the text ends within a literal")),
        }
    }

    fn sequence(&mut self, end: u8, depth: usize) -> Parsed<Literal> {
        self.at += 1;
        let mut items = Vec::new();
        let mut comma = true;
        while !self.take(end) {
            if !comma {
                return Err(self.fault("no comma between two items"));
            }
            items.push(self.value(depth + 1)?);
            comma = self.take(b',');
        }
        // Brackets around one value without a comma are just brackets.
        if end == b')' && items.len() == 1 && !comma {
            Ok(items.remove(0))
        } else {
            Ok(Literal::Sequence(items))
        }
    }

    fn dict(&mut self, depth: usize) -> Parsed<Literal> {
        self.at += 1;
        let mut items = Vec::new();
        let mut comma = true;
        while !self.take(b'}') {
            if !comma {
                return Err(self.fault("no comma between two items"));
            }
            let key = self.value(depth + 1)?;
            if !self.take(b':') {
                return Err(self.fault("no colon after a key"));
            }
            items.push((key, self.value(depth + 1)?));
            comma = self.take(b',');
        }
        Ok(Literal::Dict(items))
    }

    fn string(&mut self, quote: u8) -> Parsed<String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.text.get(self.at) {
                None => return Err(self.fault("the text ends within a string")),
                Some(&b) if b == quote => break,
                // Names of fields alone have escapes, and those are shown as they are written.
                Some(b'\\') => {
                    bytes.extend(self.text[self.at..].iter().take(2));
                    self.at += 2;
                }
                Some(&b) => {
                    bytes.push(b);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn integer(&mut self) -> Parsed<Literal> {
        let start = self.at;
        self.at += usize::from(self.text[start] == b'-');
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        let number = digits.parse().map_err(|_| (start, "no whole number of a possible size".to_owned()))?;
        // Python 2 wrote long integers with an L.
        self.at += usize::from(self.text.get(self.at) == Some(&b'L'));
        Ok(Literal::Int(number))
    }

    fn word(&mut self) -> Parsed<Literal> {
        let rest = &self.text[self.at..];
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let literal = match &rest[..len] {
            b"True" => Literal::Bool(true),
            b"False" => Literal::Bool(false),
            b"None" => Literal::None,
            word => {
                let shown: String = String::from_utf8_lossy(word).chars().take(40).collect();
                return Err(self.fault(format!("'{shown}' is no literal, and nothing here is evaluated")));
            }
        };
        self.at += len;
        Ok(literal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_of_one_need_their_comma() {
        assert_eq!(parse(b"(3,)"), Ok(Literal::Sequence(vec![Literal::Int(3)])));
        assert_eq!(parse(b" (3L) "), Ok(Literal::Int(3)));
        assert_eq!(parse(b"()"), Ok(Literal::Sequence(vec![])));
    }

    #[test]
    fn dicts_lists_and_words() {
        let parsed = parse(b"{'a': [('x', '<f4')], \"b\": True,}").unwrap();
        let field = Literal::Sequence(vec![Literal::Str("x".into()), Literal::Str("<f4".into())]);
        let wanted = vec![
            (Literal::Str("a".into()), Literal::Sequence(vec![field])),
            (Literal::Str("b".into()), Literal::Bool(true)),
        ];
        assert_eq!(parsed, Literal::Dict(wanted));
    }

    #[test]
    fn what_is_no_literal_is_refused_where_it_stands() {
        for (text, at) in [
            (&b"__import__('os')"[..], 0),
            (b"(1 2)", 3),
            (b"{'a' 1}", 5),
            (b"'abc", 4),
            (b"'abc\\", 6),
            (b"-", 0),
            (b"99999999999999999999999999999999999999999999", 0),
            (b"1 2", 2),
            (b"", 0),
        ] {
            assert_eq!(parse(text).unwrap_err().0, at, "{}", String::from_utf8_lossy(text));
        }
        assert!(parse(&b"(".repeat(100_000)).unwrap_err().1.contains("deeply"));
    }
}
