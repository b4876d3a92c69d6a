//! Reads identity, manifest, assets, imports and exports of a component file without compiling or running anything. The bytes
//! are hostile; whether the code in them is valid is judged by the process that compiles it.
use crate::{
    Connector, Role,
    diagnose::shown,
    limits::{ASSET_BYTES_MAX, ASSETS_MAX, EXTERNS_MAX, MANIFEST_BYTES_MAX},
    world,
};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{
    ComponentExportSectionReader, ComponentExternName, ComponentExternalKind, ComponentImportSectionReader,
    ComponentTypeRef,
};

pub(crate) mod section;
use section::{EXPORT, IMPORT, malformed, sections};

/// Every section of ours begins with this.
pub(crate) const PREFIX: &str = "portcullis:";
pub(crate) const MANIFEST_SECTION: &str = "portcullis:manifest";
pub(crate) const ASSET_PREFIX: &str = "portcullis:asset:";

/// What a component file says of itself.
#[derive(Clone, Debug)]
pub struct Component {
    /// The parsed manifest.
    pub manifest: Connector,
    /// Sections `portcullis:asset:NAME`.
    pub assets: BTreeMap<String, Vec<u8>>,
    /// `sha256:HEX` of the whole file.
    pub digest: String,
    /// `sha256:HEX` of the file without `portcullis:*` sections: the key of the compile cache.
    pub code_digest: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Names of its imports, sorted: all of them inside the connector world.
    pub imports: Vec<String>,
    /// Names of its exports, sorted.
    pub exports: Vec<String>,
    /// The roles among the exports; equal to those that the manifest declares.
    pub roles: BTreeSet<Role>,
}

/// Why a file is no connector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddedError {
    /// No WebAssembly at all.
    #[error("not a WebAssembly component")]
    NotAComponent,
    /// WebAssembly, but a core module.
    #[error("a core WebAssembly module, not a component")]
    CoreModule,
    /// WebAssembly of another version.
    #[error("WebAssembly of another format (version {version}, layer {layer}), not a component")]
    OtherFormat {
        /// As in the header.
        version: u16,
        /// As in the header.
        layer: u16,
    },
    /// Over `COMPONENT_BYTES_MAX`.
    #[error("larger than {} MiB", crate::limits::COMPONENT_BYTES_MAX / 1024 / 1024)]
    TooLarge,
    /// Over `SECTIONS_MAX`.
    #[error("more than {} sections", crate::limits::SECTIONS_MAX)]
    TooManySections,
    /// Over `EXTERNS_MAX`.
    #[error("more than {EXTERNS_MAX} imports or exports")]
    TooManyExterns,
    /// Over `ASSETS_MAX`.
    #[error("more than {ASSETS_MAX} assets")]
    TooManyAssets,
    /// Nothing at all.
    #[error("the file is empty")]
    Empty,
    /// The file ends inside a section.
    #[error("truncated: the file ends inside a section")]
    Truncated,
    /// A section that can't be read.
    #[error("malformed at byte {offset}: {problem}")]
    Malformed {
        /// In the file.
        offset: usize,
        /// What is wrong.
        problem: String,
    },
    /// No manifest at the top of the component.
    #[error("has no manifest: `portcullis build` embeds it")]
    NoManifest,
    /// Two manifests: two readers could see two documents.
    #[error("has more than one manifest")]
    SecondManifest,
    /// Over `MANIFEST_BYTES_MAX`.
    #[error("its manifest is larger than {} MiB", MANIFEST_BYTES_MAX / 1024 / 1024)]
    ManifestTooLarge,
    /// A fault in the manifest.
    #[error("manifest{}: {problem}", at(pointer))]
    Manifest {
        /// JSON pointer (RFC 6901); empty for the whole document.
        pointer: String,
        /// What is wrong.
        problem: String,
    },
    /// A section of ours that this version does not know.
    #[error("section `{0}` is not supported")]
    Section(String),
    /// A bad or repeated asset name.
    #[error("asset name `{0}` is not valid or not unique")]
    AssetName(String),
    /// Over `ASSET_BYTES_MAX`.
    #[error("asset `{0}` is larger than {max} MiB", max = ASSET_BYTES_MAX / 1024 / 1024)]
    AssetTooLarge(String),
    /// An import that the host never links.
    #[error("imports `{name}`: {problem}")]
    Import {
        /// As written in the component.
        name: String,
        /// Why not.
        problem: String,
    },
    /// An export of our package that the host does not know.
    #[error("exports `{name}`: {problem}")]
    Export {
        /// As written in the component.
        name: String,
        /// Why not.
        problem: String,
    },
    /// Every connector exports it.
    #[error("exports no `portcullis:connector/lifecycle@{}`", world::PACKAGE_VERSION)]
    NoLifecycle,
    /// Manifest and component disagree.
    #[error("its manifest declares the roles {declared}, but it exports {exported}")]
    Roles {
        /// In the manifest.
        declared: String,
        /// By the component.
        exported: String,
    },
    /// `embed` was given a component that already has a manifest or an asset.
    #[error("already has a manifest or an asset")]
    AlreadyEmbedded,
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") }
}

impl Component {
    /// How every component begins (<https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>): what does not
    /// need not be read on; its first bytes are enough for `read` to say what it is instead.
    pub const MAGIC: [u8; 8] = *b"\0asm\x0d\0\x01\0";

