//! The pickle: an ordered dict of tensors, each a call over a storage of the file.

use weighbridge_model::{DType, Layout, Tensor, View};

use super::super::names::dtype_name;
use super::storages::{Placed, Stored};
use crate::pickle::write::Pickler;

/// An ordered dict of tensors; `legacy` for the references to storages of before 1.6.
pub(super) fn state_dict(
    tensors: &[Tensor],
    storages: &[Stored],
    places: &[Placed],
    legacy: bool,
) -> Vec<u8> {
    let mut out = Pickler::new();
    ordered_dict(&mut out);
    out.set_items(|out| {
        for (tensor, place) in tensors.iter().zip(places) {
            out.text(&tensor.name);
            let parts = Parts { storages, legacy };
            match &tensor.layout {
                Layout::Quantized { scales, zero_points, axis, .. } => {
                    let scheme = Scheme { scale: scales[0], zero_point: zero_points[0], axis: *axis, place };
                    parts.quantized(out, tensor, &scheme);
                }
                _ => parts.plain(out, place.key, &tensor.shape, &place.view),
            }
        }
    });
    out.finish()
}

/// What the codes of a tensor mean.
struct Scheme<'a> {
    scale: f64,
    zero_point: i64,
    axis: Option<usize>,
    place: &'a Placed,
}

struct Parts<'a> {
    storages: &'a [Stored],
    legacy: bool,
}

impl Parts<'_> {
    fn plain(&self, out: &mut Pickler, key: usize, shape: &[u64], view: &View) {
        let Stored { tensor, class } = &self.storages[key];
        let rebuild = if class.is_some() { "_rebuild_tensor_v2" } else { "_rebuild_tensor_v3" };
        let (shape, view) = paired(tensor.dtype, shape, view);
        out.call(
            |o| o.global("torch._utils", rebuild),
            |o| {
                self.view(o, key, &shape, &view);
                o.no();
                ordered_dict(o);
                if class.is_none() {
                    o.global("torch", dtype_name(tensor.dtype).unwrap_or_default());
                }
            },
        );
    }

    fn quantized(&self, out: &mut Pickler, tensor: &Tensor, scheme: &Scheme<'_>) {
        out.call(
            |o| o.global("torch._utils", "_rebuild_qtensor"),
            |o| {
                self.view(o, scheme.place.key, &tensor.shape, &scheme.place.view);
                o.tuple(|o| match (scheme.axis, scheme.place.channels) {
                    (Some(axis), Some((scales, zero_points))) => {
                        o.global("torch", "per_channel_affine");
                        let shape = [tensor.shape[axis]];
                        let view = View::contiguous(&shape, 0);
                        self.plain(o, scales, &shape, &view);
                        self.plain(o, zero_points, &shape, &view);
                        o.int(axis as i64);
                    }
                    _ => {
                        o.global("torch", "per_tensor_affine");
                        o.float(scheme.scale);
                        o.int(scheme.zero_point);
                    }
                });
                o.no();
                ordered_dict(o);
            },
        );
    }

    /// Storage, offset, sizes and strides.
    fn view(&self, out: &mut Pickler, key: usize, shape: &[u64], view: &View) {
        let stored = &self.storages[key];
        out.tuple(|o| {
            o.text("storage");
            match stored.class {
                Some(class) => o.global("torch", class),
                // torch.load knows no untyped storages in the old stream.
                None if self.legacy => o.global("torch", "ByteStorage"),
                None => o.global("torch.storage", "UntypedStorage"),
            }
            o.text(&key.to_string());
            o.text("cpu");
            o.int(stored.count() as i64);
            if self.legacy {
                // It is no part of another storage.
                o.none();
            }
        });
        out.persistent();
        out.int(view.offset as i64);
        out.tuple(|o| shape.iter().for_each(|&n| o.int(n as i64)));
        out.tuple(|o| view.strides.iter().for_each(|&s| o.int(s)));
    }
}

fn ordered_dict(out: &mut Pickler) {
    out.call(|o| o.global("collections", "OrderedDict"), |_| {});
}

/// Shape and view as torch counts them: float4_e2m1fn_x2 has pairs along the last dimension.
fn paired(dtype: DType, shape: &[u64], view: &View) -> (Vec<u64>, View) {
    if dtype != DType::F4E2M1 {
        return (shape.to_vec(), view.clone());
    }
    let mut shape = shape.to_vec();
    if let Some(last) = shape.last_mut() {
        *last /= 2;
    }
    let view = View::contiguous(&shape, 0);
    (shape, view)
}
