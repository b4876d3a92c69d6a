//! `#KEY`: a string in a JSON object. `#/a/b` goes down two objects (RFC 6901). Values are looked at in place, so the only
//! copies made are of what is wanted, and those are wiped.
use crate::{Reference, Secret, SecretError, limits::KEY_STEPS_MAX};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};
use zeroize::Zeroizing;

/// The part of `secret` that the reference names; all of it where it names none.
pub(super) fn select(secret: Secret, reference: &Reference) -> Result<Secret, SecretError> {
    let Some(key) = &reference.key else { return Ok(secret) };
    let failed = || SecretError::Key(reference.to_string());
    let mut text = std::str::from_utf8(secret.expose()).map_err(|_| failed())?;
    let steps: Vec<String> = match key.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![key.clone()],
    };
    if steps.len() > KEY_STEPS_MAX {
        return Err(failed());
    }
    for step in &steps {
        let object: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text).map_err(|_| failed())?;
        text = object.get(step.as_str()).ok_or_else(failed)?.get();
    }
    let value: Zeroizing<String> = Zeroizing::new(serde_json::from_str(text).map_err(|_| failed())?);
    if value.is_empty() {
        return Err(SecretError::Empty(reference.to_string()));
    }
    Ok(Secret::copy(value.as_bytes()))
}
