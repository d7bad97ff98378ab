//! The layers of SSD's detectors.

mod detection;
mod prior;

pub(super) use detection::detection_output;
pub(super) use prior::prior_box;
