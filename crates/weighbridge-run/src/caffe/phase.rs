//! Which layers of a net are there for testing: `include` and `exclude` rules against the net's state.

use weighbridge_model::{Model, Node, Value};

/// What rules are held against: phase TEST, and the level (0) and stages that the net's own `state` names.
pub(super) struct State<'a> {
    level: i64,
    stages: Vec<&'a str>,
}

impl<'a> State<'a> {
    /// The state that a net's text gives.
    pub(super) fn of(model: &'a Model) -> Self {
        let state = model.metadata.iter().find(|(key, _)| key == "state").map(|(_, state)| state);
        let level = state.and_then(|state| each(state.get("level")).last()).and_then(Value::as_int);
        State {
            level: level.unwrap_or(0),
            stages: state.map(|state| words(state, "stage")).unwrap_or_default(),
        }
    }

    /// Whether a layer is there. One with rules to include it is there where any of them holds, every other one
    /// unless a rule to exclude it does.
    pub(super) fn has(&self, node: &Node) -> bool {
        let rules = |name| each(node.attribute(name));
        match rules("include") {
            [] => !rules("exclude").iter().any(|rule| self.meets(rule)),
            include => include.iter().any(|rule| self.meets(rule)),
        }
    }

    fn meets(&self, rule: &Value) -> bool {
        let phase = match rule.get("phase") {
            Some(Value::Str(phase)) => phase == "TEST",
            Some(Value::Int(phase)) => *phase == 1,
            _ => true,
        };
        let level = |name: &str| each(rule.get(name)).last().and_then(Value::as_int);
        phase
            && level("min_level").is_none_or(|level| level <= self.level)
            && level("max_level").is_none_or(|level| level >= self.level)
            && words(rule, "stage").iter().all(|stage| self.stages.contains(stage))
            && !words(rule, "not_stage").iter().any(|stage| self.stages.contains(stage))
    }
}

fn each(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::List(items)) => items,
        Some(single) => std::slice::from_ref(single),
        None => &[],
    }
}

fn words<'a>(message: &'a Value, name: &str) -> Vec<&'a str> {
    each(message.get(name)).iter().filter_map(Value::as_str).collect()
}
