//! A jq program, compiled: what is wrong with its text is said with the place.

use crate::{
    fault::{Fault, Kind},
    functions::{self, Data},
    limits::{PROGRAM_BYTES_MAX, PROGRAM_DEPTH_MAX},
    nesting, words,
};
use jaq_core::{
    Ctx, Filter, Vars,
    compile::{Compiler, Undefined},
    load::{self, Arena, File, Loader},
};
use jaq_json::Val;

/// A program that can be run over any number of inputs.
pub(crate) struct Program {
    filter: Filter<Data>,
}

impl Program {
    /// Compiles it. It is given variables of these names, in this order.
    pub(crate) fn compile<'a>(code: &str, names: impl Iterator<Item = &'a str>) -> Result<Self, Fault> {
        if code.len() > PROGRAM_BYTES_MAX {
            let most = PROGRAM_BYTES_MAX >> 10;
            return Err(Fault::new(Kind::Compile, format!("a program of more than {most} KiB")));
        }
        if let Some(at) = nesting::too_deep(code) {
            let message = format!("more than {PROGRAM_DEPTH_MAX} brackets and strings inside each other");
            return Err(Fault::compile(code, Some(at), message));
        }
        let variables = names.map(variable).collect::<Result<Vec<_>, _>>()?;
        let arena = Arena::default();
        let modules = Loader::new(functions::definitions())
            .load(&arena, File { code, path: () })
            .map_err(|errors| unread(code, errors))?;
        load::import(&modules, |_| Err(String::new())).map_err(|errors| unread(code, errors))?;
        let filter = Compiler::default()
            .with_funs(functions::functions())
            .with_global_vars(variables.iter().map(String::as_str))
            .compile(modules)
            .map_err(|errors| {
                let mut errors = errors.into_iter().flat_map(|(_, errors)| errors);
                undefined(code, errors.next(), &variables)
            })?;
        Ok(Self { filter })
    }

    /// Its outputs for one input, up to the first fault.
    pub(crate) fn run<'a>(
        &'a self,
        input: Val,
        variables: &[Val],
    ) -> impl Iterator<Item = Result<Val, Fault>> + use<'a> {
        let context = Ctx::<Data>::new(&self.filter.lut, Vars::new(variables.iter().cloned()));
        self.filter.id.run((context, input)).map(|output| {
            output.map_err(|exception| match exception.get_err() {
                Ok(error) => Fault::new(Kind::Run, words::of_run(error)),
                Err(_) => Fault::new(Kind::Run, "a `break` that leads nowhere"),
            })
        })
    }
}

/// A variable as programs write it.
fn variable(name: &str) -> Result<String, Fault> {
    let written = format!("${name}");
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if !starts || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        let message = format!("no variable can be called `{name}`: letters, digits and `_` alone");
        return Err(Fault::new(Kind::Compile, message));
    }
    match functions::refusal(&written) {
        Some(_) => Err(Fault::new(Kind::Compile, format!("no variable can be called `{name}`"))),
        None => Ok(written),
    }
}

/// A text that is no program: the first of its faults.
fn unread(code: &str, errors: load::Errors<&str, ()>) -> Fault {
    let all = errors.into_iter().flat_map(|(_, error)| match error {
        load::Error::Io(errors) => errors
            .into_iter()
            .map(|(path, _)| (position(code, path), functions::MODULES.to_owned()))
            .collect::<Vec<_>>(),
        load::Error::Lex(errors) => {
            let told = |(expected, rest)| (position(code, rest), words::of_lexer(&expected, rest));
            errors.into_iter().map(told).collect()
        }
        load::Error::Parse(errors) => {
            let told = |(expected, found)| (position(code, found), words::of_parser(&expected, found));
            errors.into_iter().map(told).collect()
        }
    });
    match all.min_by_key(|(at, _)| at.unwrap_or(usize::MAX)) {
        Some((at, message)) => Fault::compile(code, at, message),
        None => Fault::new(Kind::Compile, "no program of jq's"),
    }
}

/// A name that stands for nothing.
fn undefined(code: &str, error: Option<(&str, Undefined)>, variables: &[String]) -> Fault {
    let Some((name, what)) = error else { return Fault::new(Kind::Compile, "no program of jq's") };
    let message = match what {
        _ if functions::refusal(name).is_some() => {
            format!("`{name}` is not here: {}", functions::refusal(name).unwrap_or_default())
        }
        Undefined::Filter(count) => words::of_filter(name, count),
        Undefined::Var if variables.is_empty() => format!("no variable `{name}`; the program is given none"),
        Undefined::Var => format!("no variable `{name}`; the program is given {}", variables.join(", ")),
        Undefined::Label => format!("`break {name}` without `label {name}` around it"),
        Undefined::Mod => functions::MODULES.to_owned(),
        _ => format!("no `{name}`"),
    };
    Fault::compile(code, position(code, name), message)
}

/// Where the part lies in the whole, if it does.
fn position(code: &str, part: &str) -> Option<usize> {
    let at = (part.as_ptr() as usize).checked_sub(code.as_ptr() as usize)?;
    (at + part.len() <= code.len()).then_some(at)
}
