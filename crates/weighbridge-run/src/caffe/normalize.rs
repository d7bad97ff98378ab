//! Layers that bring values to a common scale: BatchNorm, LRN, MVN, SSD's Normalize.

use super::blob::{Blob, zeros};
use super::call::{Call, Tops};
use super::fault::Fault;
use super::filler::Filler;

/// `BatchNorm`: `(x - mean) / sqrt(variance + eps)` by channel. Blobs are sums of means and variances and the factor that
/// both are divided by; a factor of 0 makes both 0. NVCaffe's may have a scale and a bias beside them.
pub(super) fn batch_norm(call: &Call<'_>) -> Tops {
    let settings = call.settings("batch_norm_param");
    let bottom = call.bottom(0)?;
    let channels = if bottom.axes() == 1 { 1 } else { bottom.shape.get(1).copied().unwrap_or(1) };
    let eps = settings.float("eps", 1e-5)?;
    let spatial = bottom.inner(2).max(1);
    let zeros = Filler("batch_norm_param", "", 0.0);
    let (mean, variance): (Vec<f64>, Vec<f64>) = if settings.truth("use_global_stats", true)? {
        let factor = f64::from(*call.weight(2, &[1], zeros)?.first().ok_or("an empty factor")?);
        let scale = if factor == 0.0 { 0.0 } else { 1.0 / factor };
        let scaled = |blob: Vec<f32>| blob.into_iter().map(|x| f64::from(x) * scale).collect();
        (scaled(call.weight(0, &[channels], zeros)?), scaled(call.weight(1, &[channels], zeros)?))
    } else {
        of_batch(bottom, channels, spatial)
    };
    let affine = |index: usize, otherwise: f64| -> Result<Vec<f64>, Fault> {
        if call.weights() <= 3 || !settings.truth("scale_bias", false)? {
            return Ok(vec![otherwise; channels]);
        }
        Ok(call.weight(index, &[channels], zeros)?.into_iter().map(f64::from).collect())
    };
    let (scale, bias) = (affine(3, 1.0)?, affine(4, 0.0)?);
    Ok(vec![normalized(bottom, &mean, &variance, eps, [&scale, &bias])])
}

/// Forks' `BN`, of those that give it four blobs: scale, bias, mean and variance, with no factor.
pub(super) fn bn(call: &Call<'_>) -> Tops {
    let bottom = call.bottom(0)?;
    let channels = *bottom.shape.get(1).ok_or("a blob without channels")?;
    if call.weights() != 4 {
        let has = call.weights();
        return Err(format!("{has} blobs; forks agree on what it computes where there are four").into());
    }
    let eps = call.settings("bn_param").float("eps", 1e-5)?;
    let blob = |index| -> Result<Vec<f64>, Fault> {
        let blob = call.any_weight(index)?;
        match blob.data.len() == channels {
            true => Ok(blob.data.to_vec()),
            false => Err(format!("blob {index} is {:?}, for {channels} channels", blob.shape).into()),
        }
    };
    Ok(vec![normalized(bottom, &blob(2)?, &blob(3)?, eps, [&blob(0)?, &blob(1)?])])
}

/// `(x - mean) / sqrt(variance + eps) * scale + bias`, by channel.
fn normalized(bottom: &Blob, mean: &[f64], variance: &[f64], eps: f64, affine: [&[f64]; 2]) -> Blob {
    let [scale, bias] = affine;
    let mut data = bottom.data.to_vec();
    for (row, out) in data.chunks_exact_mut(bottom.inner(2).max(1)).enumerate() {
        let c = row % mean.len();
        let deviation = (variance[c] + eps).sqrt();
        out.iter_mut().for_each(|x| *x = (*x - mean[c]) / deviation * scale[c] + bias[c]);
    }
    Blob::new(bottom.shape.clone(), data)
}

/// Mean and variance of what the batch itself holds, by channel.
fn of_batch(bottom: &Blob, channels: usize, spatial: usize) -> (Vec<f64>, Vec<f64>) {
    let each = (bottom.data.len() / channels) as f64;
    let mut mean = vec![0.0; channels];
    let mut variance = vec![0.0; channels];
    for (row, x) in bottom.data.chunks_exact(spatial).enumerate() {
        mean[row % channels] += x.iter().sum::<f64>() / each;
    }
    for (row, x) in bottom.data.chunks_exact(spatial).enumerate() {
        let mean = mean[row % channels];
        variance[row % channels] += x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / each;
    }
    (mean, variance)
}

