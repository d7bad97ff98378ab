//! Constants that an exporter computed: rows of a table that an index picks (relative positions), and tensors that are
//! repeated along a dimension (a class token for each of a batch).

use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_convert::into::Step;
use weighbridge_measure::fingerprints;
use weighbridge_model::{DType, Layout, Memory, Place, Result, Tensor, View, roles};

use super::arrange::{agreement, apply, close, in_memory};
use super::bound::judged;
use super::near::size;
use super::pair::Relation;
use super::side::is_coded;
use super::work::{Explained, Work};

/// Elements of a computed constant at most.
const LARGEST: u64 = 1 << 26;
/// Targets that are looked at for each constant: those whose magnitudes are nearest.
const MOST: usize = 16;
/// How far sums of magnitudes may lie apart.
const WINDOW: f64 = 1e-3;
/// Share of sampled elements that must agree.
const AGREE: f64 = 0.5;

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let fits = |t: &usize| plain(work.target.tensor(*t)) && !work.target.excused.contains_key(t);
    let targets: Vec<usize> = work.open_targets().into_iter().filter(fits).collect();
    if targets.is_empty() || work.open_sources().is_empty() {
        return Ok(());
    }
    let tensors: Vec<_> = targets.iter().map(|&t| (work.target.tensor(t), None)).collect();
    let mut sums = HashMap::new();
    for (&t, found) in targets.iter().zip(fingerprints(&tensors)) {
        sums.insert(t, found?.magnitude);
    }
    picked(work, &targets, &sums)?;
    repeated(work, &targets, &sums)
}

/// Whether elements are stored numbers of floating point.
fn plain(tensor: &Tensor) -> bool {
    tensor.dtype.is_float() && !tensor.dtype.is_sub_byte() && !is_coded(tensor) && tensor.count() > 1
}

/// Matrices whose rows an index of the same layer picks.
fn picked(work: &mut Work<'_>, targets: &[usize], sums: &HashMap<usize, f64>) -> Result<()> {
    let mut by_count: HashMap<u64, Vec<usize>> = HashMap::new();
    for &t in targets {
        by_count.entry(work.target.tensor(t).count()).or_default().push(t);
    }
    let mut indices: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, tensor) in work.source.model.tensors.iter().enumerate() {
        if matches!(tensor.dtype, DType::I64 | DType::I32) && !tensor.shape.is_empty() && tensor.count() > 0 {
            indices.entry(roles::split(&tensor.name).0).or_default().push(i);
        }
    }
    for s in work.open_sources() {
        let table = work.source.tensor(s);
        let &[rows, columns] = &table.shape[..] else { continue };
        let beside = indices.get(roles::split(&table.name).0).map_or(&[][..], Vec::as_slice);
        for &index in beside.iter().filter(|_| plain(table)) {
            let which = work.source.tensor(index);
            let Some(count) = which.count().checked_mul(columns).filter(|n| *n <= LARGEST) else { continue };
            let Some(likely) = by_count.get(&count) else { continue };
            let Some(made) = rows_of(table, rows, which)? else { continue };
            let why = format!("rows of '{}' picked by '{}'", table.name, which.name);
            let ways = |shape: &[u64]| ways(&made.shape, shape);
            if let Some(found) = best(work, &made, likely, sums, 1.0, &ways)? {
                settle(work, vec![s, index], found, why)?;
                break;
            }
        }
    }
    Ok(())
}

/// The rows of a matrix at these indices; `None` where one is outside.
fn rows_of(table: &Tensor, rows: u64, which: &Tensor) -> Result<Option<Tensor>> {
    let held = in_memory(table)?;
    let (Some(bytes), width) = (held.storage.as_slice(), held.bytes() / rows.max(1)) else { return Ok(None) };
    let (mut made, mut inside) = (Vec::with_capacity((which.count() * width) as usize), true);
    which.visit_values(0..which.count(), &mut |_, values| {
        for &row in values {
            inside &= row >= 0.0 && row < rows as f64;
            if inside {
                let at = (row as u64 * width) as usize;
                made.extend_from_slice(&bytes[at..at + width as usize]);
            }
        }
        Ok(())
    })?;
    let shape = vec![which.count(), table.shape[1]];
    let made = inside.then(|| Arc::new(Memory::new(made)));
    made.map(|made| Tensor::contiguous(&table.name, held.dtype, shape, made, &Place::default())).transpose()
}

/// Ways in which rows and columns become a shape: columns in any place, rows in one dimension or several.
fn ways(from: &[u64], to: &[u64]) -> Vec<Vec<Step>> {
    let (rows, columns) = (from[0], from[1]);
    let dense: Vec<u64> = to.iter().copied().filter(|&d| d != 1).collect();
    if columns == 1 {
        return vec![vec![Step::Reshape(to.to_vec())]];
    }
    let mut ways = Vec::new();
    for at in (0..dense.len()).rev().filter(|&at| dense[at] == columns) {
        let mut apart = dense.clone();
        apart.remove(at);
        if apart.iter().product::<u64>() != rows {
            continue;
        }
        let last = apart.len();
        apart.push(columns);
        let order: Vec<usize> = (0..at).chain([last]).chain(at..last).collect();
        ways.push(vec![Step::Reshape(apart), Step::Permute(order), Step::Reshape(to.to_vec())]);
    }
    ways
}

