//! `DetectionOutput`: what is left of the boxes once they are moved, and all but the best of those that overlap are gone.

use std::collections::BTreeMap;

use super::super::blob::Blob;
use super::super::call::{Call, Tops};
use super::super::fault::Fault;
use super::super::reduce::descending;

/// Corners: left, top, right, bottom.
type Box4 = [f64; 4];

/// How a box is told relative to its prior.
#[derive(Clone, Copy)]
struct Code {
    /// Index in [`CODES`].
    kind: usize,
    /// Whether offsets are as they are, not in units of the variances.
    encoded: bool,
}

const CODES: [&str; 3] = ["CORNER", "CENTER_SIZE", "CORNER_SIZE"];

impl Code {
    /// The box that `offsets` make of `prior`.
    fn decode(self, prior: Box4, variance: Box4, offsets: Box4) -> Result<Box4, Fault> {
        let o: Box4 =
            std::array::from_fn(|i| if self.encoded { offsets[i] } else { variance[i] * offsets[i] });
        if self.kind == 0 {
            return Ok(std::array::from_fn(|i| prior[i] + o[i]));
        }
        let (w, h) = (prior[2] - prior[0], prior[3] - prior[1]);
        if w <= 0.0 || h <= 0.0 || w.is_nan() || h.is_nan() {
            return Err(format!("a prior box of {w} by {h}").into());
        }
        if self.kind == 2 {
            return Ok([prior[0] + o[0] * w, prior[1] + o[1] * h, prior[2] + o[2] * w, prior[3] + o[3] * h]);
        }
        let (x, y) = (o[0] * w + (prior[0] + prior[2]) / 2.0, o[1] * h + (prior[1] + prior[3]) / 2.0);
        let (w, h) = (o[2].exp() * w, o[3].exp() * h);
        Ok([x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0])
    }
}

/// Which boxes of a class are kept.
struct Choice {
    confidence: f64,
    overlap: f64,
    eta: f64,
    top: Option<usize>,
}

impl Choice {
    /// The best boxes first, without those that overlap one that was kept.
    fn of(&self, call: &Call<'_>, boxes: &[Box4], scores: &[f64]) -> Result<Vec<usize>, Fault> {
        let mut order: Vec<usize> = (0..scores.len()).filter(|&i| scores[i] > self.confidence).collect();
        order.sort_by(|&a, &b| descending(scores[a], scores[b]));
        order.truncate(self.top.unwrap_or(usize::MAX));
        let (mut kept, mut threshold) = (Vec::new(), self.overlap);
        for i in order {
            call.take(&[kept.len()])?;
            if kept.iter().all(|&other: &usize| overlap(boxes[i], boxes[other]) <= threshold) {
                kept.push(i);
                if self.eta < 1.0 && threshold > 0.5 {
                    threshold *= self.eta;
                }
            }
        }
        Ok(kept)
    }
}

/// What two boxes share of what both cover.
fn overlap(a: Box4, b: Box4) -> f64 {
    let (w, h) = (a[2].min(b[2]) - a[0].max(b[0]), a[3].min(b[3]) - a[1].max(b[1]));
    if w <= 0.0 || h <= 0.0 || w.is_nan() || h.is_nan() {
        return 0.0;
    }
    let area = |b: Box4| if b[2] < b[0] || b[3] < b[1] { 0.0 } else { (b[2] - b[0]) * (b[3] - b[1]) };
    w * h / (area(a) + area(b) - w * h)
}

/// Rows of `[image, class, score, left, top, right, bottom]`, by image, class and score. Bottoms are offsets, scores and
/// priors. Where nothing is found, one row for each image: its number, and -1.
pub(in super::super) fn detection_output(call: &Call<'_>) -> Tops {
    let settings = call.settings("detection_output_param");
    let (offsets, scores, priors) = (call.bottom(0)?, call.bottom(1)?, call.bottom(2)?);
    let classes = settings.needed("num_classes")?;
    let shared = settings.truth("share_location", true)?;
    let background = settings.int("background_label_id", 0)?;
    let code = Code {
        kind: settings.choice("code_type", &CODES, 1, 0)?,
        encoded: settings.truth("variance_encoded_in_target", false)?,
    };
    let lowest = f32::MIN;
    let nms = settings.messages("nms_param").last();
    let nms = |name: &str, otherwise: f64| match nms.and_then(|nms| nms.get(name)) {
        None => Ok(otherwise),
        Some(value) => value
            .as_float()
            .map(|x| f64::from(x as f32))
            .ok_or_else(|| Fault::from(format!("{name} of nms_param is no number"))),
    };
    let positive = |n: f64| (n >= 0.0).then_some(n as usize);
    let choice = Choice {
        confidence: settings.float("confidence_threshold", lowest)?,
        overlap: nms("nms_threshold", f64::from(0.3f32))?,
        eta: nms("eta", 1.0)?,
        top: positive(nms("top_k", -1.0)?),
    };
    let keep = positive(settings.int("keep_top_k", -1)? as f64);
    let images = *offsets.shape.first().ok_or("a blob without dimensions")?;
    let count = priors.legacy()?[2] / 4;
    let places = if shared { 1 } else { classes };
    let fits = priors.data.len() == 8 * count * priors.shape[0]
        && count.checked_mul(places * 4).is_some_and(|n| n == offsets.inner(1))
        && count.checked_mul(classes).is_some_and(|n| n == scores.inner(1))
        && scores.shape.first() == Some(&images);
    if !fits {
        let (a, b, c) = (&offsets.shape, &scores.shape, &priors.shape);
        return Err(format!("offsets {a:?}, scores {b:?} and priors {c:?} for {classes} classes").into());
    }
    let four = |data: &[f64], at: usize| -> Box4 { std::array::from_fn(|i| data[at * 4 + i]) };
    let mut rows = Vec::new();
    for image in 0..images {
        let offsets = &offsets.data[image * count * places * 4..][..count * places * 4];
        let scores = &scores.data[image * count * classes..][..count * classes];
        let boxes_of = |place: usize| -> Result<Vec<Box4>, Fault> {
            let one = |i| {
                code.decode(
                    four(&priors.data, i),
                    four(&priors.data, count + i),
                    four(offsets, i * places + place),
                )
            };
            (0..count).map(one).collect()
        };
        let common = if shared { Some(boxes_of(0)?) } else { None };
        // By class: boxes, scores, and which of them are kept.
        let mut found = Vec::new();
        for class in (0..classes).filter(|&class| class as i64 != background) {
            let own = if shared { None } else { Some(boxes_of(class)?) };
            let boxes = own.as_ref().or(common.as_ref()).expect("either");
            let scores: Vec<f64> = scores.iter().skip(class).step_by(classes).copied().collect();
            for i in choice.of(call, boxes, &scores)? {
                found.push((class, scores[i], boxes[i]));
            }
        }
        if let Some(keep) = keep.filter(|&keep| found.len() > keep) {
            found.sort_by(|a, b| descending(a.1, b.1));
            found.truncate(keep);
        }
        let mut by_class: BTreeMap<usize, Vec<(f64, Box4)>> = BTreeMap::new();
        found.into_iter().for_each(|(class, score, b)| by_class.entry(class).or_default().push((score, b)));
        for (class, found) in by_class {
            for (score, [left, top, right, bottom]) in found {
                rows.extend([image as f64, class as f64, score, left, top, right, bottom]);
            }
        }
    }
    if rows.is_empty() {
        rows.extend((0..images).flat_map(|image| [image as f64, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]));
    }
    Ok(vec![Blob::new(vec![1, 1, rows.len() / 7, 7], rows)])
}
