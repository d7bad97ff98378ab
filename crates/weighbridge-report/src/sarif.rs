//! Findings as SARIF 2.1.0 (OASIS), which code hosts and editors show beside a file.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use weighbridge_model::{Finding, Model, Severity};

use crate::json;

/// What the codes of judgements mean. Others are what a reader noticed.
const RULES: &[(&str, &str)] = &[
    ("A101", "NaN or infinities among activations"),
    ("A102", "Inputs that were not normalised"),
    ("A103", "An activation leaves the format's range"),
    ("A104", "An activation comes near the end of the format's range"),
    ("A105", "An activation underflows in the format"),
    ("A106", "What an operator adds up inside leaves the format's range"),
    ("A107", "Channels of an activation underflow in the format"),
    ("H101", "NaN among weights"),
    ("H102", "Infinities among weights"),
    ("H103", "Weights that are all zero"),
    ("H104", "Weights that are all equal"),
    ("H105", "Negative variances"),
    ("H106", "Output channels that are all zero"),
    ("H107", "Output channels of exploded scale"),
    ("H108", "Output channels that are equal"),
    ("H109", "Variances of zero"),
    ("H110", "Statistics that were never updated"),
    ("H111", "An unusual epsilon"),
    ("P101", "Weights become infinite in the format"),
    ("P102", "The format leaves less than 20 dB of a tensor"),
    ("P103", "The format leaves less than 40 dB of a tensor"),
    ("P104", "The format leaves less than 20 dB of an output channel"),
    ("P105", "The format leaves less than 40 dB of an output channel"),
    ("P106", "Output channels become infinite in the format"),
    ("P107", "Variances or epsilons vanish in the format"),
    ("P120", "Operators that are sensitive to the format"),
];

/// The log of one run over `files`.
pub fn document(files: &[&str], model: &Model, findings: &[Finding]) -> Map<String, Json> {
    let mut helps: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in findings {
        helps.entry(finding.code).or_insert(finding);
    }
    let index: BTreeMap<&str, usize> = helps.keys().copied().zip(0..).collect();
    let rules: Vec<Json> = helps.values().map(|finding| rule(finding)).collect();
    let artifacts: Vec<Json> = files.iter().map(|file| json!({ "location": { "uri": uri(file) } })).collect();
    let file = files.first().copied().unwrap_or_default();
    let results: Vec<Json> = findings.iter().map(|f| result(file, model, f, index[f.code])).collect();
    let run = json!({
        "tool": { "driver": {
            "name": "weigh",
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules,
        } },
        "artifacts": artifacts,
        "results": results,
        "columnKind": "unicodeCodePoints",
    });
    let mut document = Map::new();
    document.insert("$schema".into(), "https://json.schemastore.org/sarif-2.1.0.json".into());
    document.insert("version".into(), "2.1.0".into());
    document.insert("runs".into(), vec![run].into());
    document
}

fn rule(finding: &Finding) -> Json {
    let what = RULES.iter().find(|(code, _)| *code == finding.code);
    let what = what.map_or("Noticed when the file was read", |(_, what)| *what);
    json!({
        "id": finding.code,
        "shortDescription": { "text": what },
        "help": { "text": finding.help },
        "defaultConfiguration": { "level": level(finding.severity) },
    })
}

fn result(file: &str, model: &Model, finding: &Finding, rule: usize) -> Json {
    let places = [(&finding.tensor, "variable"), (&finding.node, "function")];
    let logical: Vec<Json> = places
        .iter()
        .filter_map(|(name, kind)| {
            let name = name.as_deref().filter(|name| !name.is_empty())?;
            Some(json!({ "name": name, "fullyQualifiedName": name, "kind": kind }))
        })
        .collect();
    let mut location =
        json!({ "physicalLocation": { "artifactLocation": { "uri": uri(file), "index": 0 } } });
    if !logical.is_empty() {
        location["logicalLocations"] = logical.into();
    }
    let mut properties: Map<String, Json> =
        finding.figures.iter().map(|(key, value)| ((*key).to_owned(), json::value(model, value))).collect();
    if let Some(target) = finding.target {
        properties.insert("target".into(), target.into());
    }
    json!({
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": level(finding.severity),
        "message": { "text": format!("{}. {}.", finding.message, finding.help) },
        "locations": [location],
        "properties": properties,
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// A path as a URI reference (RFC 3986): what has a meaning there is escaped.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte.into())
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_refers_to_its_rule_and_names_its_place() {
        let finding = Finding::new("P101", Severity::Error, "goes", "keep").with_tensor("w");
        let document = Json::Object(document(&["a b.onnx"], &Model::default(), &[finding]));
        let run = &document["runs"][0];
        let result = &run["results"][0];
        assert_eq!(document["version"], "2.1.0");
        assert_eq!(run["tool"]["driver"]["rules"][0]["id"], result["ruleId"]);
        assert_eq!(result["level"], "error");
        let location = &result["locations"][0];
        assert_eq!(location["physicalLocation"]["artifactLocation"]["uri"], "a%20b.onnx");
        assert_eq!(location["logicalLocations"][0]["name"], "w");
    }
}
