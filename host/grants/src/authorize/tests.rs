//! Who may send what: both sides, the operation, the credential, and what a denial says.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::QueryRule;
use proptest::prelude::*;

fn manifest(rules: &[(&str, &[&str])]) -> Vec<ManifestRule> {
    let rule = |(index, (text, slots)): (usize, &(&str, &[&str]))| ManifestRule {
        place: format!("http[{index}].allow[0]"),
        rule: text.parse().unwrap(),
        attributes: Attributes {
            credentials: slots.iter().map(|slot| (*slot).to_owned()).collect(),
            ..Attributes::default()
        },
        why: "because".to_owned(),
    };
    rules.iter().enumerate().map(rule).collect()
}

fn rules(texts: &[&str]) -> Vec<Rule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn listed(texts: &[&str]) -> OperatorRules {
    let place = |index| format!("connections.billing.allow[{index}]");
    OperatorRules::Listed(
        rules(texts).into_iter().enumerate().map(|(index, rule)| (place(index), rule)).collect(),
    )
}

fn stripe(operator: OperatorRules) -> Grants {
    let rules: &[(&str, &[&str])] = &[
        ("GET https://api.stripe.com/v1/customers/**", &["secret-key"]),
        ("POST https://api.stripe.com/v1/customers", &["secret-key"]),
        ("GET https://files.stripe.com/v1/**", &["a", "b"]),
        ("GET https://status.stripe.com/", &[]),
    ];
    Grants::new(manifest(rules), operator).unwrap()
}

#[test]
fn without_words_the_decision_is_the_same() {
    let grants = stripe(listed(&["GET https://api.stripe.com/**", "GET https://files.stripe.com/**"]));
    let narrowed = rules(&["GET https://api.stripe.com/v1/customers/cus_1"]);
    let mut allowed = 0;
    for method in ["GET", "POST", "DELETE", "TRACE"] {
        for url in [
            "https://api.stripe.com/v1/customers/cus_1?a=b",
            "https://api.stripe.com/v1/customers/cus_2",
            "https://api.stripe.com/v1/customers/cus_1?_method=DELETE",
            "https://api.stripe.com/v1/customers/%2e%2e/x",
            "https://files.stripe.com/v1/x",
            "https://evil.test/",
            "nonsense",
        ] {
            for operation in [None, Some(narrowed.as_slice())] {
                let told = grants.authorize("billing", method, url, operation, None);
                let terse = grants.authorize_tersely(method, url, operation, None);
                assert_eq!(told.is_ok(), terse.is_ok(), "{method} {url}: {told:?} {terse:?}");
                assert!(terse.as_ref().err().is_none_or(|denial| denial.remedy.is_none()), "{terse:?}");
                assert!(
                    terse.is_ok()
                        || terse.unwrap_err().to_string().len()
                            <= told.as_ref().unwrap_err().to_string().len()
                );
                allowed += usize::from(told.is_ok());
            }
        }
    }
    assert_eq!(allowed, 3);
}

#[test]
fn one_rule_of_each_side_must_match() {
    fn check(operator: OperatorRules, request: &str, places: Option<(&str, &str)>) {
        let (method, url) = request.split_once(' ').unwrap();
        let found = stripe(operator).authorize("billing", method, url, None, None);
        let found_places = found.as_ref().ok().map(|r| (r.manifest_place(), r.operator_place()));
        assert_eq!(found_places, places, "{request}: {found:?}");
    }
    let get = "GET https://api.stripe.com/v1/customers/cus_1?expand=x";
    let post = "POST https://api.stripe.com/v1/customers";
    check(OperatorRules::Requested, get, Some(("http[0].allow[0]", "requested")));
    check(OperatorRules::Requested, post, Some(("http[1].allow[0]", "requested")));
    check(OperatorRules::Requested, "DELETE https://api.stripe.com/v1/customers/cus_1", None);
    check(
        listed(&["GET https://api.stripe.com/**"]),
        get,
        Some(("http[0].allow[0]", "connections.billing.allow[0]")),
    );
    check(listed(&["GET https://api.stripe.com/**"]), post, None);
    check(
        listed(&["DELETE https://api.stripe.com/**"]),
        "DELETE https://api.stripe.com/v1/customers/1",
        None,
    );
    check(listed(&[]), get, None);
}

