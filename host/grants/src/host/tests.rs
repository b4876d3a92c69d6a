//! Hosts and host patterns row by row.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

#[test]
fn one_spelling_a_host() {
    fn check(text: &str, read: &str) {
        assert_eq!(Host::parse(text).unwrap().to_string(), read, "{text}");
    }
    check("api.example.com", "api.example.com");
    check("API.Example.COM", "api.example.com");
    check("xn--fa-hia.de", "xn--fa-hia.de");
    check("_dmarc.example.com", "_dmarc.example.com");
    check("localhost", "localhost");
    check("127.0.0.1", "127.0.0.1");
    check("[::1]", "[::1]");
    check("[FD00::1]", "[fd00::1]");
    check("[::ffff:7f00:1]", "[::ffff:7f00:1]");
}

#[test]
fn how_long_a_host_may_be() {
    let label = |length| "a".repeat(length);
    let host = |last| {
        [label(LABEL_BYTES_MAX), label(LABEL_BYTES_MAX), label(LABEL_BYTES_MAX), label(last)].join(".")
    };
    let last = HOST_BYTES_MAX - 3 * (LABEL_BYTES_MAX + 1);
    assert!(Host::parse(&host(last)).is_ok());
    assert_eq!(Host::parse(&host(last + 1)), Err(HostError::Labels));
    assert!(Host::parse(&format!("{}.test", label(LABEL_BYTES_MAX))).is_ok());
    assert_eq!(Host::parse(&format!("{}.test", label(LABEL_BYTES_MAX + 1))), Err(HostError::Labels));
}

#[test]
fn every_other_spelling_is_refused() {
    fn check(text: &str, error: &str) {
        let found = Host::parse(text).unwrap_err().to_string();
        assert!(found.contains(error), "{text}: {found}");
    }
    check("", "missing");
    check("faß.de", "write `xn--fa-hia.de`");
    check("аpi.example.com", "write `xn--pi-6kc.example.com`");
    check("exam\u{ad}ple.com", "write `example.com`");
    check("①②⑦.0.0.1", "not ASCII");
    assert_eq!(Host::parse("example.com／.evil.test"), Err(HostError::NotAscii { ascii: None }));
    check("example.com.", "dot");
    check("127.0.0.1.", "dot");
    check("a..b", "empty label");
    check(&"a.".repeat(130), "dot");
    check(&format!("{}a", "a.".repeat(130)), "longer");
    check(&format!("{}.com", "a".repeat(64)), "longer");
    check("a%2eb", "`%`");
    check("a b", "` `");
    check("*.example.com", "`*`");
    check("127.1", "read as `127.0.0.1`");
    check("0x7f.1", "read as `127.0.0.1`");
    check("0177.0.0.1", "read as `127.0.0.1`");
    check("2130706433", "read as `127.0.0.1`");
    check("127.0.0.256", "cannot be read");
    check("example.123", "cannot be read");
    check("[0:0:0:0:0:0:0:1]", "read as `[::1]`");
    check("[::ffff:127.0.0.1]", "read as `[::ffff:7f00:1]`");
    check("[::1%25lo]", "cannot be read");
    check("[::1", "cannot be read");
    check("xn--a", "cannot be read");
}

#[test]
fn a_wildcard_is_exactly_one_label() {
    fn check(pattern: &str, host: &str, matches: bool) {
        let pattern = HostPattern::parse(pattern).unwrap();
        assert_eq!(pattern.matches(&Host::parse(host).unwrap()), matches, "{pattern} {host}");
    }
    check("*.example.com", "a.example.com", true);
    check("*.example.com", "A.EXAMPLE.COM", true);
    check("*.example.com", "example.com", false);
    check("*.example.com", "a.b.example.com", false);
    check("*.example.com", "evil-example.com", false);
    check("*.example.com", "aexample.com", false);
    check("*.example.com", "a.example.com.evil.test", false);
    check("*.vendor.test", "127.0.0.1", false);
    check("api.example.com", "api.example.com", true);
    check("api.example.com", "api.example.com.evil.test", false);
    check("127.0.0.1", "127.0.0.1", true);
    check("[::1]", "[::1]", true);
}

#[test]
fn no_wildcard_at_a_public_suffix() {
    fn check(pattern: &str, open_to_strangers: Option<bool>) {
        let found = HostPattern::parse(pattern).ok().map(|pattern| pattern.is_open_to_strangers());
        assert_eq!(found, open_to_strangers, "{pattern}");
    }
    check("*.com", None);
    check("*.co.uk", None);
    check("*.uk", None);
    check("*.kawasaki.jp", None);
    check("*.foo.kawasaki.jp", None);
    check("*.ck", None);
    check("*.internal", None);
    check("*.xn--fiqs8s", None);
    check("*", None);
    check("a.*.example.com", None);
    check("*a.example.com", None);
    check("*.*.example.com", None);
    check("*.127.0.0.1", None);
    check("*.[::1]", None);
    check("*.example.com", Some(false));
    check("*.www.ck", Some(false));
    check("*.city.kawasaki.jp", Some(false));
    check("*.corp.internal", Some(false));
    check("*.github.io", Some(true));
    check("*.s3.amazonaws.com", Some(true));
    check("*.blob.core.windows.net", Some(true));
    // Above a private one: `s3.amazonaws.com`, `a.ap-east-1.airflow.amazonaws.com`, `s3.ap-east-1.amazonaws.com`.
    check("*.amazonaws.com", Some(true));
    check("*.airflow.amazonaws.com", Some(true));
    check("*.ap-east-1.amazonaws.com", Some(true));
    check("*.amazonaws.com.cn", Some(true));
    check("*.windows.net", Some(true));
    check("*.stripe.com", Some(false));
    check("*.acme.github.io", Some(false));
    check("*.bucket.s3.amazonaws.com", Some(false));
    check("github.io", Some(false));
}

/// The table of names above private suffixes says what the list says, and is of this list.
#[test]
fn every_row_is_above_a_private_suffix() {
    for [(before, _), (after, _)] in shared::ABOVE_PRIVATE.array_windows() {
        assert!(before < after, "{before} {after}");
    }
    for (above, front) in shared::ABOVE_PRIVATE {
        let name = format!("{front}.{above}");
        let suffix = psl::suffix(name.as_bytes()).unwrap();
        assert_eq!((suffix.as_bytes(), suffix.typ()), (name.as_bytes(), Some(psl::Type::Private)), "{name}");
        assert_eq!(registry(above), Registry::Owner, "{above} needs no row");
    }
    let lock = include_str!("../../../../Cargo.lock");
    assert!(
        lock.contains("name = \"psl\"\nversion = \"2.1.247\""),
        "another list: make `host/shared.rs` anew from its `data/rules.txt`, and write its version there and here"
    );
}

#[test]
fn splits_host_and_port() {
    fn check(authority: &str, split: Option<(&str, u16)>) {
        assert_eq!(split_authority(authority, 443).ok(), split, "{authority}");
    }
    check("a.test", Some(("a.test", 443)));
    check("a.test:8443", Some(("a.test", 8443)));
    check("[::1]", Some(("[::1]", 443)));
    check("[::1]:65535", Some(("[::1]", 65535)));
    for refused in
        ["a.test:", "a.test:0", "a.test:0443", "a.test:65536", "a.test:+1", "a.test:1:2", "u@a.test"]
    {
        check(refused, None);
    }
    for refused in ["[::1", "[::1]a", "[::1]a:1", "[::1]:", "@a.test", "u:p@a.test"] {
        check(refused, None);
    }
}
