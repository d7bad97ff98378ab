//! The whole file: description, helpers, the module, an example of its use.

use weighbridge_model::{Class, DType, Dim, GraphValue};

use super::names::{escaped, identifier};
use super::scope::{Line, Scope};
use super::{Options, helpers, text};

/// An argument of `forward`.
pub(super) struct Input<'a> {
    pub(super) variable: String,
    pub(super) value: &'a GraphValue,
}

/// Widest line of a comment or of the description.
const WIDTH: usize = 88;

/// Most characters of a graph's name in the description.
const NAME: usize = 48;

/// The source.
pub(super) fn page(scope: &Scope<'_>, inputs: &[Input<'_>], outputs: &[String], options: &Options) -> String {
    let class = class(&options.class);
    let body = body(scope, &class, inputs, outputs, options);
    let helpers = helpers::sources(&scope.helpers);
    let example = example(&class, inputs, options);
    let used = |name: &str| [&body, &helpers].iter().any(|part| part.contains(name));
    let mut out = format!("\"\"\"{class}, with its weights in {}.\"\"\"\n\n", escaped(&options.weights));
    if used("math.") {
        out += "import math\n";
    }
    out += "from pathlib import Path\n\nimport torch\n";
    if used("F.") {
        out += "import torch.nn.functional as F\n";
    }
    if options.safetensors {
        out += "from safetensors.torch import load_file\n";
    }
    out += "from torch import nn\n";
    if !helpers.is_empty() {
        out += &helpers;
    }
    out += &body;
    out += &example;
    out
}

/// A name of a class: words joined, each with a capital.
fn class(name: &str) -> String {
    let mut out = String::new();
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
        out.push(word.as_bytes()[0].to_ascii_uppercase() as char);
        out += &word[1..];
    }
    if out.is_empty() || matches!(&*out, "None" | "True" | "False" | "F" | "Path") {
        return "Net".into();
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) { format!("Net{out}") } else { identifier(&out, "Net") }
}

fn body(
    scope: &Scope<'_>,
    class: &str,
    inputs: &[Input<'_>],
    outputs: &[String],
    options: &Options,
) -> String {
    let mut out = format!("\n\nclass {class}(nn.Module):\n");
    description(scope, inputs, options, &mut out);
    let made = scope.tree.statements();
    if !made.is_empty() {
        out += "\n    def __init__(self):\n        super().__init__()\n";
        for (comment, text) in made {
            write(comment.as_deref(), &text, &mut out);
        }
    }
    let names: Vec<&str> = std::iter::once("self").chain(inputs.iter().map(|i| &*i.variable)).collect();
    let head = format!("def forward({}):", names.join(", "));
    out.push('\n');
    if 4 + head.len() <= WIDTH {
        out += &format!("    {head}\n");
    } else {
        out += "    def forward(\n";
        names.iter().for_each(|name| out += &format!("        {name},\n"));
        out += "    ):\n";
    }
    for Line { comment, text } in &scope.lines {
        write(comment.as_deref(), &placed(scope, text), &mut out);
    }
    match outputs {
        [] => out += "        return None\n",
        _ => write(None, &placed(scope, &format!("return {}", outputs.join(", "))), &mut out),
    }
    out
}

fn write(comment: Option<&str>, statement: &str, out: &mut String) {
    if let Some(comment) = comment {
        out.push_str("        # ");
        out.push_str(comment);
        out.push('\n');
    }
    text::statement(statement, 8, out);
}

/// Text with the paths of the places that it names.
fn placed(scope: &Scope<'_>, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\u{1}') {
        out += before;
        let (number, behind) = behind.split_once('\u{2}').expect("a token is closed");
        let at = super::tree::At(number.parse().expect("a token holds a number"));
        out += &scope.tree.expression(at);
        rest = behind;
    }
    out + rest
}