/// Tensors that stand several times along one dimension.
fn repeated(work: &mut Work<'_>, targets: &[usize], sums: &HashMap<usize, f64>) -> Result<()> {
    // By sizes without one of them: how often that stands there is told by the counts.
    let mut by_size: HashMap<Vec<u64>, Vec<usize>> = HashMap::new();
    for &t in targets {
        let shape = &work.target.tensor(t).shape;
        for along in (0..shape.len()).filter(|&d| shape[d] > 1) {
            let mut one = shape.clone();
            one[along] = 1;
            let list = by_size.entry(size(&one)).or_default();
            if list.last() != Some(&t) {
                list.push(t);
            }
        }
    }
    for s in work.open_sources() {
        let ours = work.source.tensor(s).clone();
        let Some(likely) = by_size.get(&size(&ours.shape)).filter(|_| plain(&ours)) else { continue };
        let mut by_times: HashMap<u64, Vec<usize>> = HashMap::new();
        for &t in likely {
            by_times.entry(work.target.tensor(t).count() / ours.count()).or_default().push(t);
        }
        let mut times: Vec<u64> = by_times.keys().copied().collect();
        times.sort_unstable();
        for times in times {
            let nearest = nearest(work, &ours, &by_times[&times], sums, times as f64)?;
            for t in nearest {
                let theirs = work.target.tensor(t);
                let Some((wide, along)) = widened(&ours, &theirs.shape) else { continue };
                if agreement(&wide, theirs, &close(theirs))? >= AGREE {
                    let why = format!("repeated {times} times along dimension {along}");
                    settle(work, vec![s], (t, wide), why)?;
                    break;
                }
            }
            if work.source_done[s] {
                break;
            }
        }
    }
    Ok(())
}

/// The tensor in a shape that has one of its dimensions of 1 wider, and which.
fn widened(tensor: &Tensor, shape: &[u64]) -> Option<(Tensor, usize)> {
    let Layout::Strided(view) = &tensor.layout else { return None };
    let missing = shape.len().checked_sub(tensor.shape.len())?;
    let mut sizes = vec![1; missing];
    sizes.extend(&tensor.shape);
    let mut strides = vec![0; missing];
    strides.extend(&view.strides);
    let wider: Vec<usize> = (0..shape.len()).filter(|&d| sizes[d] != shape[d]).collect();
    let &[along] = &wider[..] else { return None };
    if sizes[along] != 1 {
        return None;
    }
    strides[along] = 0;
    let layout = Layout::Strided(View { offset: view.offset, strides });
    Some((Tensor { shape: shape.to_vec(), layout, ..tensor.clone() }, along))
}

/// Of these targets the open ones whose magnitudes come to nearly `times` as much as a tensor's.
fn nearest(
    work: &Work<'_>,
    tensor: &Tensor,
    likely: &[usize],
    sums: &HashMap<usize, f64>,
    times: f64,
) -> Result<Vec<usize>> {
    let sum = fingerprints(&[(tensor, None)]).remove(0)?.magnitude * times;
    let open = likely.iter().copied().filter(|t| !work.target_done[*t]);
    let mut within: Vec<(f64, usize)> = open.map(|t| ((sums[&t] - sum).abs(), t)).collect();
    within.retain(|(off, _)| *off <= WINDOW * sum);
    within.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    within.truncate(MOST);
    Ok(within.into_iter().map(|(_, t)| t).collect())
}

/// The target that agrees with a tensor most, and the tensor in its shape.
fn best(
    work: &Work<'_>,
    made: &Tensor,
    likely: &[usize],
    sums: &HashMap<usize, f64>,
    times: f64,
    ways: &dyn Fn(&[u64]) -> Vec<Vec<Step>>,
) -> Result<Option<(usize, Tensor)>> {
    let mut best: Option<(f64, usize, Tensor)> = None;
    for t in nearest(work, made, likely, sums, times)? {
        let theirs = work.target.tensor(t);
        for steps in ways(&theirs.shape) {
            let Some(arranged) = apply(made, &steps)? else { continue };
            let agreement = agreement(&arranged, theirs, &close(theirs))?;
            if best.as_ref().is_none_or(|(other, ..)| agreement > *other) {
                best = Some((agreement, t, arranged));
            }
        }
    }
    Ok(best.filter(|(agreement, ..)| *agreement >= AGREE).map(|(_, t, arranged)| (t, arranged)))
}

/// Takes it that a target was computed from these.
fn settle(work: &mut Work<'_>, source: Vec<usize>, found: (usize, Tensor), why: String) -> Result<()> {
    let (t, expected) = found;
    let judged = judged(&expected, work.target.tensor(t))?;
    let mut why = vec![why];
    let relation = if judged.holds() { Relation::Folded } else { Relation::Changed };
    if let (false, Some(figures)) = (judged.holds(), &judged.figures) {
        why.push(figures.told());
    }
    work.explain(Explained { source, target: vec![t], relation, figures: judged.figures, why, guess: false });
    Ok(())
}
