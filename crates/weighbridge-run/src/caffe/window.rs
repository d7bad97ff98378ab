//! Windows that slide over a blob's spatial dimensions, as convolutions have them: any number of dimensions, each with
//! a size, a stride, a padding and a dilation.

use super::blob::Blob;
use super::fault::Fault;
use super::settings::Settings;

/// A kernel, dimension by dimension.
pub(super) struct Window {
    pub(super) size: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) pad: Vec<usize>,
    pub(super) dilation: Vec<usize>,
}

impl Window {
    /// The window that `convolution_param` tells for `axes` spatial dimensions.
    pub(super) fn of(settings: &Settings<'_>, axes: usize) -> Result<Window, Fault> {
        let window = Window {
            size: each(settings, "kernel_size", "kernel", axes, None)?,
            stride: each(settings, "stride", "stride", axes, Some(1))?,
            pad: each(settings, "pad", "pad", axes, Some(0))?,
            dilation: each(settings, "dilation", "", axes, Some(1))?,
        };
        for (name, sizes) in
            [("kernel", &window.size), ("stride", &window.stride), ("dilation", &window.dilation)]
        {
            if sizes.contains(&0) {
                return Err(format!("a {name} of 0").into());
            }
        }
        Ok(window)
    }

    /// Places of the kernel in a window.
    pub(super) fn places(&self) -> Result<usize, Fault> {
        super::blob::count(&self.size)
    }

    /// How far a window reaches in a dimension.
    fn reach(&self, axis: usize) -> usize {
        self.dilation[axis] * (self.size[axis] - 1) + 1
    }

    /// How many windows fit in each dimension of `input`: `(input + 2 pad - reach) / stride + 1`, rounded down.
    pub(super) fn outputs(&self, input: &[usize]) -> Result<Vec<usize>, Fault> {
        let output = |(axis, &size): (usize, &usize)| {
            let (padded, reach) = (size + 2 * self.pad[axis], self.reach(axis));
            match padded.checked_sub(reach) {
                Some(left) => Ok(left / self.stride[axis] + 1),
                None => Err(format!("a window of {reach} over {size} padded to {padded}").into()),
            }
        };
        input.iter().enumerate().map(output).collect()
    }

    /// The sizes of what, seen through this window, gives `output`: `stride (output - 1) + reach - 2 pad`.
    pub(super) fn inputs(&self, output: &[usize]) -> Result<Vec<usize>, Fault> {
        let input = |(axis, &size): (usize, &usize)| {
            let covered = self.stride[axis] * size.saturating_sub(1) + self.reach(axis);
            match covered.checked_sub(2 * self.pad[axis]) {
                Some(size) if size > 0 => Ok(size),
                _ => Err(format!("a padding of {} takes all of {covered}", self.pad[axis]).into()),
            }
        };
        output.iter().enumerate().map(input).collect()
    }

    /// For window number `output` of those that fit into `input`, and for place number `place` in the kernel, the
    /// element that is there; `None` in the padding. `sizes` are those of the windows.
    pub(super) fn element(
        &self,
        output: usize,
        sizes: &[usize],
        place: usize,
        input: &[usize],
    ) -> Option<usize> {
        let (mut output, mut place) = (output, place);
        let (mut element, mut step) = (0, 1);
        for axis in (0..input.len()).rev() {
            let (o, k) = (output % sizes[axis], place % self.size[axis]);
            (output, place) = (output / sizes[axis], place / self.size[axis]);
            let at = (o * self.stride[axis] + k * self.dilation[axis]).checked_sub(self.pad[axis])?;
            if at >= input[axis] {
                return None;
            }
            element += at * step;
            step *= input[axis];
        }
        Some(element)
    }
}

/// A field for each dimension: `NAME` once or for each, or `OLD_h` and `OLD_w`.
fn each(
    settings: &Settings<'_>,
    name: &str,
    old: &str,
    axes: usize,
    otherwise: Option<usize>,
) -> Result<Vec<usize>, Fault> {
    let (h, w) = (format!("{old}_h"), format!("{old}_w"));
    if !old.is_empty() && (settings.has(&h) || settings.has(&w)) {
        if axes != 2 {
            return Err(format!("{h} and {w} over {axes} dimensions").into());
        }
        let missing = otherwise.filter(|_| old != "stride").unwrap_or(0);
        return Ok(vec![settings.size(&h, missing)?, settings.size(&w, missing)?]);
    }
    let sizes = settings.sizes(name)?;
    match (sizes.as_slice(), otherwise) {
        ([], Some(otherwise)) => Ok(vec![otherwise; axes]),
        ([one], _) => Ok(vec![*one; axes]),
        (several, _) if several.len() == axes => Ok(several.to_vec()),
        ([], None) => Err(format!("{name} is not told").into()),
        (several, _) => Err(format!("{name} {several:?} over {axes} dimensions").into()),
    }
}

/// The channels' dimension of a convolution's bottom, and how many spatial ones follow.
pub(super) fn channels(bottom: &Blob, settings: &Settings<'_>) -> Result<(usize, usize), Fault> {
    let axis = bottom.axis(settings.int("axis", 1)?)?;
    Ok((axis, bottom.axes() - axis - 1))
}
