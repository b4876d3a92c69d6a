//! The guard row by row: each class, its listed twin, and the vectors.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_macros, reason = "a test that is skipped says so")]
use super::*;
use std::path::PathBuf;

fn policy(listed: &[&str]) -> AddressPolicy {
    AddressPolicy::new(listed.iter().map(|entry| entry.parse().unwrap()).collect()).unwrap()
}

#[test]
fn ssrf_ip_vectors() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/corpora/ssrf-ip-vectors/ip-vectors.tsv");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("SKIPPED: {} is missing", file.display());
        return;
    };
    // What everything listed can still never reach.
    let everything = policy(&["0.0.0.0/0", "::/0"]);
    let (mut allowed, mut denied) = (0, 0);
    for line in text.lines().skip(1) {
        let [address, class, default, ..] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let address: IpAddr = address.parse().unwrap();
        let found = AddressPolicy::default().check(address);
        match default {
            "allow" => {
                allowed += 1;
                assert_eq!(found, Ok(()), "{address} {class}");
            }
            "deny" => {
                denied += 1;
                let listable = found.expect_err(class).listable;
                assert_eq!(everything.check(address).is_ok(), listable, "{address} {class}");
            }
            other => panic!("{other}"),
        }
        assert!(AddressPolicy::default().check_plain(address).is_err(), "{address} {class}");
    }
    assert!(allowed >= 18 && denied >= 65, "{allowed} allowed, {denied} denied");
}

#[test]
fn a_listed_range_and_its_denied_twin() {
    fn check(listed: &[&str], address: &str, allowed: bool) {
        let found = policy(listed).check(address.parse().unwrap());
        assert_eq!(found.is_ok(), allowed, "{listed:?} {address}: {found:?}");
    }
    check(&["10.1.0.0/16"], "10.1.2.3", true);
    check(&["10.1.0.0/16"], "10.2.2.3", false);
    check(&["10.1.0.0/16"], "::ffff:10.1.2.3", true);
    check(&["10.1.0.0/16"], "::ffff:10.2.2.3", false);
    check(&["10.1.0.0/16"], "64:ff9b::a01:203", false);
    check(&["64:ff9b::/95"], "64:ff9b::a01:203", false);
    check(&["::/0"], "::ffff:10.1.2.3", false);
    check(&["127.0.0.1/32"], "127.0.0.1", true);
    check(&["127.0.0.1/32"], "127.0.0.2", false);
    check(&["127.0.0.1/32"], "::1", false);
    check(&["127.0.0.0/8"], "64:ff9b::7f00:1", false);
    check(&["::1/128"], "::1", true);
    check(&["::/0"], "::1", true);
    check(&["fc00::/7"], "fd12::1", true);
    check(&["fc00::/7"], "fd00:ec2::254", false);
    check(&["fc00::/7"], "fd20:ce::254", false);
    for aws in ["fd00:ec2::23", "fd00:ec2::123", "fd00:ec2::253", "fd00:ec2:ffff::1"] {
        check(&["fc00::/7", "fd00:e00::/24"], aws, false);
    }
    check(&["fc00::/7"], "fd00:ec3::1", true);
    check(&["fd00:42::/64"], "fd00:42::42", false);
    check(&["fd00:42::/64"], "fd00:42::43", true);
    check(&["fd00:c1::/64"], "fd00:c1::a9fe:a9fe", false);
    check(&["100.64.0.0/10"], "100.64.0.1", true);
    check(&["100.64.0.0/10"], "100.100.100.200", false);
    check(&["192.0.0.0/24"], "192.0.0.1", true);
    check(&["192.0.0.0/24"], "192.0.0.192", false);
    check(&["168.63.0.0/16"], "168.63.129.16", false);
    check(&["168.63.0.0/16"], "::ffff:168.63.129.16", false);
    for never in
        ["0.0.0.0", "169.254.169.254", "169.254.1.1", "224.0.0.1", "255.255.255.255", "168.63.129.16"]
    {
        check(&["0.0.0.0/0"], never, false);
    }
    for never in ["::", "fe80::1", "ff02::1", "2002:a00:1::", "2001::1", "::10.0.0.1", "::ffff:0:10.0.0.1"] {
        check(&["::/0"], never, false);
    }
    check(&["::/0"], "64:ff9b:1::a00:1", false);
    check(&[], "64:ff9b::808:808", true);
    check(&[], "::ffff:8.8.8.8", true);
    check(&[], "2606:4700:4700::1111", true);
}

#[test]
fn plain_http_reaches_listed_loopback_alone() {
    fn check(listed: &[&str], address: &str, allowed: bool) {
        let found = policy(listed).check_plain(address.parse().unwrap());
        assert_eq!(found.is_ok(), allowed, "{listed:?} {address}: {found:?}");
    }
    check(&["127.0.0.0/8"], "127.0.0.1", true);
    check(&["127.0.0.0/8"], "::ffff:127.0.0.1", true);
    check(&["::1/128"], "::1", true);
    check(&[], "127.0.0.1", false);
    check(&[], "::1", false);
    check(&["10.0.0.0/8"], "10.0.0.1", false);
    check(&["127.0.0.0/8"], "64:ff9b::7f00:1", false);
    check(&["0.0.0.0/0"], "0.0.0.0", false);
    check(&["0.0.0.0/0"], "8.8.8.8", false);
}

#[test]
fn an_entry_that_can_allow_nothing() {
    fn check(entry: &str, class: Option<&str>) {
        let found = AddressPolicy::new(vec![entry.parse().unwrap()]).err().map(|error| error.to_string());
        match class {
            None => assert_eq!(found, None, "{entry}"),
            Some(class) => assert!(found.as_ref().is_some_and(|f| f.contains(class)), "{entry}: {found:?}"),
        }
    }
    check("169.254.0.0/16", Some("link-local"));
    check("169.254.169.254/32", Some("metadata"));
    check("168.63.129.16/32", Some("metadata"));
    check("0.0.0.0/32", Some("unspecified"));
    check("224.0.0.0/8", Some("multicast"));
    check("255.255.255.255/32", Some("broadcast"));
    check("fe80::/64", Some("link-local"));
    check("::/128", Some("unspecified"));
    check("ff02::/16", Some("multicast"));
    check("fd00:ec2::254/128", Some("metadata"));
    check("2002::/16", Some("6to4"));
    check("2001::/40", Some("Teredo"));
    check("::ffff:10.0.0.0/104", Some("list the IPv4 range"));
    check("64:ff9b::a00:0/104", Some("NAT64"));
    check("0.0.0.0/0", None);
    check("::/0", None);
    check("::1/128", None);
    check("10.0.0.0/8", None);
    check("192.0.0.0/24", None);
    check("fd00:ec2::/32", Some("metadata"));
    check("fd00:ec2:1::/64", Some("metadata"));
    check("fd00:42::42/128", Some("metadata"));
    check("fd00:42::/64", None);
    check("fd00:ec0::/28", None);
    check("8.8.8.8/32", None);
}

#[test]
fn says_which_entry_would_help() {
    fn check(address: &str, text: &str) {
        assert_eq!(AddressPolicy::default().check(address.parse().unwrap()).unwrap_err().to_string(), text);
    }
    check(
        "10.0.0.1",
        "10.0.0.1 is a private address (RFC 1918); `addresses = [\"10.0.0.1/32\"]` would allow it",
    );
    check(
        "::ffff:127.0.0.1",
        "::ffff:127.0.0.1 is a loopback address; `addresses = [\"127.0.0.1/32\"]` would allow it",
    );
    check("169.254.169.254", "169.254.169.254 is a cloud metadata address");
}
