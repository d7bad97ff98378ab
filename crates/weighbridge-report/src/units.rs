//! Numbers as people read them.

/// Bytes in binary units, three significant digits.
pub fn bytes(n: u64) -> String {
    scaled(n, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// A count in decimal units: `25.6 M`.
pub fn count(n: u64) -> String {
    scaled(n, 1000.0, &["", "k", "M", "G", "T", "P"])
}

fn scaled(n: u64, step: f64, units: &[&str]) -> String {
    let mut value = n as f64;
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let text = match unit {
        0 => n.to_string(),
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    format!("{text} {}", units[unit]).trim_end().to_owned()
}

/// `1 tensor`, `2 tensors`.
pub fn plural(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// A figure in at most nine characters or so: plain where that is short, with an exponent otherwise.
pub fn figure(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if !x.is_finite() {
        return x.to_string();
    }
    let magnitude = x.abs();
    if (1e-3..1e5).contains(&magnitude) {
        if x.fract() == 0.0 {
            return format!("{x}");
        }
        let digits = (3 - magnitude.log10().floor() as i32).clamp(0, 6) as usize;
        format!("{x:.digits$}")
    } else {
        format!("{x:.2e}")
    }
}

/// A shape: `64x3x7x7`, `scalar`.
pub fn shape(shape: &[u64]) -> String {
    if shape.is_empty() {
        return "scalar".to_owned();
    }
    shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_keep_four_digits() {
        assert_eq!(figure(0.123456), "0.1235");
        assert_eq!(figure(1234.7), "1235");
        assert_eq!(figure(1.5e-7), "1.50e-7");
        assert_eq!(figure(65504.0), "65504");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(count(25_557_032), "25.6 M");
    }
}
