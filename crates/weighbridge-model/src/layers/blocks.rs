//! Repeated blocks: eighty equal transformer layers are one line.

use std::collections::HashMap;

use super::Layer;

/// Fewest equal layers that are shown as one.
const REPEATS: usize = 3;

/// A layer, or equal layers of a repeated block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Path with the varying numbers in braces: `layers.{0..79}.mlp.up_proj`.
    pub path: String,
    /// Indices into the layers given, in file order; never empty.
    pub members: Vec<usize>,
}

/// Groups layers whose paths differ in numbers only and whose kinds are the same. Blocks stand where their
/// first member does.
pub fn collapse(layers: &[Layer]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut index: HashMap<(String, &str), usize> = HashMap::new();
    for (i, layer) in layers.iter().enumerate() {
        let (pattern, _) = numbers(&layer.path);
        let at = *index.entry((pattern, layer.kind.as_str())).or_insert_with(|| {
            blocks.push(Block { path: String::new(), members: Vec::new() });
            blocks.len() - 1
        });
        blocks[at].members.push(i);
    }
    let mut result: Vec<Block> = Vec::with_capacity(blocks.len());
    for mut block in blocks {
        if block.members.len() >= REPEATS {
            block.path = ranged(block.members.iter().map(|&i| layers[i].path.as_str()));
            result.push(block);
        } else {
            let single = |&i: &usize| Block { path: layers[i].path.clone(), members: vec![i] };
            result.extend(block.members.iter().map(single));
        }
    }
    result.sort_by_key(|b| b.members[0]);
    result
}

/// The path with each whole-number segment replaced, and those numbers.
fn numbers(path: &str) -> (String, Vec<u64>) {
    let mut found = Vec::new();
    let pattern: Vec<&str> = path
        .split('.')
        .map(|segment| match segment.parse() {
            Ok(n) => {
                found.push(n);
                "{}"
            }
            Err(_) => segment,
        })
        .collect();
    (pattern.join("."), found)
}

fn ranged<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> String {
    let first = paths.clone().next().unwrap_or_default();
    let all: Vec<Vec<u64>> = paths.map(|p| numbers(p).1).collect();
    let mut position = 0;
    let segments: Vec<String> = first
        .split('.')
        .map(|segment| {
            if segment.parse::<u64>().is_err() {
                return segment.to_owned();
            }
            let mut values: Vec<u64> = all.iter().map(|n| n[position]).collect();
            position += 1;
            values.sort_unstable();
            values.dedup();
            braces(&values)
        })
        .collect();
    segments.join(".")
}

fn braces(values: &[u64]) -> String {
    let (low, high) = (values[0], values[values.len() - 1]);
    if low == high {
        low.to_string()
    } else if high - low + 1 == values.len() as u64 {
        format!("{{{low}..{high}}}")
    } else {
        format!("{{{}}}", values.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(path: &str, kind: &str) -> Layer {
        Layer { path: path.into(), kind: kind.into(), guessed: true, tensors: vec![] }
    }

    #[test]
    fn equal_layers_of_a_repeated_block_become_one_line() {
        let mut layers = vec![layer("embed", "Embedding 9x4")];
        for i in 0..80 {
            layers.push(layer(&format!("layers.{i}.mlp.up"), "Linear 4->8"));
            layers.push(layer(&format!("layers.{i}.norm"), "RMSNorm 4"));
        }
        let blocks = collapse(&layers);
        let paths: Vec<&str> = blocks.iter().map(|b| b.path.as_str()).collect();
        assert_eq!(paths, ["embed", "layers.{0..79}.mlp.up", "layers.{0..79}.norm"]);
        assert_eq!(blocks[1].members.len(), 80);
    }

    #[test]
    fn layers_of_another_kind_stay_apart() {
        let layers = [
            layer("l.0.c", "Conv2d 3->8 k3"),
            layer("l.1.c", "Conv2d 8->8 k3"),
            layer("l.2.c", "Conv2d 8->8 k3"),
        ];
        assert_eq!(collapse(&layers).len(), 3);
    }
}
