//! A product of matrices and a sum are one Gemm.

use super::{Look, Pass};
use crate::edit::{Edit, NodeId, Patch};

pub(super) struct MatMulAdd;

impl Pass for MatMulAdd {
    fn name(&self) -> &'static str {
        "gemm"
    }

    fn about(&self) -> &'static str {
        "MatMul of two matrices, whose result an Add of a constant bias alone reads, becomes Gemm."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Add"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let (Some(a), Some(b)) = (edit.input(id, 0), edit.input(id, 1)) else { return Look::No };
        let product = |value, bias| {
            let (matmul, _) = edit.made_by(value, "MatMul")?;
            edit.is_private(value).then_some((matmul, bias))
        };
        let Some((matmul, bias)) = product(a, b).or_else(|| product(b, a)) else { return Look::No };
        let (Some(x), Some(w)) = (edit.input(matmul, 0), edit.input(matmul, 1)) else { return Look::No };
        if edit.rank(x) != Some(2) || edit.rank(w) != Some(2) || edit.opset < 7 {
            return Look::No;
        }
        let (Some(columns), Some(shape)) = (edit.shape(w).and_then(|s| s[1].known()), edit.known_shape(bias))
        else {
            return Look::Refused("the bias' shape is not known".into());
        };
        let fits = shape == [columns as u64] || shape == [1, columns as u64];
        let float = edit.dtype(x).is_some_and(|dtype| dtype.is_float());
        if edit.constant(bias).is_none() || !fits || !float {
            return Look::Refused("no constant bias of one number a column".into());
        }
        let mut patch = Patch::new(edit);
        let mut node = edit.node(id).clone();
        node.op = "Gemm".into();
        node.inputs = vec![Some(x), Some(w), Some(bias)];
        node.attributes.clear();
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}
