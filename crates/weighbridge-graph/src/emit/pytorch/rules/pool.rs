//! Pooling.

use super::Row;
use super::conv::Window;
use crate::emit::pytorch::scope::{Ruled, Work};
use crate::emit::pytorch::text::{each, float, list, truth};

pub(super) const RULES: &[Row] = &[
    ("MaxPool", max_pool),
    ("AveragePool", average_pool),
    ("LpPool", lp_pool),
    ("GlobalMaxPool", |w| global(w, "amax")),
    ("GlobalAveragePool", |w| global(w, "mean")),
    ("GlobalLpPool", global_lp),
    ("MaxUnpool", max_unpool),
];

fn window(w: &mut Work<'_, '_>) -> Ruled<(Window, usize)> {
    let kernel = w.int_list("kernel_shape").ok_or("'kernel_shape' is missing")?;
    let window = Window::of(w, kernel)?;
    let (n, dtype) = (window.kernel.len(), w.dtype(0));
    w.learn(0, dtype, Some(n + 2));
    match n {
        1..=3 => Ok((window, n)),
        n => Err(format!("{n} spatial dimensions: torch has 1, 2 and 3").into()),
    }
}

/// torch's own pools pad both sides alike, by half the kernel at most.
fn is_plain(window: &Window) -> bool {
    window.is_symmetric() && (0..window.kernel.len()).all(|i| window.before[i] <= window.kernel[i] / 2)
}

fn arguments(window: &Window, ceil: bool) -> String {
    let mut text = format!("kernel_size={}, stride={}", each(&window.kernel), each(&window.strides));
    if window.before.iter().any(|&p| p != 0) {
        text += &format!(", padding={}", each(&window.before));
    }
    if window.dilations.iter().any(|&d| d != 1) {
        text += &format!(", dilation={}", each(&window.dilations));
    }
    if ceil {
        text += ", ceil_mode=True";
    }
    text
}

/// The arguments of helpers that pool by sliding windows.
fn sliding(window: &Window, ceil: bool) -> String {
    let same = match window.same {
        None => String::new(),
        Some(super::conv::Same::Upper) => ", same=\"upper\"".into(),
        Some(super::conv::Same::Lower) => ", same=\"lower\"".into(),
    };
    format!(
        "{}, {}, {}, {}, {}, ceil_mode={}{same}",
        list(&window.kernel),
        list(&window.strides),
        list(&window.dilations),
        list(&window.before),
        list(&window.after),
        truth(ceil)
    )
}

fn max_pool(w: &mut Work<'_, '_>) -> Ruled {
    let (window, n) = window(w)?;
    let (x, ceil) = (w.x(0)?, w.int("ceil_mode", 0) != 0);
    let floating = w.dtype(0).is_some_and(|t| t.is_float());
    if w.wants(1) {
        w.learn(1, Some(weighbridge_model::DType::I64), Some(n + 2));
        let by_column = w.int("storage_order", 0) != 0;
        if !is_plain(&window) || !floating || by_column {
            let help = w.help("max_pool_places");
            w.scope.helpers.insert("windows");
            let column = if by_column { ", by_column=True" } else { "" };
            return w.give_first(2, format!("{help}({x}, {}{column})", sliding(&window, ceil)));
        }
        let help = w.help("max_pool_with_indices");
        return w.give_first(2, format!("{help}(F.max_pool{n}d, {x}, {})", arguments(&window, ceil)));
    }
    if is_plain(&window) && floating {
        let module = w.module(&format!("nn.MaxPool{n}d({})", arguments(&window, ceil)), Vec::new());
        return w.give(format!("{module}({x})"));
    }
    let help = w.help("max_pool");
    w.scope.helpers.insert("windows");
    w.give(format!("{help}({x}, {})", sliding(&window, ceil)))
}

fn average_pool(w: &mut Work<'_, '_>) -> Ruled {
    let (window, n) = window(w)?;
    let (x, ceil) = (w.x(0)?, w.int("ceil_mode", 0) != 0);
    let counted = w.int("count_include_pad", 0) != 0;
    let padded = window.before.iter().any(|&p| p != 0);
    if is_plain(&window) && window.dilations.iter().all(|&d| d == 1) {
        let mut arguments = arguments(&window, ceil);
        if padded && !counted {
            arguments += ", count_include_pad=False";
        }
        let module = w.module(&format!("nn.AvgPool{n}d({arguments})"), Vec::new());
        return w.give(format!("{module}({x})"));
    }
    let help = w.help("average_pool");
    w.scope.helpers.insert("windows");
    w.give(format!("{help}({x}, {}, count_include_pad={})", sliding(&window, ceil), truth(counted)))
}

fn lp_pool(w: &mut Work<'_, '_>) -> Ruled {
    let (window, _) = window(w)?;
    let (x, ceil, p) = (w.x(0)?, w.int("ceil_mode", 0) != 0, w.int("p", 2));
    let help = w.help("lp_pool");
    w.scope.helpers.insert("windows");
    w.give(format!("{help}({x}, {}, p={p})", sliding(&window, ceil)))
}

/// The dimensions behind the second, as text.
fn spatial(w: &Work<'_, '_>, x: &str) -> String {
    match w.rank(0) {
        Some(rank) if rank > 2 => {
            let dims: Vec<usize> = (2..rank).collect();
            if dims.len() == 1 { "2".into() } else { crate::emit::pytorch::text::tuple(&dims) }
        }
        _ => format!("tuple(range(2, {x}.dim()))"),
    }
}

fn global(w: &mut Work<'_, '_>, method: &str) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let dims = spatial(w, &x);
    w.give(format!("{x}.{method}(dim={dims}, keepdim=True)"))
}

fn global_lp(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let (dims, p) = (spatial(w, &x), float(w.int("p", 2) as f64));
    w.give(format!("torch.linalg.vector_norm({x}, ord={p}, dim={dims}, keepdim=True)"))
}

/// Indices count through the whole output, batch and channels included.
fn max_unpool(w: &mut Work<'_, '_>) -> Ruled {
    let (window, _) = window(w)?;
    let (x, indices) = (w.x(0)?, w.x(1)?);
    let shape = if w.has(2) { w.list(2)? } else { "None".into() };
    let help = w.help("max_unpool");
    w.give(format!(
        "{help}({x}, {indices}, {}, {}, {}, {}, {shape})",
        list(&window.kernel),
        list(&window.strides),
        list(&window.before),
        list(&window.after)
    ))
}