#[test]
fn no_rule_allows_nothing() {
    let empty = Grants::new(vec![], OperatorRules::Requested).unwrap();
    assert!(empty.authorize("c", "GET", "https://a.test/", None, None).is_err());
    let empty = Grants::new(vec![], listed(&["GET https://a.test/**"])).unwrap();
    assert!(empty.authorize("c", "GET", "https://a.test/", None, None).is_err());
}

#[test]
fn an_operation_narrows() {
    fn check(operation: &[&str], allowed: bool) {
        let found = stripe(OperatorRules::Requested).authorize(
            "billing",
            "GET",
            "https://api.stripe.com/v1/customers/cus_1",
            Some(&rules(operation)),
            None,
        );
        assert_eq!(found.is_ok(), allowed, "{operation:?}");
        if let Err(denial) = found {
            assert!(matches!(denial.reason, DenialReason::Operation(_)));
            assert!(
                denial.remedy.unwrap().contains("http = [\"GET https://api.stripe.com/v1/customers/cus_1\"]")
            );
        }
    }
    check(&["GET https://api.stripe.com/v1/customers/*"], true);
    check(&["POST https://api.stripe.com/v1/customers", "GET https://api.stripe.com/**"], true);
    check(&["POST https://api.stripe.com/v1/customers"], false);
    check(&[], false);
}

#[test]
fn which_credential() {
    fn check(url: &str, named: Option<&str>, slot: Result<Option<&str>, &str>) {
        let found = stripe(OperatorRules::Requested).authorize("billing", "GET", url, None, named);
        match (found, slot) {
            (Ok(request), Ok(slot)) => assert_eq!(request.credential(), slot, "{url}"),
            (Err(denial), Err(text)) => {
                assert!(denial.to_string().contains(text), "{url}: {denial}");
                assert_eq!(denial.remedy, None);
            }
            (found, _) => panic!("{url}: {found:?}"),
        }
    }
    let (one, several, none) = (
        "https://api.stripe.com/v1/customers",
        "https://files.stripe.com/v1/x",
        "https://status.stripe.com/",
    );
    check(one, None, Ok(Some("secret-key")));
    check(one, Some("secret-key"), Ok(Some("secret-key")));
    check(one, Some("other"), Err("named the credential `other`, but the rule has `secret-key`"));
    check(several, None, Err("must name one of the credentials `a`, `b`"));
    check(several, Some("b"), Ok(Some("b")));
    check(several, Some("c"), Err("but the rule has `a`, `b`"));
    check(none, None, Ok(None));
    check(none, Some("a"), Err("but the rule has none"));
}

#[test]
fn what_is_refused_before_any_rule_has_no_remedy() {
    fn check(request: &str, error: &str) {
        let (method, url) = request.split_once(' ').unwrap();
        let rules: &[(&str, &[&str])] = &[("GET,POST https://a.test/**", &[])];
        let grants = Grants::new(manifest(rules), OperatorRules::Requested).unwrap();
        let denial = grants.authorize("c", method, url, None, None).unwrap_err();
        assert!(denial.to_string().contains(error), "{request}: {denial}");
        assert_eq!(denial.remedy, None, "{request}");
    }
    check("get https://a.test/", "method `get` is never sent");
    check("TRACE https://a.test/", "method `TRACE` is never sent");
    check("CONNECT https://a.test/", "never sent");
    check("GET /x", "refused URL");
    check("GET https://u:p@a.test/", "refused URL");
    check("GET https://a.test/x/../y", "refused URL");
    check("GET https://a.test/..%2fadmin", "dot segment");
    check("GET https://a.test/a//b", "empty segment");
    check("GET https://a.test/a;b", "`;`");
    check("GET https://a.test/a%5cb", "backslash");
    for name in ["_method", "_METHOD", "%5fmethod", "_HttpMethod", "$httpMethod", "%24httpMethod", ".method"]
    {
        check(&format!("POST https://a.test/x?{name}=DELETE"), "refused query name");
        check(&format!("POST https://a.test/x?a=b&{name}"), "refused query name");
        check(&format!("POST https://a.test/x?a=b;{name}=DELETE"), "refused query name");
    }
    check("POST https://a.test/x?+_method=DELETE", "refused query name");
    check("POST https://a.test/x?_method%00x=DELETE", "refused query name");
    check("POST https://a.test/x?-method=DELETE", "refused query name");
    check("POST https://a.test/x?_method%20=DELETE", "refused query name");
    check("POST https://a.test/x?%20method=DELETE", "refused query name");
    check("POST https://a.test/x?_method[]=DELETE", "refused query name");
}

