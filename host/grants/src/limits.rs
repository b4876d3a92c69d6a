//! Bounds of this crate, and how they hang together.

/// Longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// Longest method, in bytes.
pub const METHOD_BYTES_MAX: usize = 32;
/// Most methods in one rule.
pub const METHODS_MAX: usize = 16;
/// Longest rule, in bytes.
pub const RULE_BYTES_MAX: usize = 9 * 1024;
/// Longest origin that an operator binds, in bytes.
pub const ORIGIN_BYTES_MAX: usize = 1024;
/// Longest name of an origin, in bytes.
pub const ORIGIN_NAME_BYTES_MAX: usize = 63;
/// Longest host name (RFC 1035 section 2.3.4, in its text form), in bytes.
pub const HOST_BYTES_MAX: usize = 253;
/// Longest label of a host name (RFC 1035 section 2.3.4), in bytes.
pub const LABEL_BYTES_MAX: usize = 63;
/// How often a path segment is percent-decoded in search of something hidden; deeper nesting is refused.
pub const DECODE_LEVELS_MAX: usize = 6;
/// Most existing operator rules that a remedy repeats; above it only the new line is shown.
pub const REMEDY_RULES_MAX: usize = 32;

/// Most names in one `query`.
pub const QUERY_NAMES_MAX: usize = 128;
/// Longest name or value in a `query`, in bytes.
pub const QUERY_TEXT_BYTES_MAX: usize = 256;

/// Longest place of a URL in an answer, in bytes.
pub const URL_PLACE_BYTES_MAX: usize = 256;
/// Most steps of one pointer.
pub const URL_PLACE_STEPS_MAX: usize = 16;
/// Most places of one `from-response`.
pub const URL_PLACES_MAX: usize = 8;
/// Most `from-response` rules of one manifest: each is looked at for each answer.
pub const FROM_RESPONSE_MAX: usize = 64;
/// Most URLs that the answers of one run name and that are kept.
pub const NAMED_URLS_MAX: usize = 64;

/// Most rules in one manifest or one operator's list; whoever reads the document refuses more, since rules are
/// compared each with each.
pub const RULES_MAX: usize = 1024;

// A rule that names one URL, and every method, fits.
const _: () = assert!(RULE_BYTES_MAX >= URL_BYTES_MAX + METHODS_MAX * (METHOD_BYTES_MAX + 1));
// RFC 9110 section 4.1 asks for URLs of that length.
const _: () = assert!(URL_BYTES_MAX >= 8_000);
