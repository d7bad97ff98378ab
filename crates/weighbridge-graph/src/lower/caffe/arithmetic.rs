//! Power, Exp, Log, Eltwise, Axpy, Scale, Bias, Reduction.

use weighbridge_model::{Result, Value, ValueId};

use super::weights::Asked;
use super::work::Job;

/// Power: `(shift + scale*x)^power`.
pub(super) fn power(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "power_param";
    let (x, shape) = job.single()?;
    let [power, scale, shift] =
        [("power", 1.0), ("scale", 1.0), ("shift", 0.0)].map(|(n, d)| job.layer.float(SETTINGS, n, d));
    let (power, scale, shift) = (power?, scale?, shift?);
    if power * scale == 0.0 {
        // Caffe does not look at the bottom then.
        let number = if power == 0.0 { 1.0 } else { (shift as f32).powf(power as f32) };
        job.choose(format!("{number} everywhere, whatever the bottom holds"));
        let (number, sizes) = (job.scalar("constant", f64::from(number))?, job.dims("shape", &shape)?);
        let y = job.emit("Expand", &[number, sizes], vec![], shape)?;
        return job.finish(0, y);
    }
    let y = job.with_number("Mul", x, "scale", scale)?;
    let y = job.with_number("Add", y, "shift", shift)?;
    let y = job.with_number("Pow", y, "power", power)?;
    job.finish(0, y)
}

/// Exp: `base^(shift + scale*x)`; base -1 stands for e.
pub(super) fn exp(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, _) = job.single()?;
    let (base, scale, shift) = logarithmic(job, "exp_param")?;
    let log = if base == -1.0 { 1.0 } else { base.ln() };
    let outer = match (shift == 0.0, base == -1.0) {
        (true, _) => 1.0,
        (false, true) => shift.exp(),
        (false, false) => base.powf(shift),
    };
    let y = job.with_number("Mul", x, "scale", log * scale)?;
    let y = job.unary("Exp", y, vec![])?;
    let y = job.with_number("Mul", y, "outer", outer)?;
    job.finish(0, y)
}

/// Log: `log_base(shift + scale*x)`; base -1 stands for e.
pub(super) fn log(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, _) = job.single()?;
    let (base, scale, shift) = logarithmic(job, "log_param")?;
    let y = job.with_number("Mul", x, "scale", scale)?;
    let y = job.with_number("Add", y, "shift", shift)?;
    let y = job.unary("Log", y, vec![])?;
    let y = job.with_number("Mul", y, "base", if base == -1.0 { 1.0 } else { 1.0 / base.ln() })?;
    job.finish(0, y)
}

fn logarithmic(job: &Job<'_, '_>, settings: &str) -> Result<(f64, f64, f64)> {
    let of = |name, otherwise| job.layer.float(settings, name, otherwise);
    let (base, scale, shift) = (of("base", -1.0)?, of("scale", 1.0)?, of("shift", 0.0)?);
    if base != -1.0 && base <= 0.0 {
        return Err(job.layer.malformed(format!("base is {base}, and must be above 0 or -1")));
    }
    Ok((base, scale, shift))
}

/// Eltwise: product, sum with coefficients, or maximum of any number of bottoms.
pub(super) fn eltwise(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "eltwise_param";
    let layer = job.layer;
    let operation = match layer.has(SETTINGS, "operation") {
        true => layer.choice(SETTINGS, "operation", &["PROD", "SUM", "MAX"], 0)?,
        false => "SUM",
    };
    let factors = layer.floats(SETTINGS, "coeff")?;
    let first = job.bottom(0)?;
    let shape = job.shape(first);
    for &bottom in &job.bottoms {
        let other = job.shape(bottom);
        if other != shape {
            return Err(layer.malformed(format!("bottoms of {shape:?} and {other:?}, which must be alike")));
        }
    }
    if !factors.is_empty() && (factors.len() != job.bottoms.len() || operation == "PROD") {
        let n = factors.len();
        return Err(layer.malformed(format!("{n} coefficients for {operation} of {} bottoms", job.bottoms.len())));
    }
    let op = match operation {
        "PROD" => "Mul",
        "SUM" => "Add",
        _ => "Max",
    };
    let bottoms = job.bottoms.clone();
    let mut y: Option<ValueId> = None;
    for (i, x) in bottoms.into_iter().enumerate() {
        let factor = factors.get(i).filter(|_| operation == "SUM").copied().unwrap_or(1.0);
        let x = job.with_number("Mul", x, "coefficient", factor)?;
        y = Some(match y {
            Some(y) => job.binary(op, y, x)?,
            None => x,
        });
    }
    job.finish(0, y.unwrap_or(first))
}