#[test]
fn a_query_value_is_not_a_name() {
    let rules: &[(&str, &[&str])] = &[("GET https://a.test/**", &[])];
    let grants = Grants::new(manifest(rules), OperatorRules::Requested).unwrap();
    for query in ["x=_method", "method=a", "a_method=b", "_methods=1", "$filter=x"] {
        grants.authorize("c", "GET", &format!("https://a.test/?{query}"), None, None).unwrap();
    }
}

#[test]
fn a_denial_says_what_to_paste() {
    fn check(operator: OperatorRules, request: &str, reason: &str, remedy: &str) {
        let (method, url) = request.split_once(' ').unwrap();
        let denial = stripe(operator).authorize("billing", method, url, None, None).unwrap_err();
        assert_eq!(denial.to_string(), reason);
        assert_eq!(denial.remedy.as_deref(), Some(remedy));
    }
    check(
        OperatorRules::Requested,
        "DELETE https://api.stripe.com/v1/customers/cus_1?reason=personal",
        "no approved manifest rule allows `DELETE https://api.stripe.com/v1/customers/cus_1`; nearest: \
         `GET https://api.stripe.com/v1/customers/**` at http[0].allow[0] (method: rule has `GET`, request `DELETE`)",
        "# connector.toml, for the connector's author; then `portcullis build` and `portcullis approve`\n\
         [[http]]\nallow = [\"DELETE https://api.stripe.com/v1/customers/cus_1\"]\nwhy = \"…\"\n",
    );
    check(
        listed(&["GET https://api.stripe.com/**"]),
        "POST https://api.stripe.com/v1/customers",
        "no operator rule allows `POST https://api.stripe.com/v1/customers`; nearest: \
         `GET https://api.stripe.com/**` at connections.billing.allow[0] (method: rule has `GET`, request `POST`)",
        "# portcullis.toml\n[connections.billing]\nallow = [\n  \"GET https://api.stripe.com/**\",\n  \
         \"POST https://api.stripe.com/v1/customers\",\n]\n",
    );
    check(
        listed(&[]),
        "POST https://api.stripe.com/v1/customers",
        "no operator rule allows `POST https://api.stripe.com/v1/customers`",
        "# portcullis.toml\n[connections.billing]\nallow = [\n  \"POST https://api.stripe.com/v1/customers\",\n]\n",
    );
    // A rule for it can be written, and would not let it out.
    let plain = |url: &str| {
        let denial = stripe(listed(&[])).authorize("billing", "GET", url, None, None).unwrap_err();
        denial.remedy.unwrap().contains("\n# plain `http` reaches loopback alone")
    };
    assert!(plain("http://api.stripe.com/v1/customers") && plain("http://notlocalhost/"));
    for url in ["https://api.stripe.com/v1", "http://127.0.0.1/", "http://[::1]/", "http://localhost/"] {
        assert!(!plain(url), "{url}");
    }
}

