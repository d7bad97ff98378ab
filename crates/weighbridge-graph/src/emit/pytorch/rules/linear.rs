//! Matrix products: nn.Linear where the matrix is a weight.

use weighbridge_model::{Tensor, ValueId};

use super::Row;
use crate::emit::pytorch::scope::{Part, Ruled, Work};
use crate::emit::pytorch::text::{float, truth};
use crate::emit::pytorch::views::{of_type, squeezed, transposed};

pub(super) const RULES: &[Row] = &[("Gemm", gemm), ("MatMul", matmul), ("Einsum", einsum), ("Det", det)];

/// The product with a weight `[out, in]`: nn.Linear, or the function where the weight's own name is no module's.
fn linear(w: &mut Work<'_, '_>, weight: Part, bias: Option<Part>, x: &str) -> String {
    if let Some(matrix) = w.scope.own(&weight.tensor) {
        // Exporters let equal tensors be one: a bias belongs beside its weight.
        let beside = weight.tensor.name.strip_suffix("weight").map(|stem| format!("{stem}bias"));
        let added = bias.and_then(|bias| {
            let name = beside.unwrap_or_else(|| bias.tensor.name.clone());
            w.scope.held(&name, &bias.tensor)
        });
        let added = added.map(|bias| format!(", {bias}")).unwrap_or_default();
        return format!("F.linear({x}, {matrix}{added})");
    }
    let shape = &weight.tensor.shape;
    let made = format!(
        "nn.Linear({}, {}{}{})",
        shape[1],
        shape[0],
        if bias.is_none() { format!(", bias={}", truth(false)) } else { String::new() },
        of_type(&weight.tensor)
    );
    let module = w.module(&made, std::iter::once(weight).chain(bias).collect());
    format!("{module}({x})")
}

/// Whether a constant is added to the last dimension alone, which has `count` elements.
fn is_bias(tensor: &Tensor, count: u64) -> bool {
    tensor.count() == count && tensor.shape.last().is_some_and(|&n| n == count) && tensor.dtype.is_float()
}

fn weight(tensor: &Tensor, as_it_is: bool) -> Part {
    match as_it_is {
        true => Part::of("weight", tensor),
        false => Part { change: Some("transposed"), ..Part::of("weight", &transposed(tensor, &[1, 0])) },
    }
}

fn bias(tensor: &Tensor) -> Part {
    Part::of("bias", &squeezed(tensor))
}

fn gemm(w: &mut Work<'_, '_>) -> Ruled {
    let dtype = w.dtype(0);
    w.learn(0, dtype, Some(2));
    let (alpha, beta) = (w.float("alpha", 1.0), w.float("beta", 1.0));
    let (turned_a, turned_b) = (w.int("transA", 0) != 0, w.int("transB", 0) != 0);
    let x = w.x(0)?;
    let x = if turned_a { format!("{x}.T") } else { x };
    if let Some(matrix) = w.constant(1).filter(|m| m.shape.len() == 2 && m.dtype.is_float()) {
        let matrix = matrix.clone();
        let outputs = matrix.shape[usize::from(!turned_b)];
        let added = w.constant(2).filter(|c| is_bias(c, outputs) && outputs > 0).cloned();
        if alpha == 1.0 && (beta == 1.0 && added.is_some() || !w.has(2)) {
            let product = linear(w, weight(&matrix, turned_b), added.as_ref().map(bias), &x);
            return w.give(product);
        }
    }
    let b = w.x(1)?;
    let b = if turned_b { format!("{b}.T") } else { b };
    let product = if alpha == 1.0 { format!("{x} @ {b}") } else { format!("{} * ({x} @ {b})", float(alpha)) };
    if !w.has(2) {
        return w.give(product);
    }
    let c = w.x(2)?;
    if beta == 1.0 {
        w.give(format!("{product} + {c}"))
    } else {
        w.give(format!("{product} + {} * {c}", float(beta)))
    }
}

/// With the Add of a constant that alone reads the product, one nn.Linear.
fn matmul(w: &mut Work<'_, '_>) -> Ruled {
    let dtype = w.dtype(0);
    let rank = w.rank(0).zip(w.rank(1)).filter(|(a, b)| *a >= 2 && *b >= 2).map(|(a, b)| a.max(b));
    w.learn(0, dtype, rank);
    if let Some(matrix) = w.constant(1).filter(|m| m.shape.len() == 2 && m.dtype.is_float() && m.count() > 0)
    {
        let matrix = matrix.clone();
        let x = w.x(0)?;
        let add = added(w, matrix.shape[1]);
        let product = linear(w, weight(&matrix, false), add.as_ref().map(|(_, _, tensor)| bias(tensor)), &x);
        return match add {
            Some((node, output, _)) => {
                w.scope.absorbed.insert(node);
                w.scope.known[output.0 as usize].dtype.get_or_insert(matrix.dtype);
                if w.scope.known[output.0 as usize].dims.is_none() {
                    w.scope.known[output.0 as usize].dims = rank.map(|n| vec![None; n]);
                }
                w.give_value(output, product)
            }
            None => w.give(product),
        };
    }
    let (a, b) = (w.x(0)?, w.x(1)?);
    match dtype {
        Some(dtype) if dtype.is_integer() => w.give(format!("torch.matmul({a}, {b})")),
        _ => w.give(format!("{a} @ {b}")),
    }
}

/// The Add that alone reads the output, with its output and the constant that it adds to each row.
fn added(w: &Work<'_, '_>, count: u64) -> Option<(usize, ValueId, Tensor)> {
    let product = w.output(0)?;
    let (index, node) = w.scope.only_reader(product)?;
    if node.op != "Add" || !node.domain.is_empty() || node.inputs.len() != 2 {
        return None;
    }
    let other = node.inputs.iter().flatten().find(|&&id| id != product)?;
    let tensor = w.scope.constants.get(other).filter(|t| t.shape.len() == 1 && is_bias(t, count))?;
    Some((index, node.outputs.first().copied().flatten()?, tensor.clone()))
}

fn einsum(w: &mut Work<'_, '_>) -> Ruled {
    let all = w.all()?;
    let equation = w.word("equation", "");
    if !equation.chars().all(|c| c.is_ascii_alphabetic() || "->,. ".contains(c)) {
        return Err("its equation has other characters than letters, commas, dots and an arrow".into());
    }
    w.give(format!("torch.einsum(\"{equation}\", {})", all.join(", ")))
}

fn det(w: &mut Work<'_, '_>) -> Ruled {
    let x = w.x(0)?;
    w.give(format!("torch.linalg.det({x})"))
}
