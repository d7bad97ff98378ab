//! Texts of arguments that several commands take.

use weighbridge_graph::infer::Pins;
use weighbridge_model::{Error, Result};

/// Bytes: `500MB`, `2GiB`, `1000`.
pub fn bytes(text: &str) -> Result<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1u64,
        "K" | "KB" => 1000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        "KIB" => 1 << 10,
        "MIB" => 1 << 20,
        "GIB" => 1 << 30,
        "TIB" => 1 << 40,
        _ => 0,
    };
    match number.parse::<f64>() {
        Ok(n) if n > 0.0 && factor > 0 => Ok((n * factor as f64) as u64),
        _ => Err(Error::Usage { what: format!("'{text}' is no size: write 500MB, 5GB or 2GiB") }),
    }
}

/// `NAME=1,3,224,224` each.
pub fn shapes(rules: &[String]) -> Result<Pins> {
    let mut pins = Pins::default();
    rules.iter().try_for_each(|rule| pins.add(rule))?;
    Ok(pins)
}
