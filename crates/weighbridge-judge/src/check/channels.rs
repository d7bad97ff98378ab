//! Output channels of a weight: each is a feature of its own, and what follows may undo its scale, so that one is lost
//! although the tensor as a whole keeps its decibels.

use std::collections::HashMap;

use weighbridge_measure::ByChannel;
use weighbridge_model::{Error, Finding, Severity, Tensor, Value};

use super::subjects::Subject;
use crate::precision::{FINE_DB, Precision, UNSAFE_DB, Verdict, magnitude, values};

/// So many times the median channel's RMS is exploded: folded depthwise convolutions spread over two decades, and none
/// of torchvision's over three.
const EXPLODED: f64 = 1000.0;

/// Fewer elements than this may be equal by chance.
const FEW: u64 = 4;

/// Channels that a message lists.
const LISTED: usize = 8;

/// Rows for the channels that are not fine.
pub(super) fn rows(subject: &Subject, losses: &ByChannel, whole: &Precision) -> Vec<Precision> {
    let fan_in = subject.tensor.count() / losses.channels.len().max(1) as u64;
    let mut rows = Vec::new();
    for (channel, loss) in losses.channels.iter().enumerate() {
        let target = loss.format.name;
        let rms = losses.rms(channel);
        let (verdict, why) = if loss.overflow > 0 {
            (Verdict::Unsafe, format!("{} to infinity", values(loss.overflow, "goes", "go")))
        } else {
            let Some(db) = loss.sqnr_db().filter(|db| *db < FINE_DB) else { continue };
            // What inputs of size 1 give, beside a bias whose own rounding is as large.
            let given = rms * (fan_in as f64).sqrt();
            let bias = subject.bias.as_ref().and_then(|bias| bias.get(channel)).map_or(0.0, |b| b.abs());
            if given <= bias * 0.5f64.powi(loss.format.mantissa_bits as i32 + 1) {
                continue;
            }
            let why = format!("{db:.1} dB are left: its RMS is {}", magnitude(rms));
            (if db < UNSAFE_DB { Verdict::Unsafe } else { Verdict::Watch }, why)
        };
        rows.push(Precision {
            tensor: whole.tensor,
            target,
            channel: Some(channel as u64),
            folded: whole.folded.clone(),
            survival: loss.clone(),
            sqnr_db: if loss.overflow > 0 { None } else { loss.sqnr_db() },
            verdict,
            why,
        });
    }
    rows
}

/// One finding for the channels that are lost, and one for those that lose. Overflows are the whole tensor's finding.
pub(super) fn findings(subject: &Subject, rows: &[Precision], losses: &ByChannel) -> Vec<Finding> {
    let of = |verdict| -> Vec<&Precision> {
        rows.iter().filter(|r| r.verdict == verdict && r.survival.overflow == 0).collect()
    };
    let mut found = Vec::new();
    for (code, severity, verdict, what) in [
        ("P104", Severity::Warning, Verdict::Unsafe, "are lost"),
        ("P105", Severity::Info, Verdict::Watch, "lose precision"),
    ] {
        let some = of(verdict);
        let Some(worst) = some.iter().min_by(|a, b| a.sqnr_db.partial_cmp(&b.sqnr_db).expect("no NaN"))
        else {
            continue;
        };
        let at: Vec<u64> = some.iter().filter_map(|row| row.channel).collect();
        let folded = subject.folded.as_ref().map(|f| format!(" ({f})")).unwrap_or_default();
        let message = format!(
            "{} of {} output channels {what} in {}: {}; in the worst, {}{folded}",
            at.len(),
            losses.channels.len(),
            worst.target,
            listed(&at),
            worst.why
        );
        let help = "harmless where the channel is as good as dead; where the next layer scales it up again, move the \
                    scale between both, or keep the layer in f32";
        found.push(
            Finding::new(code, severity, message, help)
                .with_tensor(&subject.tensor.name)
                .with_target(worst.target)
                .with_figure("channels", list(&at))
                .with_figure("sqnr_db", worst.sqnr_db.map_or(Value::Null, Value::Float))
                .with_figure("energy_lost", Value::Float(worst.survival.energy_lost())),
        );
    }
    let over: Vec<u64> =
        rows.iter().filter(|row| row.survival.overflow > 0).filter_map(|row| row.channel).collect();
    if let Some(first) = rows.iter().find(|row| row.survival.overflow > 0) {
        let message = format!(
            "{} of {} output channels overflow: {}",
            over.len(),
            losses.channels.len(),
            listed(&over)
        );
        let help = "divide these channels by a power of two and multiply the next layer's inputs by it, or keep the \
                    layer in f32 or bf16";
        let finding = Finding::new("P106", Severity::Error, message, help);
        let finding = finding.with_tensor(&subject.tensor.name).with_target(first.target);
        found.push(finding.with_figure("channels", list(&over)));
    }
    found
}

