//! Bounds of the vendor double. Hitting one drops what comes after it; the demo stays far below each.

/// Requests kept in the log.
pub(super) const RECEIVED_MAX: usize = 10_000;
/// Bytes of a body that are read; a longer one is answered 413.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Faults that wait at one time.
pub(super) const FAULTS_MAX: usize = 64;
/// Objects that one kind may hold.
pub(super) const OBJECTS_MAX: usize = 10_000;
/// Idempotency keys remembered.
pub(super) const KEYS_MAX: usize = 10_000;
/// Records on one page, as at Stripe.
pub(super) const PAGE_MAX: usize = 100;
/// Records on one page where the request does not say.
pub(super) const PAGE_DEFAULT: usize = 10;
/// Depth of `a[b][c]` in a form.
pub(super) const FORM_DEPTH_MAX: usize = 8;

const _: () = assert!(PAGE_DEFAULT <= PAGE_MAX);
const _: () = assert!(PAGE_MAX <= OBJECTS_MAX);