proptest! {
    /// Whatever reaches the rules gets a suggestion, and what it suggests lets exactly that request pass.
    #[test]
    fn a_suggested_rule_allows_the_request(
        method in "(GET|POST|DELETE|M-SEARCH)",
        origin in "(https://a\\.test|http://127\\.0\\.0\\.1:8080|https://\\[fd00::1\\]:8443|https://a-b\\.c_d\\.test)",
        path in "(/([a-z*+.~!$&'(),=:@%-]|%20|%2F|%C3%A4|%25){1,4}){0,4}/?",
    ) {
        let grants = Grants::new(vec![], OperatorRules::Requested).unwrap();
        let url = format!("{origin}{path}");
        let denial = grants.authorize("c", &method, &url, None, None).unwrap_err();
        if let DenialReason::Manifest { .. } = denial.reason {
            let remedy = denial.remedy.expect("a suggestion");
            let text = remedy.split('"').nth(1).unwrap();
            let rules: &[(&str, &[&str])] = &[(text, &[])];
            let grants = Grants::new(manifest(rules), OperatorRules::Requested).unwrap();
            prop_assert!(grants.authorize("c", &method, &url, None, None).is_ok(), "{text} {url}");
        } else {
            prop_assert_eq!(denial.remedy, None);
        }
    }

    /// Who writes the same bytes in another way is answered in the same way, and what goes out are those bytes.
    #[test]
    fn every_spelling_of_the_same_bytes_is_decided_alike(
        method in "(GET|POST|DELETE|get|TRACE)",
        scheme in "(https|http)",
        host in "(api|files|status|evil)\\.(stripe\\.com|v\\.test)|127\\.0\\.0\\.1|\\[fd00::1\\]|a_b\\.test|xn--fa-hia\\.de",
        path in "(/(v1|customers|cus_1|%2e%2e|a%2Fb|%C3%A4|x;y|\\.|\\*|\\$batch|a:b|)){0,4}/?(\\?((a|_method|limit|%5Fmethod)=(b|%20|1+1)&?){0,2})?",
        cased in prop::collection::vec(any::<bool>(), 24),
        fragment in "(|#|#a|#/\\?@x)",
        says_port in any::<bool>(),
    ) {
        let port = if scheme == "https" { 443 } else { 80 };
        let plain = format!("{scheme}://{host}{path}");
        let origin: String = format!("{scheme}://{host}")
            .chars()
            .zip(cased.iter().cycle())
            .map(|(c, upper)| if *upper { c.to_ascii_uppercase() } else { c })
            .collect();
        let port = if says_port { format!(":{port}") } else { String::new() };
        let spelled = format!("{origin}{port}{path}{fragment}");
        let mut listed = manifest(&[("GET,POST https://api.stripe.com/v1/**", &["key"]), ("GET https://*.v.test/*+/**", &[]), ("GET http://127.0.0.1/**", &[])]);
        listed[1].attributes.query = Some(crate::QueryRule::new([("a".to_owned(), "*".parse().unwrap())]).unwrap());
        let grants = Grants::new(listed, OperatorRules::Requested).unwrap();
        let (one, other) = (
            grants.authorize("c", &method, &plain, None, None),
            grants.authorize("c", &method, &spelled, None, None),
        );
        match (one, other) {
            (Ok(one), Ok(other)) => {
                prop_assert_eq!(one.url().as_str(), other.url().as_str());
                prop_assert_eq!(one.manifest_place(), other.manifest_place());
                prop_assert_eq!(one.credential(), other.credential());
                // As it was written: the root alone gains its slash.
                let rooted = plain.replacen(&host, &[&*host, "/"].concat(), 1);
                prop_assert!([plain, rooted].iter().any(|text| text == one.url().as_str()));
            }
            (Err(one), Err(other)) => {
                prop_assert_eq!(one.to_string(), other.to_string());
                prop_assert_eq!(one.remedy, other.remedy);
            }
            (one, other) => prop_assert!(false, "{plain}: {one:?}, but {spelled}: {other:?}"),
        }
    }

    #[test]
    fn nothing_makes_it_panic(method in "\\PC{0,8}", url in "(https?://)?\\PC{0,60}", slot in "\\PC{0,4}") {
        let _ = stripe(OperatorRules::Requested).authorize("c", &method, &url, None, Some(&slot));
        let _ = format!("{method} {url}").parse::<Rule>();
        let _ = url.parse::<Rule>();
    }
}

