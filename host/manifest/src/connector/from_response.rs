//! `from-response`: URLs that a vendor's answers name. How the rule is written in a manifest, its embedded form and a lock, and
//! what must hold of it. Refuses a credential and a `query` beside it: such a URL goes out as the vendor wrote it, bare.
use super::{Connector, check::Faults};
use crate::{
    EmbeddedError,
    diagnose::{Table, shown},
    json::{Object, fault},
};
use portcullis_grants::{
    Attributes, FromResponse, ManifestRule, RequestedRule, UrlPlace, cover::cover, limits::URL_PLACES_MAX,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Display, str::FromStr};

/// `from-response = { allow = …, of = …, at = … }` of an `[[http]]` table.
pub(super) fn authored(
    table: &mut Table<'_>,
    index: usize,
    attributes: Attributes,
    why: Option<String>,
) -> Option<FromResponse<RequestedRule>> {
    if table.has("allow") {
        let help = Some("write two `[[http]]` tables".to_owned());
        table.fault(table.key_span("allow"), "`allow` stands beside `from-response`", help);
        let _ = table.strings("allow");
    }
    let mut inner = table.table("from-response")?;
    read(&mut inner, format!("http[{index}].from-response"), attributes, why)
}

/// The keys `allow`, `of` and `at`, in a manifest and in a lock.
pub(crate) fn read<R: FromStr<Err: Display>>(
    table: &mut Table<'_>,
    place: String,
    attributes: Attributes,
    why: Option<String>,
) -> Option<FromResponse<R>> {
    let (allow, of) = (table.required_parse("allow"), table.required_parse("of"));
    let written = table.string_or_strings("at");
    if written.is_none() && !table.has("at") {
        let help = Some("at = \"/url\", a list of such pointers, or \"header:location\"".to_owned());
        table.fault(table.span(), format!("`at` is missing in `{}`", shown(table.name())), help);
    }
    let mut at = Vec::new();
    for place in written.unwrap_or_default() {
        match place.value.parse::<UrlPlace>() {
            Ok(place) => at.push(place),
            Err(error) => {
                table.fault(place.span, format!("`at` is `{}`: {error}", shown(&place.value)), None)
            }
        }
    }
    let rule = ManifestRule { place, rule: allow?.value, attributes, why: why.unwrap_or_default() };
    Some(FromResponse { rule, of: of?.value, at })
}

/// What the embedded form has beside the keys of every rule.
pub(super) fn print(from: &FromResponse<RequestedRule>, mut rule: Value) -> Value {
    rule["of"] = json!(from.of.to_string());
    rule["at"] = from.at.iter().map(ToString::to_string).collect();
    rule
}

/// `of` and `at` of the embedded form.
pub(super) fn parsed(object: &mut Object<'_>) -> Result<(RequestedRule, Vec<UrlPlace>), EmbeddedError> {
    Ok((object.parsed("of")?, object.parsed_all("at")?))
}

/// `http[I].from-response`
pub(super) fn check_place(object: &Object<'_>, place: &str) -> Result<(), EmbeddedError> {
    let number = place.strip_prefix("http[").and_then(|rest| rest.strip_suffix("].from-response"));
    let fits = |n: &str| !n.is_empty() && n.len() <= 6 && n.bytes().all(|b| b.is_ascii_digit());
    match number.is_some_and(fits) {
        true => Ok(()),
        false => Err(fault(&object.at("place"), "expected a place such as `http[0].from-response`")),
    }
}

/// What must hold beyond what holds for every rule.
pub(super) fn check(
    i: usize,
    from: &FromResponse<RequestedRule>,
    connector: &Connector,
    faults: &mut Faults,
) {
    let at = i.to_string();
    let path = |key| ["from-response", &at, key];
    if !from.rule.attributes.credentials.is_empty() {
        faults.add(&path("credential"), "a URL that an answer named is asked without a credential");
    }
    if from.rule.attributes.query.is_some() {
        faults.add(&path("query"), "a URL that an answer named goes out with the query that it has there");
    }
    let distinct: BTreeSet<_> = from.at.iter().collect();
    if from.at.is_empty() || from.at.len() > URL_PLACES_MAX || distinct.len() < from.at.len() {
        faults.add(&path("at"), format!("`at` has 1 to {URL_PLACES_MAX} places, each once"));
    }
    let of = from.of.as_ref();
    let rules = connector.rules.iter().chain(connector.from_response.iter().map(|from| &from.rule));
    if !rules.into_iter().any(|rule| cover(rule.rule.as_ref(), of)) {
        let help = Some("add it to the `allow` of an `[[http]]` table: its answers are read".to_owned());
        faults.with_help(&path("of"), format!("no single `[[http]]` rule covers `{}`", from.of), help);
    }
}

#[cfg(test)]
mod tests;
