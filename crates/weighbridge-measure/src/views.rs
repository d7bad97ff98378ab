//! Views that repeat their storage: measured once where they merely broadcast, refused where they explode.

use weighbridge_model::{Error, Layout, Limits, Place, Result, Tensor, View, element_count};

/// The stored elements of a tensor without its broadcast (stride 0) dimensions, and how often each of them
/// stands. Their figures, counts multiplied, are those of the whole.
pub(crate) fn without_broadcast(tensor: &Tensor) -> (Tensor, u64) {
    let Some(view) = tensor.layout.view() else { return (tensor.clone(), 1) };
    let kept: Vec<(u64, i64)> = tensor
        .shape
        .iter()
        .zip(&view.strides)
        .filter(|&(&n, &stride)| stride != 0 || n == 0)
        .map(|(&n, &stride)| (n, stride))
        .collect();
    let (shape, strides): (Vec<u64>, Vec<i64>) = kept.into_iter().unzip();
    // Both counts fit, since the tensor's does; the product of the dropped sizes divides it.
    let factor = tensor.count() / element_count(&shape).unwrap_or(1).max(1);
    // Scales are no matter: figures are of the codes, as stored.
    let layout = Layout::Strided(View { offset: view.offset, strides });
    (Tensor { shape, layout, ..tensor.clone() }, factor)
}

/// Refuses views that repeat their storage so often that reading them through would take forever.
///
/// # Errors
/// [`Error::Limit`], by [`Limits::view_expansion`] and some slack for what is small.
pub fn check_expansion(tensor: &Tensor, limits: &Limits) -> Result<()> {
    const SLACK: u64 = 1 << 24;
    let width = u64::from(tensor.dtype.bits()).max(1);
    let stored = tensor.storage.len().saturating_mul(8) / width;
    let allowed = stored.saturating_mul(limits.view_expansion).saturating_add(SLACK);
    if tensor.count() <= allowed {
        return Ok(());
    }
    let what = "elements of a view that repeats its storage";
    Err(Error::Limit { place: Place::default().tensor(&tensor.name), what, asked: tensor.count(), allowed })
}
