//! Places in every spelling, and which URLs pass by being named.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{Attributes, Boundary, DenialReason, OperatorRules};
use proptest::prelude::*;

const OF: &str = "POST https://api.test/v1/exports";

fn plain(text: &str, slots: &[&str]) -> ManifestRule {
    let credentials = slots.iter().map(|slot| (*slot).to_owned()).collect();
    ManifestRule {
        place: format!("plain {text}"),
        rule: text.parse().unwrap(),
        attributes: Attributes { credentials, ..Default::default() },
        why: String::new(),
    }
}

fn named(allow: &str, of: &str, at: &str) -> FromResponse {
    let rule = ManifestRule { place: format!("named {allow}"), ..plain(allow, &[]) };
    FromResponse { rule, of: of.parse().unwrap(), at: vec![at.parse().unwrap()] }
}

fn grants(named: Vec<FromResponse>) -> Grants {
    let grants = Grants::new(vec![plain(OF, &["key"])], OperatorRules::Requested).unwrap();
    grants.with_from_response(named).unwrap()
}

#[test]
fn places_have_one_spelling_and_a_name() {
    for (text, name) in [
        ("/url", "url"),
        ("/a/b~1c", "b/c"),
        ("/~0x/0", "~x"),
        ("/files/*/url", "url"),
        ("/urls/*", "urls"),
        ("/", ""),
        ("header:location", "location"),
    ] {
        let place = text.parse::<UrlPlace>();
        if name.is_empty() {
            assert_eq!(place, Err(UrlPlaceError::Nameless), "{text}");
            continue;
        }
        let place = place.unwrap();
        assert_eq!((place.to_string().as_str(), place.name()), (text, name));
    }
    assert_eq!("header:X-Upload-URL".parse::<UrlPlace>().unwrap().to_string(), "header:x-upload-url");
    for bad in ["", "url", "/a~", "/a~2", "/*", "/0/*", "header:", "header:a b", "/a\n", "#/a"] {
        assert!(bad.parse::<UrlPlace>().is_err(), "{bad}");
    }
    assert!("/a".repeat(URL_PLACE_STEPS_MAX).parse::<UrlPlace>().is_ok());
    assert!("/a".repeat(URL_PLACE_STEPS_MAX + 1).parse::<UrlPlace>().is_err());
    let longest = format!("/{}", "a".repeat(URL_PLACE_BYTES_MAX - 1));
    assert!(longest.parse::<UrlPlace>().is_ok());
    assert_eq!(format!("{longest}a").parse::<UrlPlace>(), Err(UrlPlaceError::TooLong));
}

#[test]
fn where_a_step_goes() {
    let name = |text: &str| Step::Name(text.to_owned());
    let taken = |step: Step| (step.takes_item(1), step.takes_item(0), step.takes_property("1"));
    assert_eq!(taken(Step::Each), (true, true, false));
    assert_eq!(taken(name("1")), (true, false, true));
    assert_eq!(taken(name("01")), (false, false, false));
    assert_eq!(taken(name("url")), (false, false, false));
}

