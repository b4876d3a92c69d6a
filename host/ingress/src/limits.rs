//! Every bound of this crate.

use std::time::Duration;

/// Connections at a time; one more takes the place of one without a request under way, or is closed.
pub const CONNECTIONS_MAX: usize = 1024;
/// A TLS handshake.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// From the first byte of a request, or from the end of the one before it, to the end of its headers.
pub const HEADERS_TIME: Duration = Duration::from_secs(15);
/// Headers of a request.
pub const HEADERS_MAX: usize = 100;
/// Request line and headers together.
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// A request's target.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// A whole body.
pub const BODY_TIME: Duration = Duration::from_secs(20);
/// A body, where the route says nothing else.
pub const BODY_BYTES_DEFAULT: u64 = 1024 * 1024;
/// What a route may say: what a connector is handed at most.
pub const BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bodies under way, all together; who finds no room is told to come again.
pub const BODIES_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Those of one sender.
pub const SENDER_BYTES_MAX: u64 = BODIES_BYTES_MAX / 4;
/// After which a sender is told to come again, where there is no room.
pub const RETRY_AFTER: Duration = Duration::from_secs(30);
/// A process whose deliveries could not be stored is not ready for so long after the last of them, unless one is stored.
pub const RECOVERY_TIME: Duration = Duration::from_secs(5);
/// Requests under way when it is to stop may take so long.
pub const STOP_TIME: Duration = Duration::from_secs(10);
/// A burst of requests above a route's rate, in seconds of that rate.
pub const BURST: Duration = Duration::from_secs(5);

/// Senders of a route whose rates are counted; all others are one.
pub const SENDERS_MAX: usize = 4096;
/// A body that may be a vendor's handshake.
pub const HANDSHAKE_BODY_BYTES_MAX: usize = 8 * 1024;
/// What of it is said back.
pub const HANDSHAKE_TEXT_BYTES_MAX: usize = 2 * 1024;

const _: () = assert!(BODY_BYTES_DEFAULT <= BODY_BYTES_MAX && BODY_BYTES_MAX <= SENDER_BYTES_MAX);
const _: () = assert!(TARGET_BYTES_MAX < HEADERS_BYTES_MAX);