/// `LRN`. Across channels: `x / (k + alpha / n · Σ x²)^beta` over `n` neighbouring channels. Within a channel:
/// `x / (1 + alpha · m)^beta`, with `m` the mean of `x²` over `n` × `n` elements, zeros around the picture included; `k`
/// has no part in it.
pub(super) fn lrn(call: &Call<'_>) -> Tops {
    let settings = call.settings("lrn_param");
    let bottom = call.bottom(0)?;
    let [_, channels, height, width] = bottom.picture()?;
    let n = settings.size("local_size", 5)?;
    if n % 2 == 0 {
        return Err(format!("a local_size of {n}, which is even").into());
    }
    let (alpha, beta) = (settings.float("alpha", 1.0)?, settings.float("beta", 0.75)?);
    let k = settings.float("k", 1.0)?;
    let plane = height * width;
    let mut data = zeros(&bottom.shape)?;
    if settings.choice("norm_region", &["ACROSS_CHANNELS", "WITHIN_CHANNEL"], 0, 0)? == 0 {
        let half = n / 2;
        call.take(&[data.len(), n.min(channels)])?;
        let mut sums = vec![0.0; plane];
        let images = bottom.data.chunks_exact(channels * plane).zip(data.chunks_exact_mut(channels * plane));
        for (image, out) in images {
            for c in 0..channels {
                sums.fill(0.0);
                for near in c.saturating_sub(half)..(c + half + 1).min(channels) {
                    let near = &image[near * plane..][..plane];
                    sums.iter_mut().zip(near).for_each(|(sum, x)| *sum += x * x);
                }
                let (x, out) = (&image[c * plane..][..plane], &mut out[c * plane..][..plane]);
                for ((y, x), sum) in out.iter_mut().zip(x).zip(&sums) {
                    *y = x * (k + alpha / n as f64 * sum).powf(-beta);
                }
            }
        }
    } else {
        let half = n / 2;
        call.take(&[data.len(), n.min(height), n.min(width)])?;
        for (image, out) in bottom.data.chunks_exact(plane).zip(data.chunks_exact_mut(plane)) {
            for (at, (y, x)) in out.iter_mut().zip(image).enumerate() {
                let (row, column) = (at / width, at % width);
                let rows = row.saturating_sub(half)..(row + half + 1).min(height);
                let columns = column.saturating_sub(half)..(column + half + 1).min(width);
                let near = rows.flat_map(|y| &image[y * width..][columns.clone()]);
                let mean = near.map(|x| x * x).sum::<f64>() / (n * n) as f64;
                *y = x * (1.0 + alpha * mean).powf(-beta);
            }
        }
    }
    Ok(vec![Blob::new(bottom.shape.clone(), data)])
}

/// `MVN`: less the mean of a channel (or of all of an image), and over its deviation, to which `eps` is added.
pub(super) fn mvn(call: &Call<'_>) -> Tops {
    let settings = call.settings("mvn_param");
    let bottom = call.bottom(0)?;
    let [number, channels, ..] = bottom.legacy()?;
    let rows = if settings.truth("across_channels", false)? { number } else { number * channels };
    let deviate = settings.truth("normalize_variance", true)?;
    let eps = settings.float("eps", 1e-9)?;
    let mut data = bottom.data.to_vec();
    let wide = data.len() / rows.max(1);
    for row in data.chunks_exact_mut(wide.max(1)) {
        let mean = row.iter().sum::<f64>() / wide as f64;
        row.iter_mut().for_each(|x| *x -= mean);
        if deviate {
            let deviation = (row.iter().map(|x| x * x).sum::<f64>() / wide as f64).sqrt() + eps;
            row.iter_mut().for_each(|x| *x /= deviation);
        }
    }
    Ok(vec![Blob::new(bottom.shape.clone(), data)])
}

/// SSD's `Normalize`: over `sqrt(Σ x² + eps)` of all of an image, or of each place's channels; times a scale, one for
/// all or one a channel.
pub(super) fn normalize(call: &Call<'_>) -> Tops {
    let settings = call.settings("norm_param");
    let bottom = call.bottom(0)?;
    let [_, channels, height, width] = bottom.legacy()?;
    let eps = settings.float("eps", 1e-10)?;
    let across = settings.truth("across_spatial", true)?;
    let shared = settings.truth("channel_shared", true)?;
    let ones = Filler("norm_param", "scale_filler", 1.0);
    let scale = call.weight(0, &if shared { vec![] } else { vec![channels] }, ones).or_else(|fault| {
        // One for all is a scalar, which some write as a list of one.
        if shared { call.weight(0, &[1], ones) } else { Err(fault) }
    })?;
    let plane = height * width;
    let mut data = bottom.data.to_vec();
    for image in data.chunks_exact_mut(channels * plane) {
        let mut norms = vec![0.0; plane];
        for channel in image.chunks_exact(plane) {
            norms.iter_mut().zip(channel).for_each(|(norm, x)| *norm += x * x);
        }
        if across {
            let all = norms.iter().sum();
            norms.fill(all);
        }
        norms.iter_mut().for_each(|norm| *norm = (*norm + eps).sqrt());
        for (c, channel) in image.chunks_exact_mut(plane).enumerate() {
            let scale = f64::from(scale[if shared { 0 } else { c }]);
            channel.iter_mut().zip(&norms).for_each(|(x, norm)| *x = *x / norm * scale);
        }
    }
    Ok(vec![Blob::new(bottom.shape.clone(), data)])
}
