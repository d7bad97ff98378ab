//! Convolutions, transposed ones too.

use weighbridge_model::Tensor;

use super::Row;
use crate::emit::pytorch::scope::{Part, Ruled, Work};
use crate::emit::pytorch::text::{each, float, list, truth, tuple};
use crate::emit::pytorch::views::of_type;

pub(super) const RULES: &[Row] =
    &[("Conv", conv), ("ConvTranspose", conv_transpose), ("ConvInteger", conv_integer)];

/// What convolutions and pools say of the window, for each spatial dimension.
pub(super) struct Window {
    pub(super) kernel: Vec<i64>,
    pub(super) strides: Vec<i64>,
    pub(super) dilations: Vec<i64>,
    /// Padding before each dimension.
    pub(super) before: Vec<i64>,
    /// Padding behind each dimension.
    pub(super) after: Vec<i64>,
    /// Padding that follows from the input's size: more of it behind, or before.
    pub(super) same: Option<Same>,
}

/// Where the odd one goes of padding that keeps `ceil(size / stride)`.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Same {
    Upper,
    Lower,
}

impl Window {
    /// The window of a node with this kernel.
    pub(super) fn of(w: &Work<'_, '_>, kernel: Vec<i64>) -> Ruled<Window> {
        let n = kernel.len();
        let sizes = |name: &str, count: usize, otherwise: i64| -> Ruled<Vec<i64>> {
            let given = w.int_list(name).unwrap_or_else(|| vec![otherwise; count]);
            match given.len() == count {
                true => Ok(given),
                false => Err(format!("'{name}' has {} numbers where {count} are needed", given.len()).into()),
            }
        };
        let mut pads = sizes("pads", 2 * n, 0)?;
        let same = match w.word("auto_pad", "NOTSET") {
            "NOTSET" | "" => None,
            "VALID" => {
                pads = vec![0; 2 * n];
                None
            }
            "SAME_UPPER" => Some(Same::Upper),
            "SAME_LOWER" => Some(Same::Lower),
            other => return Err(format!("auto_pad is '{other}', of which nothing is known").into()),
        };
        let after = pads.split_off(n);
        let (strides, dilations) = (sizes("strides", n, 1)?, sizes("dilations", n, 1)?);
        if strides.iter().chain(&dilations).chain(&kernel).any(|&s| s < 1) {
            return Err("a kernel, stride or dilation below 1".into());
        }
        Ok(Window { kernel, strides, dilations, before: pads, after, same })
    }

    pub(super) fn is_symmetric(&self) -> bool {
        self.same.is_none() && self.before == self.after && self.before.iter().all(|&p| p >= 0)
    }

    /// The padding as F.pad takes it: from the last dimension on, before and behind.
    pub(super) fn reversed_pads(&self) -> String {
        let pairs: Vec<i64> =
            self.before.iter().zip(&self.after).rev().flat_map(|(&before, &after)| [before, after]).collect();
        tuple(&pairs)
    }

    /// The input with the padding that torch's own argument cannot say; `None` where it can.
    pub(super) fn padded(&self, w: &mut Work<'_, '_>, x: &str, value: &str) -> Option<String> {
        if let Some(same) = self.same {
            let help = w.help("pad_same");
            let lower = if same == Same::Lower { ", lower=True" } else { "" };
            let value = if value == "0.0" { String::new() } else { format!(", value={value}") };
            let (kernel, strides, dilations) =
                (tuple(&self.kernel), tuple(&self.strides), tuple(&self.dilations));
            return Some(format!("{help}({x}, {kernel}, {strides}, {dilations}{lower}{value})"));
        }
        let value = if value == "0.0" { String::new() } else { format!(", value={value}") };
        (!self.is_symmetric()).then(|| format!("F.pad({x}, {}{value})", self.reversed_pads()))
    }

    /// Stride and the like as arguments, those left out that have their usual value.
    fn arguments(&self, group: i64) -> String {
        let mut text = String::new();
        if self.strides.iter().any(|&s| s != 1) {
            text += &format!(", stride={}", each(&self.strides));
        }
        if self.is_symmetric() && self.before.iter().any(|&p| p != 0) {
            text += &format!(", padding={}", each(&self.before));
        }
        if self.dilations.iter().any(|&d| d != 1) {
            text += &format!(", dilation={}", each(&self.dilations));
        }
        if group != 1 {
            text += &format!(", groups={group}");
        }
        text
    }
}

/// The spatial sizes of a weight that is constant, or that the attribute says.
fn kernel(w: &Work<'_, '_>, index: usize) -> Ruled<Vec<i64>> {
    let told = w.int_list("kernel_shape");
    let dims = w.known(index).dims;
    let sizes = dims.and_then(|d| d.get(2..).map(<[_]>::to_vec)).and_then(|d| {
        d.into_iter().map(|n| n.and_then(|n| i64::try_from(n).ok())).collect::<Option<Vec<_>>>()
    });
    if let (Some(told), Some(sizes)) = (&told, &sizes)
        && told != sizes
    {
        return Err(format!("kernel_shape is {told:?}, and its weight's is {sizes:?}").into());
    }
    let kernel = told.or(sizes).ok_or("the size of its kernel is not known")?;
    match kernel.len() {
        1..=3 => Ok(kernel),
        n => Err(format!("{n} spatial dimensions: torch has 1, 2 and 3").into()),
    }
}

