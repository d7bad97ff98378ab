//! Tensors on their way, each beside the one that it was.

use std::collections::HashMap;

use weighbridge_model::{Error, Model, Result, Tensor, TensorId};

use crate::into::Rule;

/// A tensor on its way.
#[derive(Debug, Clone)]
pub struct Moved {
    /// As it was read.
    pub source: Tensor,
    /// As it is to be written.
    pub target: Tensor,
    /// What was done to its values or its shape, in order; empty where they arrive as they were.
    pub changes: Vec<String>,
    /// Whether the order of its dimensions was asked for.
    pub arranged: bool,
    /// Whether a graph that takes the tensor computes the same with it as it is to be written.
    pub in_graph: bool,
    /// By what it was matched with a target, where there is one.
    pub matched: Option<Rule>,
}

impl Moved {
    /// A tensor that arrives as it is.
    pub fn of(tensor: &Tensor) -> Self {
        Moved {
            source: tensor.clone(),
            target: tensor.clone(),
            changes: Vec::new(),
            arranged: false,
            in_graph: false,
            matched: None,
        }
    }
}

/// What leaves a file, and what stays behind.
#[derive(Debug, Clone, Default)]
pub struct Transfer {
    /// Tensors on their way, in file order.
    pub moved: Vec<Moved>,
    /// Names of tensors that stay behind, each with the reason.
    pub left: Vec<(String, String)>,
}

impl Transfer {
    /// All tensors of a model that its state dict would hold.
    pub fn of(model: &Model) -> Self {
        let mut transfer = Transfer::default();
        for tensor in &model.tensors {
            if tensor.in_state_dict {
                transfer.moved.push(Moved::of(tensor));
            } else {
                transfer.left.push((tensor.name.clone(), "outside of the state_dict".into()));
            }
        }
        transfer
    }

    /// Leaves behind all tensors that `keep` does not want.
    pub fn retain(&mut self, why: &str, keep: impl Fn(&Tensor) -> bool) {
        let left = &mut self.left;
        self.moved.retain(|moved| {
            let kept = keep(&moved.target);
            if !kept {
                left.push((moved.source.name.clone(), why.to_owned()));
            }
            kept
        });
    }

    /// The tensors on their way as a model of their own, under their old names, with the graph that uses them.
    pub fn as_source(&self, from: &Model) -> Model {
        let mut model = self.model(from);
        for (tensor, moved) in model.tensors.iter_mut().zip(&self.moved) {
            tensor.name.clone_from(&moved.source.name);
        }
        model
    }

    /// The model to write: the tensors on their way, with metadata and graph of the one that they are from.
    pub fn model(&self, from: &Model) -> Model {
        let ids: HashMap<TensorId, TensorId> =
            (0..).map(TensorId).zip(&self.moved).map(|(id, m)| (m.source.id, id)).collect();
        let mut model = Model {
            format: from.format,
            origin: from.origin.clone(),
            metadata: from.metadata.clone(),
            modules: from.modules.clone(),
            headers: from.headers.clone(),
            graph: from.graph.as_ref().map(|graph| crate::graph::moved(graph, &ids)),
            ..Model::default()
        };
        for moved in &self.moved {
            model.push(moved.target.clone());
        }
        model
    }

    /// The model to write where the output is a graph: all of `from`, its tensors replaced by those on their way.
    /// What the state dict leaves out is part of the graph, and goes along.
    ///
    /// # Errors
    /// [`Error::Refused`] where a tensor that the graph needs is missing, renamed or changed: the graph would have to
    /// change with it.
    pub fn in_graph(&mut self, from: &Model) -> Result<Model> {
        let mut model = from.clone();
        let mut reasons: Vec<(String, String)> = Vec::new();
        for Moved { source, target, changes, in_graph, .. } in &self.moved {
            if source.name != target.name {
                reasons.push((source.name.clone(), format!("renamed to '{}'", target.name)));
            }
            let untrue = changes.iter().filter(|_| !in_graph);
            reasons.extend(untrue.map(|change| (source.name.clone(), change.clone())));
            model.tensors[source.id.0 as usize] = Tensor { id: source.id, ..target.clone() };
        }
        let outside: Vec<&str> =
            from.tensors.iter().filter(|t| !t.in_state_dict).map(|t| t.name.as_str()).collect();
        self.left.retain(|(name, _)| !outside.contains(&name.as_str()));
        reasons.extend(self.left.iter().cloned());
        if reasons.is_empty() {
            return Ok(model);
        }
        Err(Error::Refused {
            what: "a graph is written with its tensors as it takes them".into(),
            reasons,
            help: Some("leave these options out, or write a format that holds tensors alone".into()),
        })
    }
}
