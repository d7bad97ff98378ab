//! Windows that move over the spatial dimensions of `[batch, channels, spatial…]`, as convolutions and poolings have them.

use crate::infer::call::Call;
use crate::infer::size::Size;

/// Windows of a node, a number for each spatial dimension.
pub(super) struct Window<'m> {
    pub(super) kernel: Vec<Size>,
    pub(super) strides: Vec<i64>,
    dilations: Vec<i64>,
    /// Begins, then ends.
    pads: Vec<i64>,
    auto: &'m str,
    /// Whether the last window may reach over the end.
    ceil: bool,
}

impl<'m> Window<'m> {
    /// The windows of `call`, over so many dimensions; `kernel` is their size where the attribute does not say.
    ///
    /// # Errors
    /// Attributes of other lengths, and strides of 0.
    pub(super) fn of(call: &Call<'_, 'm>, kernel: Option<&[Size]>, rank: usize) -> Result<Self, String> {
        let list = |name: &str, default: i64, count: usize| match call.ints(name) {
            Some(list) if list.len() == count => Ok(list),
            Some(list) if !list.is_empty() => {
                Err(format!("{name} has {} numbers for {rank} spatial dimensions", list.len()))
            }
            _ => Ok(vec![default; count]),
        };
        let kernel = match (call.ints("kernel_shape"), kernel) {
            (Some(sizes), _) if !sizes.is_empty() => sizes.into_iter().map(Size::from).collect(),
            (_, Some(kernel)) => kernel.to_vec(),
            _ => return Err("kernel_shape is missing".to_owned()),
        };
        if kernel.len() != rank {
            return Err(format!("a kernel of {} dimensions over {rank} spatial ones", kernel.len()));
        }
        let strides = list("strides", 1, rank)?;
        if strides.iter().any(|&stride| stride < 1) {
            return Err(format!("strides {strides:?}"));
        }
        Ok(Window {
            kernel,
            strides,
            dilations: list("dilations", 1, rank)?,
            pads: list("pads", 0, 2 * rank)?,
            auto: call.text("auto_pad").unwrap_or("NOTSET"),
            ceil: call.int_or("ceil_mode", 0) != 0,
        })
    }

    /// How far a window reaches: `(kernel - 1) * dilation + 1`.
    pub(super) fn reach(&self, axis: usize) -> Option<Size> {
        self.kernel[axis].minus(&1.into())?.times(&self.dilations[axis].into())?.plus(&1.into())
    }

    /// Padding before and after.
    pub(super) fn padding(&self, axis: usize) -> (i64, i64) {
        let spatial = self.pads.len() / 2;
        match self.auto {
            "NOTSET" | "" => (self.pads[axis], self.pads[axis + spatial]),
            _ => (0, 0),
        }
    }

    /// Whether as much is padded as makes the output the input's size over the stride.
    pub(super) fn is_same(&self) -> bool {
        self.auto.starts_with("SAME")
    }

    /// How many windows there are in dimensions of these sizes.
    ///
    /// # Errors
    /// A window that is larger than what it moves over.
    pub(super) fn counts(&self, call: &mut Call<'_, '_>, spatial: &[Size]) -> Result<Vec<Size>, String> {
        let mut counts = Vec::with_capacity(spatial.len());
        for (axis, size) in spatial.iter().enumerate() {
            let count = self.count(axis, size);
            if let Some(n) = count.as_ref().and_then(Size::known)
                && n < 0
            {
                return Err(format!("a window of {} over a dimension of {size}", self.kernel[axis]));
            }
            counts.push(call.open(count));
        }
        Ok(counts)
    }

    fn count(&self, axis: usize, size: &Size) -> Option<Size> {
        let stride = Size::from(self.strides[axis]);
        if self.is_same() {
            return size.ceil_div(&stride);
        }
        let (before, after) = self.padding(axis);
        let reach = self.reach(axis)?;
        let free = size.plus(&before.checked_add(after)?.into())?.minus(&reach)?;
        if !self.ceil {
            return free.floor_div(&stride)?.plus(&1.into());
        }
        let over = free.ceil_div(&stride)?.plus(&1.into())?;
        // No window starts in the padding after the end.
        if reach.known().is_some_and(|reach| reach >= self.strides[axis].saturating_add(after)) {
            return Some(over);
        }
        over.smaller(&size.plus(&before.into())?.ceil_div(&stride)?)
    }
}
