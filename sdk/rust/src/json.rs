//! JSON as it comes from the host, and where a fault in it is whose.
//!
//! The same text that does not parse is the operator's fault in a config, the caller's in an input, the vendor's in an
//! answer, and nobody's in a position of an older version: each has its own function, so that the kind is right.

pub(crate) mod raw;

use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The connection's config, validated by the manifest's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config(String);

impl Config {
    /// From JSON text: for tests.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As a type of the connector's; a fault is `InvalidConfig`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        read(&self.0, ErrorKind::InvalidConfig, "the config")
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An action's input, validated by the manifest's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input(String);

impl Input {
    /// From JSON text: for tests.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As a type of the connector's; a fault is `InvalidInput`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        read(&self.0, ErrorKind::InvalidInput, "the input")
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the connector itself gave to the host earlier: a position, or `resume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// From JSON text: for tests.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The JSON of a value.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        to_string(value).map(Self)
    }

    /// As a type of the connector's; a fault is `PositionExpired`, so that the host can begin anew.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        read(&self.0, ErrorKind::PositionExpired, "the position")
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Parses what a vendor sent; a fault is `ContractDrift`.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    read(text, ErrorKind::ContractDrift, "the vendor's answer")
}

/// Prints a value; a fault (a map whose keys are no strings) is `Internal`.
pub fn to_string(value: &(impl Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal(format!("a value that is no JSON: {error}")))
}

/// What stands at a JSON pointer (RFC 6901) of a vendor's answer, as the vendor wrote it; none = nothing does. The answer is
/// read once and no value of it is kept or printed again, so that digits, spelling and the order of keys stay.
///
/// ```
/// # use portcullis_sdk::json;
/// let answer = r#"{"data": [{"id": 1.10}], "next": "x"}"#;
/// assert_eq!(json::at(answer, "/data/0").unwrap().unwrap().get(), r#"{"id": 1.10}"#);
/// assert!(json::at(answer, "/previous").unwrap().is_none());
/// ```
pub fn at<'a>(text: &'a str, pointer: &str) -> Result<Option<&'a RawValue>> {
    raw::at(text, pointer)
}

fn read<'a, T: Deserialize<'a>>(text: &'a str, kind: ErrorKind, what: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::new(kind, format!("{what} is not as expected: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_text_has_its_kind_of_fault() {
        let kinds = [
            Config::new("[]").parse::<u8>().unwrap_err().kind(),
            Input::new("[]").parse::<u8>().unwrap_err().kind(),
            Json::new("[]").parse::<u8>().unwrap_err().kind(),
            parse::<u8>("[]").unwrap_err().kind(),
        ];
        let expected = [
            ErrorKind::InvalidConfig,
            ErrorKind::InvalidInput,
            ErrorKind::PositionExpired,
            ErrorKind::ContractDrift,
        ];
        assert_eq!(kinds, expected);
        assert_eq!(Json::of("é").unwrap().parse::<String>().unwrap(), "é");
    }

    #[test]
    fn numbers_keep_every_digit() {
        let text = r#"{"b":1.10,"a":12345678901234567890123.000}"#;
        assert_eq!(to_string(&parse::<serde_json::Value>(text).unwrap()).unwrap(), text);
    }
}