    /// Parses bytes as they lie in the registry.
    pub fn read(bytes: &[u8]) -> Result<Self, EmbeddedError> {
        if bytes.is_empty() {
            return Err(EmbeddedError::Empty);
        }
        let mut manifest = None;
        let mut assets = BTreeMap::new();
        let mut names = Names::default();
        let mut code = Sha256::new();
        code.update(bytes.get(..8).unwrap_or_default());
        for found in sections(bytes)? {
            let found = found?;
            let Some((name, data)) = found.custom(bytes)?.filter(|(name, _)| name.starts_with(PREFIX)) else {
                code.update(bytes.get(found.whole.clone()).unwrap_or_default());
                names.read(&found, bytes)?;
                continue;
            };
            if name == MANIFEST_SECTION {
                if manifest.replace(data).is_some() {
                    return Err(EmbeddedError::SecondManifest);
                }
            } else if let Some(asset) = name.strip_prefix(ASSET_PREFIX) {
                read_asset(&mut assets, asset, data)?;
            } else {
                return Err(EmbeddedError::Section(shown(name)));
            }
        }
        // In this order: a foreign component is told that it has no manifest, not what it imports.
        let manifest = manifest.ok_or(EmbeddedError::NoManifest)?;
        if manifest.len() > MANIFEST_BYTES_MAX {
            return Err(EmbeddedError::ManifestTooLarge);
        }
        let (imports, exports) = names.sorted();
        let manifest = Connector::from_json(manifest);
        // What a foreign component imports is told before what is wrong with its manifest; what it may import, that says.
        let everything = world::capabilities();
        let capabilities = manifest.as_ref().map_or(&everything, |manifest| &manifest.capabilities);
        imports.iter().try_for_each(|name| world::check_import(name, capabilities))?;
        let roles = world::roles(&exports)?;
        let manifest = manifest?;
        if manifest.roles != roles {
            return Err(EmbeddedError::Roles { declared: list(&manifest.roles), exported: list(&roles) });
        }
        Ok(Self {
            manifest,
            assets,
            digest: digest(Sha256::digest(bytes).as_slice()),
            code_digest: digest(code.finalize().as_slice()),
            size: bytes.len() as u64,
            imports,
            exports,
            roles,
        })
    }

    /// The bytes without `portcullis:*` sections: what is compiled.
    pub fn code(bytes: &[u8]) -> Result<Vec<u8>, EmbeddedError> {
        let mut code = bytes.get(..8).unwrap_or_default().to_vec();
        for found in sections(bytes)? {
            let found = found?;
            if !found.custom_name(bytes)?.is_some_and(|name| name.starts_with(PREFIX)) {
                code.extend_from_slice(bytes.get(found.whole).unwrap_or_default());
            }
        }
        Ok(code)
    }
}

/// `sha256:HEX` of bytes, as every document writes it.
pub fn digest_of(bytes: &[u8]) -> String {
    digest(Sha256::digest(bytes).as_slice())
}

fn digest(hash: &[u8]) -> String {
    use std::fmt::Write as _;
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn list(roles: &BTreeSet<Role>) -> String {
    if roles.is_empty() {
        return "none".to_owned();
    }
    roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(", ")
}

fn read_asset(assets: &mut BTreeMap<String, Vec<u8>>, name: &str, data: &[u8]) -> Result<(), EmbeddedError> {
    if data.len() > ASSET_BYTES_MAX {
        return Err(EmbeddedError::AssetTooLarge(shown(name)));
    }
    if assets.len() == ASSETS_MAX {
        return Err(EmbeddedError::TooManyAssets);
    }
    if !crate::embed::is_asset_name(name) || assets.insert(name.to_owned(), data.to_vec()).is_some() {
        return Err(EmbeddedError::AssetName(shown(name)));
    }
    Ok(())
}

/// Names of imports and of exported instances.
#[derive(Default)]
struct Names {
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

impl Names {
    fn read(&mut self, found: &section::Section, bytes: &[u8]) -> Result<(), EmbeddedError> {
        match found.id {
            IMPORT => {
                for import in ComponentImportSectionReader::new(found.reader(bytes)).map_err(malformed)? {
                    let import = import.map_err(malformed)?;
                    if !matches!(import.ty, ComponentTypeRef::Instance(_)) || has_options(&import.name) {
                        return Err(EmbeddedError::Import {
                            name: shown(import.name.name),
                            problem: "not part of the connector world".to_owned(),
                        });
                    }
                    self.imports.insert(import.name.name.to_owned());
                    self.bounded()?;
                }
            }
            EXPORT => {
                for export in ComponentExportSectionReader::new(found.reader(bytes)).map_err(malformed)? {
                    let export = export.map_err(malformed)?;
                    let ours = export.name.name.starts_with(PREFIX);
                    if ours && (export.kind != ComponentExternalKind::Instance || has_options(&export.name)) {
                        return Err(EmbeddedError::Export {
                            name: shown(export.name.name),
                            problem: "not an interface".to_owned(),
                        });
                    }
                    self.exports.insert(export.name.name.to_owned());
                    self.bounded()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn bounded(&self) -> Result<(), EmbeddedError> {
        if self.imports.len() > EXTERNS_MAX || self.exports.len() > EXTERNS_MAX {
            Err(EmbeddedError::TooManyExterns)
        } else {
            Ok(())
        }
    }

    fn sorted(self) -> (Vec<String>, Vec<String>) {
        (self.imports.into_iter().collect(), self.exports.into_iter().collect())
    }
}

/// A name that means another one to a newer engine (`implements`, version suffix) is refused.
fn has_options(name: &ComponentExternName<'_>) -> bool {
    name.implements.is_some() || name.version_suffix.is_some() || name.external_id.is_some()
}

#[cfg(test)]
mod tests;
