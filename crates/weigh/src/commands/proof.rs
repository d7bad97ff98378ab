//! What running a model and what was made of it came to.

use weighbridge_model::Error;

use crate::printer;

#[cfg(feature = "run")]
pub(super) use super::prove::prove;

/// What running both models came to.
#[cfg_attr(not(feature = "run"), allow(dead_code))]
pub(super) enum Proof {
    /// Outputs agree; what was compared, for people.
    Same(String),
    /// They do not.
    Differs(String),
    /// They were not run, for this reason.
    None(String),
}

impl Proof {
    /// Tells it.
    pub(super) fn tell(&self) {
        match self {
            Proof::Same(text) => printer::note(&format!("verified: {text}")),
            Proof::Differs(text) => printer::error(&Error::Usage {
                what: format!("the result does not compute the same, and nothing was written: {text}"),
            }),
            Proof::None(why) => printer::note(&format!("not verified: {why}")),
        }
    }
}

/// Nothing is run.
///
/// # Errors
/// None.
#[cfg(not(feature = "run"))]
pub(super) fn prove(
    _: &weighbridge_model::Model,
    _: &weighbridge_model::Model,
    args: &crate::args::SimplifyArgs,
) -> weighbridge_model::Result<Proof> {
    let why = if args.no_verify { "--no-verify" } else { "this build has no engine" };
    Ok(Proof::None(why.into()))
}
