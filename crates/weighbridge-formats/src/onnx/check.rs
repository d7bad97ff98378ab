//! Whether a graph holds together: what is noticed while it is read, one finding a kind.

use weighbridge_model::{Finding, Graph, Node, Severity, Value, ValueId};

/// How often something was met, and where first.
#[derive(Default)]
struct Tally {
    count: i64,
    first: Option<String>,
    node: bool,
}

impl Tally {
    fn add(&mut self, name: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| name.to_owned());
    }

    fn finding(
        self,
        code: &'static str,
        severity: Severity,
        what: impl FnOnce(&str) -> String,
        help: &str,
    ) -> Option<Finding> {
        let first = self.first?;
        let mut finding = Finding::new(code, severity, what(&first), help);
        if self.node {
            finding.node = Some(first);
        } else {
            finding.tensor = Some(first);
        }
        Some(finding.with_figure("count", Value::Int(self.count)))
    }
}

/// What was noticed, over all graphs of a model.
pub(super) struct Faults {
    duplicate: Tally,
    cycle: Tally,
    disorder: Tally,
    missing: Tally,
    unused: Tally,
    remade: Tally,
}

impl Faults {
    pub(super) fn new() -> Self {
        let node = || Tally { node: true, ..Tally::default() };
        Faults {
            duplicate: Tally::default(),
            cycle: node(),
            disorder: node(),
            missing: node(),
            unused: Tally::default(),
            remade: node(),
        }
    }

    /// A second initializer of this name.
    pub(super) fn duplicate(&mut self, name: &str) {
        self.duplicate.add(name);
    }

    /// A value that is read, and that nothing gives.
    pub(super) fn missing(&mut self, name: &str) {
        self.missing.add(name);
    }

    /// An initializer that nothing reads.
    pub(super) fn unused(&mut self, name: &str) {
        self.unused.add(name);
    }

    /// A value that is given again.
    pub(super) fn remade(&mut self, name: &str) {
        self.remade.add(name);
    }

    /// Checks the order of a graph's nodes. `makers` tells which node makes a value; `captures`, what nodes
    /// read from within their subgraphs.
    pub(super) fn order(&mut self, graph: &Graph, makers: &[Option<u32>], captures: &[(u32, ValueId)]) {
        let inputs = graph
            .nodes
            .iter()
            .zip(0..)
            .flat_map(|(node, reader)| node.inputs.iter().flatten().map(move |&value| (reader, value)));
        // (maker, reader)
        let mut edges: Vec<(u32, u32)> = inputs
            .chain(captures.iter().copied())
            .filter_map(|(reader, value)| Some((makers[value.0 as usize]?, reader)))
            .collect();
        let Some(&(_, early)) = edges.iter().find(|(maker, reader)| maker >= reader) else { return };
        edges.sort_unstable();
        match cycle(graph.nodes.len(), &edges) {
            Some(nodes) => {
                let label = |&n: &u32| label(graph, &graph.nodes[n as usize]);
                let shown: Vec<String> = nodes.iter().take(4).map(label).collect();
                let more = if nodes.len() > 4 { " -> …" } else { "" };
                self.cycle.add(&format!("{}{more}", shown.join(" -> ")));
            }
            None => self.disorder.add(&label(graph, &graph.nodes[early as usize])),
        }
    }

    pub(super) fn findings(self) -> impl Iterator<Item = Finding> {
        let cycles = self.cycle.count;
        let (duplicates, unused, missing) = (self.duplicate.count, self.unused.count, self.missing.count);
        [
            self.duplicate.finding(
                "O101",
                Severity::Error,
                |name| format!("{duplicates} initializers have a name that another one has, '{name}' first"),
                "runtimes refuse such a model or take either; export it again",
            ),
            self.cycle.finding(
                "O102",
                Severity::Error,
                |nodes| format!("{cycles} graphs have nodes in a cycle: {nodes}"),
                "no order of execution exists; export the model again",
            ),
            self.disorder.finding(
                "O103",
                Severity::Warning,
                |node| format!("node '{node}' stands before a node that it reads from"),
                "the format asks for topological order, and strict runtimes refuse this; sort the nodes",
            ),
            self.missing.finding(
                "O104",
                Severity::Error,
                |name| format!("{missing} values are read and given by nothing, '{name}' first"),
                "the file was cut apart or damaged; export it again",
            ),
            self.unused.finding(
                "O105",
                Severity::Info,
                |name| format!("initializers that nothing uses: {unused}, '{name}' first"),
                "they cost space only; a simplifier drops them",
            ),
            self.remade.finding(
                "O106",
                Severity::Error,
                |name| format!("value '{name}' is given more than once, where each has one origin"),
                "runtimes refuse such a model; export it again",
            ),
        ]
        .into_iter()
        .flatten()
    }
}

/// A node's name; its first output's where it has none.
pub(super) fn label(graph: &Graph, node: &Node) -> String {
    let output = || node.outputs.iter().flatten().next().map(|v| graph.values[v.0 as usize].name.clone());
    if node.name.is_empty() { output().unwrap_or_else(|| node.op.clone()) } else { node.name.clone() }
}

/// The nodes of one cycle, if there is any: what remains when nodes without open inputs are taken away.
/// `edges` are sorted.
fn cycle(nodes: usize, edges: &[(u32, u32)]) -> Option<Vec<u32>> {
    let mut open = vec![0u32; nodes];
    for &(_, reader) in edges {
        open[reader as usize] += 1;
    }
    let mut ready: Vec<u32> = (0..nodes as u32).filter(|&n| open[n as usize] == 0).collect();
    while let Some(node) = ready.pop() {
        let first = edges.partition_point(|&(maker, _)| maker < node);
        for &(_, reader) in edges[first..].iter().take_while(|&&(maker, _)| maker == node) {
            open[reader as usize] -= 1;
            if open[reader as usize] == 0 {
                ready.push(reader);
            }
        }
    }
    // Whatever remains reads from another that remains: going back leads into a cycle.
    let mut before = vec![None; nodes];
    for &(maker, reader) in edges.iter().filter(|&&(maker, _)| open[maker as usize] > 0) {
        before[reader as usize] = Some(maker);
    }
    let mut node = (0..nodes as u32).find(|&n| open[n as usize] > 0)?;
    let mut met = vec![false; nodes];
    while !std::mem::replace(&mut met[node as usize], true) {
        node = before[node as usize]?;
    }
    let mut around = vec![node];
    let mut back = before[node as usize]?;
    while back != node {
        around.push(back);
        back = before[back as usize]?;
    }
    around.reverse();
    Some(around)
}

#[cfg(test)]
mod tests {
    use super::cycle;

    #[test]
    fn a_cycle_is_told_from_what_hangs_on_it() {
        assert_eq!(cycle(3, &[(0, 1), (1, 2)]), None);
        assert_eq!(cycle(1, &[(0, 0)]), Some(vec![0]));
        // 0 -> 1 -> 2 -> 1, and 3 hangs on 2.
        let mut found = cycle(4, &[(0, 1), (1, 2), (2, 1), (2, 3)]).unwrap();
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
    }
}
