//! What matching knows of a tensor, for others who compare models.

use weighbridge_model::{Model, TensorId};

use super::kinds::Kind;
use super::names::Slot;
use super::subject::{self, Subject};

/// A tensor's place in its network.
#[derive(Debug, Clone)]
pub struct Sketch {
    /// Its index.
    pub id: TensorId,
    /// The layer that it belongs to: by a graph where one tells, otherwise by its name.
    pub layer: String,
    /// What it is there.
    pub slot: Slot,
    /// What kind of layer that is.
    pub kind: Kind,
    /// Its dimension that is dimension `i` in torch's order, where its own is known.
    pub to_torch: Option<Vec<usize>>,
    /// Where it comes: the number of the node that uses it first, or of the tensor in its file.
    pub place: usize,
}

impl Sketch {
    /// The dimension along which a weight's outputs lie, where that is known.
    pub fn outputs(&self) -> Option<usize> {
        let axes = self.to_torch.as_ref()?;
        let first = usize::from(self.kind == Kind::Transposed);
        axes.get(first).copied()
    }
}

/// The sketches of a model's tensors, in their order.
pub fn sketches(model: &Model) -> Vec<Sketch> {
    let sketch = |subject: Subject| {
        let rank = subject.shape.as_ref().map_or(0, Vec::len);
        let order = subject.order.filter(|_| subject.slot == Slot::Weight && rank >= 2);
        Sketch {
            id: subject.id,
            layer: subject::layer(&subject),
            to_torch: order.map(|(order, _)| order.to_torch(subject.kind, rank)),
            slot: subject.slot,
            kind: subject.kind,
            place: subject.place,
        }
    };
    subject::of(model).into_iter().map(sketch).collect()
}
