//! Connectors that the binary carries, so that they need not be built: the destination of files. They run in the sandbox and are
//! approved like every other, and a registry that holds the same version goes first.

use portcullis_manifest::{Component, ConnectorName};
use std::sync::LazyLock;

const FILES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/files.wasm"));

/// One of them.
pub struct Carried {
    /// What it says of itself.
    pub component: Component,
    /// The file.
    pub bytes: &'static [u8],
}

/// All of them. Read once, and only where somebody asks: what lies in the binary was read when it was built.
pub fn all() -> &'static [Carried] {
    static ALL: LazyLock<Vec<Carried>> = LazyLock::new(|| {
        let read = |bytes: &'static [u8]| Some(Carried { component: Component::read(bytes).ok()?, bytes });
        [FILES].into_iter().filter_map(read).collect()
    });
    &ALL
}

/// The one of this name.
pub fn named(name: &ConnectorName) -> Option<&'static Carried> {
    all().iter().find(|carried| carried.component.manifest.name == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_can_be_read() {
        let names: Vec<_> = all().iter().map(|carried| carried.component.manifest.name.to_string()).collect();
        assert_eq!(names, ["portcullis/files"]);
    }
}
