//! What is wrong with a layer, before it is known which one.

use weighbridge_model::{Error, Place};

/// Why a layer cannot be computed.
#[derive(Debug)]
pub(super) enum Fault {
    /// Its settings, its bottoms or its weights do not allow it.
    Layer(String),
    /// Something else went wrong on the way: a failed read.
    Other(Error),
}

impl Fault {
    /// The error, with the layer's name and type.
    pub(super) fn at(self, name: &str, kind: &str) -> Error {
        match self {
            Fault::Layer(what) => {
                Error::malformed(Place::source("Caffe's interpreter").node(name), format!("{kind}: {what}"))
            }
            Fault::Other(error) => error.in_node(name),
        }
    }
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Fault::Layer(what)
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Self {
        Fault::Layer(what.to_owned())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Other(error)
    }
}