#[test]
fn a_boundary_is_asked_for_each_request() {
    fn check(allow: &[&str], deny: &[&str], request: &str, refused: Option<&str>) {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let boundary = crate::Boundary { allow: rules(allow), deny: rules(deny) };
        let manifest = ["GET,DELETE https://a.test/**"].map(|text| crate::ManifestRule {
            place: "http[0].allow[0]".to_owned(),
            rule: text.parse().unwrap(),
            attributes: Default::default(),
            why: String::new(),
        });
        let grants = Grants::new(manifest.to_vec(), OperatorRules::Requested).unwrap().within(boundary);
        let (method, url) = request.split_once(' ').unwrap();
        let decided = grants.authorize("c", method, url, None, None);
        let place = decided.err().map(|denial| match denial.reason {
            DenialReason::Boundary { place, .. } => place,
            other => panic!("{other}"),
        });
        assert_eq!(place.as_deref(), refused, "{request}");
    }
    check(&[], &[], "DELETE https://a.test/x", None);
    check(&[], &["DELETE https://*/**"], "DELETE https://a.test/x", Some("boundary.deny[0]"));
    check(&[], &["DELETE https://*/**"], "GET https://a.test/x", None);
    for spelt in ["/v1/%61dmin", "/v1/ADMIN", "/v1/admin/", "/v1/%2561dmin"] {
        let request = format!("GET https://a.test{spelt}");
        check(&[], &["GET https://a.test/v1/admin"], &request, Some("boundary.deny[0]"));
        check(&[], &["GET https://*/v1/*"], &request, Some("boundary.deny[0]"));
    }
    check(&[], &["GET https://a.test/v1/admin"], "GET https://a.test/v1/administrators", None);
    check(&["GET https://*/v1/**"], &[], "GET https://a.test/v1/x", None);
    check(&["GET https://*/v1/**"], &[], "GET https://a.test/v2/x", Some("boundary.allow"));
}

/// A character as somebody may write it: itself, in the other case, encoded, encoded twice.
fn spelt(character: char, how: u8) -> String {
    let encoded = format!("%{:02x}", character as u32);
    match how % 5 {
        0 => character.to_string(),
        1 => character.to_ascii_uppercase().to_string(),
        2 => encoded,
        3 => encoded.to_ascii_uppercase(),
        _ => encoded.replace('%', "%25"),
    }
}

proptest! {
    /// However a denied path is written, no request and no rule with it passes; what the boundary does not name does.
    #[test]
    fn what_is_denied_has_no_other_spelling(
        path in "(/[a-z0-9_]{1,4}){1,3}",
        how in prop::collection::vec(any::<u8>(), 24),
        slashes in any::<bool>(),
    ) {
        let mut hows = how.iter().cycle();
        let mut respelt = String::new();
        for (at, character) in path.chars().enumerate() {
            match character {
                '/' if slashes && at > 0 => respelt.push_str("%2F"),
                '/' => respelt.push('/'),
                other => respelt.push_str(&spelt(other, *hows.next().unwrap())),
            }
        }
        let boundary = |deny: &str| crate::Boundary { allow: Vec::new(), deny: vec![deny.parse().unwrap()] };
        let deny = format!("GET https://a.test{path}");
        let wide = crate::ManifestRule {
            place: "http[0].allow[0]".to_owned(),
            rule: format!("GET https://a.test/{}", vec!["*+"; if slashes { 1 } else { path.matches('/').count() }].join("/")).parse().unwrap(),
            attributes: Default::default(),
            why: String::new(),
        };
        let of = |deny: &str| Grants::new(vec![wide.clone()], OperatorRules::Requested).unwrap().within(boundary(deny));
        let url = format!("https://a.test{respelt}");
        prop_assert!(of("GET https://other.test/**").authorize("c", "GET", &url, None, None).is_ok(), "{url}");
        let denied = of(&deny).authorize("c", "GET", &url, None, None).unwrap_err();
        prop_assert!(matches!(denied.reason, DenialReason::Boundary { .. }), "{url}: {denied}");
        prop_assert!(of(&format!("{deny}x")).authorize("c", "GET", &url, None, None).is_ok(), "{url}");
        prop_assert!(boundary(&deny).excludes(&wide.rule).is_some());
        if !slashes {
            let rule: Rule = format!("GET https://a.test{respelt}").parse().unwrap();
            prop_assert!(boundary(&deny).excludes(&rule).is_some(), "{rule}");
        }
    }
}

