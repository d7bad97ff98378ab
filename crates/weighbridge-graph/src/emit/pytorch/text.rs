//! Python's spelling of numbers and lists, and lines broken as the formatter `black` breaks them.

use weighbridge_model::DType;

/// Longest line.
const WIDTH: usize = 88;

/// A number as Python spells it; one that single precision holds in the fewest digits that tell it there.
pub(super) fn float(x: f64) -> String {
    if x.is_nan() {
        return "float(\"nan\")".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "float(\"inf\")".into() } else { "-float(\"inf\")".into() };
    }
    let single = x as f32;
    let digits = if f64::from(single) == x { format!("{single:e}") } else { format!("{x:e}") };
    let (mantissa, exponent) = digits.split_once('e').expect("written with an exponent");
    match exponent.parse::<i32>().unwrap_or(0) {
        // Plain digits where they are few.
        -4..=9 if f64::from(single) == x => plain(format!("{single}")),
        -4..=15 => plain(format!("{x}")),
        exponent => format!("{mantissa}e{exponent}"),
    }
}

fn plain(digits: String) -> String {
    if digits.contains('.') { digits } else { format!("{digits}.0") }
}

/// Whole numbers, or whatever is spelled already, as a tuple.
pub(super) fn tuple<T: ToString>(items: &[T]) -> String {
    match items {
        [one] => format!("({},)", one.to_string()),
        _ => format!("({})", joined(items)),
    }
}

/// As a list.
pub(super) fn list<T: ToString>(items: &[T]) -> String {
    format!("[{}]", joined(items))
}

/// As arguments.
pub(super) fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// One number where all are the same, otherwise a tuple: as convolutions and pools take them.
pub(super) fn each(items: &[i64]) -> String {
    match items {
        [first, rest @ ..] if rest.iter().all(|n| n == first) => first.to_string(),
        _ => tuple(items),
    }
}

/// A truth value.
pub(super) fn truth(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}

/// torch's name of a type; `None` where it has none that computes.
pub(super) fn dtype(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F64 => "torch.float64",
        DType::F32 => "torch.float32",
        DType::F16 => "torch.float16",
        DType::BF16 => "torch.bfloat16",
        DType::F8E4M3 => "torch.float8_e4m3fn",
        DType::F8E5M2 => "torch.float8_e5m2",
        DType::F8E4M3Fnuz => "torch.float8_e4m3fnuz",
        DType::F8E5M2Fnuz => "torch.float8_e5m2fnuz",
        DType::I64 => "torch.int64",
        DType::I32 => "torch.int32",
        DType::I16 => "torch.int16",
        DType::I8 => "torch.int8",
        DType::U64 => "torch.uint64",
        DType::U32 => "torch.uint32",
        DType::U16 => "torch.uint16",
        DType::U8 => "torch.uint8",
        DType::Bool => "torch.bool",
        DType::C64 => "torch.complex64",
        DType::C128 => "torch.complex128",
        _ => return None,
    })
}

/// A statement, indented, in as many lines as it takes.
pub(super) fn statement(text: &str, indent: usize, out: &mut String) {
    if indent + text.len() <= WIDTH {
        line(text, indent, out);
        return;
    }
    // A bare tuple or sum behind `=` or `return` gets parentheses.
    let behind = match text.strip_prefix("return ") {
        Some(rest) => Some(("return ", rest)),
        None => text.find(" = ").map(|at| text.split_at(at + 3)),
    };
    match (last_bracket(text), behind) {
        (Some((open, close)), _)
            if close + 1 == text.len() && !is_bare(behind) && (behind.is_none() || indent + open < WIDTH) =>
        {
            broken(text, open, close, indent, out);
        }
        (_, Some((head, value))) => {
            line(&format!("{head}("), indent, out);
            let commas = split(value);
            body(value, &commas, indent + 4, out);
            line(")", indent, out);
        }
        (Some((open, close)), None) => broken(text, open, close, indent, out),
        _ => line(text, indent, out),
    }
}

/// Whether what stands behind `=` has a comma or an operator outside of brackets.
fn is_bare(behind: Option<(&str, &str)>) -> bool {
    let Some((_, value)) = behind else { return false };
    if split(value).len() > 1 {
        return true;
    }
    let mut bare = false;
    let bytes = value.as_bytes();
    scan(value, |at, c, depth| bare |= depth == 0 && c == b' ' && bytes.get(at + 1) != Some(&b' '));
    bare
}

/// The head, what is in the brackets on lines of its own, the tail.
fn broken(text: &str, open: usize, close: usize, indent: usize, out: &mut String) {
    let inner = &text[open + 1..close];
    if inner.is_empty() {
        line(text, indent, out);
        return;
    }
    line(&text[..=open], indent, out);
    body(inner, &split(inner), indent + 4, out);
    line(&text[close..], indent, out);
}

