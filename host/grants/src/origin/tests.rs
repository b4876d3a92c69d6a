//! Origins in every hostile spelling, and rules over them before and after expansion.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Attributes, Boundary, Grants, OperatorRules,
    cover::{cover, overlap},
    grant::check_overlaps,
};

fn origins(pairs: &[(&str, &str)]) -> BTreeMap<String, Origin> {
    pairs.iter().map(|(name, origin)| ((*name).to_owned(), origin.parse().unwrap())).collect()
}

fn requested(text: &str) -> RequestedRule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn an_origin_has_one_spelling() {
    for good in [
        "https://acme.service-now.com",
        "https://acme.service-now.com:8443",
        "https://acme.test/tenant-7/api",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "https://10.1.2.3",
        "https://[fd12::1]:8443",
        "https://xn--bcher-kva.example",
        // A provider's own host is one, though its customers have names below it.
        "https://s3.amazonaws.com",
    ] {
        assert_eq!(good.parse::<Origin>().unwrap().to_string(), good);
    }
}

#[test]
fn hostile_origins_are_refused_with_what_was_meant() {
    fn check(text: &str, why: &str, meant: Option<&str>) {
        let error = text.parse::<Origin>().unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
        assert_eq!(error.meant(text).map(|origin| origin.to_string()).as_deref(), meant, "{text}");
    }
    let acme = Some("https://acme.test");
    check("https://user:hunter2@acme.test", "user name or password", None);
    check("https://acme.test@evil.test", "user name or password", None);
    check("https://acme.test/?tenant=1", "neither query nor fragment", acme);
    check("https://acme.test?", "neither query nor fragment", acme);
    check("https://acme.test/api#top", "neither query nor fragment", Some("https://acme.test/api"));
    check("https://acme.test/", "`https://acme.test`", acme);
    check("https://acme.test/api/", "`https://acme.test/api`", Some("https://acme.test/api"));
    check("https://Acme.TEST", "`https://acme.test`", acme);
    check("HTTPS://acme.test", "`https://acme.test`", acme);
    check("https://acme.test:443", "`https://acme.test`", acme);
    check("http://localhost:80", "`http://localhost`", Some("http://localhost"));
    check("acme.test", "no scheme", acme);
    check("acme.test:8443", "scheme `acme.test`", None);
    check("//acme.test", "no scheme", None);
    check("ftp://acme.test", "neither `https` nor `http`", None);
    check("file:///etc/passwd", "neither `https` nor `http`", None);
    check("https:acme.test", "`//`", None);
    check("https:///acme.test", "host is missing", None);
    check("https://*.acme.test", "no wildcard", None);
    check("https://*", "no wildcard", None);
    check("https://acme.test/*", "no wildcard", None);
    check("https://acme.test/**", "no wildcard", None);
    check("https://acme.test/*+/x", "no wildcard", None);
    check("https://acme.test/a/../b", "would be changed", None);
    check("https://acme.test/a/%2e%2e/b", "would be changed", None);
    check("https://acme.test/a%2Fb", "can match nothing", None);
    check("https://acme.test/a//b", "empty segment", None);
    check("https://acme.test/a;b", "`;`", None);
    check("https://acme.test\\evil.test", "`\\\\`", None);
    check("https://acme.test/\tx", "holds `\\t`", None);
    check("https://acme.test.", "ends in a dot", None);
    check("https://co.uk", "anyone can register", None);
    check("https://com", "anyone can register", None);
    check("https://bücher.example", "`xn--bcher-kva.example`", None);
    check("https://127.1", "`127.0.0.1`", None);
    check("https://0x7f.1", "`127.0.0.1`", None);
    check("https://2130706433", "`127.0.0.1`", None);
    check("http://169.254.169.254", "never dialled", None);
    check("https://[fd00:ec2::254]", "never dialled", None);
    check("https://[::ffff:169.254.169.254]", "would be read as", None);
    check("https://0.0.0.0", "never dialled", None);
    check("https://acme.test:0", "port", None);
    check("https://acme.test:99999", "port", None);
    check("https://{origin.other}", "holds `{`", None);
    check("", "no scheme", None);
    check(&format!("https://acme.test/{}", "a".repeat(ORIGIN_BYTES_MAX)), "longer than", None);
}

