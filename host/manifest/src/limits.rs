//! Bounds of every document this crate reads; hitting one is a named error.

/// Largest TOML document (`connector.toml`, `portcullis.lock`, `portcullis.toml`).
pub const TOML_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of tables and arrays in a TOML document.
pub const TOML_DEPTH_MAX: usize = 32;
/// Most faults that one reading reports.
pub const FAULTS_MAX: usize = 50;
/// Longest value that a message repeats, in characters.
pub const SHOWN_CHARACTERS_MAX: usize = 120;

/// Largest embedded manifest.
pub const MANIFEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Deepest nesting of an embedded manifest or of a schema file.
pub const JSON_DEPTH_MAX: usize = 64;
/// Most values of an embedded manifest, or of a schema file, an object for four: each takes a hundred bytes or two once it is read.
pub const JSON_VALUES_MAX: usize = 500_000;
/// Largest schema file.
pub const SCHEMA_BYTES_MAX: usize = 1024 * 1024;
/// Largest compiled `pattern` of a schema.
pub const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// What a pattern keeps of its last matches, on each thread: it is slower, and not wrong, where that is not enough.
pub const PATTERN_CACHE_BYTES_MAX: usize = 64 * 1024;

/// Most `allow` lines of a manifest: the overlap check compares every pair.
pub const RULES_MAX: usize = 512;
/// Most actions, and most streams, of a manifest.
pub const OPERATIONS_MAX: usize = 1024;
/// Most entries of one `http` list of an action or stream.
pub const NARROWED_MAX: usize = 64;
/// Most `http` entries of all actions and streams together: each is compared with every rule.
pub const NARROWED_TOTAL_MAX: usize = 2048;
/// Most credential slots of a manifest.
pub const SLOTS_MAX: usize = 64;
/// Longest text for people (`summary`, `why`), in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Most parts of what a vendor signs.
pub const SIGNED_PARTS_MAX: usize = 16;
/// Longest prefix or piece of text in a description of how a vendor signs, in bytes.
pub const SIGNING_TEXT_BYTES_MAX: usize = 64;
/// Widest window around now in which a delivery may have been signed.
pub const TOLERANCE_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// Lowest `requests-per-second`, one request an hour: less is a mistake in the unit, and a wait that ends in no run.
pub const REQUESTS_PER_SECOND_MIN: f64 = 1.0 / 3600.0;
/// Highest `requests-per-second`.
pub const REQUESTS_PER_SECOND_MAX: f64 = 1_000_000.0;

/// Largest component file.
pub const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most sections at the top of a component.
pub const SECTIONS_MAX: usize = 100_000;
/// Most imports, and most exports, of a component.
pub const EXTERNS_MAX: usize = 1024;
/// Longest type of a function that is written out, in bytes; those of the WIT are shorter.
pub const SIGNATURE_BYTES_MAX: usize = 4096;
/// Largest asset.
pub const ASSET_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most assets of a component.
pub const ASSETS_MAX: usize = 256;

const _: () = assert!(0.0 < REQUESTS_PER_SECOND_MIN && REQUESTS_PER_SECOND_MIN < REQUESTS_PER_SECOND_MAX);
const _: () = assert!(SCHEMA_BYTES_MAX < MANIFEST_BYTES_MAX);
const _: () = assert!(MANIFEST_BYTES_MAX < COMPONENT_BYTES_MAX);
const _: () = assert!(ASSET_BYTES_MAX < COMPONENT_BYTES_MAX);