#[test]
fn exactly_what_was_named_passes() {
    let grants = grants(vec![
        named("GET,HEAD https://*.files.test/**", OF, "/url"),
        named("PUT https://up.test/**", OF, "/upload"),
    ]);
    let mut run = NamedUrls::default();
    let url = "https://a.files.test/x/y?sig=1&b=2";
    let ask =
        |run: &NamedUrls, method: &str, url: &str| grants.in_run(run).authorize("c", method, url, None, None);
    assert!(matches!(ask(&run, "GET", url).unwrap_err().reason, DenialReason::Unnamed { over: false, .. }));
    assert_eq!(run.take(&grants, 0, "HTTPS://A.files.test:443/x/y?sig=1&b=2#top", None), Taken::Kept);
    let allowed = ask(&run, "GET", url).unwrap();
    assert!(allowed.is_named() && allowed.credential().is_none());
    assert_eq!(allowed.manifest_place(), "named GET,HEAD https://*.files.test/**");
    assert!(ask(&run, "HEAD", url).is_ok());
    for (method, url) in [
        ("POST", url),
        ("PUT", url),
        ("GET", "https://a.files.test/x/y?b=2&sig=1"),
        ("GET", "https://a.files.test/x/y"),
        ("GET", "https://a.files.test/x/y?sig=1&b=2&"),
        ("GET", "https://a.files.test/x/Y?sig=1&b=2"),
        ("GET", "https://b.files.test/x/y?sig=1&b=2"),
        ("GET", "https://a.files.test:8443/x/y?sig=1&b=2"),
    ] {
        assert!(ask(&run, method, url).is_err(), "{method} {url}");
    }
    // A run that no answer told, and a rule that it was not named for.
    assert!(ask(&NamedUrls::default(), "GET", url).is_err());
    assert_eq!(run.take(&grants, 1, "https://up.test/s?x", None), Taken::Kept);
    assert!(ask(&run, "PUT", "https://up.test/s?x").is_ok());
    assert_eq!(run.take(&grants, 0, "https://up.test/t?x", None), Taken::Foreign);
    assert!(ask(&run, "PUT", "https://up.test/t?x").is_err());
    // The guest names no credential, and no method hides in the query.
    assert!(grants.in_run(&run).authorize("c", "GET", url, None, Some("key")).is_err());
}

#[test]
fn a_url_passes_by_the_rule_it_was_named_for_alone() {
    let grants = grants(vec![
        named("GET https://files.test/**", OF, "/url"),
        named("PUT https://files.test/**", OF, "/upload"),
    ]);
    let url = "https://files.test/x?sig=1";
    for (rule, passes, other) in [(0, "GET", "PUT"), (1, "PUT", "GET")] {
        let mut run = NamedUrls::default();
        assert_eq!(run.take(&grants, rule, url, None), Taken::Kept);
        let ask = |method| grants.in_run(&run).authorize("c", method, url, None, None);
        assert!(ask(passes).is_ok(), "{passes}");
        assert!(matches!(ask(other).unwrap_err().reason, DenialReason::Unnamed { .. }), "{other}");
    }
}

#[test]
fn which_rules_read_an_answer() {
    let grants = grants(vec![
        named("GET https://a.test/**", "GET https://api.test/other", "/url"),
        named("GET https://b.test/**", OF, "/url"),
        named("PUT https://c.test/**", OF, "/upload"),
    ]);
    let (method, url) = OF.split_once(' ').unwrap();
    let request = grants.authorize("c", method, url, None, None).unwrap();
    let reading: Vec<_> =
        grants.reading(&request).map(|(number, from)| (number, from.rule.place.as_str())).collect();
    assert_eq!(reading, [(1, "named GET https://b.test/**"), (2, "named PUT https://c.test/**")]);
}

#[test]
fn what_is_no_url_of_the_rule_is_not_kept() {
    let grants = grants(vec![named("GET https://*.files.test/**", OF, "/url")]);
    let base = CanonicalUrl::parse("https://a.files.test/v1/exports").unwrap();
    let mut run = NamedUrls::default();
    for foreign in [
        "",
        "/x",
        "x",
        "//a.files.test/x",
        "https://evil.test/x",
        "https://a.files.test/%2e%2e/x",
        "http://a.files.test/x",
        "https://a.files.test\\x",
        "https://u:p@a.files.test/x",
        "https://files.test/x",
        " https://a.files.test/x",
        "https://a.files.test/x y",
    ] {
        assert_eq!(run.take(&grants, 0, foreign, None), Taken::Foreign, "{foreign}");
    }
    assert_eq!(run.take(&grants, 9, "https://a.files.test/x", None), Taken::Foreign);
    assert_eq!(run.take(&grants, 0, "/x?s=1", Some(&base)), Taken::Kept);
    assert!(grants.in_run(&run).authorize("c", "GET", "https://a.files.test/x?s=1", None, None).is_ok());
}