#[test]
fn a_refused_origin_shows_no_secret() {
    for text in ["https://user:hunter2@acme.test", "https://acme.test/?key=hunter2", "https://a.test#hunter2"]
    {
        let error = text.parse::<Origin>().unwrap_err();
        assert!(error.is_private(), "{text}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn how_long_an_origin_and_a_rule_over_one_may_be() {
    let filled = |start: &str, length: usize| format!("{start}{}", "a".repeat(length - start.len()));
    assert!(filled("https://acme.test/", ORIGIN_BYTES_MAX).parse::<Origin>().is_ok());
    let error = filled("https://acme.test/", ORIGIN_BYTES_MAX + 1).parse::<Origin>().unwrap_err();
    assert_eq!(error, OriginError::TooLong);
    assert!(!error.is_private(), "it says nothing of what was written");

    assert!(filled("GET {origin.a}/", RULE_BYTES_MAX).parse::<RequestedRule>().is_ok());
    for over in 1..3 {
        let found = filled("GET {origin.a}/", RULE_BYTES_MAX + over).parse::<RequestedRule>();
        assert_eq!(found, Err(RuleError::TooLong));
    }
    let bound = origins(&[("a", "https://acme.test")]);
    let expanded = |length: usize| {
        let over_origin = length - "https://acme.test".len() + "{origin.a}".len();
        requested(&filled("GET {origin.a}/", over_origin)).expand(&bound)
    };
    assert_eq!(expanded(RULE_BYTES_MAX).unwrap().to_string().len(), RULE_BYTES_MAX);
    let error = expanded(RULE_BYTES_MAX + 1).unwrap_err();
    assert!(matches!(error, ExpandError::TooLong { .. }) && error.name() == "a", "{error:?}");
    assert_eq!(requested("GET {origin.b}/x").expand(&bound).unwrap_err().name(), "b");
}

#[test]
fn what_a_security_person_is_told_of_it() {
    let literal = "GET http://127.0.0.1:8080/**";
    assert_eq!(requested(literal).flags(), literal.parse::<Rule>().unwrap().flags());
    assert_eq!(requested("GET {origin.a}/**").flags(), ["on the host that you bind to the origin `a`"]);
}

#[test]
fn a_name_stands_for_the_whole_origin() {
    for good in ["GET {origin.instance}/api/**", "GET,POST {origin.a-1}/", "PUT {origin.a}/*/x/"] {
        assert_eq!(requested(good).to_string(), good);
    }
    assert_eq!(requested("GET https://a.test/x").origin(), None);
    assert_eq!(requested("GET {origin.instance}/x").origin(), Some("instance"));
    for bad in [
        "GET {origin.instance}",
        "GET {origin.instance}:8443/x",
        "GET {origin.instance}.evil.test/x",
        "GET {origin.}/x",
        "GET {origin.A}/x",
        "GET {origin.a b}/x",
        "GET {origin.a/x",
        "GET {origins.a}/x",
        "GET {a}/x",
        "GET {origin.a}{origin.b}/x",
        "GET {origin.a}/{origin.b}",
        "GET {origin.a}/../x",
        "GET {origin.a}/x?y=1",
        "GET {origin.a}/x#y",
        "get {origin.a}/x",
        "{origin.a}/x",
        "GET https://{origin.a}/x",
        "GET https://*.{origin.a}/x",
    ] {
        assert!(bad.parse::<RequestedRule>().is_err(), "{bad}");
    }
    for unfit in [' ', '\u{7f}', '#'] {
        let found = format!("GET {{origin.a}}/x{unfit}y").parse::<RequestedRule>();
        assert_eq!(found, Err(RuleError::Character(unfit)));
    }
    // A literal rule alone is what is matched, listed by an operator or pinned.
    let error = "GET {origin.instance}/x".parse::<Rule>().unwrap_err();
    assert_eq!(error, RuleError::Origin);
    assert_eq!("GET {origin.a}/**".parse::<crate::BoundaryRule>().unwrap_err(), RuleError::Origin);
}

#[test]
fn expansion_gives_literals() {
    fn check(rule: &str, origin: &str, expanded: &str) {
        let found = requested(rule).expand(&origins(&[("a", origin)])).unwrap();
        assert_eq!(found.to_string(), expanded);
        // What is pinned is read back as the same rule.
        assert_eq!(found.to_string().parse::<Rule>().unwrap(), found);
    }
    check("GET {origin.a}/api/**", "https://acme.test", "GET https://acme.test/api/**");
    check("GET {origin.a}/api/**", "https://acme.test:8443", "GET https://acme.test:8443/api/**");
    check("GET {origin.a}/**", "https://acme.test/t/7", "GET https://acme.test/t/7/**");
    check("GET {origin.a}/", "https://acme.test/t", "GET https://acme.test/t/");
    check("GET {origin.a}/*/x", "http://127.0.0.1:1", "GET http://127.0.0.1:1/*/x");
    check("GET https://b.test/x", "https://acme.test", "GET https://b.test/x");
    let unbound = requested("GET {origin.b}/x").expand(&origins(&[("a", "https://acme.test")])).unwrap_err();
    assert_eq!(
        unbound.to_string(),
        "no origin is bound to `b`, and the connector requests `GET {origin.b}/x`"
    );
    let long = format!("GET {{origin.a}}/{}", "x".repeat(RULE_BYTES_MAX - 20));
    let prefix = format!("https://acme.test/{}", "y".repeat(100));
    assert!(matches!(requested(&long).expand(&origins(&[("a", &prefix)])), Err(ExpandError::TooLong { .. })));
}

#[test]
fn rules_over_names_are_compared_by_name_and_expanded_ones_by_host() {
    let meets = |a: &str, b: &str| overlap(requested(a).as_ref(), requested(b).as_ref());
    let covers = |a: &str, b: &str| cover(requested(a).as_ref(), requested(b).as_ref());
    assert!(meets("GET {origin.a}/**", "GET {origin.a}/x"));
    assert!(
        covers("GET {origin.a}/**", "GET {origin.a}/x") && !covers("GET {origin.a}/x", "GET {origin.a}/**")
    );
    for other in ["GET {origin.b}/x", "GET https://a.test/x", "GET https://*.a.test/x", "POST {origin.a}/x"] {
        assert!(!meets("GET {origin.a}/**", other) && !covers("GET {origin.a}/**", other), "{other}");
    }
    let rule = |text: &str, safe: bool| ManifestRule {
        place: text.to_owned(),
        rule: requested(text),
        attributes: Attributes { safe, ..Attributes::default() },
        why: String::new(),
    };
    let rules = [rule("POST {origin.a}/x", true), rule("POST {origin.b}/x", false)];
    check_overlaps(&rules).unwrap();
    let expanded = |a: &str, b: &str| -> Vec<ManifestRule> {
        rules.iter().map(|rule| rule.expand(&origins(&[("a", a), ("b", b)])).unwrap()).collect()
    };
    let one = "https://acme.test";
    assert!(Grants::new(expanded(one, "https://b.test"), OperatorRules::Requested).is_ok());
    // Two names bound to one host: the rules meet, and don't agree.
    assert_eq!(Grants::new(expanded(one, one), OperatorRules::Requested).unwrap_err().field, "safe");
    let boundary = Boundary { allow: vec!["POST https://acme.test/**".parse().unwrap()], deny: vec![] };
    assert!(boundary.excludes(&expanded(one, one)[0].rule).is_none());
    assert!(boundary.excludes(&expanded("https://evil.test", one)[0].rule).is_some());
}

#[test]
fn an_unexpanded_rule_matches_no_request() {
    let rule = requested("GET {origin.a}/**");
    for url in ["https://a.test/x", "https://origin.a/x", "https://xn--origin/x"] {
        let url = CanonicalUrl::parse(url).unwrap();
        assert!(!rule.as_ref().matches(&Method::parse("GET").unwrap(), &url));
    }
    assert!(CanonicalUrl::parse("https://{origin.a}/x").is_err());
}
