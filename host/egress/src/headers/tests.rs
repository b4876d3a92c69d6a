//! Which headers a guest may set.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Error,
    testing::{Kit, keyed, request, slot, state, with_header},
};
use portcullis_secrets::Scheme;
use proptest::prelude::*;

const RULE: &str = "GET https://api.vendor.test/**";
const URL: &str = "https://api.vendor.test/v1/items";

fn kit(attributes: Attributes) -> Kit {
    let mut kit = Kit::seeded(&[(RULE, attributes)]);
    let secret = kit.secret("key", "0123456789abcdef");
    kit.bind(
        "header",
        "a",
        Scheme::ApiKeyHeader { name: "x-vendor-key".to_owned(), prefix: None, secret },
        None,
    );
    let secret = kit.secret("query", "0123456789abcdef");
    kit.bind("query", "b", Scheme::ApiKeyQuery { name: "api_key".to_owned(), secret }, None);
    kit
}

fn applied(kit: &Kit, name: Option<&str>, url: &str) -> Result<Prepared, Failure> {
    let asked = match name {
        Some(name) => with_header(request("GET", url), name, "x"),
        None => request("GET", url),
    };
    let state = state(kit);
    let mut prepared = kit.prepared(&state, asked);
    state.connection.headers.apply(&mut prepared).map(|()| prepared)
}

fn check(kit: &Kit, name: &str, allowed: bool) {
    let outcome = applied(kit, Some(name), URL);
    assert_eq!(outcome.is_ok(), allowed, "{name}");
    if let Err(failure) = outcome {
        assert!(matches!(failure.error, Error::Denied { .. }) && failure.unsent, "{name}");
    }
}

#[test]
fn what_a_guest_may_never_set() {
    let kit = kit(Attributes::default());
    for name in TRANSPORT.iter().chain(DENIED) {
        check(&kit, name, false);
        check(&kit, &name.to_ascii_uppercase(), false);
        for separator in ["_", ".", "~", "|"] {
            check(&kit, &name.replace('-', separator), false);
        }
    }
    for name in [
        "Proxy-Authorization",
        "proxy_authenticate",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "x_forwarded_proto",
        "X-Forwarded-Anything",
        "X_HTTP_METHOD_OVERRIDE",
        "Forwarded",
        "X-Forwarded",
        "X_FORWARDED",
        "X-ForwardedFor",
        "X-Original-URL",
        "X-Original-Method",
        "x_original_host",
        "X-Host",
        "X_Host",
        "VIA",
        "X-HTTP-Path-Override",
        "X-Envoy-Original-Path",
        "Referer",
        "X-HTTP.Method-Override",
        "X.HTTP.Method.Override",
        "X-Matched-Path",
        "X-Invoke-Path",
        "X-Invoke-Query",
        "X_Invoke.Output",
        "X-Middleware-Subrequest",
        "X-Middleware-Rewrite",
        "X-Waws-Unencoded-Url",
        "X-Ms-Original-Url",
        "X-Amz-Copy-Source",
        "x_amz_copy.source",
        "X-Goog-Copy-Source",
        "X-Ms-Copy-Source",
        "Destination",
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "Fastly-Client-IP",
        "X-Cluster-Client-IP",
        "Proxy",
    ] {
        check(&kit, name, false);
    }
    for name in [
        "Content-Type",
        "Accept",
        "X-Request-Id",
        "Stripe-Version",
        "If-None-Match",
        "Range",
        "User-Agent",
        "Origin",
        "X-Amz-Date",
        "X-Amz-Copy-Source-If-Match",
        "X-Destination",
        "CF-Ray",
    ] {
        check(&kit, name, true);
    }
}

#[test]
fn every_slots_place_is_the_hosts() {
    let kit = kit(slot("header"));
    for name in
        ["X-Vendor-Key", "x_vendor_key", "x-vendor_key", "X_VENDOR-KEY", "x.vendor.key", "X~Vendor-Key"]
    {
        check(&kit, name, false);
    }
    check(&kit, "x-vendor-keys", true);
    for query in [
        "api_key=1",
        "a=b&api_key=1",
        "API_KEY=1",
        "api-key",
        "api%5Fkey=1",
        "%61pi_key=1",
        "api.key=",
        "api_key[]=1",
        "api_key%00=1",
        "api_key%00x=1",
        "api[key=1",
        "api%5Bkey=1",
        "api_key%20=1",
        "+api_key=1",
        "%20api_key=1",
    ] {
        assert!(applied(&kit, None, &format!("{URL}?{query}")).is_err(), "{query}");
    }
    for query in ["api_keys=1", "a=api_key", "limit=10"] {
        assert!(applied(&kit, None, &format!("{URL}?{query}")).is_ok(), "{query}");
    }
}

/// A guest that brings its own `authorization` means a credential.
#[test]
fn what_is_refused_says_what_to_write_instead() {
    let remedy = |name: &str| match applied(&kit(Attributes::default()), Some(name), URL) {
        Err(Failure { error: Error::Denied { denial, .. }, .. }) => denial.remedy.unwrap(),
        _ => panic!("{name}"),
    };
    assert!(remedy("Authorization").contains("[credentials.key]"), "{}", remedy("Authorization"));
    assert!(remedy("Cookie").contains("guest-headers = [\"cookie\"]"), "{}", remedy("Cookie"));
}

