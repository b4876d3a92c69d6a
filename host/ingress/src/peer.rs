//! Who sent a request: the peer of the socket, or, where that is a trusted proxy, whom it says it had it from.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::IpAddr;

/// The last address on the way that is not a trusted proxy's. What stands before it in `X-Forwarded-For` anybody can write.
pub(crate) fn sender(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let mut sender = peer.to_canonical();
    if !is_trusted(&sender) {
        return sender;
    }
    let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let hops = values.iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops {
        let Some(address) = std::str::from_utf8(hop).ok().and_then(|text| text.trim().parse().ok()) else {
            return sender;
        };
        sender = IpAddr::to_canonical(&address);
        if !is_trusted(&sender) {
            return sender;
        }
    }
    sender
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let check = |peer: &str, forwarded: &[&str], expected: &str| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            let found = sender(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found.to_string(), expected, "{peer} {forwarded:?}");
        };
        check("192.0.2.1", &["198.51.100.7"], "192.0.2.1");
        check("10.1.1.1", &[], "10.1.1.1");
        check("10.1.1.1", &["198.51.100.7"], "198.51.100.7");
        check("::ffff:10.1.1.1", &["198.51.100.7"], "198.51.100.7");
        // What the sender wrote itself comes first, and is not looked at.
        check("10.1.1.1", &["127.0.0.1, 198.51.100.7"], "198.51.100.7");
        check("10.1.1.1", &["127.0.0.1", "198.51.100.7, 10.2.2.2"], "198.51.100.7");
        check("10.1.1.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3");
        check("10.1.1.1", &["nonsense, 10.2.2.2"], "10.2.2.2");
        check("10.1.1.1", &["198.51.100.7, "], "10.1.1.1");
    }
}
