//! being written
use crate::{ReadOptions, Source, format::Confidence};
use weighbridge_model::*;
pub fn sniff(_: &Source) -> Result<Option<Confidence>> {
    Ok(None)
}
pub fn read(source: &Source, _: &ReadOptions) -> Result<Model> {
    Err(crate::company::not_a_model(source))
}
pub fn read_folder(p: &std::path::Path, _: &ReadOptions) -> Result<Model> {
    Err(Error::unsupported(Place::source(p.display().to_string()), "a folder"))
}
