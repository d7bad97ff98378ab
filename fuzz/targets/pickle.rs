#![no_main]

use weighbridge_formats::pickle;
use weighbridge_model::Limits;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = pickle::read(bytes, &Limits::default());
});
