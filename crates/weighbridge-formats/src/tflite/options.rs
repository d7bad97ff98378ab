//! Options of builtin operators, by the slots of their tables, as attributes.

use weighbridge_model::{Attribute, Error, Result, Value};

use crate::flatbuffer::Table;

/// What a slot holds.
#[derive(Clone, Copy)]
enum Kind {
    /// A whole number, with what it is where it is left out.
    Int(i32),
    Float,
    Bool,
    /// How a window goes over edges.
    Padding,
    /// What is applied to the result.
    Activation,
    /// As many numbers as slots: sizes by dimension.
    Sizes(&'static [u16], i32),
    Ints,
    Text,
    /// A subgraph, by its index.
    Subgraph,
    Subgraphs,
}

use Kind::{Activation, Bool, Float, Int, Ints, Padding, Sizes, Subgraph, Subgraphs, Text};

type Slots = &'static [(u16, &'static str, Kind)];

const ACTIVATION: Slots = &[(0, "activation", Activation)];
const LSTM: Slots = &[(0, "activation", Activation), (1, "cell_clip", Float), (2, "proj_clip", Float)];
const LOOP: Slots = &[(0, "cond", Subgraph), (1, "body", Subgraph)];

/// Slots of the options of a number of `BuiltinOptions`.
fn slots(kind: u8) -> Slots {
    match kind {
        1 => &[
            (0, "padding", Padding),
            (1, "strides", Sizes(&[2, 1], 0)),
            (3, "activation", Activation),
            (4, "dilations", Sizes(&[5, 4], 1)),
        ],
        2 => &[
            (0, "padding", Padding),
            (1, "strides", Sizes(&[2, 1], 0)),
            (3, "depth_multiplier", Int(0)),
            (4, "activation", Activation),
            (5, "dilations", Sizes(&[6, 5], 1)),
        ],
        5 => &[
            (0, "padding", Padding),
            (1, "strides", Sizes(&[2, 1], 0)),
            (3, "filter", Sizes(&[4, 3], 0)),
            (5, "activation", Activation),
        ],
        6 => &[(0, "rank", Int(0)), (1, "activation", Activation)],
        7 | 11 | 12 | 21 | 28 | 29 => ACTIVATION,
        8 => &[(0, "activation", Activation), (1, "weights_format", Int(0)), (2, "keep_num_dims", Bool)],
        9 => &[(0, "beta", Float)],
        10 => &[(0, "axis", Int(0)), (1, "activation", Activation)],
        13 => &[(0, "radius", Int(0)), (1, "bias", Float), (2, "alpha", Float), (3, "beta", Float)],
        14 | 69 | 71 => LSTM,
        15 => &[(2, "align_corners", Bool), (3, "half_pixel_centers", Bool)],
        16 => &[(0, "subgraph", Subgraph)],
        17 => &[(0, "new_shape", Ints)],
        19 | 94 => &[(0, "block_size", Int(0))],
        23 => &[(0, "axis", Int(0)), (1, "batch_dims", Int(0))],
        27 => &[(0, "keep_dims", Bool)],
        30 => &[(0, "squeeze_dims", Ints)],
        31 => &[(0, "time_major", Bool), (1, "activation", Activation)],
        32 => &[
            (0, "begin_mask", Int(0)),
            (1, "end_mask", Int(0)),
            (2, "ellipsis_mask", Int(0)),
            (3, "new_axis_mask", Int(0)),
            (4, "shrink_axis_mask", Int(0)),
        ],
        35 | 79 => &[(0, "num_splits", Int(0))],
        49 => &[(0, "padding", Padding), (1, "strides", Sizes(&[2, 1], 0)), (3, "activation", Activation)],
        59 => &[(0, "values_count", Int(0)), (1, "axis", Int(0))],
        61 => &[(0, "axis", Int(0))],
        64 => &[(0, "num", Int(0)), (1, "axis", Int(0))],
        74 => &[(0, "align_corners", Bool), (1, "half_pixel_centers", Bool)],
        75 => &[(0, "alpha", Float)],
        92 => &[(0, "then", Subgraph), (1, "else", Subgraph)],
        93 => LOOP,
        101 => &[(0, "adj_x", Bool), (1, "adj_y", Bool)],
        102 => &[(0, "exclusive", Bool), (1, "reverse", Bool)],
        103 => &[(0, "init", Subgraph)],
        106 => &[
            (0, "padding", Padding),
            (1, "strides", Sizes(&[1, 3, 2], 0)),
            (4, "activation", Activation),
            (5, "dilations", Sizes(&[5, 7, 6], 1)),
        ],
        111 => &[(0, "container", Text), (1, "shared_name", Text)],
        116 => &[(0, "approximate", Bool)],
        _ => &[],
    }
}

