//! What a file is when it is no model that can be read: said by name, with what would help.

use weighbridge_model::Error;

use crate::format::place;
use crate::source::Source;

/// The error for a file that no format's signature fits.
pub fn not_a_model(source: &Source) -> Error {
    let head = source.prefix(0, 512).unwrap_or_default();
    let (what, help) = describe(source, &head);
    Error::NotAModel { place: place(source), what: what.to_owned(), help: Some(help.to_owned()) }
}

fn describe(source: &Source, head: &[u8]) -> (&'static str, &'static str) {
    const DOWNLOAD: &str = "download it again, and look at what the server answered";
    const LATER: &str = "this format is not read yet; export to .pth (zip), .safetensors or .onnx";
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let lower = text.to_ascii_lowercase();
    if source.is_empty() {
        return ("the file is empty", DOWNLOAD);
    }
    if text.starts_with("version https://git-lfs") {
        return (
            "a Git LFS pointer: the model itself was not fetched",
            "run `git lfs pull` in its repository",
        );
    }
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return ("an HTML page saved as a model, often a server's error message", DOWNLOAD);
    }
    if lower.starts_with("<?xml") {
        return ("an XML document, often a server's error message", DOWNLOAD);
    }
    let signatures: &[(&[u8], usize, &str)] = &[
        (b"lmgg", 0, "a GGML model of before GGUF"),
        (b"tjgg", 0, "a GGML model of before GGUF (GGJT)"),
        (b"ptrt", 0, "a TensorRT engine"),
        (b"ftrt", 0, "a TensorRT engine"),
        (b"vtrt", 0, "a TensorRT engine"),
        (b"\x1f\x8b", 0, "a gzip archive"),
        (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive"),
        (b"\x28\xb5\x2f\xfd", 0, "a Zstandard archive"),
        (b"ustar", 257, "a tar archive without a PyTorch checkpoint in it"),
        (b"PK\x03\x04", 0, "a zip archive without a PyTorch pickle in it"),
    ];
    for (magic, at, what) in signatures {
        if head.get(*at..).is_some_and(|h| h.starts_with(magic)) {
            return (what, LATER);
        }
    }
    let printable = !head.is_empty() && head.iter().all(|b| matches!(b, 9 | 10 | 13 | 32..=126));
    if printable && (text.starts_with('{') || text.starts_with('[')) {
        return (
            "a JSON document that is no safetensors index",
            "name the model's weight file or its folder",
        );
    }
    if printable {
        return ("a text file", "name the model's weight file");
    }
    (
        "no signature of a known model format",
        "say which it is with --format, or see the list of formats in the README",
    )
}
