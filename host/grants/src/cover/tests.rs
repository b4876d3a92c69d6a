//! Overlap and cover against matching itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{CanonicalUrl, Method, QueryRule};
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

/// A request that the rule allows: `picks` says what stands in for each of its wildcards.
fn allowed_by(rule: &Rule, picks: &[usize]) -> (Method, CanonicalUrl) {
    let mut picks = picks.iter().copied().cycle();
    let mut pick = |among: &[&str]| among[picks.next().unwrap_or_default() % among.len()].to_owned();
    let path = rule.path_text();
    let (fixed, open) = path.strip_suffix("/**").map_or((path.as_str(), false), |fixed| (fixed, true));
    let mut segments: Vec<String> = fixed
        .split('/')
        .map(|segment| match segment {
            "*" => pick(&["a", "b", "c"]),
            "*+" => pick(&["a", "b%2Fc", "c"]),
            literal => literal.to_owned(),
        })
        .collect();
    if open {
        segments.push(pick(&["", "a", "b/c", "a/"]));
    }
    let host = rule.host_pattern().to_string().replace('*', &pick(&["a", "b"]));
    let url = format!("{}://{host}:{}{}", rule.scheme(), rule.port(), segments.join("/"));
    let methods: Vec<&str> = rule.methods().iter().map(Method::as_str).collect();
    (Method::parse(&pick(&methods)).unwrap(), CanonicalUrl::parse(&url).unwrap())
}

/// The rule with some of its parts opened: more often than chance has it, a rule that covers it.
fn widened(rule: &Rule, how: &[bool]) -> Rule {
    let mut how = how.iter().copied().chain(std::iter::repeat(false));
    let mut may = || how.next().unwrap_or_default();
    let methods = if may() { "GET,POST".to_owned() } else { methods(rule) };
    let host = rule.host_pattern().to_string();
    let host = if may() { host.replace("a.v.test", "*.v.test").replace("*.*", "*") } else { host };
    let mut path: Vec<String> = rule
        .path_text()
        .split('/')
        .enumerate()
        .map(|(at, segment)| match segment {
            "a" | "b" | "*" if at > 0 && may() => "*".to_owned(),
            "*" | "*+" if may() => "*+".to_owned(),
            kept => kept.to_owned(),
        })
        .collect();
    if may() {
        path.truncate(path.len() - 1);
        path.push("**".to_owned());
    }
    format!("{methods} {}://{host}:{}{}", rule.scheme(), rule.port(), path.join("/")).parse().unwrap()
}

fn methods(rule: &Rule) -> String {
    rule.methods().iter().map(Method::as_str).collect::<Vec<_>>().join(",")
}

/// `PROPTEST_CASES` raises it: `just properties`. What is drawn anew, a path of nothing say, grows with it.
fn at_least(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = default.cases.max(cases);
    ProptestConfig { cases, max_local_rejects: u32::MAX, max_global_rejects: u32::MAX, ..default }
}