/// What stands in brackets: on one line where it fits, otherwise an item a line.
fn body(inner: &str, items: &[&str], indent: usize, out: &mut String) {
    if indent + inner.len() <= WIDTH && !inner.ends_with(',') {
        line(inner, indent, out);
        return;
    }
    if let [only] = items
        && !only.contains(" = ")
    {
        let operands = operands(only);
        if operands.len() > 1 {
            operands.iter().for_each(|operand| line(operand, indent, out));
            return;
        }
        // One long item without a comma behind it, where it is an operand rather than an argument.
        match last_bracket(only) {
            Some((open, close)) if close + 1 == only.len() => {
                broken_item(only, open, close, indent, out);
            }
            _ => line(only, indent, out),
        }
        return;
    }
    for item in items {
        let with_comma = format!("{item},");
        if indent + with_comma.len() <= WIDTH {
            line(&with_comma, indent, out);
            continue;
        }
        match last_bracket(item) {
            Some((open, close)) if close + 1 == item.len() => {
                broken_item(&with_comma, open, close, indent, out);
            }
            _ => line(&with_comma, indent, out),
        }
    }
}

fn broken_item(text: &str, open: usize, close: usize, indent: usize, out: &mut String) {
    if indent + text.len() <= WIDTH {
        line(text, indent, out);
    } else {
        broken(text, open, close, indent, out);
    }
}

fn line(text: &str, indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
    out.push_str(text);
    out.push('\n');
}

/// The items that commas outside of brackets part.
fn split(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut from = 0;
    scan(text, |at, c, depth| {
        if c == b',' && depth == 0 {
            items.push(text[from..at].trim());
            from = at + 1;
        }
    });
    let rest = text[from..].trim();
    if !rest.is_empty() {
        items.push(rest);
    }
    items
}

/// The parts of a sum, or of a product, each with the operator before it: what binds least is parted.
fn operands(text: &str) -> Vec<&str> {
    const BINDING: [&[&str]; 3] =
        [&[" == ", " >= ", " <= ", " > ", " < "], &[" + ", " - "], &[" * ", " / ", " @ ", " // "]];
    for operators in BINDING {
        let mut cuts = vec![0];
        scan(text, |at, _, depth| {
            if depth == 0 && operators.iter().any(|o| text[at..].starts_with(o)) {
                cuts.push(at + 1);
            }
        });
        if cuts.len() > 1 {
            cuts.push(text.len());
            return cuts.windows(2).map(|cut| text[cut[0]..cut[1]].trim()).collect();
        }
    }
    vec![text]
}

/// The last bracket that closes outside of others, with the one that opens it.
fn last_bracket(text: &str) -> Option<(usize, usize)> {
    let mut found = None;
    let mut open = 0;
    scan(text, |at, c, depth| match c {
        b'(' | b'[' | b'{' if depth == 0 => open = at,
        b')' | b']' | b'}' if depth == 0 => found = Some((open, at)),
        _ => {}
    });
    found
}

/// Every character outside of strings, with how many brackets are open around it; brackets themselves count as outside.
fn scan(text: &str, mut see: impl FnMut(usize, u8, usize)) {
    let (mut depth, mut quoted, mut skip) = (0usize, false, false);
    for (at, &c) in text.as_bytes().iter().enumerate() {
        if quoted {
            match c {
                _ if skip => skip = false,
                b'\\' => skip = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match c {
            b'"' => quoted = true,
            b'(' | b'[' | b'{' => {
                see(at, c, depth);
                depth += 1;
            }
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                see(at, c, depth);
            }
            _ => see(at, c, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact() {
        assert_eq!(float(f64::from(1e-5f32)), "1e-5");
        assert_eq!(float(0.1), "0.1");
        assert_eq!(float(f64::from(0.1f32)), "0.1");
        assert_eq!(float(2.0), "2.0");
        assert_eq!(float(f64::from(f32::MAX)), "3.4028235e38");
        assert_eq!(float(f64::NEG_INFINITY), "-float(\"inf\")");
    }

    #[test]
    fn long_lines_are_broken_at_their_brackets() {
        let mut out = String::new();
        let long = "self.inception_3a_branch_one = nn.Conv2d(1000, 2000, kernel_size=(3, 5), padding=(1, 2), bias=False)";
        statement(long, 8, &mut out);
        let expected = "        self.inception_3a_branch_one = nn.Conv2d(\n            1000, 2000, kernel_size=(3, 5), padding=(1, 2), bias=False\n        )\n";
        assert_eq!(out, expected);
    }
}
