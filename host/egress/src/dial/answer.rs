//! An answer as it comes off the wire, and the last look at who gave it.
//!
//! Refuses one whose peer is not an address that the guard lets pass: what was judged before the connect must be what
//! answered, and anything else means that a check was passed by.
use super::{fault, resolve::Guard};
use crate::service::Failure;
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use std::{net::SocketAddr, pin::Pin};

/// A body as it comes off the wire.
pub(crate) type Chunks = Pin<Box<dyn Stream<Item = Result<bytes::Bytes, Failure>> + Send>>;

/// An answer from a peer that was judged. Made here alone, so that no answer comes by without it.
pub(crate) struct Raw {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Chunks,
    _judged: Judged,
}

/// Evidence that the peer was judged.
#[derive(Debug)]
struct Judged(());

impl Raw {
    /// Judges the peer, then takes the answer over; nothing of a refused one goes further.
    pub fn take(
        mut response: reqwest::Response,
        guard: &Guard,
        host: &str,
        connection: &str,
    ) -> Result<Self, Failure> {
        let judged = judge(guard, host, response.remote_addr(), connection)?;
        let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let name = connection.to_owned();
        let body =
            response.bytes_stream().map(move |chunk| chunk.map_err(|error| fault::classify(error, &name)));
        Ok(Self { status, headers, body: Box::pin(body), _judged: judged })
    }
}

#[cfg(test)]
impl Raw {
    /// One that no peer gave.
    pub fn for_tests(body: Chunks) -> Self {
        Self { status: 200, headers: HeaderMap::new(), body, _judged: Judged(()) }
    }
}

fn judge(guard: &Guard, host: &str, peer: Option<SocketAddr>, connection: &str) -> Result<Judged, Failure> {
    let Some(peer) = peer else {
        let reason = format!("`{host}` answered from no known address");
        return Err(Failure { unsent: false, ..Failure::denied(reason, None) });
    };
    match guard.check(host, peer.ip()) {
        Ok(()) => Ok(Judged(())),
        // It was sent, whatever came back.
        Err(denied) => Err(Failure { unsent: false, ..fault::denied(&denied, connection) }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::Error;
    use portcullis_grants::AddressPolicy;

    #[test]
    fn a_peer_that_no_rule_of_the_guard_lets_pass() {
        fn check(plain: bool, peer: Option<&str>, passes: bool) {
            let policy = AddressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]).unwrap();
            let judged = judge(
                &Guard { policy, plain },
                "api.vendor.test",
                peer.map(|peer| peer.parse().unwrap()),
                "billing",
            );
            assert_eq!(judged.is_ok(), passes, "{peer:?}");
            if let Err(failure) = judged {
                assert!(matches!(failure.error, Error::Denied { .. }) && !failure.unsent, "{peer:?}");
            }
        }
        check(false, Some("93.184.216.34:443"), true);
        check(false, Some("127.0.0.1:443"), true);
        check(false, Some("127.0.0.2:443"), false);
        check(false, Some("[::ffff:10.0.0.1]:443"), false);
        check(false, Some("169.254.169.254:80"), false);
        check(false, None, false);
        check(true, Some("127.0.0.1:80"), true);
        check(true, Some("93.184.216.34:80"), false);
    }
}
