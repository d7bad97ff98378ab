//! Several tensors that became one, and one that became several: query, key and value; gates; concatenations.

use std::collections::HashMap;

use weighbridge_convert::into::Step;
use weighbridge_measure::compare;
use weighbridge_model::{Layout, Result, Tensor, View};

use super::arrange::apply;
use super::pair::{Figures, Relation};
use super::side::{Side, is_coded};
use super::work::{Explained, Work};

/// Rows of a part that are told apart by their first elements.
const HEAD: u64 = 4;

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let (sources, targets) = (open(work.source, work.open_sources()), open(work.target, work.open_targets()));
    if sources.is_empty() || targets.is_empty() {
        return Ok(());
    }
    for (whole, parts, one_is_target) in [(&targets, &sources, true), (&sources, &targets, false)] {
        let (wholes, pieces) =
            if one_is_target { (work.target, work.source) } else { (work.source, work.target) };
        let index = Parts::of(pieces, parts)?;
        for &one in whole {
            let done = if one_is_target { &work.target_done } else { &work.source_done };
            if done[one] {
                continue;
            }
            let taken = if one_is_target { &work.source_done } else { &work.target_done };
            let Some((made_of, turned)) = index.tile(wholes.tensor(one), pieces, taken)? else { continue };
            let along = if turned { "side by side, transposed" } else { "one after another" };
            let names: Vec<&str> = made_of.iter().map(|&p| pieces.tensor(p).name.as_str()).collect();
            let why = vec![format!("{} {along}", names.join(", "))];
            let figures = Some(Figures::same(wholes.tensor(one).count()));
            let (source, target) = if one_is_target { (made_of, vec![one]) } else { (vec![one], made_of) };
            let relation = Relation::Merged;
            work.explain(Explained { source, target, relation, figures, why, guess: false });
        }
    }
    Ok(())
}

/// Vectors and matrices of plain numbers.
fn open(side: &Side, open: Vec<usize>) -> Vec<usize> {
    let fits = |i: &usize| {
        let tensor = side.tensor(*i);
        let excused = side.excused.contains_key(i);
        tensor.dtype.is_float()
            && !tensor.dtype.is_sub_byte()
            && !is_coded(tensor)
            && !excused
            && (1..=4).contains(&tensor.shape.len())
    };
    open.into_iter().filter(fits).collect()
}

/// The first values of a row.
type Head = Vec<u64>;
/// A row's sizes and its first values.
type Key = (Vec<u64>, Head);

/// Tensors that others may be made of, by the size of their rows and the first row's first values.
struct Parts {
    by_head: HashMap<Key, Vec<(usize, bool)>>,
}

impl Parts {
    fn of(side: &Side, parts: &[usize]) -> Result<Self> {
        let mut by_head: HashMap<_, Vec<(usize, bool)>> = HashMap::new();
        for &part in parts {
            let tensor = side.tensor(part);
            for turned in [false, true] {
                let Some(tensor) = turn(tensor, turned)? else { continue };
                let key = (tensor.shape[1..].to_vec(), head(&tensor, 0)?);
                let list = by_head.entry(key).or_default();
                if list.len() < 8 {
                    list.push((part, turned));
                }
            }
        }
        Ok(Parts { by_head })
    }

    /// The parts that a tensor is made of along its first dimension, and whether they are transposed.
    fn tile(&self, whole: &Tensor, side: &Side, taken: &[bool]) -> Result<Option<(Vec<usize>, bool)>> {
        let mut best = None;
        for whole_turned in [false, true] {
            let Some(whole) = turn(whole, whole_turned)? else { continue };
            let (mut row, mut found, mut turned) = (0, Vec::new(), whole_turned);
            while row < whole.shape[0] {
                let key = (whole.shape[1..].to_vec(), head(&whole, row)?);
                let mut next = None;
                for &(part, part_turned) in self.by_head.get(&key).map_or(&[][..], Vec::as_slice) {
                    let Some(tensor) = turn(side.tensor(part), part_turned)? else { continue };
                    let rows = tensor.shape[0];
                    if taken[part] || found.contains(&part) || rows == 0 || row + rows > whole.shape[0] {
                        continue;
                    }
                    if compare(&rows_of(&whole, row, rows), &tensor, &|_, _, _| 0.0)?.unequal == 0 {
                        next = Some((part, rows, part_turned));
                        break;
                    }
                }
                let Some((part, rows, part_turned)) = next else { break };
                found.push(part);
                turned |= part_turned;
                row += rows;
            }
            if row == whole.shape[0] && found.len() > 1 {
                best = Some((found, turned));
                break;
            }
        }
        Ok(best)
    }
}

/// The tensor, or, of a matrix, its transpose; `None` where there is none.
fn turn(tensor: &Tensor, turned: bool) -> Result<Option<Tensor>> {
    match (turned, tensor.shape.len()) {
        (false, _) => Ok(Some(tensor.clone())),
        (true, 2) => apply(tensor, &[Step::Permute(vec![1, 0])]),
        _ => Ok(None),
    }
}

fn head(tensor: &Tensor, row: u64) -> Result<Head> {
    let width: u64 = tensor.shape[1..].iter().product();
    let start = row * width;
    let mut head = Vec::new();
    tensor.visit_values(start..start + HEAD.min(width), &mut |_, values| {
        head.extend(values.iter().map(|x| x.to_bits()));
        Ok(())
    })?;
    Ok(head)
}

/// Some rows of a tensor.
fn rows_of(tensor: &Tensor, first: u64, rows: u64) -> Tensor {
    let mut part = tensor.clone();
    part.shape[0] = rows;
    if let Layout::Strided(view) = &tensor.layout {
        let offset = (view.offset as i64 + first as i64 * view.strides[0]) as u64;
        part.layout = Layout::Strided(View { offset, strides: view.strides.clone() });
    }
    part
}