/// As [`slots`], of a number of `BuiltinOptions2`.
fn slots2(kind: u8) -> Slots {
    match kind {
        15 => LOOP,
        21 => &[(0, "name", Text), (1, "decomposition", Subgraph), (4, "version", Int(0))],
        23 => &[(0, "branches", Subgraphs)],
        _ => &[],
    }
}

/// An operator's options, and the subgraphs that they name: attribute by attribute, with their indices.
pub(super) struct Options {
    pub attributes: Vec<(String, Attribute)>,
    pub subgraphs: Vec<(usize, usize)>,
}

/// Reads the options of an operator. What is not known is left out; custom options are kept by their length.
pub(super) fn read(operator: &Table<'_>) -> Result<Options> {
    let mut options = Options { attributes: Vec::new(), subgraphs: Vec::new() };
    for (which, slots) in [(3, slots as fn(u8) -> Slots), (11, slots2)] {
        let slots = slots(operator.u8(which)?);
        if slots.is_empty() {
            continue;
        }
        let Some(table) = operator.table(which + 1)? else { continue };
        for &(slot, name, kind) in slots {
            options.add(&table, slot, name, kind)?;
        }
    }
    if let Some((_, len)) = operator.bytes(5)?.filter(|(_, len)| *len > 0) {
        options.attributes.push(("custom_options".into(), Attribute::Value(Value::Bytes(len))));
    }
    Ok(options)
}

impl Options {
    fn add(&mut self, table: &Table<'_>, slot: u16, name: &str, kind: Kind) -> Result<()> {
        let int = |n: i32| Value::Int(i64::from(n));
        let value = match kind {
            Int(default) => int(table.i32(slot, default)?),
            Float => Value::Float(f64::from(table.f32(slot)?)),
            Bool => Value::Bool(table.u8(slot)? != 0),
            Padding => Value::Str(if table.u8(slot)? == 0 { "SAME" } else { "VALID" }.into()),
            Activation => match table.u8(slot)? {
                0 => return Ok(()),
                code => {
                    let names = ["RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"];
                    let known = names.get(usize::from(code) - 1);
                    Value::Str(known.map_or_else(|| code.to_string(), |&n| n.to_owned()))
                }
            },
            Sizes(slots, default) => {
                let sizes = slots.iter().map(|&s| table.i32(s, default).map(int));
                Value::List(sizes.collect::<Result<_>>()?)
            }
            Ints => Value::List(table.i32s(slot)?.into_iter().map(int).collect()),
            Text => Value::Str(table.text(slot)?.unwrap_or_default()),
            Subgraph => return self.subgraph(table, name, table.i32(slot, 0)?),
            Subgraphs => {
                for index in table.i32s(slot)? {
                    self.subgraph(table, name, index)?;
                }
                return Ok(());
            }
        };
        self.attributes.push((name.to_owned(), Attribute::Value(value)));
        Ok(())
    }

    /// An attribute that names a subgraph; -1 stands for none.
    fn subgraph(&mut self, table: &Table<'_>, name: &str, index: i32) -> Result<()> {
        match usize::try_from(index) {
            Ok(index) => {
                self.subgraphs.push((self.attributes.len(), index));
                let value = Value::Int(index as i64);
                self.attributes.push((name.to_owned(), Attribute::Value(value)));
                Ok(())
            }
            Err(_) if index == -1 => Ok(()),
            Err(_) => Err(Error::malformed(table.place(), format!("subgraph {index}"))),
        }
    }
}
