//! The actions of a config: one request each, built from the input and held to its schema before anything is sent.
use crate::{
    config::{Settings, fault, written},
    template::{self, Fault, Text},
};
use portcullis_sdk::{Error, Outcome, Result, http::RequestBuilder, json};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Faults of an input that are told.
const FAULTS_MAX: usize = 8;

/// One action.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Action {
    method: Method,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    body: Option<Value>,
    #[serde(default)]
    encoding: Encoding,
    input: Option<Value>,
    #[serde(default)]
    output: String,
    idempotency: Option<Idempotency>,
}

#[derive(Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

#[derive(Deserialize, Debug, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
enum Encoding {
    #[default]
    Json,
    Form,
}

/// Which header tells the vendor that two requests are one, and what of the input makes them so.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Idempotency {
    header: String,
    key: String,
}

impl Action {
    /// What no schema of the config can say.
    pub(crate) fn verify(&self, name: &str) -> Result<()> {
        let at = |key: &str| format!("actions.{name}.{key}");
        let text = |key: &str, template: &str| {
            Text::parse(template).map(drop).map_err(|why| fault(&at(key), explain(&why)))
        };
        text("path", &self.path)?;
        for value in self.query.values() {
            text("query", &written(value))?;
        }
        if let Some(idempotency) = &self.idempotency {
            text("idempotency.key", &idempotency.key)?;
        }
        if let Some(body) = &self.body {
            template::verify(body).map_err(|why| fault(&at("body"), explain(&why)))?;
        }
        self.schema().map(drop).map_err(|why| fault(&at("input"), why))
    }

    /// Runs it.
    pub(crate) fn invoke(&self, settings: &Settings, input: &Value) -> Result<Outcome> {
        self.validate(input)?;
        let answer = self.request(settings, input).map_err(|why| blame(&why))?.send()?.error_for_status()?;
        if answer.body().is_empty() {
            return Outcome::done(&());
        }
        match json::at(answer.text()?, &self.output)? {
            Some(output) => Outcome::done_raw(output.get().to_owned()),
            None => Outcome::done(&()),
        }
    }

    fn request(&self, settings: &Settings, input: &Value) -> Result<RequestBuilder, Fault> {
        let path = Text::parse(&self.path)?.path(input)?;
        let mut request = settings.request(self.method.name(), &path, &self.headers);
        for (name, value) in &self.query {
            match Text::parse(&written(value))?.values(input) {
                Ok(values) => request = request.query_pairs(values.into_iter().map(|value| (name, value))),
                // What was not given is not asked for.
                Err(Fault::Missing(_)) => {}
                Err(why) => return Err(why),
            }
        }
        if let Some(Idempotency { header, key }) = &self.idempotency {
            request = request.header(header.as_str(), Text::parse(key)?.text(input)?);
        }
        let Some(body) = &self.body else { return Ok(request) };
        let body = template::fill(body, input)?;
        Ok(match self.encoding {
            Encoding::Json => request.json(&body),
            Encoding::Form => request.form_nested(&body),
        })
    }

    fn schema(&self) -> Result<Option<jsonschema::Validator>, String> {
        let Some(schema) = &self.input else { return Ok(None) };
        let built = jsonschema::draft202012::options().should_validate_formats(false).offline().build(schema);
        built.map(Some).map_err(|error| error.to_string())
    }

    fn validate(&self, input: &Value) -> Result<()> {
        let schema =
            self.schema().map_err(|why| fault("actions", format!("an `input` is no schema: {why}")))?;
        let Some(schema) = schema else { return Ok(()) };
        // What was found is not told: it may be a secret or a person's.
        let faults = schema.iter_errors(input).take(FAULTS_MAX);
        let told: Vec<String> =
            faults.map(|error| format!("`{}`: {}", error.instance_path(), error.masked())).collect();
        if told.is_empty() { Ok(()) } else { Err(Error::invalid_input(told.join("; "))) }
    }
}

fn explain(why: &Fault) -> String {
    match why {
        Fault::Template(why) => why.clone(),
        Fault::Missing(pointer) => format!("`{pointer}` is missing"),
        Fault::Unfit(pointer, why) => format!("`{pointer}`: {why}"),
    }
}

/// Whose fault it is.
fn blame(why: &Fault) -> Error {
    match why {
        Fault::Template(_) => Error::invalid_config(explain(why)),
        Fault::Missing(_) | Fault::Unfit(..) => Error::invalid_input(explain(why)),
    }
}

#[cfg(test)]
mod tests;