/// What goes in and comes out, and what should have been done before.
fn description(scope: &Scope<'_>, inputs: &[Input<'_>], options: &Options, out: &mut String) {
    let mut lines: Vec<String> = Vec::new();
    let named = |variable: &str, value: &GraphValue| {
        let name =
            if value.name == variable { String::new() } else { format!(" ({})", escaped(&value.name)) };
        format!("{variable}{name}: {}", kind(value))
    };
    if !inputs.is_empty() {
        lines.push("Inputs:".into());
        lines.extend(inputs.iter().map(|i| format!("    {}", named(&i.variable, i.value))));
    }
    if !scope.graph.outputs.is_empty() {
        lines.push("Outputs:".into());
        for &id in &scope.graph.outputs {
            let value = scope.graph.value(id);
            let variable = scope.written[id.0 as usize].as_deref().filter(|w| !w.contains('\u{1}'));
            lines.push(format!("    {}", named(variable.unwrap_or("a constant"), value)));
        }
    }
    if !options.notes.is_empty() {
        lines.push("Before:".into());
        lines.extend(options.notes.iter().map(|note| format!("    {}", prose(note))));
    }
    let name: String = scope.graph.name.chars().take(NAME).collect();
    let source = if name.is_empty() { "a graph".to_owned() } else { format!("the graph {}", escaped(&name)) };
    *out += &format!("    \"\"\"What {source} computes.");
    if lines.is_empty() {
        out.push_str("\"\"\"\n");
        return;
    }
    out.push_str("\n\n");
    lines.iter().for_each(|line| *out += &format!("    {line}\n"));
    out.push_str("    \"\"\"\n");
}

/// Text for people, of which commas may stay.
fn prose(text: &str) -> String {
    text.split(',').map(escaped).collect::<Vec<_>>().join(",")
}

/// `float32 [N, 3, 224, 224]`.
fn kind(value: &GraphValue) -> String {
    let dtype =
        value.dtype.and_then(text::dtype).map_or("any type", |name| name.trim_start_matches("torch."));
    let Some(dims) = &value.shape else { return format!("{dtype} of any shape") };
    let sizes: Vec<String> = dims
        .iter()
        .map(|dim| match dim {
            Dim::Known(n) => n.to_string(),
            Dim::Symbol(name) => escaped(name),
            Dim::Unknown => "?".into(),
        })
        .collect();
    format!("{dtype} [{}]", sizes.join(", "))
}

/// A run on random inputs.
fn example(class: &str, inputs: &[Input<'_>], options: &Options) -> String {
    let weights = escaped(&options.weights);
    let mut out = "\n\nif __name__ == \"__main__\":\n".to_owned();
    let load = match options.safetensors {
        true => "load_file(path)",
        false => "torch.load(path, weights_only=True)",
    };
    text::statement(&format!("path = Path(__file__).with_name(\"{weights}\")"), 4, &mut out);
    text::statement(&format!("net = {class}().eval()"), 4, &mut out);
    text::statement(&format!("net.load_state_dict({load})"), 4, &mut out);
    let mut names = Vec::new();
    for Input { variable, value } in inputs {
        // The module's own names are not these.
        let name = if matches!(&**variable, "net" | "path" | "outputs") {
            format!("{variable}_")
        } else {
            variable.clone()
        };
        text::statement(&format!("{name} = {}", random(value)), 4, &mut out);
        names.push(name);
    }
    out += "    with torch.inference_mode():\n";
    text::statement(&format!("outputs = net({})", names.join(", ")), 8, &mut out);
    out += "    for output in outputs if isinstance(outputs, tuple) else (outputs,):\n";
    out += "        print(output.dtype, tuple(output.shape))\n";
    out
}

/// Random values of the declared type and shape, 1 for open sizes.
fn random(value: &GraphValue) -> String {
    let sizes: Vec<u64> = match &value.shape {
        Some(dims) => dims.iter().map(|dim| if let Dim::Known(n) = dim { *n } else { 1 }).collect(),
        None => vec![1],
    };
    let shape = if sizes.is_empty() { "()".to_owned() } else { text::joined(&sizes) };
    let dtype = value.dtype.unwrap_or(DType::F32);
    let spelled = text::dtype(dtype).unwrap_or("torch.float32");
    match dtype.class() {
        Class::Float if dtype == DType::F32 => format!("torch.randn({shape})"),
        Class::Float => format!("torch.randn({shape}).to({spelled})"),
        _ => format!("torch.ones({shape}, dtype={spelled})"),
    }
}
