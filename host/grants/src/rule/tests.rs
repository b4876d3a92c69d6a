//! Rules as people write them.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn method(text: &str) -> Method {
    Method::parse(text).unwrap()
}

#[test]
fn prints_what_it_reads() {
    fn check(text: &str, printed: &str) {
        let rule: Rule = text.parse().unwrap();
        assert_eq!(rule.to_string(), printed);
        assert_eq!(printed.parse::<Rule>().unwrap(), rule);
    }
    check("GET https://api.stripe.com/v1/customers/**", "GET https://api.stripe.com/v1/customers/**");
    check("POST,GET https://api.stripe.com/v1/*", "GET,POST https://api.stripe.com/v1/*");
    check("GET HTTPS://API.Stripe.com:443/", "GET https://api.stripe.com/");
    check("GET https://a.test:8443/*+/x/", "GET https://a.test:8443/*+/x/");
    check("GET http://127.0.0.1:80/**", "GET http://127.0.0.1/**");
    check("M-SEARCH http://[::1]:8080/a%20b", "M-SEARCH http://[::1]:8080/a%20b");
    check("GET https://*.vendor.test/", "GET https://*.vendor.test/");
    check("GET https://metadata.google.internal/x", "GET https://metadata.google.internal/x");
}

#[test]
fn refuses_in_words() {
    fn check(text: &str, error: &str) {
        let found = text.parse::<Rule>().unwrap_err().to_string();
        assert!(found.contains(error), "{text}: {found}");
    }
    check("", "the form");
    check("https://a.test/", "the form");
    check("GET a.test/x", "the form");
    check("GET  https://a.test/", "has no place");
    check("GET https://a.test/ x", "has no place");
    check("GET https://a.test/x#y", "`#` has no place");
    check("get https://a.test/", "upper case");
    check("* https://a.test/", "one by one");
    check(",GET https://a.test/", "1 to 32");
    check("GET,GET https://a.test/", "twice");
    check("CONNECT https://a.test/", "never sent");
    check("GET,TRACE https://a.test/", "`TRACE`: it is never sent");
    check("GE(T https://a.test/", "consists of letters");
    check("GET ftp://a.test/", "`ftp`");
    check("GET https://u@a.test/", "user name");
    check("GET https:///x", "host is missing");
    check("GET https://a.test:/x", "port ``");
    check("GET https://a.test:*/x", "port `*`");
    check("GET https://faß.de/", "write `xn--fa-hia.de`");
    check("GET https://127.1/", "`127.0.0.1`");
    check("GET https://a.test./", "dot");
    check("GET https://*.com/", "anyone can register");
    check("GET https://a.*.test/", "nowhere else");
    check("GET https://a.test", "path is missing");
    check("GET https://a.test/ä", "`%C3%A4`");
    check("GET https://a.test/a/../b", "can match nothing");
    check("GET https://a.test/a;b", "can match nothing");
    check(&format!("GET https://a.test/{}", "a".repeat(RULE_BYTES_MAX)), "longer");
}

#[test]
fn how_long_a_rule_may_be() {
    let filled = |length: usize| format!("GET https://a.test/{:a<1$}", "", length - 19);
    assert_eq!(filled(RULE_BYTES_MAX).len(), RULE_BYTES_MAX);
    assert!(filled(RULE_BYTES_MAX).parse::<Rule>().is_ok());
    assert_eq!(filled(RULE_BYTES_MAX + 1).parse::<Rule>(), Err(RuleError::TooLong));
    let naming = |count: u8| {
        let methods: Vec<String> = (0..count).map(|at| char::from(b'A' + at).to_string()).collect();
        format!("{} https://a.test/", methods.join(",")).parse::<Rule>()
    };
    let most = u8::try_from(METHODS_MAX).unwrap();
    assert_eq!(naming(most).unwrap().methods().len(), METHODS_MAX);
    assert_eq!((naming(most + 1), naming(most + 2)), (Err(RuleError::TooLong), Err(RuleError::TooLong)));
}

