//! `from-response` as an author writes it, and each text that is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use crate::{
    Connector,
    connector::tests::{STRIPE, faults_of, folder},
};

#[test]
fn urls_that_answers_name_are_a_rule_of_their_own() {
    let of = "POST https://api.stripe.com/v1/customers";
    let table = |inner: &str, more: &str| {
        format!("{STRIPE}\n[[http]]\nfrom-response = {{ {inner} }}\nwhy = \"fetch exports\"\n{more}\n")
    };
    let good = format!(
        "allow = \"GET https://*.acme.test/**\", of = \"{of}\", at = [\"/files/*/url\", \"header:location\"]"
    );
    let folder = folder(&table(&good, ""));
    let connector = Connector::read_folder(folder.path()).unwrap();
    let from = &connector.from_response[0];
    assert_eq!((from.of.to_string().as_str(), from.at.len()), (of, 2));
    assert!(from.rule.place.ends_with("].from-response"), "{}", from.rule.place);
    assert_eq!(Connector::from_json(&connector.to_json()).unwrap(), connector);
    let told = |inner: &str, more: &str, what: &str| {
        let found = faults_of(&table(inner, more));
        assert!(found.iter().any(|fault| fault.contains(what)), "{inner} {more}: {found:?}");
    };
    told(&good, "credential = \"secret-key\"", "without a credential");
    told(&good, "query = {}", "goes out with the query that it has there");
    told(&good, "allow = [\"GET https://acme.test/\"]", "`allow` stands beside `from-response`");
    told(&good.replace("v1/customers", "v1/charges"), "", "no single `[[http]]` rule covers");
    told(&good.replace("/files/*/url", "header:location"), "", "each once");
    told(&good.replace("/files/*/url", "/*"), "", "names no property");
    told(
        &good.replace("GET https://*.acme.test/**", "GET https://api.stripe.com/v1/customers/*"),
        "",
        "can match one request but differ in credential",
    );
    told("", "", "`at` is missing");
    told(&format!("{good}, of-all = 1"), "", "of-all");
}