/// A weight that is a constant of floating-point numbers, with a bias that is one too or is not there.
fn weights(w: &Work<'_, '_>) -> Option<(Tensor, Option<Tensor>)> {
    let usable = |t: &Tensor| t.dtype.is_float() && t.count() > 0;
    let weight = w.constant(1).filter(|t| usable(t) && t.shape.len() >= 3)?.clone();
    match w.has(2) {
        true => Some((weight, Some(w.constant(2).filter(|t| usable(t) && t.shape.len() == 1)?.clone()))),
        false => Some((weight, None)),
    }
}

fn conv(w: &mut Work<'_, '_>) -> Ruled {
    let window = Window::of(w, kernel(w, 1)?)?;
    let (n, group, dtype) = (window.kernel.len(), w.int("group", 1).max(1), w.dtype(0));
    w.learn(0, dtype, Some(n + 2));
    let x = w.x(0)?;
    let x = window.padded(w, &x, "0.0").unwrap_or(x);
    let arguments = window.arguments(group);
    let Some((weight, bias)) = weights(w) else {
        let (weight, bias) = (w.x(1)?, w.x_or_none(2)?);
        return w.give(format!("F.conv{n}d({x}, {weight}, {bias}{arguments})"));
    };
    let made = format!(
        "nn.Conv{n}d({}, {}, kernel_size={}{arguments}{}{})",
        weight.shape[1].saturating_mul(group as u64),
        weight.shape[0],
        each(&window.kernel),
        if bias.is_none() { format!(", bias={}", truth(false)) } else { String::new() },
        of_type(&weight)
    );
    let parts =
        std::iter::once(Part::of("weight", &weight)).chain(bias.as_ref().map(|b| Part::of("bias", b)));
    let module = w.module(&made, parts.collect());
    w.give(format!("{module}({x})"))
}

/// torch pads both sides alike and adds behind: what differs is cut off, or added, afterwards.
fn conv_transpose(w: &mut Work<'_, '_>) -> Ruled {
    let window = Window::of(w, kernel(w, 1)?)?;
    let (n, group, dtype) = (window.kernel.len(), w.int("group", 1).max(1), w.dtype(0));
    w.learn(0, dtype, Some(n + 2));
    let extra = w.int_list("output_padding").unwrap_or_else(|| vec![0; n]);
    if extra.len() != n {
        return Err("'output_padding' has another number of sizes than the kernel".into());
    }
    let x = w.x(0)?;
    let whole = Window { before: vec![0; n], after: vec![0; n], same: None, ..window };
    let window = Window::of(w, whole.kernel.clone())?;
    let shape = w.int_list("output_shape").map(|s| s[s.len().saturating_sub(n)..].to_vec());
    // Padding that follows from the output's size.
    let fitted = shape.is_some() || window.same.is_some();
    let plain = !fitted && window.is_symmetric();
    // torch takes an output padding below the stride or the dilation alone.
    let within = (0..n).all(|i| extra[i] < window.strides[i].max(window.dilations[i]));
    let mut arguments = if plain { window.arguments(group) } else { whole.arguments(group) };
    if plain && within && extra.iter().any(|&e| e != 0) {
        arguments += &format!(", output_padding={}", each(&extra));
    }
    let full = match weights(w) {
        Some((weight, bias)) if plain && within => {
            let made = format!(
                "nn.ConvTranspose{n}d({}, {}, kernel_size={}{arguments}{}{})",
                weight.shape[0],
                weight.shape[1].saturating_mul(group as u64),
                each(&window.kernel),
                if bias.is_none() { format!(", bias={}", truth(false)) } else { String::new() },
                of_type(&weight)
            );
            let parts = std::iter::once(Part::of("weight", &weight))
                .chain(bias.as_ref().map(|b| Part::of("bias", b)));
            let module = w.module(&made, parts.collect());
            return w.give(format!("{module}({x})"));
        }
        _ => {
            let weight = w.x(1)?;
            format!("F.conv_transpose{n}d({x}, {weight}{arguments})")
        }
    };
    // The bias also goes where nothing else reaches: it is added last.
    let bias = w.x_or_none(2)?;
    if plain && within {
        let weight = w.x(1)?;
        return w.give(format!("F.conv_transpose{n}d({x}, {weight}, {bias}{arguments})"));
    }
    let help = w.help("fit_transposed");
    let sizes = if fitted {
        let sizes = match &shape {
            Some(shape) => list(shape),
            None => format!("[n * s for n, s in zip({x}.shape[2:], {})]", tuple(&window.strides)),
        };
        let lower = window.same == Some(Same::Lower) || window.same.is_none();
        format!("sizes={sizes}, extra={}, lower={}", list(&extra), truth(lower))
    } else {
        format!("before={}, after={}, extra={}", list(&window.before), list(&window.after), list(&extra))
    };
    w.give(format!("{help}({full}, {bias}, {sizes})"))
}

fn conv_integer(w: &mut Work<'_, '_>) -> Ruled {
    let window = Window::of(w, kernel(w, 1)?)?;
    let (n, group) = (window.kernel.len(), w.int("group", 1).max(1));
    if w.has(3) && !matches!(w.known(3).dims.as_deref(), Some([] | [Some(1)])) {
        return Err("a zero point for each channel of its weight".into());
    }
    let (x, weight) = (w.x(0)?, w.x(1)?);
    let x = if w.has(2) { format!("({x}.double() - {}.double())", w.x(2)?) } else { format!("{x}.double()") };
    let weight = if w.has(3) {
        format!("{weight}.double() - {}.double()", w.x(3)?)
    } else {
        format!("{weight}.double()")
    };
    let x = window.padded(w, &x, &float(0.0)).unwrap_or(x);
    w.give(format!("F.conv{n}d({x}, {weight}, None{}).to(torch.int32)", window.arguments(group)))
}
