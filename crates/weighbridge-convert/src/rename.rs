//! New names: prefixes that go, patterns with captures, maps.

use weighbridge_model::{Error, Result};

use crate::Transfer;

/// A rule `FROM=TO`: each `*` of FROM stands for any text, and the `*` of TO, in turn, for what they stood for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    from: Vec<String>,
    to: Vec<String>,
}

impl Rename {
    /// Reads a rule.
    ///
    /// # Errors
    /// A rule without a `=`, or with more `*` behind it than before.
    pub fn parse(rule: &str) -> Result<Self> {
        let usage = |what: &str| Error::Usage { what: format!("'{rule}' is no renaming: {what}") };
        let (from, to) = rule.split_once('=').ok_or_else(|| usage("write FROM=TO"))?;
        let parts = |text: &str| text.split('*').map(str::to_owned).collect::<Vec<_>>();
        let (from, to) = (parts(from), parts(to));
        if to.len() > from.len() {
            return Err(usage("TO has more * than FROM"));
        }
        Ok(Rename { from, to })
    }

    /// The new name, where the rule fits.
    pub fn apply(&self, name: &str) -> Option<String> {
        let captures = captures(&self.from, name)?;
        let mut renamed = self.to[0].clone();
        for (capture, text) in captures.iter().zip(&self.to[1..]) {
            renamed += capture;
            renamed += text;
        }
        Some(renamed)
    }
}

/// What each `*` between `parts` stands for: as little as possible, save the last.
fn captures<'n>(parts: &[String], name: &'n str) -> Option<Vec<&'n str>> {
    let mut rest = name.strip_prefix(parts[0].as_str())?;
    let [_, middle @ .., last] = parts else { return rest.is_empty().then(Vec::new) };
    let mut found = Vec::with_capacity(parts.len() - 1);
    for part in middle {
        let at = rest.find(part.as_str())?;
        found.push(&rest[..at]);
        rest = &rest[at + part.len()..];
    }
    found.push(rest.strip_suffix(last.as_str())?);
    Some(found)
}

/// Reads a map of names: JSON `{"old": "new"}`, or a line `old new` for each.
///
/// # Errors
/// Text that is neither.
pub fn rename_map(text: &str) -> Result<Vec<(String, String)>> {
    let usage = |what: String| Error::Usage { what: format!("the map of names: {what}") };
    if text.trim_start().starts_with('{') {
        let map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|e| usage(e.to_string()))?;
        let pair = |(old, new): (String, serde_json::Value)| match new {
            serde_json::Value::String(new) => Ok((old, new)),
            other => Err(usage(format!("'{old}' becomes {other}, which is no name"))),
        };
        return map.into_iter().map(pair).collect();
    }
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(i, line)| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [old, new] => Ok((old.to_owned(), new.to_owned())),
            _ => Err(usage(format!("line {} is no 'old new'", i + 1))),
        })
        .collect()
}

impl Transfer {
    /// Takes `prefix` from the names that begin with it; returns how many did.
    pub fn strip_prefix(&mut self, prefix: &str) -> usize {
        self.rename_with(|name| name.strip_prefix(prefix).map(str::to_owned))
    }

    /// Renames by the first rule that fits; returns for each rule how many names it changed.
    pub fn rename(&mut self, rules: &[Rename]) -> Vec<usize> {
        let mut used = vec![0; rules.len()];
        self.rename_with(|name| {
            rules.iter().zip(&mut used).find_map(|(rule, used)| {
                let renamed = rule.apply(name)?;
                *used += 1;
                Some(renamed)
            })
        });
        used
    }

    /// Renames by a map; returns the old names that no tensor has.
    pub fn rename_by_map(&mut self, map: &[(String, String)]) -> Vec<String> {
        let by_old: std::collections::HashMap<&str, &str> =
            map.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
        let mut met = std::collections::HashSet::new();
        self.rename_with(|name| {
            let (old, new) = by_old.get_key_value(name)?;
            met.insert(*old);
            Some((*new).to_owned())
        });
        map.iter().filter(|(old, _)| !met.contains(old.as_str())).map(|(old, _)| old.clone()).collect()
    }

    fn rename_with(&mut self, mut renamed: impl FnMut(&str) -> Option<String>) -> usize {
        let mut count = 0;
        for moved in &mut self.moved {
            if let Some(name) = renamed(&moved.target.name) {
                moved.target.name = name;
                count += 1;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_carry_over_in_turn() {
        let apply = |rule: &str, name: &str| Rename::parse(rule).unwrap().apply(name);
        assert_eq!(apply("layers.*.w=blk.*.weight", "layers.3.w").as_deref(), Some("blk.3.weight"));
        assert_eq!(apply("a.*.b.*=*-*", "a.1.b.2.b.3").as_deref(), Some("1-2.b.3"));
        assert_eq!(apply("*=model.*", "x").as_deref(), Some("model.x"));
        assert_eq!(apply("a=b", "a").as_deref(), Some("b"));
        assert_eq!(apply("a=b", "aa"), None);
        assert_eq!(apply("layers.*.w=x", "layers.w"), None);
        assert_eq!(apply("ab*ba=*", "aba"), None);
    }

    #[test]
    fn rules_that_invent_text_are_refused() {
        assert!(Rename::parse("a=b*").is_err());
        assert!(Rename::parse("ab").is_err());
    }

    #[test]
    fn maps_are_json_or_lines() {
        let pairs = vec![("a".to_owned(), "b".to_owned())];
        assert_eq!(rename_map("{\"a\": \"b\"}").unwrap(), pairs);
        assert_eq!(rename_map("# names\na b\n\n").unwrap(), pairs);
        assert!(rename_map("a b c").is_err());
        assert!(rename_map("{\"a\": 1}").is_err());
    }
}
