//! Puts the manifest and the assets into a finished component as custom sections. Refuses a component that could not be read
//! back: what `build` writes is what the registry can load.
use crate::{
    Component, Connector, EmbeddedError,
    embedded::{ASSET_PREFIX, MANIFEST_SECTION, PREFIX, section},
    limits::{ASSET_BYTES_MAX, ASSETS_MAX, NAME_BYTES_MAX},
};
use std::{borrow::Cow, collections::BTreeMap};
use wasm_encoder::{ComponentSection as _, CustomSection};

/// Appends `portcullis:manifest` and one `portcullis:asset:NAME` section each. Refuses a component that already has one.
pub fn embed(
    component: &[u8],
    manifest: &Connector,
    assets: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<u8>, EmbeddedError> {
    for found in section::sections(component)? {
        if found?.custom_name(component)?.is_some_and(|name| name.starts_with(PREFIX)) {
            return Err(EmbeddedError::AlreadyEmbedded);
        }
    }
    if assets.len() > ASSETS_MAX {
        return Err(EmbeddedError::TooManyAssets);
    }
    let mut bytes = component.to_vec();
    append(&mut bytes, MANIFEST_SECTION, &manifest.to_json());
    for (name, data) in assets {
        if !is_asset_name(name) {
            return Err(EmbeddedError::AssetName(crate::diagnose::shown(name)));
        }
        if data.len() > ASSET_BYTES_MAX {
            return Err(EmbeddedError::AssetTooLarge(name.clone()));
        }
        append(&mut bytes, &format!("{ASSET_PREFIX}{name}"), data);
    }
    Component::read(&bytes)?;
    Ok(bytes)
}

fn append(bytes: &mut Vec<u8>, name: &str, data: &[u8]) {
    CustomSection { name: Cow::Borrowed(name), data: Cow::Borrowed(data) }.append_to_component(bytes);
}

/// Lower-case letters, digits, `.`, `_`, `-`, in segments between `/`.
pub(crate) fn is_asset_name(text: &str) -> bool {
    let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    text.len() <= NAME_BYTES_MAX
        && text.split('/').all(|segment| !matches!(segment, "" | "." | "..") && segment.bytes().all(byte))
}
