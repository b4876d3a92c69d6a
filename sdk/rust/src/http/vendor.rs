//! A vendor's own words about an error, from the usual places of a JSON body; bounded, and on one line.

use crate::error::cut;
use serde_json::Value;

/// A larger body holds something else than an error message.
const BODY_BYTES_MAX: usize = 256 << 10;
/// A message.
const MESSAGE_CHARACTERS_MAX: usize = 512;
/// The error object that goes into `details`.
const ERROR_BYTES_MAX: usize = 4 << 10;

/// Where vendors put the sentence for people, most telling first.
const PLACES: [&str; 15] = [
    "/error/message",
    "/error_description",
    "/error/error_description",
    "/errors/0/message",
    "/errors/0/detail",
    "/errors/0/title",
    "/errors/0",
    "/0/message",
    "/message",
    "/Message",
    "/detail",
    "/error",
    "/title",
    "/fault/faultstring",
    "/description",
];

/// What a body says about an error.
#[derive(Default)]
pub(super) struct Fault {
    pub(super) message: Option<String>,
    pub(super) error: Value,
}

impl Fault {
    pub(super) fn of(body: &[u8]) -> Self {
        if body.len() > BODY_BYTES_MAX {
            return Self::default();
        }
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let message = PLACES.iter().find_map(|place| body.pointer(place)?.as_str().map(one_line));
        let mut error = match body.get("error") {
            Some(error @ (Value::Object(_) | Value::Array(_))) => error.clone(),
            _ => body,
        };
        if error.to_string().len() > ERROR_BYTES_MAX {
            error = Value::Null;
        }
        Self { message: message.filter(|text| !text.is_empty()), error }
    }
}

fn one_line(text: &str) -> String {
    let text = cut(text, MESSAGE_CHARACTERS_MAX * 4);
    let spaced = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut line: String = spaced.take(MESSAGE_CHARACTERS_MAX).collect();
    line.truncate(line.trim_end().len());
    line
}