proptest! {
    #![proptest_config(at_least(10_000))]

    #[test]
    fn a_rule_prints_what_it_reads(rule in a_rule(), request in a_request(), picks in prop::collection::vec(0_usize..12, 8)) {
        let again: Rule = rule.to_string().parse().unwrap();
        prop_assert_eq!(&again, &rule);
        prop_assert_eq!(again.to_string(), rule.to_string());
        let allowed = allowed_by(&rule, &picks);
        prop_assert!(rule.matches(&allowed.0, &allowed.1), "{rule}: {allowed:?}");
        for (method, url) in [request, allowed] {
            prop_assert_eq!(again.matches(&method, &url), rule.matches(&method, &url), "{} {:?}", method, url);
        }
    }

    /// What a wider rule is said to cover it allows: pairs of which many do cover, and requests that the inner one allows.
    #[test]
    fn what_is_covered_is_allowed(
        inner in a_rule(),
        other in a_rule(),
        how in prop::collection::vec(any::<bool>(), 8),
        picks in prop::collection::vec(prop::collection::vec(0_usize..12, 8), 4),
    ) {
        for outer in [widened(&inner, &how), other] {
            for picks in &picks {
                let (method, url) = allowed_by(&inner, picks);
                prop_assert!(inner.matches(&method, &url));
                let allowed = outer.matches(&method, &url);
                prop_assert!(allowed || !cover(&outer, &inner), "{outer} covers {inner}, but not {method} {url:?}");
                prop_assert!(!allowed || overlap(&outer, &inner), "{outer} and {inner}: {method} {url:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(at_least(2_000))]

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

fn whole(rule: &str, attributes: Attributes) -> ManifestRule {
    ManifestRule { place: String::new(), rule: rule.parse().unwrap(), attributes, why: String::new() }
}

fn listed(pairs: &[(&str, &str)]) -> Option<QueryRule> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.parse().unwrap()));
    Some(QueryRule::new(pairs).unwrap())
}

#[test]
fn what_holds_is_covered_field_by_field() {
    use Field::{Credential, GuestHeaders, Idempotency as Key, Query, Redirect as Follow, Safe};
    #[track_caller]
    fn check(outer: &Attributes, inner: &Attributes, there: &[Field], back: &[Field]) {
        let whole = |attributes: &Attributes| whole("POST https://a.test/x", attributes.clone());
        let (outer, inner) = (whole(outer), whole(inner));
        assert_eq!((exceeds(&outer, &inner), exceeds(&inner, &outer)), (there.to_vec(), back.to_vec()));
        assert_eq!((exceeds(&outer, &outer), exceeds(&inner, &inner)), (vec![], vec![]));
    }
    let none = Attributes::default;
    let with = |slots: &[&str]| Attributes {
        credentials: slots.iter().map(|slot| (*slot).to_owned()).collect(),
        ..none()
    };
    check(&with(&["a", "b"]), &with(&["b"]), &[], &[Credential]);
    check(&with(&["a", "b"]), &with(&["b", "a"]), &[], &[]);
    check(&with(&["a"]), &with(&["b"]), &[Credential], &[Credential]);
    // Neither is a part of the other: one request acts for the operator's account, the other for whom it names.
    check(&with(&["a"]), &none(), &[Credential], &[Credential]);
    let query = |pairs: &[(&str, &str)]| Attributes { query: listed(pairs), ..none() };
    check(&none(), &query(&[("a", "*")]), &[], &[Query]);
    check(&query(&[("a", "*")]), &query(&[("a", "x*")]), &[], &[Query]);
    check(&query(&[("a", "x*")]), &query(&[("a", "xy")]), &[], &[Query]);
    check(&query(&[("a", "x*")]), &query(&[("a", "x")]), &[], &[Query]);
    check(&query(&[("a", "x*")]), &query(&[("a", "y*")]), &[Query], &[Query]);
    check(&query(&[("a", "*")]), &query(&[("a", "*"), ("b", "1")]), &[Query], &[]);
    check(&query(&[("a", "*")]), &query(&[]), &[], &[Query]);
    let key = |header: &str, hours: u64| Attributes {
        idempotency: Some(crate::Idempotency {
            header: header.to_owned(),
            window: std::time::Duration::from_secs(hours * 3600),
        }),
        ..none()
    };
    check(&key("Key", 24), &key("Key", 1), &[], &[Key]);
    check(&key("Key", 24), &key("Other", 24), &[Key], &[Key]);
    check(&key("Key", 24), &none(), &[], &[Key]);
    check(&none(), &Attributes { safe: true, ..none() }, &[Safe], &[Safe]);
    check(&none(), &Attributes { redirect: crate::Redirect::Follow, ..none() }, &[Follow], &[Follow]);
    let sets = |names: &[&str]| Attributes {
        guest_headers: names.iter().map(|name| (*name).to_owned()).collect(),
        ..none()
    };
    check(&sets(&["cookie", "via"]), &sets(&["via"]), &[], &[GuestHeaders]);
    // A rule over safe methods says nothing by `safe`.
    let (plain, safe) = (whole("GET https://a.test/x", none()), Attributes { safe: true, ..none() });
    assert_eq!(exceeds(&plain, &whole("GET,HEAD https://a.test/x", safe)), [Field::Method]);
}

#[test]
fn each_part_of_a_rule_is_named() {
    #[track_caller]
    fn check(outer: &str, inner: &str, fields: &[Field]) {
        let (outer, inner) = (whole(outer, Attributes::default()), whole(inner, Attributes::default()));
        assert_eq!(exceeds(&outer, &inner), fields);
        assert_eq!(cover(&outer.rule, &inner.rule), fields.is_empty());
        let origin = fields.iter().all(|field| matches!(field, Field::Method | Field::Path));
        assert_eq!(covers_origin(&outer.rule, &inner.rule), origin);
    }
    let base = "GET https://a.v.test/x";
    check("GET,POST https://*.v.test/**", base, &[]);
    check(base, "POST https://a.v.test/x", &[Field::Method]);
    check(base, "GET http://a.v.test:443/x", &[Field::Scheme]);
    check(base, "GET https://*.v.test/x", &[Field::Host]);
    check(base, "GET https://a.v.test:8443/x", &[Field::Port]);
    check(base, "GET https://a.v.test/x/*", &[Field::Path]);
    check(
        base,
        "GET,POST http://b.v.test/**",
        &[Field::Method, Field::Scheme, Field::Host, Field::Port, Field::Path],
    );
}

#[test]
fn named_urls_are_read_from_the_same_answers() {
    #[track_caller]
    fn check(of: &str, at: &[&str], fields: &[Field]) {
        let from = |of: &str, at: &[&str]| FromResponse {
            rule: whole("PUT https://*.v.test/**", Attributes::default()),
            of: of.parse().unwrap(),
            at: at.iter().map(|at| at.parse().unwrap()).collect(),
        };
        let former = from("POST https://a.test/v1/**", &["/url", "header:location"]);
        assert_eq!(exceeds_named(&former, &from(of, at)), fields, "{of} {at:?}");
    }
    check("POST https://a.test/v1/x", &["/url"], &[]);
    check("POST https://a.test/**", &["/url"], &[Field::Of]);
    check("POST https://a.test/v1/x", &["/url", "/other"], &[Field::At]);
}
