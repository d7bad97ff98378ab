//! Another order of dimensions: a view of the same bytes.

use weighbridge_model::{Error, Layout, Result, Tensor, View};

use crate::Transfer;

impl Transfer {
    /// Puts the dimensions of the tensors that `which` picks into another order: `axes[i]` is the dimension that
    /// becomes dimension `i`. Returns how many tensors that were.
    ///
    /// # Errors
    /// [`Error::Refused`] with every tensor that does not have these dimensions, or cannot be seen in another order.
    pub fn permute(&mut self, axes: &[usize], which: impl Fn(&Tensor) -> bool) -> Result<usize> {
        let mut refused = Vec::new();
        let mut count = 0;
        for moved in self.moved.iter_mut().filter(|m| which(&m.target)) {
            match permuted(&moved.target, axes) {
                Ok(target) => {
                    moved.target = target;
                    moved.arranged = true;
                    moved.changes.push(format!("its dimensions are in the order {axes:?}"));
                    count += 1;
                }
                Err(why) => refused.push((moved.target.name.clone(), why)),
            }
        }
        if refused.is_empty() {
            return Ok(count);
        }
        Err(Error::Refused {
            what: format!("these tensors have no dimensions to put into the order {axes:?}"),
            reasons: refused,
            help: Some("pick the tensors that are meant: --permute 'GLOB=1,0'".into()),
        })
    }
}

pub(crate) fn permuted(tensor: &Tensor, axes: &[usize]) -> Result<Tensor, String> {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if sorted.iter().copied().ne(0..tensor.shape.len()) {
        return Err(format!("its shape is {:?}", tensor.shape));
    }
    let Layout::Strided(view) = &tensor.layout else {
        return Err("its elements are not laid out by strides".into());
    };
    if tensor.dtype.is_sub_byte() {
        return Err(format!("{} elements share bytes", tensor.dtype));
    }
    let mut target = tensor.clone();
    target.shape = axes.iter().map(|&a| tensor.shape[a]).collect();
    let strides = axes.iter().map(|&a| view.strides[a]).collect();
    target.layout = Layout::Strided(View { offset: view.offset, strides });
    Ok(target)
}
