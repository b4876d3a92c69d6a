//! A guest that does what a test tells it to, through every role. Its actions take their orders from `input`, its source from
//! `config`; the other roles give answers that follow from what they are given. It asks for everything and holds nothing.

mod actions;
mod hostile;
mod requests;
mod roles;
mod source;

wit_bindgen::generate!({
    path: "../../../wit/0.1.0",
    inline: r#"
        package portcullis:probe;
        world probe {
            include portcullis:connector/connector@0.1.0;
            export portcullis:connector/actions@0.1.0;
            export portcullis:connector/source@0.1.0;
            export portcullis:connector/destination@0.1.0;
            export portcullis:connector/webhook@0.1.0;
            export portcullis:connector/subscriptions@0.1.0;
            export portcullis:connector/migration@0.1.0;
        }
    "#,
    world: "portcullis:probe/probe",
    generate_all,
});

use portcullis::connector::{
    assets, blobs, http, log, state,
    types::{Error, ErrorKind, Header, StorageError},
};
use serde_json::Value;

struct Probe;

export!(Probe);

fn fault(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into(), retry_after_ms: None, details: None }
}

fn parse<T: serde::de::DeserializeOwned>(json: &str, kind: ErrorKind) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| fault(kind, error.to_string()))
}

/// `{"error": NAME, "detail": …}`: errors of host functions are answers that a test looks at.
fn storage_error(error: StorageError) -> Value {
    let (name, detail) = match error {
        StorageError::NotFound => ("not-found", Value::Null),
        StorageError::Conflict(version) => ("conflict", version.into()),
        StorageError::TooLarge(bytes) => ("too-large", bytes.into()),
        StorageError::Quota(bound) => ("quota", bound.into()),
        StorageError::Invalid(why) => ("invalid", why.into()),
        StorageError::Unavailable(why) => ("unavailable", why.into()),
        StorageError::Unsupported => ("unsupported", Value::Null),
    };
    serde_json::json!({ "error": name, "detail": detail })
}
