//! The connection's config, as `config.schema.json` describes it, and what is wrong in it beyond that schema.
use crate::{actions::Action, streams::Stream};
use portcullis_sdk::{
    Config, Error, Result,
    http::{self, RequestBuilder},
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// An API.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    base_url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    check: Option<String>,
    #[serde(default)]
    pub(crate) streams: BTreeMap<String, Stream>,
    #[serde(default)]
    pub(crate) actions: BTreeMap<String, Action>,
}

impl Settings {
    /// Reads the config.
    pub(crate) fn read(config: &Config) -> Result<Self> {
        let settings: Self = config.parse()?;
        for (name, stream) in &settings.streams {
            stream.verify(name)?;
        }
        Ok(settings)
    }

    /// Whether every action could run: its templates and schema are as they must be.
    pub(crate) fn check_actions(&self) -> Result<()> {
        self.actions.iter().try_for_each(|(name, action)| action.verify(name))
    }

    /// A request of the API's with what goes with each; `path` is encoded. An operation's headers take the place of those of
    /// the same name.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &BTreeMap<String, String>,
    ) -> RequestBuilder {
        let url = format!("{}{path}", self.base_url.trim_end_matches('/'));
        let own = |name: &str| headers.keys().any(|header| header.eq_ignore_ascii_case(name));
        let shared = self.headers.iter().filter(|(name, _)| !own(name));
        let mut request = http::request(method, url);
        for (name, value) in shared.chain(headers) {
            request = request.header(name.as_str(), value);
        }
        request.query_pairs(self.query.iter().map(|(name, value)| (name, written(value))))
    }

    /// What tells whether config and credential work; none = there is nothing to read.
    pub(crate) fn cheapest(&self) -> Option<RequestBuilder> {
        match &self.check {
            Some(path) => Some(self.request("GET", path, &BTreeMap::new())),
            None => self.streams.values().next().map(|stream| stream.first(self)),
        }
    }

    /// For a message about an action that is not there.
    pub(crate) fn known_actions(&self) -> String {
        let names: Vec<String> = self.actions.keys().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { String::new() } else { format!("; it has {}", names.join(", ")) }
    }
}

/// A text, number or boolean as a URL holds it.
pub(crate) fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A fault of the config at a place of it.
pub(crate) fn fault(place: &str, why: impl std::fmt::Display) -> Error {
    Error::invalid_config(format!("config `{place}`: {why}"))
}
