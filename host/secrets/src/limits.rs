//! Bounds of this crate; hitting one is a named error.

/// Largest secret, and largest file or variable that one is taken from.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;
/// A shorter secret would be masked in innocent places; `short = true` accepts it.
pub const SECRET_BYTES_MIN: usize = 8;
/// Longest reference.
pub const REFERENCE_BYTES_MAX: usize = 4096;
/// Longest name of a provider.
pub const PROVIDER_BYTES_MAX: usize = 63;
/// Longest name of a header or query pair.
pub const NAME_BYTES_MAX: usize = 128;
/// Deepest `#/a/b/c`.
pub const KEY_STEPS_MAX: usize = 16;
/// Most secrets that one webhook is verified with: two in a rotation, and some of whoever comes late.
pub const WEBHOOK_SECRETS_MAX: usize = 8;
/// Most items of a header with signatures.
pub const WEBHOOK_SIGNATURES_MAX: usize = 32;
/// Largest body in which a time of signing is looked for.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

const _: () = assert!(SECRET_BYTES_MIN < SECRET_BYTES_MAX);
