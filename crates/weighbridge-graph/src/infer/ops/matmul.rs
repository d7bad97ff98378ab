//! Products of matrices.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::{Fact, show};
use crate::infer::size::Size;

/// `MatMul`, as NumPy's.
pub(in crate::infer) fn matmul(call: &mut Call<'_, '_>) -> Outcome {
    let shape = product(call, call.shape(0), call.shape(1))?;
    Ok(vec![Fact::tensor(call.dtype(0).or(call.dtype(1)), shape)])
}

/// `MatMulInteger`: sums are I32.
pub(in crate::infer) fn integer(call: &mut Call<'_, '_>) -> Outcome {
    let shape = product(call, call.shape(0), call.shape(1))?;
    Ok(vec![Fact::tensor(Some(DType::I32), shape)])
}

/// `QLinearMatMul`: the second matrix is the fourth input, the result of the type of its zero point.
pub(in crate::infer) fn qlinear(call: &mut Call<'_, '_>) -> Outcome {
    let shape = product(call, call.shape(0), call.shape(3))?;
    Ok(vec![Fact::tensor(call.dtype(7), shape)])
}

/// `FusedMatMul` of `com.microsoft`: either side may be transposed.
pub(in crate::infer) fn fused(call: &mut Call<'_, '_>) -> Outcome {
    let turned = |name: &str, shape: Option<&[Size]>| {
        let mut shape = shape?.to_vec();
        let rank = shape.len();
        if call.int_or(name, 0) != 0 && rank >= 2 {
            shape.swap(rank - 1, rank - 2);
        }
        Some(shape)
    };
    let (a, b) = (turned("transA", call.shape(0)), turned("transB", call.shape(1)));
    let shape = product(call, a.as_deref(), b.as_deref())?;
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}

/// `MatMulNBits` of `com.microsoft`: `N` columns.
pub(in crate::infer) fn n_bits(call: &mut Call<'_, '_>) -> Outcome {
    let shape = call.shape_from_rank(0, 1)?.map(|data| {
        let mut shape = data.to_vec();
        shape.pop();
        shape
    });
    let columns = call.int("N").map(Size::from);
    let columns = call.open(columns);
    let shape = shape.map(|mut shape| {
        shape.push(columns);
        shape
    });
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}

/// `Gemm`: `[rows, columns]`, each side transposed where its attribute says so.
pub(in crate::infer) fn gemm(call: &mut Call<'_, '_>) -> Outcome {
    let (a, b) = (call.shape_of_rank(0, 2)?, call.shape_of_rank(1, 2)?);
    let (turn_a, turn_b) = (call.int_or("transA", 0) != 0, call.int_or("transB", 0) != 0);
    let row = a.map(|a| a[usize::from(turn_a)].clone());
    let column = b.map(|b| b[usize::from(!turn_b)].clone());
    if let (Some(a), Some(b)) = (a, b) {
        call.same(&a[usize::from(!turn_a)], &b[usize::from(turn_b)], "the inner sizes of both matrices")?;
    }
    let shape = vec![call.open(row), call.open(column)];
    Ok(vec![Fact::tensor(call.dtype(0).or(call.dtype(1)), Some(shape))])
}

/// `Det`: of the last two dimensions.
pub(in crate::infer) fn determinant(call: &mut Call<'_, '_>) -> Outcome {
    let shape = call.shape_from_rank(0, 2)?.map(|shape| shape[..shape.len() - 2].to_vec());
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}

fn product(
    call: &mut Call<'_, '_>,
    a: Option<&[Size]>,
    b: Option<&[Size]>,
) -> Result<Option<Vec<Size>>, String> {
    let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
    if a.is_empty() || b.is_empty() {
        return Err("a scalar is no matrix".to_owned());
    }
    let (rows, inner) = a.split_at(a.len() - 1);
    let (outer, columns) = b.split_at(b.len().saturating_sub(1));
    // A vector on the left is a row, on the right a column; neither is left in the result.
    let (shared, column) =
        if b.len() == 1 { (&columns[0], None) } else { (&outer[outer.len() - 1], columns.first()) };
    call.same(&inner[0], shared, "the inner sizes of both matrices")
        .map_err(|what| format!("shapes {} and {}: {what}", show(a), show(b)))?;
    let (row, batch_a) = rows.split_last().map_or((None, rows), |(row, batch)| (Some(row), batch));
    let batch_b = &b[..b.len().saturating_sub(2)];
    let batch = call.broadcast(&[Some(batch_a), Some(batch_b)])?;
    Ok(batch.map(|mut shape| {
        shape.extend(row.cloned());
        shape.extend(column.cloned());
        shape
    }))
}