/// Axpy: the first bottom, of a number for each channel, times the second, plus the third.
pub(super) fn axpy(job: &mut Job<'_, '_>) -> Result<()> {
    let (a, x, y) = (job.bottom(0)?, job.bottom(1)?, job.bottom(2)?);
    let shape = job.shape(x);
    let mut wide = shape.clone();
    wide.iter_mut().skip(2).for_each(|n| *n = 1);
    let a = job.reshape(a, &wide)?;
    let scaled = job.binary("Mul", a, x)?;
    let sum = job.binary("Add", scaled, y)?;
    job.finish(0, sum)
}

/// Scale: times a blob or the second bottom, whose axes are those of the first from `axis` on; then perhaps a bias.
pub(super) fn scale(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "scale_param";
    let x = job.bottom(0)?;
    let bias = job.layer.flag(SETTINGS, "bias_term", false)?;
    let two = job.bottoms.len() > 1;
    job.blobs(usize::from(!two) + usize::from(bias))?;
    let (factor, size, wide) = operand(job, SETTINGS, Asked { index: 0, shape: &[], filler: (SETTINGS, "filler"), otherwise: 1.0 })?;
    let mut y = job.binary("Mul", x, factor)?;
    if bias {
        let index = usize::from(!two);
        let asked = Asked { index, shape: &size, filler: (SETTINGS, "bias_filler"), otherwise: 0.0 };
        let shift = job.weight(&asked, &wide)?;
        y = job.binary("Add", y, shift)?;
    }
    job.finish(0, y)
}

/// Bias: plus a blob or the second bottom, with axes as those of Scale.
pub(super) fn bias(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "bias_param";
    let x = job.bottom(0)?;
    job.blobs(usize::from(job.bottoms.len() == 1))?;
    let (shift, ..) = operand(job, SETTINGS, Asked { index: 0, shape: &[], filler: (SETTINGS, "filler"), otherwise: 0.0 })?;
    let y = job.binary("Add", x, shift)?;
    job.finish(0, y)
}

/// What Scale multiplies with or Bias adds: its value, its shape, and its shape with the axes behind it as ones.
fn operand(job: &mut Job<'_, '_>, settings: &str, asked: Asked<'_>) -> Result<(ValueId, Vec<u64>, Vec<u64>)> {
    let x = job.bottom(0)?;
    let shape = job.shape(x);
    let layer = job.layer;
    let second = job.bottoms.get(1).copied();
    let axes = match second {
        Some(bottom) => job.shape(bottom).len() as i64,
        None => layer.int(settings, "num_axes", 1)?,
    };
    // Without axes it is one number, and where they would begin does not matter.
    let start = if axes == 0 { 0 } else { layer.axis(layer.int(settings, "axis", 1)?, shape.len())? };
    let end = match axes {
        -1 => shape.len(),
        n if n >= 0 && start + n as usize <= shape.len() => start + n as usize,
        n => return Err(layer.malformed(format!("{n} axes from {start} on, of a bottom with {}", shape.len()))),
    };
    let size = shape[start..end].to_vec();
    let mut wide = size.clone();
    wide.resize(if axes == 0 { 0 } else { shape.len() - start }, 1);
    let value = match second {
        Some(bottom) => {
            let given = job.shape(bottom);
            if given != size {
                return Err(layer.malformed(format!("a second bottom of {given:?}, for axes of {size:?}")));
            }
            job.reshape(bottom, &wide)?
        }
        None => job.weight(&Asked { shape: &size, ..asked }, &wide)?,
    };
    Ok((value, size, wide))
}

