//! being written
use crate::{ReadOptions, Source, format::Confidence};
use weighbridge_model::*;
pub fn sniff(_: &Source) -> Result<Option<Confidence>> {
    Ok(None)
}
pub fn read(source: &Source, _: &ReadOptions) -> Result<Model> {
    Err(crate::company::not_a_model(source))
}
