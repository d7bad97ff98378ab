#![no_main]

use weighbridge_formats::{Source, zip::Archive};
use weighbridge_model::Limits;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(archive) = Archive::open(&Source::memory("fuzz", bytes), &Limits::default()) else { return };
    for entry in archive.entries().iter().take(16) {
        let _ = archive.read(entry);
    }
});
