//! Numbers and strings as protocol 0 spells them, and long integers of any protocol.

/// Undoes Python 2's `repr` of a byte string, quotes included.
pub fn unescape_repr(line: &[u8]) -> Option<Vec<u8>> {
    let quote = *line.first().filter(|q| matches!(q, b'\'' | b'"'))?;
    let inner = line[1..].strip_suffix(&[quote])?;
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, tail) = rest.split_first()?;
        rest = tail;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'\n' => {}
            b'x' => {
                out.push(hex(rest.get(..2)?)? as u8);
                rest = &rest[2..];
            }
            b'0'..=b'7' => {
                let mut value = u32::from(escape - b'0');
                for _ in 0..2 {
                    match rest.first() {
                        Some(&d @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(d - b'0');
                            rest = &rest[1..];
                        }
                        _ => break,
                    }
                }
                out.push(value as u8);
            }
            b'\\' | b'\'' | b'"' => out.push(escape),
            other => out.extend([b'\\', other]),
        }
    }
    Some(out)
}

/// Undoes Python's `raw-unicode-escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub fn unescape_unicode(line: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = match (byte, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(char::from(byte));
                rest = tail;
                continue;
            }
        };
        let code = hex(tail.get(1..=digits)?)?;
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &tail[1 + digits..];
    }
    Some(out)
}

fn hex(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A little-endian two's complement integer that fits `i64`.
pub fn small_long(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let mut wide = [fill; 8];
    let (low, high) = bytes.split_at(bytes.len().min(8));
    if high.iter().any(|&b| b != fill) {
        return None;
    }
    wide[..low.len()].copy_from_slice(low);
    let value = i64::from_le_bytes(wide);
    ((value < 0) == negative).then_some(value)
}

/// The decimal digits of a little-endian two's complement integer of up to 128 bytes; a count beyond.
pub fn long_digits(bytes: &[u8]) -> String {
    if bytes.len() > 128 {
        return format!("<integer of {} bytes>", bytes.len());
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut limbs: Vec<u8> = bytes.to_vec();
    if negative {
        let mut carry = true;
        for limb in &mut limbs {
            let (value, overflow) = (!*limb).overflowing_add(u8::from(carry));
            (*limb, carry) = (value, overflow);
        }
    }
    let mut digits = Vec::new();
    while limbs.iter().any(|&l| l != 0) {
        let mut rest = 0u32;
        for limb in limbs.iter_mut().rev() {
            let value = rest * 256 + u32::from(*limb);
            *limb = (value / 10) as u8;
            rest = value % 10;
        }
        digits.push(b'0' + rest as u8);
    }
    if digits.is_empty() {
        digits.push(b'0');
    }
    if negative {
        digits.push(b'-');
    }
    digits.reverse();
    String::from_utf8(digits).expect("ASCII digits")
}
