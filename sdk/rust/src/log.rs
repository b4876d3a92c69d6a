//! Lines for the operator. The host adds run and correlation id, and cuts off what is too much; nothing here can fail.

use crate::bindings::imports::portcullis::connector::log as wit;

/// Kept only where the operator asks for it.
pub fn debug(message: &str, fields: &[(&str, &str)]) {
    write(wit::Level::Debug, message, fields);
}

/// Something that an operator may want to know.
pub fn info(message: &str, fields: &[(&str, &str)]) {
    write(wit::Level::Info, message, fields);
}

/// Something that an operator should look at.
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    write(wit::Level::Warn, message, fields);
}

/// Something that went wrong.
pub fn error(message: &str, fields: &[(&str, &str)]) {
    write(wit::Level::Error, message, fields);
}

#[cfg(target_arch = "wasm32")]
fn write(level: wit::Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    wit::log(level, message, &fields);
}

#[cfg(not(target_arch = "wasm32"))]
fn write(_level: wit::Level, _message: &str, _fields: &[(&str, &str)]) {}