#[test]
fn a_rule_may_list_a_header_but_none_of_the_transport_nor_its_own_credentials() {
    let listed = |names: &[&str], credentials: Vec<String>| Attributes {
        guest_headers: names.iter().map(|name| (*name).to_owned()).collect(),
        credentials,
        ..Attributes::default()
    };
    check(&kit(listed(&["authorization"], vec![])), "Authorization", true);
    check(&kit(listed(&["authorization"], vec![])), "Cookie", false);
    check(&kit(listed(&["referer"], vec![])), "Referer", true);
    check(&kit(listed(&["referer"], vec![])), "Via", false);
    check(&kit(listed(&["x-original-host"], vec![])), "X-Original-Host", true);
    check(&kit(listed(&["x-amz-copy-source"], vec![])), "X-Amz-Copy-Source", true);
    check(&kit(listed(&["x-amz-copy-source"], vec![])), "Destination", false);
    check(&kit(listed(&["destination"], vec![])), "Destination", true);
    check(&kit(listed(&["host", "content-length"], vec![])), "Host", false);
    check(&kit(listed(&["x-vendor-key"], vec![])), "X-Vendor-Key", true);
    check(&kit(listed(&["x-vendor-key"], vec!["header".to_owned()])), "X-Vendor-Key", false);
}

#[test]
fn a_credential_has_no_place_in_a_header_of_the_transport() {
    let refused = |name: &str| {
        let mut kit = Kit::seeded(&[(RULE, Attributes::default())]);
        let secret = kit.secret("key", "0123456789abcdef");
        let scheme = Scheme::ApiKeyHeader { name: name.to_owned(), prefix: None, secret };
        kit.bind("header", "a", scheme, None);
        let policy = HeaderPolicy::new(&kit.settings.credentials, "acme/vendor", "1.2.0");
        policy.err().map(|error| error.to_string())
    };
    assert_eq!(refused("X-Vendor-Key"), None);
    assert_eq!(refused("Authorization"), None);
    for name in TRANSPORT.iter().flat_map(|name| [name.to_string(), name.replace('-', "_").to_uppercase()]) {
        assert!(refused(&name).unwrap().contains("belongs to the transport"), "{name}");
    }
    assert!(refused("a b").unwrap().contains("is no header name"));
}

proptest! {
    /// Whatever a server could fold to a slot's place is refused, under a rule that lists nothing.
    #[test]
    fn no_spelling_of_a_slots_place_passes(
        cased in proptest::collection::vec(any::<bool>(), 12),
        separators in proptest::collection::vec("[-_.~!|^]", 2),
        blank in "(|_|%5F|\\.|-|\\+|%20)",
        around in ("(\\+|%20){0,2}", "(%20|%00|%00x|\\[\\]|\\[a\\])?"),
    ) {
        let cased = |text: &str| -> String {
            let letters = text.chars().zip(cased.iter().cycle());
            letters.map(|(c, upper)| if *upper { c.to_ascii_uppercase() } else { c }).collect()
        };
        let policy = &state(&kit(slot("header"))).connection.headers;
        let name = ["x", "vendor", "key"].map(cased);
        let header = format!("{}{}{}{}{}", name[0], separators[0], name[1], separators[1], name[2]);
        prop_assert!(policy.check_header(&header, &Attributes::default(), None).is_err(), "{header}");
        let separator = if blank.is_empty() { "%5f" } else { &*blank };
        let query = format!("a=1&{}{}{separator}{}{}=m", around.0, cased("api"), cased("key"), around.1);
        prop_assert!(policy.check_query(&query).is_err(), "{query}");
    }
}

#[test]
fn the_idempotency_header_is_set_through_its_field() {
    let mut kit = kit(Attributes::default());
    kit.settings.rules = vec![("POST https://api.vendor.test/**", keyed())];
    let state = state(&kit);
    for name in ["Idempotency-Key", "idempotency_key", "Idempotency.Key"] {
        let mut prepared = kit.prepared(&state, with_header(request("POST", URL), name, "k"));
        let failure = state.connection.headers.apply(&mut prepared).unwrap_err();
        let Error::Denied { denial, .. } = failure.error else { panic!("not denied") };
        assert!(denial.reason.contains("`idempotency-key`"), "{}", denial.reason);
    }
}

#[test]
fn the_host_adds_its_own() {
    let kit = kit(Attributes::default());
    let value = |prepared: &Prepared, name: &str| {
        let found = prepared.additions.headers.iter().find(|(added, _)| added == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned())
    };
    let prepared = applied(&kit, None, URL).unwrap();
    assert_eq!(value(&prepared, "accept-encoding").as_deref(), Some("gzip, deflate, br, zstd"));
    let agent = format!("portcullis/{} (acme/vendor 1.2.0)", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&prepared, "user-agent"), Some(agent));
    assert_eq!(value(&prepared, "accept").as_deref(), Some("*/*"));
    let prepared = applied(&kit, Some("User-Agent"), URL).unwrap();
    assert_eq!(value(&prepared, "user-agent"), None);
    let prepared = applied(&kit, Some("Accept"), URL).unwrap();
    assert_eq!(value(&prepared, "accept"), None);
}
