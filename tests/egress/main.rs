//! What leaves the machine, and what does not: asserted on the wire and on packets, never on the product's own log.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dns;
mod headers;
mod host_match;
mod hostile_response;
mod named;
mod path;
mod query;
mod redirect;
mod ssrf;
mod wpt;

use portcullis_tests::{Vendor, vendor::reply};

/// A vendor that answers everything with 200, under each of these names.
fn willing(names: &[&str]) -> Vendor {
    Vendor::tls(names, |_, wire| reply(wire, 200, &[("Content-Type", "text/plain")], b"reached"))
}
