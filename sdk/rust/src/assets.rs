//! Data that was embedded beside the code at build time.

/// The bytes of an asset; none = there is no such one.
#[cfg(target_arch = "wasm32")]
pub fn get(name: &str) -> Option<Vec<u8>> {
    crate::bindings::imports::portcullis::connector::assets::get(name)
}

/// The bytes of an asset; none = there is no such one. Outside a host there are none.
#[cfg(not(target_arch = "wasm32"))]
pub fn get(_name: &str) -> Option<Vec<u8>> {
    None
}
