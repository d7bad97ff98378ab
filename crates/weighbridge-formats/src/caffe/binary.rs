//! `NetParameter` in binary: layers of all three generations, their blobs left where they are.

use weighbridge_model::layers::caffe_v1_type;
use weighbridge_model::{Error, Limits, Model, Place, Result};

use super::blob::Blob;
use super::net::{Blobs, Layer, Net, Version, most_layers};
use super::schema::{self, Entry};
use super::settings::{self, Budget, Settings};
use crate::protobuf::{Field, Message, Wire};
use crate::source::Source;

/// Reads a net and its tensors.
pub(super) fn read(source: &Source, limits: &Limits) -> Result<(Net, Model)> {
    let mut reader = Reader::new(source.len(), limits);
    let (mut shapes, mut dims, mut other) = (Vec::new(), Vec::new(), Settings::default());
    for field in Message::whole(source, limits.depth).fields() {
        let field = field?;
        match field.number {
            1 => reader.net.name = field.text()?,
            2 => reader.v1(&field)?,
            3 => {
                reader.budget.take(|| field.place())?;
                reader.net.inputs.push((field.text()?, None));
            }
            4 => reader.ints(&field, &mut dims)?,
            8 => {
                let mut shape = Vec::new();
                for field in field.message()?.fields() {
                    let field = field?;
                    if field.number == 1 {
                        reader.ints(&field, &mut shape)?;
                    }
                }
                reader.budget.take(|| field.place())?;
                shapes.push(shape);
            }
            100 => reader.current(&field)?,
            _ => settings::add(&mut other, &field, schema::NET, &mut reader.budget)?,
        }
    }
    reader.net.shape_inputs(shapes, &dims);
    reader.net.other = other.finish();
    Ok((reader.net, reader.blobs.finish()))
}

/// Reads layers into a net, and their blobs into a model.
pub(super) struct Reader {
    pub(super) net: Net,
    pub(super) blobs: Blobs,
    budget: Budget,
    /// Most layers.
    layers: u64,
    /// Blobs met, read or not yet.
    seen: u64,
}

impl Reader {
    /// Nothing read yet, of a file of `len` bytes.
    pub(super) fn new(len: u64, limits: &Limits) -> Self {
        let blobs = Blobs::new(len, limits);
        Reader { net: Net::default(), blobs, budget: Budget::of(len), layers: most_layers(len), seen: 0 }
    }

    /// Whether there may be one more layer.
    pub(super) fn one_more(&self, place: &Place) -> Result<()> {
        let asked = self.net.layers.len() as u64 + 1;
        if asked > self.layers {
            let allowed = self.layers;
            return Err(Error::Limit { place: place.clone(), what: "layers", asked, allowed });
        }
        Ok(())
    }

    /// Numbers, packed or a single one.
    fn ints(&mut self, field: &Field<'_>, found: &mut Vec<i64>) -> Result<()> {
        if matches!(field.wire, Wire::Fixed32(_) | Wire::Fixed64(_)) {
            return Err(Error::malformed(field.place(), format!("field {} is no varint", field.number)));
        }
        let mut numbers = field.numbers();
        while !numbers.is_done() {
            self.budget.take(|| field.place())?;
            found.push(numbers.varint()? as i64);
        }
        Ok(())
    }

    fn name(&mut self, field: &Field<'_>) -> Result<String> {
        self.budget.take(|| field.place())?;
        field.text()
    }

    fn blob<'a>(&mut self, field: &Field<'a>, blobs: &mut Vec<Message<'a>>) -> Result<()> {
        self.seen += 1;
        if self.seen > self.blobs.most {
            let (asked, allowed) = (self.seen, self.blobs.most);
            return Err(Error::Limit { place: field.place(), what: "blobs", asked, allowed });
        }
        blobs.push(field.message()?);
        Ok(())
    }

    /// Takes a layer whose fields are read.
    fn push(
        &mut self,
        mut layer: Layer,
        blobs: &[Message<'_>],
        version: Version,
        place: &Place,
    ) -> Result<()> {
        self.one_more(place)?;
        let read =
            self.blobs.of_layer(&mut layer, blobs, |blob, name, limits| Blob::read(blob, name, limits));
        read.map_err(|error| in_layer(error, &layer.name))?;
        self.net.seen(version);
        self.net.layers.push(layer);
        Ok(())
    }

    fn other(&mut self, settings: &mut Settings, field: &Field<'_>, schema: &[Entry]) -> Result<()> {
        settings::add(settings, field, schema, &mut self.budget)
    }

    /// A layer as Caffe writes them today.
    fn current(&mut self, field: &Field<'_>) -> Result<()> {
        let (mut layer, mut blobs, mut other) = (Layer::default(), Vec::new(), Settings::default());
        for field in field.message()?.fields() {
            let field = field?;
            match field.number {
                1 => layer.name = field.text()?,
                2 => layer.kind = field.text()?,
                3 => layer.bottoms.push(self.name(&field)?),
                4 => layer.tops.push(self.name(&field)?),
                7 => self.blob(&field, &mut blobs)?,
                _ => self.other(&mut other, &field, schema::LAYER)?,
            }
        }
        layer.settings = other.finish();
        self.push(layer, &blobs, Version::Current, &field.place())
    }

    /// A layer of 2014, or one of 2013 within it.
    fn v1(&mut self, field: &Field<'_>) -> Result<()> {
        let (mut layer, mut blobs, mut other) = (Layer::default(), Vec::new(), Settings::default());
        let mut version = Version::V1;
        for field in field.message()?.fields() {
            let field = field?;
            match field.number {
                1 => {
                    version = Version::V0;
                    for field in field.message()?.fields() {
                        let field = field?;
                        match field.number {
                            1 => layer.name = field.text()?,
                            2 => layer.kind = field.text()?,
                            50 => self.blob(&field, &mut blobs)?,
                            _ => self.other(&mut other, &field, schema::V0_LAYER)?,
                        }
                    }
                }
                2 => layer.bottoms.push(self.name(&field)?),
                3 => layer.tops.push(self.name(&field)?),
                4 => layer.name = field.text()?,
                5 => layer.kind = type_of(field.int()?),
                6 => self.blob(&field, &mut blobs)?,
                _ => self.other(&mut other, &field, schema::V1_LAYER)?,
            }
        }
        if version == Version::V1 && layer.kind.is_empty() {
            layer.kind = type_of(0);
        }
        layer.settings = other.finish();
        self.push(layer, &blobs, version, &field.place())
    }
}

/// The type of a V1 layer; forks have numbers of their own.
pub(super) fn type_of(number: i64) -> String {
    caffe_v1_type(number).map_or_else(|| format!("TYPE_{number}"), str::to_owned)
}

/// The same error with the name of the layer that it concerns.
pub(super) fn in_layer(mut error: Error, layer: &str) -> Error {
    if let Error::Io { place, .. }
    | Error::Malformed { place, .. }
    | Error::Unsupported { place, .. }
    | Error::Limit { place, .. } = &mut error
    {
        place.node.get_or_insert_with(|| layer.to_owned());
    }
    error
}
