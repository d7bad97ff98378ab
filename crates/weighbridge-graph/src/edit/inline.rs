//! A subgraph's nodes in the place of the node that holds it.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Graph, Node, ValueId};

use super::captures::given;
use super::{Edit, Fact, NodeId};

impl Edit<'_, '_> {
    /// Puts the nodes of `graph`, one of the subgraphs of node `id`, in the place of that node, whose outputs are then
    /// those of the graph.
    ///
    /// # Errors
    /// Why not: a value of the same name as one of this graph; sparse initializers; inputs.
    pub fn inline(&mut self, id: NodeId, graph: Graph) -> Result<(), String> {
        if !graph.sparse.is_empty() || !graph.inputs.is_empty() {
            return Err("it has inputs or sparse initializers".into());
        }
        let own_names = self.own_names.get_or_insert_with(|| {
            self.graph.values.iter().map(|value| value.name.clone()).collect::<HashSet<String>>()
        });
        let inside = given(&graph);
        let mut clash =
            graph.values.iter().zip(&inside).filter(|(v, inside)| **inside && own_names.contains(&v.name));
        if let Some((value, _)) = clash.next() {
            return Err(format!("'{}' is the name of two values", value.name));
        }
        own_names.extend(graph.values.iter().map(|value| value.name.clone()));
        let captured = self.slots[id.0 as usize].captured.clone();
        let mut named: HashMap<String, ValueId> =
            captured.into_iter().map(|v| (self.graph.value(v).name.clone(), v)).collect();
        let mut ids = Vec::with_capacity(graph.values.len());
        for (value, inside) in graph.values.into_iter().zip(inside) {
            let known = named.get(&value.name).copied().filter(|_| !inside);
            let place = known.unwrap_or_else(|| {
                let outer = self.outer.get(&value.name).filter(|_| !inside);
                self.facts.push(outer.map_or_else(Fact::default, |given| given.fact.clone()));
                named.insert(value.name.clone(), ValueId(self.graph.values.len() as u32));
                self.graph.values.push(value);
                self.links.push(super::Links::default());
                ValueId(self.graph.values.len() as u32 - 1)
            });
            ids.push(place);
        }
        let at = |value: &ValueId| ids[value.0 as usize];
        for (value, tensor) in &graph.initializers {
            self.links[at(value).0 as usize].tensor = Some(*tensor);
            self.facts[at(value).0 as usize].merge(&Fact::of(self.shared.model.tensor(*tensor)));
            self.graph.initializers.push((at(value), *tensor));
        }
        for (of, by) in &graph.quantization {
            let by: Vec<(String, ValueId)> = by.iter().map(|(key, value)| (key.clone(), at(value))).collect();
            by.iter().map(|(_, v)| *v).chain([at(of)]).for_each(|v| self.links[v.0 as usize].uses += 1);
            self.graph.quantization.push((at(of), by));
        }
        self.graph.declared.extend(graph.declared.iter().map(at));
        for node in graph.nodes {
            self.added += 1;
            let order = (self.slots[id.0 as usize].order.0, self.added);
            let inputs = node.inputs.iter().map(|v| v.as_ref().map(at)).collect();
            let outputs = node.outputs.iter().map(|v| v.as_ref().map(at)).collect();
            self.place(Node { inputs, outputs, ..node }, order, &named);
        }
        let outputs = self.node(id).outputs.clone();
        let mut orphans: Vec<ValueId> = outputs.iter().flatten().copied().collect();
        for (old, new) in outputs.iter().zip(&graph.outputs) {
            if let Some(old) = old {
                self.replace(*old, at(new), &mut orphans);
            }
        }
        self.drop_unread(orphans, &mut Vec::new());
        Ok(())
    }
}