#[test]
fn the_first_ones_stay() {
    let grants = grants(vec![named("GET https://a.test/**", OF, "/url")]);
    let mut run = NamedUrls::default();
    let url = |n: usize| format!("https://a.test/f?n={n}");
    for n in 0..NAMED_URLS_MAX {
        assert_eq!(run.take(&grants, 0, &url(n), None), Taken::Kept);
    }
    assert_eq!(run.take(&grants, 0, &url(3), None), Taken::Kept, "again");
    assert_eq!(run.take(&grants, 0, &url(NAMED_URLS_MAX), None), Taken::OverBound);
    let ask = |n| grants.in_run(&run).authorize("c", "GET", &url(n), None, None);
    assert!((0..NAMED_URLS_MAX).all(|n| ask(n).is_ok()));
    let denial = ask(NAMED_URLS_MAX).unwrap_err();
    assert!(matches!(denial.reason, DenialReason::Unnamed { over: true, .. }), "{denial}");
    assert!(denial.to_string().contains("more than 64"), "{denial}");
    assert!(denial.remedy.unwrap().contains("at = [\"/url\"]"));
}

#[test]
fn it_narrows_and_is_bounded_as_every_rule() {
    let fetch = || vec![named("GET https://a.test/**", OF, "/url")];
    let check = |grants: &Grants, operation: Option<&str>, allowed: bool| {
        let mut run = NamedUrls::default();
        assert_eq!(run.take(grants, 0, "https://a.test/f?s", None), Taken::Kept);
        let operation = operation.map(|rule| vec![rule.parse().unwrap()]);
        let found =
            grants.in_run(&run).authorize("c", "GET", "https://a.test/f?s", operation.as_deref(), None);
        assert_eq!(found.is_ok(), allowed, "{found:?}");
    };
    check(&grants(fetch()), None, true);
    check(&grants(fetch()), Some("GET https://a.test/f"), true);
    check(&grants(fetch()), Some(OF), false);
    let boundary = |deny: &str| Boundary { allow: Vec::new(), deny: vec![deny.parse().unwrap()] };
    check(&grants(fetch()).within(boundary("GET https://*/**")), None, false);
    check(&grants(fetch()).within(boundary("PUT https://*/**")), None, true);
    for (listed, allowed) in [("GET https://a.test/**", true), (OF, false)] {
        let operator = OperatorRules::Listed(vec![("allow[0]".to_owned(), listed.parse().unwrap())]);
        let grants = Grants::new(vec![plain(OF, &["key"])], operator).unwrap();
        check(&grants.with_from_response(fetch()).unwrap(), None, allowed);
    }
}

#[test]
fn overlapping_rules_must_agree() {
    let over = |rule: ManifestRule| {
        let grants = Grants::new(vec![rule], OperatorRules::Requested).unwrap();
        let found = grants.with_from_response(vec![named("GET https://*.a.test/**", OF, "/url")]);
        found.err().map(|error| error.field)
    };
    assert_eq!(over(plain("GET https://x.a.test/v1/*", &["key"])), Some("credential"));
    assert_eq!(over(plain("GET https://x.a.test/v1/*", &[])), None);
    assert_eq!(over(plain("PUT https://x.a.test/v1/*", &["key"])), None);
}

proptest! {
    #[test]
    fn a_printed_place_reads_as_the_same(steps in proptest::collection::vec("[a-z~/*0-9 ]{0,6}", 1..6)) {
        let steps: Vec<_> = steps
            .into_iter()
            .map(|name| if name == "*" { Step::Each } else { Step::Name(name) })
            .collect();
        let place = UrlPlace::Pointer(steps);
        match place.to_string().parse::<UrlPlace>() {
            Ok(read) => prop_assert_eq!(read, place),
            Err(error) => prop_assert_eq!(error, UrlPlaceError::Nameless),
        }
    }

    #[test]
    fn what_was_not_named_never_passes(
        given in "https://a\\.test/[a-c]{0,2}(\\?[a-c=&]{0,3})?", asked in "https://a\\.test/[a-c]{0,2}(\\?[a-c=&]{0,3})?",
    ) {
        let grants = grants(vec![named("GET https://a.test/**", OF, "/url")]);
        let mut run = NamedUrls::default();
        run.take(&grants, 0, &given, None);
        let passes = grants.in_run(&run).authorize("c", "GET", &asked, None, None).is_ok();
        let same = |text: &str| CanonicalUrl::parse(text).map(|url| url.as_str().to_owned());
        prop_assert_eq!(passes, same(&given) == same(&asked));
    }
}
