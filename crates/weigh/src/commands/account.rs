//! What `weigh convert` says of each tensor, and of each layer that became another operator.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value as Json, json};
use weighbridge_convert::into::Rule;
use weighbridge_convert::{Moved, Transfer};
use weighbridge_formats::{Change, Plan};
use weighbridge_graph::lower::Choice;
use weighbridge_model::{Model, Result, Role};
use weighbridge_report::table::clean;
use weighbridge_report::{json as figures, units};

use crate::printer;

/// Lines of each kind in the account; the JSON has all.
const NAMED: usize = 20;

/// What a lowering and a fold tell beside the model.
#[derive(Default)]
pub(super) struct Told {
    pub(super) choices: Vec<Choice>,
    pub(super) changed: Vec<(String, String)>,
    pub(super) added: Vec<(String, String)>,
    pub(super) dropped: Vec<(String, String)>,
}

/// What was or would be done.
#[derive(Default)]
pub(super) struct Account {
    pub(super) kept: Vec<String>,
    /// How many of the changed have another name, and are the same bit for bit.
    pub(super) renamed: u64,
    pub(super) changed: Vec<Change>,
    pub(super) dropped: Vec<Change>,
    /// Names in the output, names of the sources, and by what they were matched; empty without `--into`.
    matched: Vec<(String, String, Rule)>,
    /// What was chosen where a net became a graph of other operators.
    choices: Vec<Choice>,
    pub(super) plan: Plan,
}

impl Account {
    pub(super) fn of(transfer: &Transfer, mut plan: Plan, whole: &Model, part: Option<&str>) -> Self {
        let mut changed: Vec<Change> = std::mem::take(&mut plan.changed);
        let written: HashSet<String> = changed.iter().map(|c| c.tensor.clone()).collect();
        let mut renamed = 0;
        for moved in &transfer.moved {
            let mut whys = moved.changes.clone();
            if moved.source.name != moved.target.name {
                let by = moved.matched.map(|rule| format!(", matched by {}", rule.told()));
                whys.insert(0, format!("was '{}'{}", moved.source.name, by.unwrap_or_default()));
                renamed += u64::from(whys.len() == 1 && !written.contains(&moved.target.name));
            }
            if !whys.is_empty() {
                changed.push(Change::new(&moved.target.name, whys.join("; ")));
            }
        }
        let altered: HashSet<&str> = changed.iter().map(|c| c.tensor.as_str()).collect();
        let kept = std::mem::take(&mut plan.kept);
        let kept = kept.into_iter().filter(|name| !altered.contains(name.as_str())).collect();
        let mut dropped: Vec<Change> =
            transfer.left.iter().map(|(name, why)| Change::new(name, why)).collect();
        if let Some(part) = part {
            let others = whole.parts.iter().filter(|p| p.key != part);
            dropped.extend(others.map(|p| {
                let tensors = units::plural(p.tensors.len() as u64, "tensor");
                Change::new(
                    format!("#{}", p.key),
                    format!("{tensors} of another part: --all takes them along"),
                )
            }));
        }
        dropped.append(&mut plan.dropped);
        let of = |m: &Moved| m.matched.map(|rule| (m.target.name.clone(), m.source.name.clone(), rule));
        let matched = transfer.moved.iter().filter_map(of).collect();
        Account { kept, renamed, changed, dropped, matched, choices: Vec::new(), plan }
    }

    /// With what a lowering and a fold to `written` did before.
    pub(super) fn with(mut self, told: Told, written: &Model) -> Self {
        let altered: HashSet<&str> =
            told.changed.iter().chain(&told.added).map(|(name, _)| name.as_str()).collect();
        let constants = written.tensors.iter().filter(|t| t.role == Role::Constant).map(|t| t.name.as_str());
        let constants: HashSet<&str> =
            if told.choices.is_empty() { HashSet::new() } else { constants.collect() };
        self.plan.added.extend(
            self.kept
                .iter()
                .filter(|name| constants.contains(name.as_str()))
                .map(|name| Change::new(name, "a constant of the operators")),
        );
        self.kept.retain(|name| !altered.contains(name.as_str()) && !constants.contains(name.as_str()));
        self.told(told);
        self
    }

