//! What a connection may do: a request passes only if one approved manifest rule and one operator rule both match.
//! Refuses manifest rules that can match one request and disagree, so that the order of rules never matters.
use crate::{Boundary, FromResponse, QueryRule, Rule, cover};
use std::{fmt::Display, time::Duration};

/// One `[[http]]` table of a manifest, one `allow` line each: over a literal rule, or as it was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRule<R = Rule> {
    /// Where it stands, for people: `http[0].allow[1]`.
    pub place: String,
    /// The rule.
    pub rule: R,
    /// What holds for requests that match.
    pub attributes: Attributes,
    /// The author's reason.
    pub why: String,
}

/// What holds for a request that matches. Overlapping rules must agree on all of it but `query`, which is a part of matching.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Slots from which the guest may name one; the only one is used where it names none; empty = no credential.
    pub credentials: Vec<String>,
    /// An unsafe method may be sent again with this.
    pub idempotency: Option<Idempotency>,
    /// A POST that only reads.
    pub safe: bool,
    /// What happens to a 3xx.
    pub redirect: Redirect,
    /// Headers of the denied list that this rule lets the guest set, lower case.
    pub guest_headers: Vec<String>,
    /// Names and values that a query may bring; none = any query.
    pub query: Option<QueryRule>,
}

impl Attributes {
    /// The first field in which two differ; the order of a list means nothing.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let differs = [
            ("credential", !same_set(&self.credentials, &other.credentials)),
            ("idempotency", self.idempotency != other.idempotency),
            ("safe", self.safe != other.safe),
            ("redirect", self.redirect != other.redirect),
            ("guest-headers", !same_set(&self.guest_headers, &other.guest_headers)),
        ];
        differs.into_iter().find_map(|(field, differs)| differs.then_some(field))
    }
}

fn same_set(a: &[String], b: &[String]) -> bool {
    a.iter().all(|item| b.contains(item)) && b.iter().all(|item| a.contains(item))
}

/// How a vendor recognises a repeated request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Header that carries the key.
    pub header: String,
    /// How long the vendor remembers it.
    pub window: Duration,
}

/// What happens to a 3xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Redirect {
    /// Goes to the guest.
    #[default]
    Guest,
    /// The host follows: each hop is a request of its own.
    Follow,
}

/// The operator's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorRules {
    /// `allow = "requested"`: all that the lock approved.
    Requested,
    /// A list of rules with their place in the config (`connections.billing.allow[0]`).
    Listed(Vec<(String, Rule)>),
}

/// Two rules that can match one request and disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{first} (`{first_rule}`) and {second} (`{second_rule}`) can match one request but differ in {field}"
)]
pub struct OverlapError {
    /// Place of the first rule.
    pub first: String,
    /// Text of the first rule.
    pub first_rule: String,
    /// Place of the second rule.
    pub second: String,
    /// Text of the second rule.
    pub second_rule: String,
    /// `credential`, `idempotency`, `safe`, `redirect` or `guest-headers`.
    pub field: &'static str,
}

/// Both sides, checked. Without a rule on either side nothing is allowed.
#[derive(Clone, Debug)]
pub struct Grants {
    manifest: Vec<ManifestRule>,
    from_response: Vec<FromResponse>,
    operator: OperatorRules,
    boundary: Boundary,
}

impl Grants {
    /// Refuses overlapping manifest rules that disagree.
    pub fn new(manifest: Vec<ManifestRule>, operator: OperatorRules) -> Result<Self, OverlapError> {
        check_overlaps(&manifest)?;
        Ok(Self { manifest, from_response: Vec::new(), operator, boundary: Boundary::default() })
    }

    /// The same with rules over URLs that answers name; refuses those that disagree with another one.
    pub fn with_from_response(self, from_response: Vec<FromResponse>) -> Result<Self, OverlapError> {
        check_overlaps(self.manifest.iter().chain(from_response.iter().map(|from| &from.rule)))?;
        Ok(Self { from_response, ..self })
    }

    /// The same within a boundary, which is asked for each request.
    #[must_use]
    pub fn within(self, boundary: Boundary) -> Self {
        Self { boundary, ..self }
    }

    /// The approved side.
    pub fn manifest_rules(&self) -> &[ManifestRule] {
        &self.manifest
    }

    /// The approved rules over URLs that answers name. None of them lets a request pass by itself.
    pub fn from_response(&self) -> &[FromResponse] {
        &self.from_response
    }

    pub(crate) fn boundary(&self) -> &Boundary {
        &self.boundary
    }

    /// The operator's side.
    pub fn operator_rules(&self) -> &OperatorRules {
        &self.operator
    }
}

/// Refuses manifest rules that can match one request and differ in what holds for it. `build` asks this before
/// there is any operator.
pub fn check_overlaps<'a, R: AsRef<Rule> + Display + 'a>(
    rules: impl IntoIterator<Item = &'a ManifestRule<R>>,
) -> Result<(), OverlapError> {
    let rules: Vec<_> = rules.into_iter().collect();
    for (index, first) in rules.iter().enumerate() {
        for second in &rules[index + 1..] {
            // The attributes are compared first: they are the cheaper question, and mostly equal.
            let Some(field) = first.attributes.difference(&second.attributes) else { continue };
            if cover::overlap(first.rule.as_ref(), second.rule.as_ref()) {
                return Err(OverlapError {
                    first: first.place.clone(),
                    first_rule: first.rule.to_string(),
                    second: second.place.clone(),
                    second_rule: second.rule.to_string(),
                    field,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn rule(text: &str, attributes: Attributes) -> ManifestRule {
        ManifestRule { place: text.to_owned(), rule: text.parse().unwrap(), attributes, why: String::new() }
    }

    #[test]
    fn overlapping_rules_must_agree() {
        fn check(other: &str, attributes: Attributes, field: Option<&str>) {
            let slots = |slots: &[&str]| slots.iter().map(|slot| (*slot).to_owned()).collect();
            let first = Attributes { credentials: slots(&["a", "b"]), ..Default::default() };
            let rules = vec![rule("GET https://a.test/v1/**", first), rule(other, attributes)];
            let found = Grants::new(rules, OperatorRules::Requested).err().map(|error| error.field);
            assert_eq!(found, field, "{other}");
        }
        let base = || Attributes { credentials: vec!["b".into(), "a".into()], ..Default::default() };
        let idempotency =
            Some(Idempotency { header: "Idempotency-Key".into(), window: Duration::from_secs(60) });
        check("GET https://a.test/v1/x", base(), None);
        check("GET https://a.test/v1/x", Attributes::default(), Some("credential"));
        check("GET https://a.test/v1/x", Attributes { safe: true, ..base() }, Some("safe"));
        check("GET https://a.test/v1/x", Attributes { idempotency, ..base() }, Some("idempotency"));
        let guest_headers = vec!["authorization".to_owned()];
        check("GET https://a.test/v1/x", Attributes { guest_headers, ..base() }, Some("guest-headers"));
        check("POST https://a.test/v1/x", Attributes::default(), None);
        check("GET https://a.test/v2/x", Attributes::default(), None);
        check("GET https://a.test:444/v1/x", Attributes::default(), None);
    }
}