/// Reduction: all axes from `axis` on become one number, times a coefficient.
pub(super) fn reduction(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "reduction_param";
    let (x, shape) = job.single()?;
    let layer = job.layer;
    let op = match layer.choice(SETTINGS, "operation", &["SUM", "ASUM", "SUMSQ", "MEAN"], 1)? {
        "SUM" => "ReduceSum",
        "ASUM" => "ReduceL1",
        "SUMSQ" => "ReduceSumSquare",
        _ => "ReduceMean",
    };
    let axis = layer.axis(layer.int(SETTINGS, "axis", 0)?, shape.len())?;
    let factor = layer.float(SETTINGS, "coeff", 1.0)?;
    let axes: Vec<usize> = (axis..shape.len()).collect();
    let y = job.reduce(op, x, &axes, false)?;
    let y = job.with_number("Mul", y, "coefficient", factor)?;
    job.finish(0, y)
}

/// ArgMax: where the largest elements are, of ties the last; or their values.
pub(super) fn arg_max(job: &mut Job<'_, '_>) -> Result<()> {
    use weighbridge_model::DType::{F32, I64};
    const SETTINGS: &str = "argmax_param";
    let (x, shape) = job.single()?;
    let layer = job.layer;
    let most = layer.size(SETTINGS, "top_k", 1)?;
    let values = layer.flag(SETTINGS, "out_max_val", false)?;
    let given = layer.maybe_int(SETTINGS, "axis")?;
    let (x, axis) = match given {
        Some(axis) => (x, layer.axis(axis, shape.len())?),
        None if shape.is_empty() => return Err(layer.malformed("a bottom without axes")),
        None => (job.reshape(x, &[shape[0], shape[1..].iter().product()])?, 1),
    };
    let mut sizes = job.shape(x);
    let length = sizes[axis];
    if most == 0 || most > length {
        return Err(layer.malformed(format!("top_k is {most}, of {length} elements")));
    }
    job.choose("of equal elements the last counts first, as in Caffe");
    // TopK takes the first of equal ones: turned round, that is the last.
    sizes[axis] = length;
    let [from, to, along, step] = [("starts", -1), ("ends", i64::MIN + 1), ("axes", axis as i64), ("steps", -1)]
        .map(|(name, n)| job.integers(name, &[n]));
    let turned = job.emit("Slice", &[x, from?, to?, along?, step?], vec![], sizes.clone())?;
    sizes[axis] = most;
    let k = job.dims("k", &[most])?;
    let attributes = vec![("axis", Value::Int(axis as i64))];
    let found = job.emit_many("TopK", &[turned, k], attributes, vec![(F32, Some(sizes.clone())), (I64, Some(sizes.clone()))])?;
    let index = |job: &mut Job<'_, '_>| -> Result<ValueId> {
        let last = job.integers("last", &[length as i64 - 1])?;
        let index = job.emit_as("Sub", &[last, found[1]], vec![], I64, Some(sizes.clone()))?;
        job.cast(index, F32)
    };
    if given.is_some() {
        let y = if values { found[0] } else { index(job)? };
        return job.finish(0, y);
    }
    let mut after = vec![1; shape.len().max(3)];
    (after[0], after[2]) = (shape[0], most);
    let rows = [shape[0], 1, most];
    let index = index(job)?;
    let mut y = job.reshape(index, &rows)?;
    if values {
        let values = job.reshape(found[0], &rows)?;
        y = job.concat(&[y, values], 1)?;
        after[1] = 2;
    }
    let y = job.reshape(y, &after)?;
    job.finish(0, y)
}
