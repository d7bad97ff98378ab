//! being written
use weighbridge_model::*; use crate::{Source, ReadOptions, format::Confidence};
pub fn sniff(_: &Source) -> Result<Option<Confidence>> { Ok(None) }
pub fn read(source: &Source, _: &ReadOptions) -> Result<Model> { Err(crate::company::not_a_model(source)) }
