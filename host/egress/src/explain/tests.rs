//! What is explained is what happens: the same verdict, words and remedy as the pipeline's own, for whatever rules and requests.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    ConnectionSettings,
    testing::{Kit, request, slot},
};
use portcullis_grants::{AddressPolicy, Attributes, Grants, ManifestRule, OperatorRules, Rule};
use portcullis_secrets::Scheme;
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestRunner};

const RULES: &[&str] = &[
    "GET https://a.test/v1/things",
    "GET,POST https://a.test/v1/*",
    "POST https://a.test/v1/things/*+",
    "GET https://a.test:8443/**",
    "DELETE https://b.test/**",
    "GET,POST https://b.test/v1/things/",
    "GET https://127.0.0.1/**",
    "GET https://10.0.0.1/**",
    "GET https://[::1]/**",
    "GET http://127.0.0.1/**",
    "GET http://a.test/**",
];
/// For each rule a request that it matches.
const MATCHES: [(&str, &str); 11] = [
    ("GET", "https://a.test/v1/things?limit=1"),
    ("POST", "https://a.test/v1/things"),
    ("POST", "https://a.test/v1/things/a%2Fb"),
    ("GET", "https://a.test:8443/"),
    ("DELETE", "https://b.test/v1/things/7"),
    ("GET", "https://b.test/v1/things/"),
    ("GET", "https://127.0.0.1/x"),
    ("GET", "https://10.0.0.1/x"),
    ("GET", "https://[::1]/"),
    ("GET", "http://127.0.0.1/x/"),
    ("GET", "http://a.test/v1"),
];
const ORIGINS: &[&str] = &[
    "https://a.test",
    "https://a.test:8443",
    "https://A.test",
    "https://b.test",
    "http://a.test",
    "https://127.0.0.1",
    "http://127.0.0.1",
    "https://10.0.0.1",
    "https://[::1]",
    "https://2130706433",
    "https://user@a.test",
];
const PATHS: &[&str] = &[
    "/v1/things",
    "/v1/things/",
    "/v1/things/7",
    "/v1/things/a%2Fb",
    "/v1/../v1/things",
    "/v1/%2e%2e/things",
    "/v1//things",
    "/v1/things?limit=1",
    "/v1/things?api_key=x",
    "/v1/things?_method=DELETE",
    "/",
    "",
];

/// Rules as indexes into the list, each with or without a credential; rules that overlap have to agree, so that some are left out.
fn settings(kit: &Kit, asked: &[(usize, bool)], listed: &[usize]) -> ConnectionSettings {
    let operator = match listed {
        [] => OperatorRules::Requested,
        listed => {
            let rule = |index: &usize| (format!("allow[{index}]"), RULES[*index].parse::<Rule>().unwrap());
            OperatorRules::Listed(listed.iter().map(rule).collect())
        }
    };
    let mut rules: Vec<ManifestRule> = Vec::new();
    let mut grants = Grants::new(Vec::new(), operator.clone()).unwrap();
    for (number, (index, keyed)) in asked.iter().enumerate() {
        let rule = ManifestRule {
            place: format!("http[{number}].allow[0]"),
            rule: RULES[*index].parse().unwrap(),
            attributes: if *keyed { slot("key") } else { Attributes::default() },
            why: "test".to_owned(),
        };
        if let Ok(more) = Grants::new([rules.clone(), vec![rule.clone()]].concat(), operator.clone()) {
            (grants, rules) = (more, [rules, vec![rule]].concat());
        }
    }
    ConnectionSettings { grants, ..kit.connection_settings() }
}

/// Nothing listens where the names lead, so that an allowed request fails to connect, and a refused one does not get so far.
fn kit() -> Kit {
    let mut kit = Kit::seeded(&[]);
    let secret = kit.secret("key", crate::testing::SECRET);
    kit.bind("key", "vendor-live", Scheme::ApiKeyQuery { name: "api_key".to_owned(), secret }, None);
    kit.settings.requests_max = u64::MAX;
    let network = &mut kit.settings.network;
    network.addresses = AddressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]).unwrap();
    let to = |name: &str, from: u16, to: u16| ((name.to_owned(), from), ("127.0.0.1".to_owned(), to));
    network.connect_to =
        vec![to("a.test", 443, 1), to("a.test", 8443, 8443), to("b.test", 443, 1), to("a.test", 80, 1)];
    kit
}

