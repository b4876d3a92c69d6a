//! The nearest rule, and what misses, in words for the operator. Never for the guest, who must not learn from it.

use crate::{CanonicalUrl, Method, Rule, path::RequestPath};

/// The rule that misses in the fewest fields, with its place and what misses.
pub fn nearest<'a>(
    rules: impl IntoIterator<Item = (&'a str, &'a Rule)>,
    method: &Method,
    url: &CanonicalUrl,
) -> Option<String> {
    let path = RequestPath::read(url.path()).ok()?;
    let mut best: Option<(Score, &str, &Rule, Vec<String>)> = None;
    for (place, rule) in rules {
        let (score, misses) = compare(rule, method, url, &path);
        // The first of equals wins, so that the answer is the same every time.
        if best.as_ref().is_none_or(|(found, ..)| score > *found) {
            best = Some((score, place, rule, misses));
        }
    }
    best.map(|(_, place, rule, misses)| format!("`{rule}` at {place} ({})", misses.join("; ")))
}

/// Fields that match, then segments of the path that match.
type Score = (usize, usize);

fn compare(rule: &Rule, method: &Method, url: &CanonicalUrl, path: &RequestPath<'_>) -> (Score, Vec<String>) {
    let mut misses = Vec::new();
    if !rule.has_method(method) {
        let methods: Vec<&str> = rule.methods().iter().map(Method::as_str).collect();
        misses.push(format!("method: rule has `{}`, request `{method}`", methods.join(",")));
    }
    if !rule.has_scheme(url) {
        misses.push(format!("scheme: rule has `{}`, request `{}`", rule.scheme(), url.scheme()));
    }
    if !rule.host_pattern().matches(url.host_ref()) {
        misses.push(format!("host: rule has `{}`, request `{}`", rule.host_pattern(), url.host_ref()));
    }
    if rule.port() != url.port() {
        misses.push(format!("port: rule has {}, request {}", rule.port(), url.port()));
    }
    let (segments, words) = rule.path().miss(path);
    misses.extend(words.map(|words| format!("path: {words}")));
    ((FIELDS - misses.len(), segments), misses)
}

/// Method, scheme, host, port, path.
const FIELDS: usize = 5;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_the_nearest_rule_and_what_misses() {
        fn check(request: &str, rules: &[&str], expected: Option<&str>) {
            let (method, url) = request.split_once(' ').unwrap();
            let rules: Vec<Rule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
            let found = nearest(
                rules.iter().map(|rule| ("allow[0]", rule)),
                &Method::parse(method).unwrap(),
                &CanonicalUrl::parse(url).unwrap(),
            );
            assert_eq!(found.as_deref(), expected);
        }
        let rules = ["GET https://a.test/v1/customers", "GET https://b.test/v1/charges"];
        check("POST https://a.test/v1/customers", &[], None);
        check(
            "POST https://a.test/v1/customers",
            &rules,
            Some("`GET https://a.test/v1/customers` at allow[0] (method: rule has `GET`, request `POST`)"),
        );
        check(
            "GET https://a.test/v1/charges",
            &rules[..1],
            Some(
                "`GET https://a.test/v1/customers` at allow[0] (path: segment 2 is `customers` in the rule, `charges` in the request)",
            ),
        );
        check(
            "GET http://b.test:81/v1/charges",
            &rules,
            Some(
                "`GET https://b.test/v1/charges` at allow[0] (scheme: rule has `https`, request `http`; port: rule has 443, request 81)",
            ),
        );
        // Of equals the first.
        check(
            "POST https://a.test/v1/customers",
            &[rules[0], "PUT https://a.test/v1/customers"],
            Some("`GET https://a.test/v1/customers` at allow[0] (method: rule has `GET`, request `POST`)"),
        );
        // Three fields that miss are nearer than four, however much of the path fits.
        check(
            "GET https://b.test/v1/x",
            &["POST http://a.test/v1/x", "POST https://a.test/v1/y"],
            Some(
                "`POST https://a.test/v1/y` at allow[0] (method: rule has `POST`, request `GET`; \
                 host: rule has `a.test`, request `b.test`; path: segment 2 is `y` in the rule, `x` in the request)",
            ),
        );
    }
}
