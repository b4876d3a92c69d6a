//! Every bound of this crate.

use std::time::Duration;

/// Connections at a time; for one more the oldest is closed.
pub const CONNECTIONS_MAX: usize = 64;
/// From the first byte of a request, or from the end of the one before it, to the end of its headers.
pub const HEADERS_TIME: Duration = Duration::from_secs(5);
/// Request line and headers together.
pub const HEADERS_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
pub const HEADERS_MAX: usize = 64;
/// What is asked by the control socket, or answered: the input of a flow, as JSON writes a text.
pub const ASKED_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// From the connection to the end of the question.
pub const ASKING_TIME: Duration = Duration::from_secs(2);
/// From the first byte to the answer.
pub const ASKED_TIME: Duration = Duration::from_secs(30);
/// Questions at a time.
pub const ASKERS_MAX: usize = 16;
