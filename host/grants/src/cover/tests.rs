//! Overlap and cover against matching itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{CanonicalUrl, Method};
use proptest::prelude::*;

#[test]
fn covering() {
    fn check(outer: &str, inner: &str, covers: bool) {
        let (outer, inner): (Rule, Rule) = (outer.parse().unwrap(), inner.parse().unwrap());
        assert_eq!(cover(&outer, &inner), covers, "{outer} covers {inner}");
        assert!(cover(&outer, &outer) && cover(&inner, &inner));
    }
    check("GET,POST https://a.test/**", "GET https://a.test/v1/*", true);
    check("GET https://a.test/**", "GET,POST https://a.test/v1/*", false);
    check("GET https://a.test/**", "GET http://a.test/x", false);
    check("GET https://a.test/**", "GET https://a.test:8443/x", false);
    check("GET https://*.a.test/**", "GET https://b.a.test/x", true);
    check("GET https://*.a.test/**", "GET https://*.a.test/x", true);
    check("GET https://b.a.test/**", "GET https://*.a.test/x", false);
    check("GET https://*.a.test/**", "GET https://c.b.a.test/x", false);
    check("GET https://a.test/v1/*", "GET https://a.test/v1/x", true);
    check("GET https://a.test/v1/x", "GET https://a.test/v1/*", false);
    check("GET https://a.test/v1/*+", "GET https://a.test/v1/*", true);
    check("GET https://a.test/v1/*", "GET https://a.test/v1/*+", false);
    check("GET https://a.test/**", "GET https://a.test/v1/*+", false);
    check("GET https://a.test/*/*+/**", "GET https://a.test/v1/*+", true);
    check("GET https://a.test/v1/**", "GET https://a.test/v1", true);
    check("GET https://a.test/v1/**", "GET https://a.test/v1/", true);
    check("GET https://a.test/v1/*/**", "GET https://a.test/v1/**", false);
    check("GET https://a.test/v1/**", "GET https://a.test/v1/*/**", true);
    check("GET https://a.test/v1", "GET https://a.test/v1/", false);
    check("GET https://a.test/v1/", "GET https://a.test/v1/**", false);
    check("GET https://a.test/", "GET https://a.test/**", false);
    check("GET https://a.test/**", "GET https://a.test/", true);
}

#[test]
fn overlapping() {
    fn check(a: &str, b: &str, overlaps: bool) {
        let (a, b): (Rule, Rule) = (a.parse().unwrap(), b.parse().unwrap());
        assert_eq!((overlap(&a, &b), overlap(&b, &a)), (overlaps, overlaps), "{a} and {b}");
    }
    check("GET,POST https://a.test/x", "POST,PUT https://a.test/x", true);
    check("GET https://a.test/x", "PUT https://a.test/x", false);
    check("GET https://a.test/x", "GET http://a.test/x", false);
    check("GET https://a.test/x", "GET https://a.test:444/x", false);
    check("GET https://*.a.test/x", "GET https://b.a.test/x", true);
    check("GET https://*.a.test/x", "GET https://*.b.test/x", false);
    check("GET https://*.a.test/x", "GET https://*.b.a.test/x", false);
    check("GET https://a.test/*/b", "GET https://a.test/a/*", true);
    check("GET https://a.test/*/b", "GET https://a.test/*/c", false);
    check("GET https://a.test/*+", "GET https://a.test/**", true);
    check("GET https://a.test/a/**", "GET https://a.test/*/b/**", true);
    check("GET https://a.test/a/**", "GET https://a.test/b/**", false);
    check("GET https://a.test/a/**", "GET https://a.test/a/", true);
    check("GET https://a.test/a/b/**", "GET https://a.test/a/", false);
    check("GET https://a.test/a", "GET https://a.test/a/", false);
    check("GET https://a.test/**", "GET https://a.test/", true);
}

/// Few names, so that rules and requests often meet.
fn a_rule() -> impl Strategy<Value = Rule> {
    let methods = "(GET|POST|GET,POST)";
    let origin = "(https://a\\.v\\.test|https://\\*\\.v\\.test|http://a\\.v\\.test|https://a\\.v\\.test:444)";
    let path = "(/(a|b|\\*|\\*\\+)){0,3}(|/|/\\*\\*)";
    (methods, origin, path).prop_filter_map("a path starts with `/`", |(methods, origin, path)| {
        format!("{methods} {origin}{path}").parse().ok()
    })
}

fn a_request() -> impl Strategy<Value = (Method, CanonicalUrl)> {
    let origin = "(https://[ab]\\.v\\.test|https://a\\.v\\.test:444)";
    ("(GET|POST)", origin, "(/(a|b|c|a%2Fb)){0,4}/?").prop_map(|(method, origin, path)| {
        (Method::parse(&method).unwrap(), CanonicalUrl::parse(&format!("{origin}{path}")).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_global_rejects: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_prints_what_it_reads(rule in a_rule()) {
        prop_assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
    }

    #[test]
    fn agrees_with_matching(a in a_rule(), b in a_rule(), requests in prop::collection::vec(a_request(), 8)) {
        prop_assert_eq!(overlap(&a, &b), overlap(&b, &a));
        prop_assert!(!cover(&a, &b) || overlap(&a, &b));
        prop_assert!(!(cover(&a, &b) && cover(&b, &a)) || a == b);
        for (method, url) in requests {
            let (in_a, in_b) = (a.matches(&method, &url), b.matches(&method, &url));
            prop_assert!(!(cover(&a, &b) && in_b) || in_a, "{a} covers {b}: {method} {url:?}");
            prop_assert!(!(in_a && in_b) || overlap(&a, &b), "{a} and {b}: {method} {url:?}");
        }
    }
}

/// Every short path there is: where no path of them tells two rules apart, the verdict must say so.
#[test]
fn is_exact_on_every_short_path() {
    let pieces = ["a", "*", "*+"];
    let mut paths = vec![String::new()];
    let mut patterns = Vec::new();
    for _ in 0..3 {
        patterns.extend(paths.iter().flat_map(|p| [format!("{p}/"), format!("{p}/**"), p.clone()]));
        paths = paths.iter().flat_map(|p| pieces.iter().map(move |piece| format!("{p}/{piece}"))).collect();
    }
    let rules: Vec<Rule> =
        patterns.iter().filter_map(|p| format!("GET https://a.test{p}").parse().ok()).collect();
    let mut texts = vec![String::new()];
    let mut requests = Vec::new();
    for _ in 0..5 {
        requests
            .extend(texts.iter().flat_map(|t| [format!("https://a.test{t}"), format!("https://a.test{t}/")]));
        texts = texts.iter().flat_map(|t| ["a", "b", "a%2Fb"].map(|piece| format!("{t}/{piece}"))).collect();
    }
    let get = Method::parse("GET").unwrap();
    let urls: Vec<CanonicalUrl> = requests.iter().map(|url| CanonicalUrl::parse(url).unwrap()).collect();
    let matched: Vec<Vec<bool>> =
        rules.iter().map(|rule| urls.iter().map(|url| rule.matches(&get, url)).collect()).collect();
    for (a, in_a) in rules.iter().zip(&matched) {
        for (b, in_b) in rules.iter().zip(&matched) {
            let both = in_a.iter().zip(in_b).any(|(a, b)| *a && *b);
            let within = in_a.iter().zip(in_b).all(|(a, b)| *a || !*b);
            assert_eq!(overlap(a, b), both, "{a} and {b}");
            assert_eq!(cover(a, b), within, "{a} covers {b}");
        }
    }
}
