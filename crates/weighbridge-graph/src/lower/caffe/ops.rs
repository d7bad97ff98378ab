//! Nodes that many rules need, with the shapes that they give.

use weighbridge_model::{DType, Result, Value, ValueId, element_count};

use super::work::{Attributes, Job, ints};

impl Job<'_, '_> {
    /// An operator that works element by element on one value.
    pub(super) fn unary(&mut self, op: &str, x: ValueId, attributes: Attributes<'_>) -> Result<ValueId> {
        let shape = self.shape(x);
        self.emit(op, &[x], attributes, shape)
    }

    /// An operator that works element by element on two values, the smaller one repeated.
    pub(super) fn binary(&mut self, op: &str, a: ValueId, b: ValueId) -> Result<ValueId> {
        let (long, short) = (self.shape(a), self.shape(b));
        let (mut shape, short) = if long.len() >= short.len() { (long, short) } else { (short, long) };
        let skip = shape.len() - short.len();
        for (size, &other) in shape[skip..].iter_mut().zip(&short) {
            if *size != other && *size != 1 && other != 1 {
                return Err(self.layer.malformed(format!("sizes {size} and {other} where they must be equal")));
            }
            *size = if *size == 1 { other } else { *size };
        }
        self.emit(op, &[a, b], vec![], shape)
    }

    /// An operator on a value and a number; none where the number changes nothing.
    pub(super) fn with_number(&mut self, op: &str, x: ValueId, step: &str, number: f64) -> Result<ValueId> {
        let idle = match op {
            "Add" | "Sub" => number == 0.0,
            "Mul" | "Div" | "Pow" => number == 1.0,
            _ => false,
        };
        if idle {
            return Ok(x);
        }
        let number = self.scalar(step, number)?;
        self.binary(op, x, number)
    }

    /// The same elements in another shape.
    pub(super) fn reshape(&mut self, x: ValueId, shape: &[u64]) -> Result<ValueId> {
        let before = self.shape(x);
        if before == shape {
            return Ok(x);
        }
        if element_count(&before) != element_count(shape) {
            return Err(self.layer.malformed(format!("{before:?} cannot become {shape:?}")));
        }
        let dtype = self.work.build.graph.value(x).dtype.unwrap_or(DType::F32);
        let sizes = self.dims("shape", shape)?;
        // A size of 0 is one, and not a copy of the input's.
        let attributes = if shape.contains(&0) { vec![("allowzero", Value::Int(1))] } else { vec![] };
        self.emit_as("Reshape", &[x, sizes], attributes, dtype, Some(shape.to_vec()))
    }

    pub(super) fn transpose(&mut self, x: ValueId, order: &[usize]) -> Result<ValueId> {
        let before = self.shape(x);
        let shape = order.iter().map(|&axis| before[axis]).collect();
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        self.emit("Transpose", &[x], vec![("perm", ints(&order))], shape)
    }

    /// Rows before and after along each axis, filled with a number.
    pub(super) fn pad(&mut self, x: ValueId, before: &[u64], after: &[u64], fill: f64) -> Result<ValueId> {
        let shape = self.shape(x).iter().zip(before).zip(after).map(|((n, a), b)| n + a + b).collect();
        let pads: Vec<u64> = before.iter().chain(after).copied().collect();
        let (pads, fill) = (self.dims("pads", &pads)?, self.scalar("fill", fill)?);
        self.emit("Pad", &[x, pads, fill], vec![], shape)
    }

    /// A reduction over some axes: `ReduceSum` takes them as an input, others as an attribute.
    pub(super) fn reduce(&mut self, op: &str, x: ValueId, axes: &[usize], keep: bool) -> Result<ValueId> {
        let before = self.shape(x);
        let axis_numbers: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let one = |(axis, &n): (usize, &u64)| match (axes.contains(&axis), keep) {
            (true, true) => Some(1),
            (true, false) => None,
            (false, _) => Some(n),
        };
        let shape = before.iter().enumerate().filter_map(one).collect();
        let mut attributes = vec![("keepdims", Value::Int(i64::from(keep)))];
        if op == "ReduceSum" {
            let axes = self.integers("axes", &axis_numbers)?;
            return self.emit(op, &[x, axes], attributes, shape);
        }
        attributes.insert(0, ("axes", ints(&axis_numbers)));
        self.emit(op, &[x], attributes, shape)
    }

    /// Elements `from..to` along an axis.
    pub(super) fn slice(&mut self, x: ValueId, axis: usize, from: u64, to: u64) -> Result<ValueId> {
        let mut shape = self.shape(x);
        if from == 0 && to == shape[axis] {
            return Ok(x);
        }
        shape[axis] = to - from;
        let dtype = self.work.build.graph.value(x).dtype.unwrap_or(DType::F32);
        let (start, end) = (self.dims("starts", &[from])?, self.dims("ends", &[to])?);
        let axes = self.dims("axes", &[axis as u64])?;
        self.emit_as("Slice", &[x, start, end, axes], vec![], dtype, Some(shape))
    }

    pub(super) fn concat(&mut self, parts: &[ValueId], axis: usize) -> Result<ValueId> {
        let mut shape = self.shape(parts[0]);
        shape[axis] = 0;
        for &part in parts {
            let sizes = self.shape(part);
            let alike = sizes.len() == shape.len()
                && sizes.iter().zip(&shape).enumerate().all(|(a, (x, y))| a == axis || x == y);
            if !alike {
                let first = self.shape(parts[0]);
                let what = format!("bottoms of {first:?} and {sizes:?} differ beside axis {axis}");
                return Err(self.layer.malformed(what));
            }
            shape[axis] += sizes[axis];
        }
        self.emit("Concat", parts, vec![("axis", Value::Int(axis as i64))], shape)
    }

    /// The elements as another type.
    pub(super) fn cast(&mut self, x: ValueId, to: DType) -> Result<ValueId> {
        let shape = self.work.shapes.get(&x).cloned();
        let number = match to {
            DType::I64 => 7,
            DType::Bool => 9,
            _ => 1,
        };
        self.emit_as("Cast", &[x], vec![("to", Value::Int(number))], to, shape)
    }
}