/// What channels say of a weight's health, whatever the format.
pub(super) fn health(subject: &Subject, losses: &ByChannel, failures: &mut Vec<Error>) -> Vec<Finding> {
    let rms: Vec<f64> = (0..losses.channels.len()).map(|channel| losses.rms(channel)).collect();
    let mut found = Vec::new();
    let mut add = |code, at: &[u64], what: String, help: &str| {
        let message = format!("{} of {} output channels {what}: {}", at.len(), rms.len(), listed(at));
        let finding = Finding::new(code, Severity::Warning, message, help);
        found.push(finding.with_tensor(&subject.tensor.name).with_figure("channels", list(at)));
    };
    let numbered = |keep: &dyn Fn(f64) -> bool| -> Vec<u64> {
        (0..).zip(&rms).filter(|(_, rms)| keep(**rms)).map(|(at, _)| at).collect()
    };
    let dead = numbered(&|rms| rms == 0.0);
    if !dead.is_empty() && dead.len() < rms.len() {
        add("H106", &dead, "are all zero".into(), "dead or pruned: the layer computes them for nothing");
    }
    let mut sorted: Vec<f64> = rms.iter().copied().filter(|&rms| rms > 0.0).collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let exploded = numbered(&|rms| sorted.len() >= 4 && rms > EXPLODED * median);
    if !exploded.is_empty() {
        let what = format!("have over {EXPLODED} times the median channel's RMS of {}", magnitude(median));
        add("H107", &exploded, what, "a variance near zero, a rescaled channel, or training that diverged");
    }
    match equal(subject, losses) {
        Ok(same) if !same.is_empty() => {
            add("H108", &same, "equal an earlier one".into(), "never trained apart, or copied in");
        }
        Ok(_) => {}
        Err(error) => failures.push(error),
    }
    found
}

/// Channels, not of zeros, whose elements are those of an earlier one. Only where sums of squares are equal to the last
/// bit are elements read.
fn equal(subject: &Subject, losses: &ByChannel) -> Result<Vec<u64>, Error> {
    let Some(outputs) = subject.outputs.as_ref().filter(|o| o.in_order() && o.run() >= FEW) else {
        return Ok(Vec::new());
    };
    let mut seen: HashMap<(u64, u64), u64> = HashMap::new();
    let mut same = Vec::new();
    for channel in 0..losses.channels.len() as u64 {
        let loss = &losses.channels[channel as usize];
        let rms = losses.rms(channel as usize);
        if rms == 0.0 {
            continue;
        }
        let first = *seen.entry((rms.to_bits(), loss.max_abs_error.to_bits())).or_insert(channel);
        if first != channel
            && elements(&subject.tensor, first, outputs.run())?
                == elements(&subject.tensor, channel, outputs.run())?
        {
            same.push(channel);
        }
    }
    Ok(same)
}

/// Elements of a channel, as many as tell it from others.
fn elements(tensor: &Tensor, channel: u64, run: u64) -> Result<Vec<u8>, Error> {
    const ENOUGH: u64 = 1 << 16;
    let mut bytes = Vec::new();
    tensor.visit(channel * run..channel * run + run.min(ENOUGH), &mut |chunk| {
        bytes.extend_from_slice(chunk.bytes);
        Ok(())
    })?;
    Ok(bytes)
}

pub(super) fn list(channels: &[u64]) -> Value {
    Value::List(channels.iter().map(|&c| Value::Int(c as i64)).collect())
}

pub(super) fn listed(channels: &[u64]) -> String {
    let some: Vec<String> = channels.iter().take(LISTED).map(u64::to_string).collect();
    let more = channels.len().saturating_sub(LISTED);
    some.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}