#[test]
fn what_is_explained_is_what_happens() {
    let (methods, urls) =
        (select(&["GET", "POST", "DELETE", "TRACE", "get"][..]), (select(ORIGINS), select(PATHS)));
    let aimed = proptest::option::weighted(0.6, any::<prop::sample::Index>());
    let requests = vec((methods, urls, any::<bool>(), aimed), 100);
    // Lists that narrow are there in one set of rules of three, each: where both are, next to nothing is allowed.
    let narrowing = |most| {
        proptest::option::weighted(0.3, vec(0..RULES.len(), 1..most)).prop_map(Option::unwrap_or_default)
    };
    let rules = (vec((0..RULES.len(), any::<bool>()), 0..6), narrowing(4), narrowing(3));
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut counts = [0_u32; 2];
    // 100 sets of rules, 100 requests each.
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() });
    let counted = std::cell::RefCell::new(&mut counts);
    let outcome = runner.run(&(rules, requests), |((asked, listed, operation), requests)| {
        let kit = kit();
        let connection = kit.egress.connection(settings(&kit, &asked, &listed)).unwrap();
        let operation: Vec<Rule> = operation.iter().map(|index| RULES[*index].parse().unwrap()).collect();
        let operation = (!operation.is_empty()).then_some(operation);
        for (method, (origin, path), names_slot, aimed) in requests {
            // At one of the rules, or at anything.
            let (method, url) = match aimed.filter(|_| !asked.is_empty()) {
                Some(at) => (MATCHES[at.get(&asked).0].0, MATCHES[at.get(&asked).0].1.to_owned()),
                None => (method, format!("{origin}{path}")),
            };
            let slot = names_slot.then_some("key");
            let question =
                Question { method, url: &url, operation: operation.as_deref(), slot, look_up: true };
            let mut context = kit.context();
            context.operation_rules = operation.clone();
            context.call = counted.borrow().iter().sum::<u32>().to_string();
            let sent = crate::Request { credential: slot.map(str::to_owned), ..request(method, &url) };
            let (explained, outcome) = tokio.block_on(async {
                (connection.explain(question).await, connection.call(context).send(sent).await)
            });
            counted.borrow_mut()[usize::from(explained.is_ok())] += 1;
            match (explained, outcome) {
                (Err(said), Err(Error::Denied { denial, .. })) => prop_assert_eq!(said, *denial),
                // Or the breaker of an origin that others could not connect to either.
                (Ok(explained), Err(Error::Connect(_) | Error::RateLimited(_))) => {
                    prop_assert_eq!(explained.authorized.method().as_str(), method);
                    prop_assert_eq!(explained.addresses.len(), 1);
                }
                (explained, outcome) => prop_assert!(false, "{method} {url}: {explained:?} {outcome:?}"),
            }
        }
        Ok(())
    });
    outcome.unwrap();
    assert!(counts[0] > 1_000 && counts[1] > 300, "both verdicts come up: {counts:?}");
}

#[tokio::test]
async fn where_it_would_be_dialled_and_with_what() {
    let kit = kit();
    let connection = kit.egress.connection(settings(&kit, &[(0, true), (6, false)], &[])).unwrap();
    let ask = |url| Question { method: "GET", url, ..Question::default() };
    let mapped = connection.explain(ask("https://a.test/v1/things")).await.unwrap();
    assert_eq!((mapped.dialled, mapped.mapped), (("127.0.0.1".to_owned(), 1), true));
    assert_eq!(mapped.authorized.credential(), Some("key"));
    assert_eq!(mapped.authorized.operator_place(), "requested");
    let literal = connection.explain(ask("https://127.0.0.1/x")).await.unwrap();
    assert_eq!((literal.dialled, literal.mapped), (("127.0.0.1".to_owned(), 443), false));
    let long = format!("https://a.test/{}", "a".repeat(crate::limits::URL_BYTES_MAX));
    assert!(connection.explain(ask(&long)).await.unwrap_err().reason.starts_with("a URL of "));
}
