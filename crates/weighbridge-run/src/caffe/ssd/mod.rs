//! The layers of SSD: boxes to begin with, and what becomes of them.

mod detection;
mod prior;

pub(super) use detection::detection_output;
pub(super) use prior::prior_box;
