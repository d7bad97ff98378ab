//! A product of matrices and a sum are one Gemm.

use weighbridge_model::{Node, ValueId};

use super::reshapes::only_reshapes;
use super::{Look, Pass, sizes};
use crate::edit::{Edit, Fact, NodeId, Patch, Size};
use crate::infer;

/// Readers of one value that are looked at together.
const TOGETHER: u32 = 64;

pub(super) struct MatMulAdd;

impl Pass for MatMulAdd {
    fn name(&self) -> &'static str {
        "gemm"
    }

    fn about(&self) -> &'static str {
        "MatMul with a matrix, whose result an Add of a constant bias alone reads, becomes Gemm; of more than two \
         dimensions where that takes fewer nodes, as Reshapes stand beside it with which those to two dimensions and \
         back become one."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Add"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        match Product::of(edit, id) {
            None => Look::No,
            Some(Err(why)) => Look::Refused(why),
            Some(Ok(product)) if edit.rank(product.x) == Some(2) => {
                let mut patch = Patch::new(edit);
                let outputs = edit.node(id).outputs.clone();
                patch.rewrite(id, product.gemm(edit, product.x, outputs));
                Look::Patch(patch)
            }
            Some(Ok(product)) => by_rows(edit, product).into(),
        }
    }
}

/// `x W + bias`.
struct Product {
    matmul: NodeId,
    add: NodeId,
    x: ValueId,
    w: ValueId,
    bias: ValueId,
    columns: u64,
}

impl Product {
    /// What an Add is the end of.
    fn of(edit: &Edit<'_, '_>, add: NodeId) -> Option<Result<Self, String>> {
        let (a, b) = (edit.input(add, 0)?, edit.input(add, 1)?);
        let product = |value, bias| {
            let (matmul, _) = edit.made_by(value, "MatMul")?;
            edit.is_private(value).then_some((matmul, bias))
        };
        let (matmul, bias) = product(a, b).or_else(|| product(b, a))?;
        let (x, w) = (edit.input(matmul, 0)?, edit.input(matmul, 1)?);
        let rank = edit.rank(x)?;
        if rank < 2 || edit.rank(w) != Some(2) || edit.opset < 7 {
            return None;
        }
        let left = |why: &str| (rank == 2).then(|| Err(why.to_owned()));
        let columns = edit.shape(w)?[1].known().and_then(|n| u64::try_from(n).ok());
        let (Some(columns), Some(shape)) = (columns, edit.known_shape(bias)) else {
            return left("the bias' shape is not known");
        };
        let vector = shape.last() == Some(&columns) && shape.iter().product::<u64>() == columns;
        let fits = vector && shape.len() <= 2;
        let float = edit.dtype(x).is_some_and(|dtype| dtype.is_float());
        if edit.constant(bias).is_none() || !fits || !float {
            return left("no constant bias of one number a column");
        }
        Some(Ok(Product { matmul, add, x, w, bias, columns }))
    }

    fn gemm(&self, edit: &Edit<'_, '_>, x: ValueId, outputs: Vec<Option<ValueId>>) -> Node {
        let inputs = vec![Some(x), Some(self.w), Some(self.bias)];
        plain(edit.node(self.add), "Gemm", inputs, outputs)
    }

    /// The Reshape that alone reads the result, and what it is told to make the same of rows.
    fn reshaped(&self, edit: &Edit<'_, '_>, rows: &Size) -> Option<(NodeId, Vec<i64>)> {
        let after = edit.sole_consumer(edit.output(self.add, 0)?)?;
        if !edit.is_plain(after) || !only_reshapes(edit, after) {
            return None;
        }
        let from = [rows.clone(), Size::Known(self.columns as i64)];
        let list = sizes::told(Some(&from), edit.shape(edit.output(after, 0)?)?).ok()?;
        Some((after, list))
    }
}

/// `node` as another operator without attributes.
fn plain(node: &Node, op: &str, inputs: Vec<Option<ValueId>>, outputs: Vec<Option<ValueId>>) -> Node {
    let mut node = Node { op: op.into(), inputs, outputs, ..node.clone() };
    node.attributes.clear();
    node.attribute_docs.clear();
    node
}

/// Products of one `x` of more than two dimensions as Gemms of its rows. One node is saved for each, and one is spent on
/// the Reshape of `x`, unless another Reshape makes that.
fn by_rows(edit: &Edit<'_, '_>, product: Product) -> Option<Patch> {
    let x = product.x;
    if edit.is_function() || edit.uses(x) > TOGETHER {
        return None;
    }
    let (last, outer) = edit.shape(x)?.split_last()?;
    let inner = last.known().filter(|&n| n > 0)?;
    let rows = together(outer)?;
    let reshaped = edit.is_private(x)
        && edit.producer(x).is_some_and(|maker| edit.is_plain(maker) && only_reshapes(edit, maker));
    let mut found = Vec::new();
    for matmul in edit.consumers(x) {
        let other = edit.output(matmul, 0).and_then(|product| edit.sole_consumer(product));
        let other = other.filter(|&add| edit.is_plain(add) && edit.node(add).op == "Add");
        if let Some(Ok(product)) = other.and_then(|add| Product::of(edit, add))
            && product.matmul == matmul
            && product.x == x
            && let Some(after) = product.reshaped(edit, &rows)
        {
            found.push((product, after));
        }
    }
    let ours = found.iter().any(|(other, _)| other.add == product.add);
    if !ours || found.len() < 2 - usize::from(reshaped) {
        return None;
    }

    let at = edit.foremost(&found.iter().map(|(product, _)| product.matmul).collect::<Vec<_>>())?;
    let name = edit.value(x).name.clone();
    let two = |columns: i64| Fact {
        dtype: edit.dtype(x),
        shape: Some(vec![rows.clone(), Size::Known(columns)]),
        integers: None,
    };
    let mut patch = Patch::new(edit);
    let shape = patch.integers(&format!("{name}_rows_shape"), vec![2], &[-1, inner]);
    let flat = patch.value(&format!("{name}_rows"), two(inner));
    let reshape = Node { op: "Reshape".into(), inputs: vec![Some(x), Some(shape)], ..Node::default() };
    patch.node(at, Node { name: format!("{name}_rows"), outputs: vec![Some(flat)], ..reshape });
    for (product, (after, list)) in found {
        let sum = edit.output(product.add, 0)?;
        let result = patch.value(&format!("{}_rows", edit.value(sum).name), two(product.columns as i64));
        patch.node(product.add, product.gemm(edit, flat, vec![Some(result)]));
        let name = format!("{}_shape", edit.value(edit.output(after, 0)?).name);
        let shape = patch.integers(&name, vec![list.len() as u64], &list);
        let old = edit.node(after);
        patch.rewrite(after, plain(old, "Reshape", vec![Some(result), Some(shape)], old.outputs.clone()));
    }
    Some(patch)
}

/// The number of rows of a tensor with these outer sizes.
fn together(outer: &[Size]) -> Option<Size> {
    let sizes: Option<Vec<infer::Size>> = outer
        .iter()
        .map(|size| match size {
            Size::Known(n) => Some(infer::Size::from(*n)),
            Size::Symbol(size) => Some(size.clone()),
            Size::Unknown => None,
        })
        .collect();
    Some(infer::Size::product(&sizes?).as_ref().map_or(Size::Unknown, Size::from))
}
