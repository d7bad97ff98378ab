//! DetectionOutput: boxes decoded, the best of each class kept by suppressing what overlaps, the best of all kept.
//!
//! ONNX's `NonMaxSuppression` is that of Caffe with these differences, which nodes around it make up for: it looks at all
//! boxes, where Caffe takes `top_k` of each class first; it knows no limit over all classes; and without any detection
//! Caffe gives a row of -1 for each image.

use weighbridge_model::{DType, Dim, Result, Value, ValueId};

use crate::lower::caffe::work::Job;

const SETTINGS: &str = "detection_output_param";

/// Most images of a batch and most classes with boxes of their own, each of which has nodes of its own.
const UNROLLED: u64 = 64;

struct Detector {
    batch: u64,
    classes: u64,
    priors: u64,
    /// Sets of boxes: one for all classes, or one each.
    sets: u64,
    background: Option<u64>,
    overlap: f64,
    confidence: Option<f64>,
    /// Most candidates of a class.
    candidates: Option<u64>,
    /// Most detections of an image.
    most: Option<u64>,
}

impl Detector {
    fn of(job: &Job<'_, '_>) -> Result<Self> {
        let layer = job.layer;
        let [loc, conf, priors] = [0, 1, 2].map(|i| job.bottom(i).map(|b| job.shape(b)));
        let (loc, conf, priors) = (loc?, conf?, priors?);
        let classes = layer.count(SETTINGS, "num_classes")?;
        let shared = layer.flag(SETTINGS, "share_location", true)?;
        let sets = if shared { 1 } else { classes };
        let count = |shape: &[u64]| shape.iter().skip(1).product::<u64>();
        let boxes = priors.get(2).copied().unwrap_or(0) / 4;
        let batch = loc.first().copied().unwrap_or(0);
        if boxes == 0
            || count(&loc) != boxes * sets * 4
            || count(&conf) != boxes * classes
            || conf.first() != Some(&batch)
        {
            let what = format!("bottoms of {loc:?}, {conf:?} and {priors:?} for {classes} classes");
            return Err(layer.malformed(what));
        }
        let nms = layer.setting(SETTINGS, "nms_param");
        let of = |name: &str| nms.and_then(|n| n.get(name));
        let limit = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        if of("eta").and_then(Value::as_float).is_some_and(|eta| eta < 1.0) {
            return Err(layer.unsupported("nms_param.eta below 1: a threshold that changes from box to box"));
        }
        let background = layer.int(SETTINGS, "background_label_id", 0)?;
        if classes > 1 << 16 {
            return Err(layer.unsupported(format!("{classes} classes")));
        }
        if batch * if shared { 1 } else { classes } > UNROLLED {
            let what =
                format!("{batch} images with {sets} sets of boxes, of which each has nodes of its own");
            return Err(layer.unsupported(what));
        }
        Ok(Detector {
            batch,
            classes,
            priors: boxes,
            sets,
            background: u64::try_from(background).ok().filter(|&b| b < classes),
            overlap: f64::from(of("nms_threshold").and_then(Value::as_float).unwrap_or(0.3) as f32),
            confidence: match layer.has(SETTINGS, "confidence_threshold") {
                true => Some(layer.float(SETTINGS, "confidence_threshold", 0.0)?),
                false => None,
            },
            candidates: limit(of("top_k").and_then(Value::as_int)).filter(|&k| k < boxes),
            most: limit(layer.maybe_int(SETTINGS, "keep_top_k")?),
        })
    }

    /// The classes that are looked for.
    fn labels(&self) -> Vec<u64> {
        (0..self.classes).filter(|&c| Some(c) != self.background).collect()
    }
}

/// Rows `[image, label, score, xmin, ymin, xmax, ymax]`, by image, then label, then score.
pub(in crate::lower::caffe) fn detection_output(job: &mut Job<'_, '_>) -> Result<()> {
    let detector = Detector::of(job)?;
    let decoded = decoded(job, &detector)?;
    let scores = scores(job, &detector)?;
    let mut rows = Vec::new();
    for image in 0..detector.batch {
        rows.push(detected(job, &detector, decoded, scores, image)?);
    }
    // Where nothing is found: a row for each image.
    let found = match rows.as_slice() {
        [one] => *one,
        several => open(job, "Concat", several, vec![("axis", Value::Int(0))], DType::F32)?,
    };
    let none: Vec<f32> =
        (0..detector.batch).flat_map(|i| [i as f32, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]).collect();
    let none = job.floats("none", &[detector.batch, 7], &none)?;
    let sizes = open(job, "Shape", &[found], vec![], DType::I64)?;
    let first = job.integers("first", &[0])?;
    let count = open(job, "Gather", &[sizes, first], vec![], DType::I64)?;
    let empty = open(job, "Equal", &[count, first], vec![], DType::Bool)?;
    let empty = open(job, "Cast", &[empty], vec![("to", Value::Int(7))], DType::I64)?;
    let batch = job.dims("batch", &[detector.batch])?;
    let end = open(job, "Mul", &[empty, batch], vec![], DType::I64)?;
    let none = open(job, "Slice", &[none, first, end, first], vec![], DType::F32)?;
    let all = open(job, "Concat", &[found, none], vec![("axis", Value::Int(0))], DType::F32)?;
    let shape = job.integers("rows", &[1, 1, -1, 7])?;
    let y = open(job, "Reshape", &[all, shape], vec![], DType::F32)?;
    let sizes = vec![Dim::Known(1), Dim::Known(1), Dim::Symbol("detections".into()), Dim::Known(7)];
    job.work.build.graph.values[y.0 as usize].shape = Some(sizes);
    let limit = |n: Option<u64>| n.map_or("no limit".to_owned(), |n| n.to_string());
    job.choose(format!(
        "NonMaxSuppression over {} boxes and {} classes: {} candidates of a class, {} of an image; its number of rows \
         is open",
        detector.priors,
        detector.labels().len(),
        limit(detector.candidates),
        limit(detector.most),
    ));
    job.finish(0, y)
}

