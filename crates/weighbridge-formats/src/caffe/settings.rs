//! Settings: the fields of a message as an ordered map, with what is unknown kept beside what has a name.

use std::collections::HashMap;

use weighbridge_model::{Error, Place, Result, Value};

use super::schema::{Entry, Kind};
use crate::protobuf::{Field, Message, Wire};

/// Settings and numbers that any file may have: a hundred times what large nets have.
const FEW: u64 = 1 << 20;

/// Most settings and numbers in one file, which take half a gigabyte: nets of 300,000 layers.
const MOST: u64 = 1 << 24;

/// What a name counts as, for the memory that it takes.
const NAME: u64 = 8;

/// Counts what memory is kept for.
#[derive(Debug)]
pub(super) struct Budget {
    values: u64,
    allowed: u64,
}

impl Budget {
    /// For a file of so many bytes: one value for each, so that memory is in proportion to the file.
    pub(super) fn of(bytes: u64) -> Self {
        Budget { values: 0, allowed: bytes.clamp(FEW, MOST) }
    }

    /// Counts one more value.
    pub(super) fn take(&mut self, place: impl FnOnce() -> Place) -> Result<()> {
        self.take_many(1, place)
    }

    fn take_many(&mut self, values: u64, place: impl FnOnce() -> Place) -> Result<()> {
        self.values += values;
        if self.values > self.allowed {
            let (asked, allowed) = (self.values, self.allowed);
            return Err(Error::Limit { place: place(), what: "settings of a net", asked, allowed });
        }
        Ok(())
    }
}

/// Fields by name in the order of their first appearance; one that comes more than once is a list.
#[derive(Debug, Default)]
pub(super) struct Settings {
    entries: Vec<(String, Vec<Value>)>,
    index: HashMap<String, usize>,
}

impl Settings {
    /// Adds a field; a list adds its items. The values are counted before, the name here.
    pub(super) fn add(
        &mut self,
        name: String,
        value: Value,
        budget: &mut Budget,
        place: impl FnOnce() -> Place,
    ) -> Result<()> {
        let at = match self.index.get(&name) {
            Some(&at) => at,
            None => {
                budget.take_many(NAME, place)?;
                self.index.insert(name.clone(), self.entries.len());
                self.entries.push((name, Vec::new()));
                self.entries.len() - 1
            }
        };
        match value {
            Value::List(items) => self.entries[at].1.extend(items),
            value => self.entries[at].1.push(value),
        }
        Ok(())
    }

    /// The entries: a field that came once is its value.
    pub(super) fn finish(self) -> Vec<(String, Value)> {
        let single = |mut values: Vec<Value>| match values.len() {
            1 => values.remove(0),
            _ => Value::List(values),
        };
        self.entries.into_iter().map(|(name, values)| (name, single(values))).collect()
    }
}

/// A field once or many times: each of its values.
pub(super) fn each(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        single => std::slice::from_ref(single),
    }
}

/// Adds a field of a binary message, named by `schema`.
pub(super) fn add(
    settings: &mut Settings,
    field: &Field<'_>,
    schema: &[Entry],
    budget: &mut Budget,
) -> Result<()> {
    budget.take(|| field.place())?;
    let known = schema.iter().find(|(number, _, _)| *number == field.number);
    let (name, kind) = match known {
        Some((_, name, kind)) => ((*name).to_owned(), Some(*kind)),
        None => (format!("field_{}", field.number), None),
    };
    let value = match (kind, field.wire) {
        (Some(Kind::Message(schema)), Wire::Bytes) => Value::Map(map(&field.message()?, schema, budget)?),
        (Some(Kind::Text), Wire::Bytes) => Value::Str(field.text()?),
        (Some(kind @ (Kind::Int | Kind::Bool | Kind::Float | Kind::Enum(..))), Wire::Bytes) => {
            packed(field, kind, budget)?
        }
        // A fork may have given the number to something else: it is shown as it is written.
        (kind, Wire::Varint(bits)) => whole(bits, kind),
        (_, Wire::Fixed32(bits)) => Value::Float(shortest(f32::from_bits(bits))),
        (_, Wire::Fixed64(bits)) => Value::Float(f64::from_bits(bits)),
        (_, Wire::Bytes) => unknown(field)?,
    };
    settings.add(name, value, budget, || field.place())
}

/// The fields of a binary message.
pub(super) fn map(
    message: &Message<'_>,
    schema: &[Entry],
    budget: &mut Budget,
) -> Result<Vec<(String, Value)>> {
    let mut settings = Settings::default();
    for field in message.fields() {
        add(&mut settings, &field?, schema, budget)?;
    }
    Ok(settings.finish())
}

/// The numbers of a packed run.
fn packed(field: &Field<'_>, kind: Kind, budget: &mut Budget) -> Result<Value> {
    let mut cursor = field.numbers();
    let mut found = Vec::new();
    while !cursor.is_done() {
        budget.take(|| field.place())?;
        found.push(match kind {
            Kind::Float => Value::Float(shortest(f32::from_le_bytes(cursor.fixed()?))),
            kind => whole(cursor.varint()?, Some(kind)),
        });
    }
    Ok(Value::List(found))
}

fn whole(bits: u64, kind: Option<Kind>) -> Value {
    let number = bits as i64;
    match kind {
        Some(Kind::Bool) => Value::Bool(bits != 0),
        Some(Kind::Enum(names, first)) => {
            let at = number.checked_sub(first).and_then(|n| usize::try_from(n).ok());
            at.and_then(|at| names.get(at)).map_or(Value::Int(number), |name| Value::Str((*name).to_owned()))
        }
        _ => Value::Int(number),
    }
}

/// A run of bytes that nothing names: short text as text.
fn unknown(field: &Field<'_>) -> Result<Value> {
    const SHORT: u64 = 256;
    if field.len() == 0 || field.len() > SHORT {
        return Ok(Value::Bytes(field.len()));
    }
    let text = field.text()?;
    let plain = text.chars().all(|c| !c.is_control() && c != '\u{fffd}');
    Ok(if plain { Value::Str(text) } else { Value::Bytes(field.len()) })
}

/// The f64 that prints as the f32 does: 0.1 rather than 0.10000000149011612.
pub(super) fn shortest(x: f32) -> f64 {
    if x.is_finite() { x.to_string().parse().unwrap_or(f64::from(x)) } else { f64::from(x) }
}
