//! A guest that does with granted folders what a test tells it to, and reports each answer of the host. It holds nothing itself.

wit_bindgen::generate!({
    path: "../../../wit/0.1.0",
    inline: r#"
        package portcullis:filing;
        world filing {
            include portcullis:connector/connector@0.1.0;
            import portcullis:connector/files@0.1.0;
            export portcullis:connector/actions@0.1.0;
        }
    "#,
    world: "portcullis:filing/filing",
    generate_all,
});

use exports::portcullis::connector::{
    actions::{Guest as Actions, Outcome},
    lifecycle::Guest as Lifecycle,
};
use portcullis::connector::{
    files,
    types::{Error, ErrorKind, StorageError},
};
use serde_json::{Value, json};

struct Filing;

export!(Filing);

impl Lifecycle for Filing {
    fn check(_config: String) -> Result<(), Error> {
        Ok(())
    }
}

impl Actions for Filing {
    /// `{"orders": […]}`, done one after another.
    fn invoke(
        _config: String,
        _action: String,
        input: String,
        _resume: Option<String>,
    ) -> Result<Outcome, Error> {
        let fault = |error: serde_json::Error| Error {
            kind: ErrorKind::InvalidInput,
            message: error.to_string(),
            retry_after_ms: None,
            details: None,
        };
        let order: Value = serde_json::from_str(&input).map_err(fault)?;
        let orders = order["orders"].as_array().cloned().unwrap_or_default();
        let answers: Vec<Value> =
            orders.iter().map(|order| done(order).unwrap_or_else(storage_error)).collect();
        Ok(Outcome::Done(Value::from(answers).to_string()))
    }
}

fn done(order: &Value) -> Result<Value, StorageError> {
    let (folder, path) = (text(order, "folder"), text(order, "path"));
    let number = |key: &str, or: u64| order[key].as_u64().unwrap_or(or);
    let max = u32::try_from(number("max", 1 << 20)).unwrap_or(u32::MAX);
    match text(order, "do") {
        "read" => {
            let bytes = files::read(folder, path, number("offset", 0), max)?;
            Ok(json!({ "text": String::from_utf8_lossy(&bytes) }))
        }
        "list" => {
            let names = files::list_entries(folder, path, order["after"].as_str(), max)?;
            Ok(json!({ "names": names }))
        }
        "remove" => Ok(json!({ "removed": files::remove(folder, path)? })),
        "write" | "drop" | "hang" => {
            let writer = files::create(folder, path)?;
            let chunk = match order["bytes"].as_u64() {
                Some(bytes) => vec![b'x'; usize::try_from(bytes).unwrap_or(usize::MAX)],
                None => text(order, "text").as_bytes().to_vec(),
            };
            for _ in 0..number("times", 1) {
                writer.write(&chunk)?;
            }
            match text(order, "do") {
                "hang" => loop {
                    std::hint::black_box(&chunk);
                },
                "drop" => Ok(json!({ "dropped": true })),
                _ => Ok(json!({ "size": files::commit(writer)? })),
            }
        }
        "hoard" => {
            let mut writers = Vec::new();
            for at in 0..number("times", 1) {
                writers.push(files::create(folder, &format!("{path}{at}"))?);
            }
            Ok(json!({ "open": writers.len() }))
        }
        other => Err(StorageError::Invalid(format!("no such order: {other}"))),
    }
}

fn text<'a>(order: &'a Value, key: &str) -> &'a str {
    order[key].as_str().unwrap_or_default()
}

/// `{"error": NAME, "detail": …}`: errors of the host are answers that a test looks at.
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
    json!({ "error": name, "detail": detail })
}