/// A node whose sizes are not known beforehand.
fn open(
    job: &mut Job<'_, '_>,
    op: &str,
    inputs: &[ValueId],
    attributes: Vec<(&str, Value)>,
    dtype: DType,
) -> Result<ValueId> {
    job.emit_as(op, inputs, attributes, dtype, None)
}

/// Boxes `[batch, priors, sets, 4]` from what is predicted for each prior.
fn decoded(job: &mut Job<'_, '_>, detector: &Detector) -> Result<ValueId> {
    let layer = job.layer;
    let code = layer.choice(SETTINGS, "code_type", &["CORNER", "CENTER_SIZE", "CORNER_SIZE"], 1)?;
    let encoded = layer.flag(SETTINGS, "variance_encoded_in_target", false)?;
    let Detector { batch, priors, sets, .. } = *detector;
    let whole = [batch, priors, sets, 4];
    let mut loc = job.reshape(job.bottoms[0], &whole)?;
    let given = job.reshape(job.bottoms[2], &[2, priors, 1, 4])?;
    let boxes = job.slice(given, 0, 0, 1)?;
    if !encoded {
        let variances = job.slice(given, 0, 1, 2)?;
        loc = job.binary("Mul", loc, variances)?;
    }
    if code == "CORNER" {
        return job.binary("Add", boxes, loc);
    }
    let low = job.slice(boxes, 3, 0, 2)?;
    let high = job.slice(boxes, 3, 2, 4)?;
    let size = job.binary("Sub", high, low)?;
    if code == "CORNER_SIZE" {
        let both = job.concat(&[size, size], 3)?;
        let moved = job.binary("Mul", loc, both)?;
        return job.binary("Add", boxes, moved);
    }
    let sum = job.binary("Add", low, high)?;
    let center = job.with_number("Mul", sum, "half", 0.5)?;
    let offset = job.slice(loc, 3, 0, 2)?;
    let growth = job.slice(loc, 3, 2, 4)?;
    let offset = job.binary("Mul", offset, size)?;
    let center = job.binary("Add", offset, center)?;
    let growth = job.unary("Exp", growth, vec![])?;
    let size = job.binary("Mul", growth, size)?;
    let half = job.with_number("Mul", size, "half", 0.5)?;
    let low = job.binary("Sub", center, half)?;
    let high = job.binary("Add", center, half)?;
    job.concat(&[low, high], 3)
}

/// Scores `[batch, labels, priors]` without the background's, and without those that are not among the candidates of
/// their class.
fn scores(job: &mut Job<'_, '_>, detector: &Detector) -> Result<ValueId> {
    let labels = detector.labels();
    let Detector { batch, classes, priors, .. } = *detector;
    let shape = [batch, labels.len() as u64, priors];
    let all = job.reshape(job.bottoms[1], &[batch, priors, classes])?;
    let mut scores = job.transpose(all, &[0, 2, 1])?;
    if labels.len() as u64 != classes {
        let labels = job.dims("labels", &labels)?;
        scores = job.emit("Gather", &[scores, labels], vec![("axis", Value::Int(1))], shape.to_vec())?;
    }
    let Some(candidates) = detector.candidates else { return Ok(scores) };
    let best = vec![shape[0], shape[1], candidates];
    let k = job.dims("candidates", &[candidates])?;
    let attributes = vec![("axis", Value::Int(2))];
    let found = job.emit_many(
        "TopK",
        &[scores, k],
        attributes,
        vec![(DType::F32, Some(best.clone())), (DType::I64, Some(best))],
    )?;
    let (lowest, sizes) = (job.scalar("lowest", f64::from(f32::MIN))?, job.dims("sizes", &shape)?);
    let none = job.emit("Expand", &[lowest, sizes], vec![], shape.to_vec())?;
    job.emit("ScatterElements", &[none, found[1], found[0]], vec![("axis", Value::Int(2))], shape.to_vec())
}

