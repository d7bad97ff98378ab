//! Another element type, with what that costs.

use std::sync::Arc;

use weighbridge_measure::{Measured, Options, measure};
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::storage::Cast;
use weighbridge_model::{DType, Error, Layout, Place, Result, Tensor};

use crate::Transfer;

/// How values are cast.
#[derive(Debug, Clone, Copy)]
pub struct CastOptions {
    /// The type to cast to.
    pub to: DType,
    /// Let values beyond the type's range become infinite (or saturate, where it has no infinity).
    pub allow_overflow: bool,
}

impl Transfer {
    /// Casts the floating-point and quantized tensors that `which` picks (nearest, ties to even). Integers and truth
    /// values stay as they are. Each is measured, so that its loss can be told.
    ///
    /// # Errors
    /// [`Error::Refused`] with every tensor that has values beyond the type's range, unless that is allowed; a failed
    /// read.
    pub fn cast(
        &mut self,
        options: CastOptions,
        which: impl Fn(&Tensor) -> bool,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<usize> {
        let to = options.to;
        let format = FloatFormat::of(to).filter(|_| !to.is_sub_byte() && to.is_float());
        if format.is_none() && to != DType::F64 {
            let what =
                format!("{to} is no type to cast weights to; f64, f32, f16, bf16, f8_e4m3 and f8_e5m2 are");
            return Err(Error::Usage { what });
        }
        let picked: Vec<usize> = (0..self.moved.len())
            .filter(|&i| is_cast(&self.moved[i].target, to) && which(&self.moved[i].target))
            .collect();
        let mut wide = Vec::with_capacity(picked.len());
        for &i in &picked {
            wide.push(widened(&self.moved[i].target)?);
        }
        let formats: Vec<FloatFormat> = format.into_iter().collect();
        let measuring = Options { survival: &formats, ..Options::default() };
        let measured = measure(&wide.iter().collect::<Vec<_>>(), &measuring, progress);
        let mut refused = Vec::new();
        for (&i, measured) in picked.iter().zip(measured) {
            let loss = Loss::of(&measured?);
            let moved = &mut self.moved[i];
            if loss.overflow > 0 && !options.allow_overflow {
                let why =
                    format!("{} of {} values are beyond {to}'s range", loss.overflow, moved.target.count());
                refused.push((moved.target.name.clone(), why));
                continue;
            }
            moved.changes.push(format!("{} -> {to}: {}", moved.target.dtype, loss.told(to)));
            moved.target = as_type(&moved.target, to)?;
        }
        if refused.is_empty() {
            return Ok(picked.len());
        }
        Err(Error::Refused {
            what: format!("casting these tensors to {to} would make infinities of their values"),
            reasons: refused,
            help: Some(
                "keep them wider (--drop them here, or cast others only), or say --allow-overflow".into(),
            ),
        })
    }
}

fn is_cast(tensor: &Tensor, to: DType) -> bool {
    match tensor.layout {
        Layout::Opaque => false,
        Layout::Strided(_) => tensor.dtype.is_float() && tensor.dtype != to,
        // Codes stand for real values.
        _ => true,
    }
}

/// Real values: quantized codes dequantized.
fn widened(tensor: &Tensor) -> Result<Tensor> {
    match tensor.layout {
        Layout::Strided(_) => Ok(tensor.clone()),
        _ => as_type(tensor, DType::F64),
    }
}

pub(crate) fn as_type(tensor: &Tensor, to: DType) -> Result<Tensor> {
    let storage = Arc::new(Cast::new(tensor.clone(), to));
    let mut cast = Tensor::contiguous(&tensor.name, to, tensor.shape.clone(), storage, &Place::default())?;
    (cast.id, cast.role, cast.role_guessed) = (tensor.id, tensor.role, tensor.role_guessed);
    Ok(cast)
}

struct Loss {
    overflow: u64,
    to_zero: u64,
    sqnr_db: Option<f64>,
    max_abs_error: f64,
}

impl Loss {
    fn of(measured: &Measured) -> Self {
        let survival = measured.survival.first();
        Loss {
            overflow: survival.map_or(0, |s| s.overflow),
            to_zero: survival.map_or(0, |s| s.to_zero),
            sqnr_db: survival.and_then(|s| s.sqnr_db()),
            max_abs_error: survival.map_or(0.0, |s| s.max_abs_error),
        }
    }

    fn told(&self, to: DType) -> String {
        let mut told = match self.sqnr_db {
            Some(db) => format!("{db:.1} dB are left, the largest error is {:.3e}", self.max_abs_error),
            None if self.overflow == 0 => return "exact".into(),
            None => "the others are exact".into(),
        };
        if self.to_zero > 0 {
            told += &format!(", {} become 0", self.to_zero);
        }
        if self.overflow > 0 {
            told = format!("{} leave {to}'s range, {told}", self.overflow);
        }
        told
    }
}