    /// Adds what a lowering and a fold did before.
    pub(super) fn told(&mut self, told: Told) {
        self.plan.added.extend(told.added.into_iter().map(|(name, why)| Change::new(name, why)));
        self.changed.extend(told.changed.into_iter().map(|(name, why)| Change::new(name, why)));
        self.dropped.extend(told.dropped.into_iter().map(|(name, why)| Change::new(name, why)));
        self.choices = told.choices;
    }

    pub(super) fn json(&self, dry_run: bool) -> Map<String, Json> {
        let list = |changes: &[Change]| -> Json {
            changes.iter().map(|c| json!({"tensor": c.tensor, "why": c.why})).collect()
        };
        let mut document = Map::new();
        document.insert("schema".into(), figures::SCHEMA.into());
        document.insert("kept".into(), self.kept.clone().into());
        document.insert("changed".into(), list(&self.changed));
        document.insert("added".into(), list(&self.plan.added));
        document.insert("dropped".into(), list(&self.dropped));
        if !self.matched.is_empty() {
            let pair = |(tensor, source, rule): &(String, String, Rule)| json!({"tensor": tensor, "source": source, "by": rule.id()});
            document.insert("matched".into(), self.matched.iter().map(pair).collect());
        }
        if !self.choices.is_empty() {
            let choice = |c: &Choice| json!({"layer": c.layer, "type": c.kind, "choice": c.choice});
            document.insert("choices".into(), self.choices.iter().map(choice).collect());
        }
        let files = self.plan.files.iter().map(|f| f.path.display().to_string());
        document.insert("files".into(), files.collect());
        document.insert("dry_run".into(), dry_run.into());
        document
    }

    pub(super) fn print(&self, dry_run: bool) -> Result<()> {
        let kept = self.kept.len() as u64 + self.renamed;
        let mut text = format!("kept     {}", units::plural(kept, "tensor"));
        if self.renamed > 0 {
            text += &format!(", {} of them under another name", self.renamed);
        }
        text.push('\n');
        let mut rules: BTreeMap<Rule, u64> = BTreeMap::new();
        self.matched.iter().for_each(|(_, _, rule)| *rules.entry(*rule).or_default() += 1);
        for (rule, count) in rules {
            text += &format!("matched  {} by {}\n", units::plural(count, "tensor"), rule.told());
        }
        // A dry run is asked for to see which is which.
        let most = if dry_run && !self.matched.is_empty() { usize::MAX } else { NAMED };
        for (head, changes) in
            [("changed", &self.changed), ("added", &self.plan.added), ("dropped", &self.dropped)]
        {
            let groups = by_reason(changes);
            for (why, names) in groups.iter().take(most) {
                text += &format!("{head:7}  {}: {}\n", clean(&named(names)), clean(why));
            }
            if groups.len() > most {
                let more: usize = groups[most..].iter().map(|(_, names)| names.len()).sum();
                text += &format!("{head:7}  and {more} more (--json lists all)\n");
            }
        }
        let layer = |c: &Choice| match c.layer.as_str() {
            "" => "the net".to_owned(),
            layer => format!("{layer} ({})", c.kind),
        };
        let choices: Vec<Change> = self.choices.iter().map(|c| Change::new(layer(c), &c.choice)).collect();
        for (choice, layers) in by_reason(&choices) {
            text += &format!("chosen   {}: {}\n", clean(&named(&layers)), clean(choice));
        }
        let head = if dry_run { "would be" } else { "file   " };
        for file in &self.plan.files {
            let len = file.len.map(|n| format!("  {}", units::bytes(n))).unwrap_or_default();
            text += &format!("{head}  {}{len}\n", clean(&file.path.display().to_string()));
        }
        printer::data(&text)
    }
}

/// Names of one reason together, in the order of the first.
fn by_reason(changes: &[Change]) -> Vec<(&str, Vec<&str>)> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for change in changes {
        let place = *places.entry(&change.why).or_insert(groups.len());
        if place == groups.len() {
            groups.push((&change.why, Vec::new()));
        }
        groups[place].1.push(&change.tensor);
    }
    groups
}

/// The first few of many names.
fn named(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let first = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{first} and {} more", names.len() - SHOWN) } else { first }
}