/// The rows of one image.
fn detected(
    job: &mut Job<'_, '_>,
    detector: &Detector,
    decoded: ValueId,
    scores: ValueId,
    image: u64,
) -> Result<ValueId> {
    let labels = detector.labels();
    let Detector { priors, sets, .. } = *detector;
    let count = labels.len() as u64;
    let boxes = job.slice(decoded, 0, image, image + 1)?;
    let scores = job.slice(scores, 0, image, image + 1)?;
    // Classes with boxes of their own are so many images to the operator.
    let (boxes, laid) = match sets {
        1 => (job.reshape(boxes, &[1, priors, 4])?, scores),
        _ => {
            let boxes = job.reshape(boxes, &[priors, sets, 4])?;
            let boxes = job.transpose(boxes, &[1, 0, 2])?;
            let wanted = job.dims("labels", &labels)?;
            let boxes = job.emit("Gather", &[boxes, wanted], vec![], vec![count, priors, 4])?;
            (boxes, job.reshape(scores, &[count, 1, priors])?)
        }
    };
    let most = job.integers("most", &[detector.candidates.unwrap_or(priors) as i64])?;
    let overlap = job.floats("overlap", &[1], &[detector.overlap as f32])?;
    // Candidates that were left out have the lowest number there is.
    let least = detector.confidence.unwrap_or(f64::from(f32::MIN));
    let least = job.floats("confidence", &[1], &[least as f32])?;
    let picked = open(job, "NonMaxSuppression", &[boxes, laid, most, overlap, least], vec![], DType::I64)?;
    // Columns: image, class, box.
    let column = |job: &mut Job<'_, '_>, n: i64| {
        let n = job.integers("column", &[n])?;
        open(job, "Gather", &[picked, n], vec![("axis", Value::Int(1))], DType::I64)
    };
    let class = column(job, if sets == 1 { 1 } else { 0 })?;
    let prior = column(job, 2)?;
    let flat = job.integers("flat", &[-1])?;
    let class = open(job, "Reshape", &[class, flat], vec![], DType::I64)?;
    let prior = open(job, "Reshape", &[prior, flat], vec![], DType::I64)?;
    let stride = job.dims("stride", &[priors])?;
    let at = open(job, "Mul", &[class, stride], vec![], DType::I64)?;
    let at = open(job, "Add", &[at, prior], vec![], DType::I64)?;
    let all = job.reshape(scores, &[count * priors])?;
    let score = open(job, "Gather", &[all, at], vec![], DType::F32)?;
    let place = if sets == 1 { prior } else { at };
    let corners = job.reshape(boxes, &[if sets == 1 { priors } else { count * priors }, 4])?;
    let corners = open(job, "Gather", &[corners, place], vec![], DType::F32)?;
    let names: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
    let names = job.floats("label_numbers", &[count], &names)?;
    let label = open(job, "Gather", &[names, class], vec![], DType::F32)?;
    let last = job.integers("last_axis", &[1])?;
    let wide = |job: &mut Job<'_, '_>, x: ValueId| open(job, "Unsqueeze", &[x, last], vec![], DType::F32);
    let (wide_label, wide_score) = (wide(job, label)?, wide(job, score)?);
    let zero = job.scalar("zero", 0.0)?;
    let nothing = open(job, "Mul", &[wide_score, zero], vec![], DType::F32)?;
    let number = job.scalar("image", image as f64)?;
    let image = open(job, "Add", &[nothing, number], vec![], DType::F32)?;
    let parts = [image, wide_label, wide_score, corners];
    let rows = open(job, "Concat", &parts, vec![("axis", Value::Int(1))], DType::F32)?;
    best(job, detector, rows, score)
}

/// The best rows of an image, in the order that they had.
fn best(job: &mut Job<'_, '_>, detector: &Detector, rows: ValueId, score: ValueId) -> Result<ValueId> {
    let Some(most) = detector.most else { return Ok(rows) };
    let count = open(job, "Shape", &[score], vec![], DType::I64)?;
    let most = job.dims("keep", &[most])?;
    let k = open(job, "Min", &[count, most], vec![], DType::I64)?;
    let sorted = |job: &mut Job<'_, '_>, x: ValueId, dtype: DType, largest: i64| {
        let attributes = vec![("largest", Value::Int(largest))];
        job.emit_many("TopK", &[x, k], attributes, vec![(dtype, None), (DType::I64, None)])
    };
    let places = sorted(job, score, DType::F32, 1)?[1];
    let in_order = sorted(job, places, DType::I64, 0)?[0];
    open(job, "Gather", &[rows, in_order], vec![], DType::F32)
}
