//! The two actions, over text: compile once, then one input after the other, so that one record alone is in memory as a tree.

use crate::{
    fault::{Fault, Kind},
    limits::OUTPUT_BYTES_MAX,
    program::Program,
    read, write,
};
use jaq_json::Val;
use portcullis_sdk::{Result, json};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Input of `evaluate`. Its values are left as text until their turn comes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Evaluate<'a> {
    #[serde(borrow)]
    program: Cow<'a, str>,
    #[serde(borrow)]
    inputs: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    variables: Variables<'a>,
    outputs_max: Option<usize>,
}

/// Input of `compile`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compile<'a> {
    #[serde(borrow)]
    program: Cow<'a, str>,
    #[serde(default)]
    variables: Vec<String>,
}

#[derive(Serialize)]
struct Failed<'a> {
    error: &'a Fault,
}

/// What the program makes of each input, or the first fault, as JSON.
pub(crate) fn evaluate(asked: &Evaluate) -> Result<String> {
    match outputs(asked) {
        Ok(text) => Ok(text),
        Err(fault) => json::to_string(&Failed { error: &fault }),
    }
}

/// `{}`, or what is wrong with the program, as JSON.
pub(crate) fn compile(asked: &Compile) -> Result<String> {
    match Program::compile(&asked.program, asked.variables.iter().map(String::as_str)) {
        Ok(_) => Ok("{}".to_owned()),
        Err(fault) => json::to_string(&Failed { error: &fault }),
    }
}

const OPEN: &str = r#"{"outputs":["#;
const CLOSE: &str = "]}";

fn outputs(asked: &Evaluate) -> Result<String, Fault> {
    let program = Program::compile(&asked.program, asked.variables.0.iter().map(|(name, _)| name.as_ref()))?;
    let mut variables = Vec::with_capacity(asked.variables.0.len());
    for (name, value) in &asked.variables.0 {
        let unread = |error| Fault::new(Kind::Run, format!("the variable `{name}` has {error}"));
        variables.push(read::read(value.get()).map_err(unread)?);
    }
    let mut text = String::from(OPEN);
    for (index, input) in asked.inputs.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push('[');
        one(&program, &variables, input, asked.outputs_max, &mut text)
            .map_err(|fault| fault.of_input(index))?;
        text.push(']');
    }
    text.push_str(CLOSE);
    Ok(text)
}

/// Appends the outputs for one input.
fn one(
    program: &Program,
    variables: &[Val],
    input: &RawValue,
    outputs_max: Option<usize>,
    text: &mut String,
) -> Result<(), Fault> {
    let unread = |error| Fault::new(Kind::Run, format!("the input has {error}"));
    let value = read::read(input.get()).map_err(unread)?;
    for (count, output) in program.run(value, variables).enumerate() {
        let output = output?;
        if let Some(most) = outputs_max.filter(|most| count >= *most) {
            let outputs = if most == 1 { "output" } else { "outputs" };
            return Err(Fault::new(Kind::TooMany, format!("more than {most} {outputs} for one input")));
        }
        if count > 0 {
            text.push(',');
        }
        // Room for what closes the text.
        let written = write::write(&output, text, OUTPUT_BYTES_MAX - CLOSE.len() - 1);
        if let Err(error) = written {
            // Dropping a value takes stack for each level, and the instance ends with the call.
            std::mem::forget(output);
            return Err(match error {
                write::Error::TooLarge => {
                    Fault::new(Kind::TooMany, format!("outputs of more than {} MiB", OUTPUT_BYTES_MAX >> 20))
                }
                other => Fault::new(Kind::Run, format!("an output has {other}, which JSON has no form for")),
            });
        }
    }
    Ok(())
}

/// Names and values, in their order; of a name that stands twice, the last value.
#[derive(Default)]
struct Variables<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Variables<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Variables<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut all: Vec<(Cow<str>, &RawValue)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            all.retain(|(known, _)| *known != name);
            all.push((Cow::Owned(name), value));
        }
        Ok(Variables(all))
    }
}
