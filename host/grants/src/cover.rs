//! Compares rules: overlap and cover, and what a boundary denies. The first two are exact for this rule language, since every field of a rule is a set
//! of its own and a request is matched field by field. Of what holds for a request (`Attributes`) a difference counts as
//! more wherever it can't be shown to be less.
use crate::{Attributes, FromResponse, ManifestRule, Method, Rule, path::Reading};

/// Whether some request matches both.
pub fn overlap(a: &Rule, b: &Rule) -> bool {
    a.methods().iter().any(|method| b.has_method(method))
        && a.scheme() == b.scheme()
        && a.port() == b.port()
        && a.host_pattern().overlaps(b.host_pattern())
        && a.path().overlaps(b.path())
}

/// Whether some request that matches `rule` may be taken by its server for one that `denied` means, a rule of a boundary.
pub(crate) fn denies(denied: &Rule, rule: &Rule) -> bool {
    rule.methods().iter().any(|method| denied.has_method(method))
        && denies_origin(denied, rule.scheme(), rule.port())
        && denied.host_pattern().overlaps(rule.host_pattern())
        && Reading::of_pattern(denied.path()).meets(&Reading::of_pattern(rule.path()))
}

/// A host without a port is that host on any port.
pub(crate) fn denies_origin(denied: &Rule, scheme: &str, port: u16) -> bool {
    denied.scheme() == scheme && (denied.port() == port || denied.has_default_port())
}

/// Whether every request that `inner` allows `outer` allows too; what can't be shown is false.
pub fn cover(outer: &Rule, inner: &Rule) -> bool {
    covered_fields(outer, inner).iter().all(|(_, covered)| *covered)
}

/// Whether `outer` reaches every scheme, host and port that `inner` reaches, whatever the methods and paths.
pub fn covers_origin(outer: &Rule, inner: &Rule) -> bool {
    let of_path = |field| matches!(field, Field::Method | Field::Path);
    covered_fields(outer, inner).iter().all(|(field, covered)| *covered || of_path(*field))
}

/// A field of a rule, or of what holds for the requests that match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Methods.
    Method,
    /// `http` or `https`.
    Scheme,
    /// Host.
    Host,
    /// Port.
    Port,
    /// Path.
    Path,
    /// `query`
    Query,
    /// `credential`
    Credential,
    /// `idempotency`
    Idempotency,
    /// `safe`
    Safe,
    /// `redirect`
    Redirect,
    /// `guest-headers`
    GuestHeaders,
    /// `of` of a `from-response`.
    Of,
    /// `at` of a `from-response`.
    At,
}

impl Field {
    /// Its name in a manifest, or that of the part of a rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Scheme => "scheme",
            Self::Host => "host",
            Self::Port => "port",
            Self::Path => "path",
            Self::Query => "query",
            Self::Credential => "credential",
            Self::Idempotency => "idempotency",
            Self::Safe => "safe",
            Self::Redirect => "redirect",
            Self::GuestHeaders => "guest-headers",
            Self::Of => "of",
            Self::At => "at",
        }
    }
}

/// The fields in which `inner` asks for more than `outer` gives. None = covered: what `inner` lets pass `outer` lets pass too,
/// with one of its credentials, and nothing holds for it that did not hold before.
pub fn exceeds(outer: &ManifestRule, inner: &ManifestRule) -> Vec<Field> {
    let places = covered_fields(&outer.rule, &inner.rule);
    let attributes = covered_attributes(&outer.attributes, &inner.attributes, inner.rule.methods());
    let uncovered = |(field, covered)| if covered { None } else { Some(field) };
    places.into_iter().chain(attributes).filter_map(uncovered).collect()
}

/// The same for rules over URLs that answers name: one that reads other answers, or elsewhere in them, lets other URLs pass.
pub fn exceeds_named(outer: &FromResponse, inner: &FromResponse) -> Vec<Field> {
    let mut fields = exceeds(&outer.rule, &inner.rule);
    if !cover(&outer.of, &inner.of) {
        fields.push(Field::Of);
    }
    if !inner.at.iter().all(|at| outer.at.contains(at)) {
        fields.push(Field::At);
    }
    fields
}

fn covered_fields(outer: &Rule, inner: &Rule) -> [(Field, bool); 5] {
    [
        (Field::Method, inner.methods().iter().all(|method| outer.has_method(method))),
        (Field::Scheme, outer.scheme() == inner.scheme()),
        (Field::Host, outer.host_pattern().covers(inner.host_pattern())),
        (Field::Port, outer.port() == inner.port()),
        (Field::Path, outer.path().covers(inner.path())),
    ]
}

fn covered_attributes(outer: &Attributes, inner: &Attributes, methods: &[Method]) -> [(Field, bool); 6] {
    let within = |inner: &[String], outer: &[String]| inner.iter().all(|item| outer.contains(item));
    let query = match (&outer.query, &inner.query) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => outer.covers(inner),
    };
    // Without a credential a request acts for whoever is named in it, and no longer for the operator's account alone.
    let credential = within(&inner.credentials, &outer.credentials)
        && inner.credentials.is_empty() == outer.credentials.is_empty();
    let idempotency = match (&outer.idempotency, &inner.idempotency) {
        (_, None) => true,
        (None, Some(_)) => false,
        // After the window the vendor takes a repeated request for a new one.
        (Some(outer), Some(inner)) => {
            outer.header.eq_ignore_ascii_case(&inner.header) && inner.window <= outer.window
        }
    };
    // Once it is repeated as if it only read; the other way round it writes where the approver was told that it reads.
    let safe = inner.safe == outer.safe || methods.iter().all(Method::is_safe);
    [
        (Field::Query, query),
        (Field::Credential, credential),
        (Field::Idempotency, idempotency),
        (Field::Safe, safe),
        // Followed, a request leaves that the guest did not send; handed over, the guest sees where the answer leads.
        (Field::Redirect, inner.redirect == outer.redirect),
        (Field::GuestHeaders, within(&inner.guest_headers, &outer.guest_headers)),
    ]
}

#[cfg(test)]
mod tests;