#[test]
fn forms_of_later_versions_are_named() {
    fn check(text: &str, form: &str) {
        match text.parse::<Rule>() {
            Err(RuleError::Unsupported(found)) => assert!(found.contains(form), "{text}: {found}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    check("TCP db.internal:5432", "TCP");
    check("graphql: query viewer", "GraphQL");
    check("soap {urn:partner}query", "SOAP");
    assert_eq!("GET https://a.test/x?limit=*".parse::<Rule>(), Err(RuleError::Query));
    for blank in ["GET, HEAD https://a.test/x", "GET HEAD https://a.test/x", "GET ,HEAD https://a.test/x"] {
        assert_eq!(blank.parse::<Rule>(), Err(RuleError::Blank), "{blank}");
    }
    let misplaced = "from-response PUT https://a.test/**".parse::<Rule>();
    assert_eq!(misplaced, Err(RuleError::FromResponse));
}

#[test]
fn matches_field_by_field() {
    fn check(rule: &str, request: &str, matches: bool) {
        let rule: Rule = rule.parse().unwrap();
        let (verb, url) = request.split_once(' ').unwrap();
        assert_eq!(
            rule.matches(&method(verb), &CanonicalUrl::parse(url).unwrap()),
            matches,
            "{rule} {request}"
        );
    }
    let rule = "GET,POST https://api.example.com/v1/**";
    check(rule, "GET https://api.example.com/v1/a?x=1", true);
    check(rule, "POST https://API.example.com:443/v1", true);
    check(rule, "DELETE https://api.example.com/v1/a", false);
    check(rule, "GET http://api.example.com/v1/a", false);
    check(rule, "GET http://api.example.com:443/v1/a", false);
    check(rule, "GET https://api.example.com:8443/v1/a", false);
    check(rule, "GET https://a.api.example.com/v1/a", false);
    check(rule, "GET https://api.example.com.evil.test/v1/a", false);
    check(rule, "GET https://api.example.com/V1/a", false);
    check(rule, "GET https://api.example.com/?/v1/a", false);
    check(rule, "GET https://api.example.com/v1/..%2fadmin", false);
    check(rule, "GET https://api.example.com/v1/..%5cadmin", false);
    check(rule, "GET https://api.example.com/v1/a;b", false);
    check(rule, "GET https://api.example.com/v1//a", false);
    check("GET https://*.example.com/**", "GET https://127.0.0.1/", false);
    check("GET https://[::1]/**", "GET https://[::1]/", true);
    check("GET https://[::1]/**", "GET https://[::ffff:7f00:1]/", false);
}

#[test]
fn how_long_a_method_may_be() {
    let of = |length| Method::parse(&"A".repeat(length));
    assert!(of(METHOD_BYTES_MAX).is_ok());
    for over in [METHOD_BYTES_MAX + 1, METHOD_BYTES_MAX + 2] {
        let Err(RuleError::Method { method, why }) = of(over) else { panic!("{over} letters") };
        assert_eq!((method.as_str(), why), ("…", "a method has 1 to 32 letters"), "not a part of it");
    }
}

#[test]
fn safe_and_idempotent() {
    fn check(verb: &str, safe: bool, idempotent: bool) {
        assert_eq!((method(verb).is_safe(), method(verb).is_idempotent()), (safe, idempotent), "{verb}");
    }
    check("GET", true, true);
    check("HEAD", true, true);
    check("OPTIONS", true, true);
    check("PUT", false, true);
    check("DELETE", false, true);
    check("POST", false, false);
    check("PATCH", false, false);
    check("PROPFIND", false, false);
}

#[test]
fn flags_for_a_security_person() {
    fn check(rule: &str, flags: &[&str]) {
        let found = rule.parse::<Rule>().unwrap().flags();
        assert_eq!(found.len(), flags.len(), "{rule}: {found:?}");
        for (found, flag) in found.iter().zip(flags) {
            assert!(found.contains(flag), "{rule}: {found}");
        }
    }
    check("GET https://api.example.com/v1/**", &[]);
    check("GET https://*.example.com/v1/**", &["wildcard host"]);
    check("GET https://*.github.io/v1/**", &["exfiltration channel"]);
    check("GET https://*.amazonaws.com/v1/**", &["exfiltration channel"]);
    check(
        "GET http://127.0.0.1:8080/**",
        &["is a loopback address; needs", "plain `http`", "port 8080", "every path"],
    );
    check("GET https://169.254.169.254/a", &["never dialled"]);
    check("GET https://8.8.8.8/a", &["is a public address"]);
}