#[test]
fn a_query_that_is_not_listed_is_refused_and_named() {
    let mut rules =
        manifest(&[("GET https://a.test/v1/**", &["key"]), ("GET https://a.test/v1/open", &["key"])]);
    let pairs = [("limit".to_owned(), "*".parse().unwrap())];
    rules[0].attributes.query = Some(crate::QueryRule::new(pairs).unwrap());
    let grants = Grants::new(rules, OperatorRules::Requested).unwrap();
    let why =
        |url: &str| grants.authorize("c", "GET", url, None, None).err().map(|denial| denial.to_string());
    assert_eq!(why("https://a.test/v1/x?limit=2"), None);
    assert_eq!(why("https://a.test/v1/x"), None);
    let refused = why("https://a.test/v1/x?limit=2&admin=1").unwrap();
    assert_eq!(refused, "http[0].allow[0] matches but for its `query`: the query name `admin` is not listed");
    // Another rule that matches lets it pass.
    assert_eq!(why("https://a.test/v1/open?admin=1"), None);
    assert!(why("https://a.test/v2/x?limit=1").unwrap().contains("no approved manifest rule"));
}

#[test]
fn what_is_authorized_tells_its_rule_and_what_holds_for_it() {
    let mut rules =
        manifest(&[("GET,POST https://a.test/read", &["key"]), ("GET,POST https://a.test/write", &["key"])]);
    rules[0].attributes.safe = true;
    let grants = Grants::new(rules, OperatorRules::Requested).unwrap();
    for (method, path, safe) in [("POST", "read", true), ("GET", "write", true), ("POST", "write", false)] {
        let url = format!("https://a.test/{path}");
        let request = grants.authorize("c", method, &url, None, None).unwrap();
        assert_eq!(request.manifest_rule(), format!("GET,POST {url}"));
        assert_eq!(request.attributes().credentials, ["key"]);
        assert_eq!((request.is_safe(), request.is_named()), (safe, false), "{method} {path}");
    }
}

/// What the authors' page shows, line by line.
#[test]
fn rules_by_example() {
    let (mut kind, mut seen) = ("", [0; 3]);
    for line in include_str!("../../../../docs/authors/rules.md").lines() {
        let cells: Vec<&str> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        match cells.as_slice() {
            ["---", ..] => {}
            [first, ..] if ["rule", "no rule", "you want"].contains(first) => {
                kind = if line.contains("| query |") { "query" } else { first }
            }
            _ if !line.starts_with('|') => {}
            [rule, request, verdict] if kind == "rule" => {
                assert_eq!(passes(rule, None, request), *verdict == "passes", "{line}");
                seen[0] += 1;
            }
            [rule, query, request, verdict] if kind == "query" => {
                let pairs = query.trim_matches(['{', '}', ' ']).split(", ").filter(|pair| !pair.is_empty());
                let pair = |pair: &str| {
                    let (name, value) = pair.split_once(" = ").unwrap();
                    (name.to_owned(), value.trim_matches('"').parse().unwrap())
                };
                let query = QueryRule::new(pairs.map(pair)).unwrap();
                assert_eq!(passes(rule, Some(query), request), *verdict == "passes", "{line}");
                seen[1] += 1;
            }
            [rule, _] if kind == "no rule" => {
                assert!(rule.parse::<Rule>().is_err(), "{line}");
                seen[2] += 1;
            }
            _ => {}
        }
    }
    assert!(seen[0] > 25 && seen[1] > 5 && seen[2] > 8, "{seen:?}");
}

fn passes(rule: &str, query: Option<QueryRule>, request: &str) -> bool {
    let mut rules = manifest(&[(rule, &[])]);
    rules[0].attributes.query = query;
    let (method, url) = request.split_once(' ').unwrap();
    Grants::new(rules, OperatorRules::Requested)
        .unwrap()
        .authorize("billing", method, url, None, None)
        .is_ok()
}
