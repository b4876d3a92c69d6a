//! What a program can call: the libraries of jaq, without what has no meaning here, and with what differs.

use crate::{delete, limits::OUTPUT_BYTES_MAX, read, write};
use jaq_core::{
    Bind, Error, Native, RunPtr, ValR,
    data::JustLut,
    load::parse::Def,
    native::{Filter, bome, run, unary, v},
};
use jaq_json::{Num, Val};

/// What programs compute with.
pub(crate) type Data = JustLut<Val>;

/// Name, parameters and code of a function.
pub(crate) type Function = (&'static str, Box<[Bind]>, Native<Data>);

/// Names that no program can call, and why.
const REFUSED: [(&str, &str); 19] = [
    ("now", CLOCK),
    ("localtime", "there is no local time here; `gmtime` has UTC"),
    ("strflocaltime", "there is no local time here; `strftime` has UTC"),
    ("env", ENVIRONMENT),
    ("$ENV", ENVIRONMENT),
    ("input", INPUT),
    ("inputs", INPUT),
    ("debug", LOG),
    ("stderr", LOG),
    ("halt", HALT),
    ("halt_error", HALT),
    ("input_filename", FILE),
    ("input_line_number", FILE),
    ("$__loc__", FILE),
    ("$__prog_args", "a program has no arguments; give it variables"),
    ("modulemeta", MODULES),
    ("get_search_list", MODULES),
    ("tobytes", "bytes are no JSON; `utf8bytelength`, `explode` and `@base64` are of strings"),
    ("builtins", "README.md lists what there is"),
];
const CLOCK: &str = "a program has no clock; give it the time as a variable";
const ENVIRONMENT: &str = "a program has no environment; give it variables";
const INPUT: &str = "a program has one input, which is `.`";
const LOG: &str = "a program writes nothing but its outputs";
const HALT: &str = "a program ends by itself, or by `error`";
const FILE: &str = "a program and its input are no files";
/// Also said of `import` and `include`.
pub(crate) const MODULES: &str = "a program has no modules; define what it needs in itself";

/// What only other refused ones call.
const INTERNAL: [&str; 2] = ["debug_empty", "stderr_empty"];

/// Why no program can call this.
pub(crate) fn refusal(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, why)| *why)
}

fn is_there(name: &str) -> bool {
    refusal(name).is_none() && !INTERNAL.contains(&name)
}

/// What is defined in jq: ours, and what of jaq's stands in neither of our tables.
pub(crate) fn definitions() -> Vec<Def<&'static str>> {
    let ours =
        jaq_core::load::parse(include_str!("functions.jq"), |parser| parser.defs()).unwrap_or_default();
    let native = own().map(|(name, parameters, _)| (name, parameters.len()));
    let is_ours = |one: &Def<&'static str>| {
        let signature = (one.name, one.args.len());
        native.contains(&signature) || ours.iter().any(|own| (own.name, own.args.len()) == signature)
    };
    let jaq = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let mut all: Vec<_> = jaq.filter(|one| is_there(one.name) && !is_ours(one)).collect();
    all.extend(ours);
    all
}

/// What is defined in Rust. Of a name that is defined twice the first one is called.
pub(crate) fn functions() -> impl Iterator<Item = Function> {
    let jaq = jaq_core::funs::<Data>().chain(jaq_std::funs()).chain(jaq_json::funs());
    own().into_iter().map(run::<Data>).chain(jaq).filter(|(name, ..)| is_there(name))
}

fn own() -> [Filter<RunPtr<Data>>; 4] {
    [
        ("fromjson", v(0), |cv| bome(from_json(&cv.1))),
        ("tojson", v(0), |cv| bome(to_json(&cv.1))),
        ("length", v(0), |cv| bome(length(cv.1))),
        ("delpaths", v(1), |cv| unary(cv, delete::delete)),
    ]
}

/// One JSON value. That of `jaq-json` takes several, comments, `NaN`, numbers that JSON does not have, and any depth.
fn from_json(value: &Val) -> ValR<Val> {
    let Val::TStr(bytes) = value else { return Err(Error::typ(value.clone(), "string")) };
    let text = str::from_utf8(bytes).map_err(|_| Error::str("a string that is not UTF-8 is no JSON"))?;
    read::read(text).map_err(|error| Error::str(format_args!("a string that is no JSON: it has {error}")))
}

/// That of `jaq-json` writes what is no JSON.
fn to_json(value: &Val) -> ValR<Val> {
    let mut text = String::new();
    match write::write(value, &mut text, OUTPUT_BYTES_MAX) {
        Ok(()) => Ok(Val::from(text)),
        Err(error) => Err(Error::str(format_args!("no JSON for {error}"))),
    }
}

/// That of `jaq-json` leaves the smallest integer of the machine negative.
fn length(value: Val) -> ValR<Val> {
    let count = match &value {
        Val::Null => 0,
        Val::TStr(text) => String::from_utf8_lossy(text).chars().count(),
        Val::BStr(bytes) => bytes.len(),
        Val::Arr(items) => items.len(),
        Val::Obj(members) => members.len(),
        Val::Num(number) if *number < Num::Int(0) => return -value,
        Val::Num(_) => return Ok(value),
        Val::Bool(_) => return Err(Error::typ(value, "null, number, string, array or object")),
    };
    Ok(Val::from(count))
}
