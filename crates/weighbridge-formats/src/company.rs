//! What a file is when it is no model that can be read: said by name, with what would help.

use weighbridge_model::Error;

use crate::format::place;
use crate::source::Source;

/// Bytes that are looked at.
const HEAD: u64 = 4096;

const DOWNLOAD: &str = "download it again, and look at what the server answered";
const LATER: &str = "this format is not read yet; export to .pth, .safetensors or .onnx";
const UNPACK: &str = "unpack it, and name the model that is in it";
const WEIGHTS: &str = "name the model's weight file, or its folder";

/// What a file begins with, at which byte; what it is; what would help. The first that fits is taken.
const SIGNATURES: &[(&[u8], usize, &str, &str)] = &[
    (b"lmgg", 0, "a GGML model of before GGUF", LATER),
    (b"tjgg", 0, "a GGML model of before GGUF (GGJT)", LATER),
    (b"RKNN", 0, "an RKNN model (Rockchip)", LATER),
    (b"\x1f\x8b", 0, "a gzip archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", 0, "a Zstandard archive", UNPACK),
    (b"BZh", 0, "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", 0, "an XZ archive", UNPACK),
    (b"Rar!\x1a\x07", 0, "a RAR archive", UNPACK),
    (b"ustar", 257, "a tar archive without a PyTorch checkpoint in it", UNPACK),
    (b"PK\x03\x04", 0, "a zip archive without a model in it", UNPACK),
    (b"PAR1", 0, "a Parquet table: a dataset, no model", WEIGHTS),
    (b"ARROW1", 0, "an Arrow table: a dataset, no model", WEIGHTS),
    (b"SQLite format 3\0", 0, "an SQLite database", WEIGHTS),
    (b"\x89PNG\r\n\x1a\n", 0, "a PNG picture", WEIGHTS),
    (b"\xff\xd8\xff", 0, "a JPEG picture", WEIGHTS),
    (b"GIF8", 0, "a GIF picture", WEIGHTS),
    (b"WEBP", 8, "a WebP picture", WEIGHTS),
    (b"WAVE", 8, "a sound (WAV)", WEIGHTS),
    (b"fLaC", 0, "a sound (FLAC)", WEIGHTS),
    (b"ftyp", 4, "a video or sound (MP4)", WEIGHTS),
    (b"%PDF-", 0, "a PDF document", WEIGHTS),
    (b"\x7fELF", 0, "a program or library (ELF)", WEIGHTS),
    (b"MZ", 0, "a program or library (Windows)", WEIGHTS),
    (b"\xcf\xfa\xed\xfe", 0, "a program or library (macOS)", WEIGHTS),
    (b"\xca\xfe\xba\xbe", 0, "a program or library (macOS, Java)", WEIGHTS),
];

/// Words that JSON of a known kind has near its beginning.
const JSON: &[(&[&str], &str)] = &[
    (&["\"vocab\"", "\"merges\""], "a tokenizer (tokenizer.json)"),
    (&["\"added_tokens\""], "a tokenizer (tokenizer.json)"),
    (&["\"tokenizer_class\""], "a tokenizer's configuration"),
    (&["\"model_type\""], "a model's configuration (config.json), without weights"),
    (&["\"architectures\""], "a model's configuration (config.json), without weights"),
    (&["\"format\"", "\"generatedBy\""], "a TensorFlow.js model, which is not read yet"),
    (&["\"nbformat\""], "a Jupyter notebook"),
    (&["\"error\""], "a server's error message saved as a model"),
];

/// Words that begin text of a known kind, after white space, in lower case.
const TEXT: &[(&str, &str, &str)] = &[
    (
        "version https://git-lfs",
        "a Git LFS pointer: the model itself was not fetched",
        "run `git lfs pull` in its repository",
    ),
    ("<!doctype html", "an HTML page saved as a model, often a server's error message", DOWNLOAD),
    ("<html", "an HTML page saved as a model, often a server's error message", DOWNLOAD),
    ("<net ", "an OpenVINO model, which is not read yet", LATER),
    ("#version: 0.2", "a tokenizer's merges (merges.txt)", WEIGHTS),
    ("7767517", "an ncnn .param, which is not read yet", LATER),
    ("[net]", "a Darknet .cfg, which is not read yet", LATER),
    ("#!", "a script", WEIGHTS),
    ("import ", "Python code", WEIGHTS),
    ("from ", "Python code", WEIGHTS),
];

/// The error for a file that no format's signature fits.
pub fn not_a_model(source: &Source) -> Error {
    let head = source.prefix(0, HEAD).unwrap_or_default();
    let (what, help) = describe(&head);
    Error::NotAModel { place: place(source), what: what.to_owned(), help: Some(help.to_owned()) }
}

fn describe(head: &[u8]) -> (&'static str, &'static str) {
    if head.is_empty() {
        return ("the file is empty", DOWNLOAD);
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let lower = text.to_ascii_lowercase();
    if let Some((_, what, help)) = TEXT.iter().find(|(begin, ..)| lower.starts_with(begin)) {
        return (what, help);
    }
    if lower.starts_with("<?xml") {
        return match lower.contains("<net ") {
            true => ("an OpenVINO model, which is not read yet", LATER),
            false => ("an XML document, often a server's error message", DOWNLOAD),
        };
    }
    let fits = |&&(magic, at, ..): &&(&[u8], usize, &str, &str)| {
        head.get(at..).is_some_and(|h| h.starts_with(magic))
    };
    if let Some((.., what, help)) = SIGNATURES.iter().find(fits) {
        return (what, help);
    }
    // Some bytes of text may be of another alphabet, and a window may cut one of those apart.
    let printable = head.iter().all(|&b| matches!(b, 9 | 10 | 13 | 32..=126 | 128..=255));
    let printable = printable && std::str::from_utf8(head).err().is_none_or(|e| e.error_len().is_none());
    if printable && text.starts_with(['{', '[']) {
        let known = JSON.iter().find(|(words, _)| words.iter().all(|word| text.contains(word)));
        let what = known.map_or("a JSON document that is no index of shards", |(_, what)| what);
        return (what, if what.contains("server") { DOWNLOAD } else { WEIGHTS });
    }
    if printable {
        return ("a text file", WEIGHTS);
    }
    ("no signature of a known model format", "say which it is with --format; `weigh formats` lists them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_models_are_named_for_what_they_are() {
        for (head, expected) in [
            (&b""[..], "empty"),
            (b"\n<!DOCTYPE HTML><title>404</title>", "HTML page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML document"),
            (b"<?xml version=\"1.0\"?>\n<net name=\"x\" version=\"11\">", "OpenVINO"),
            (b"{\"error\": \"Repository not found\"}", "server's error"),
            (b"{\"version\":\"1.0\",\"added_tokens\":[]}", "tokenizer"),
            (b"{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\"}", "configuration"),
            (b"{\"a\": 1}", "no index of shards"),
            (b"PAR1\x15\x04\x15", "dataset"),
            (b"\x89PNG\r\n\x1a\n\0", "PNG"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "WAV"),
            (b"\x7fELF\x02\x01", "ELF"),
            (b"import torch\n", "Python code"),
            ("мир, words\n".as_bytes(), "a text file"),
            (&"мир".as_bytes()[..5], "a text file"),
            (b"\0\x01\x02\x03", "no signature"),
        ] {
            let (what, help) = describe(head);
            assert!(what.contains(expected), "{what:?} for {:?}", String::from_utf8_lossy(head));
            assert!(!help.is_empty());
        }
    }
}
