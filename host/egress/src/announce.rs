//! Announcements: what an answer says of the end of its resource: `Deprecation` (RFC 9745), `Sunset` (RFC 8594), and the `Link`
//! (RFC 8288) to more about it. Read from the headers as the exchange log keeps them, so that nothing unmasked is kept.
//!
//! Beside RFC 9745's date, the forms of its drafts are read that vendors still send: `true` and an HTTP date. What is neither
//! says nothing.
use crate::limits::{ANNOUNCED_LINK_BYTES_MAX, ANNOUNCED_SECONDS_MAX};
use portcullis_clock::Timestamp;
use std::time::SystemTime;

/// What was announced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// The resource is deprecated, or will be.
    pub deprecated: bool,
    /// From when on, where a date was given.
    pub deprecated_at: Option<Timestamp>,
    /// When it is expected to be gone.
    pub sunset_at: Option<Timestamp>,
    /// Where more is said, as the vendor wrote it.
    pub link: Option<String>,
}

impl Announcement {
    /// Of an answer's headers, names in lower case; none where they announce nothing.
    pub fn of(headers: &[(String, String)]) -> Option<Self> {
        let values = |wanted: &'static str| {
            headers
                .iter()
                .filter(move |(name, _)| name == wanted)
                .map(|(_, value)| value.trim_matches([' ', '\t']))
        };
        let deprecation = values("deprecation").find_map(deprecation);
        let announced = Self {
            deprecated: deprecation.is_some(),
            deprecated_at: deprecation.flatten(),
            sunset_at: values("sunset").find_map(http_date),
            link: None,
        };
        if !announced.deprecated && announced.sunset_at.is_none() {
            return None;
        }
        let link = ["deprecation", "sunset"]
            .iter()
            .find_map(|relation| values("link").find_map(|value| link(value, relation)));
        Some(Self { link, ..announced })
    }
}

/// `https://host/v1/things/42` as `https://host/v1/things/*`: an endpoint is one, whichever thing was asked for.
pub(crate) fn endpoint(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let path = url.find("://").and_then(|at| url[at + 3..].find('/').map(|slash| at + 3 + slash));
    let Some(path) = path else { return url.to_owned() };
    let segments: Vec<&str> =
        url[path + 1..].split('/').map(|part| if is_id(part) { "*" } else { part }).collect();
    format!("{}/{}", &url[..path], segments.join("/"))
}

/// A segment with a digit, that is no version: `v1`, `v1.2`, `2024-01`, `2024-01-31`.
fn is_id(segment: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = |text: &str, separator: char| text.split(separator).all(digits);
    let version = segment.strip_prefix('v').is_some_and(|rest| rest.len() <= 8 && numbers(rest, '.'));
    let date = matches!(segment.len(), 7 | 10) && segment.as_bytes()[4] == b'-' && numbers(segment, '-');
    segment.bytes().any(|byte| byte.is_ascii_digit()) && !version && !date
}

/// None = says nothing; Some(None) = deprecated, nobody says since when.
fn deprecation(value: &str) -> Option<Option<Timestamp>> {
    // Parameters of a structured field (RFC 9651 section 3.1.2) say nothing here.
    let item = value.split(';').next().unwrap_or_default().trim_end();
    if let Some(seconds) = item.strip_prefix('@') {
        let seconds =
            seconds.parse::<i64>().ok().filter(|seconds| (0..=ANNOUNCED_SECONDS_MAX).contains(seconds))?;
        return Some(Some(Timestamp::from_millis(seconds * 1000)));
    }
    if matches!(item, "true" | "?1") {
        return Some(None);
    }
    http_date(value).map(Some)
}

fn http_date(value: &str) -> Option<Timestamp> {
    let since_epoch = httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?))
}

/// The first target of that relation in one `Link` value.
fn link(mut rest: &str, relation: &str) -> Option<String> {
    while let Some((_, opened)) = rest.split_once('<') {
        let (target, after) = opened.split_once('>')?;
        let (parameters, next) = until(after, b',');
        let fits = target.len() <= ANNOUNCED_LINK_BYTES_MAX && !target.is_empty();
        if fits && relations(parameters).any(|known| known.eq_ignore_ascii_case(relation)) {
            return Some(target.to_owned());
        }
        rest = next;
    }
    None
}

/// Up to the byte that ends this part, and what is behind it. In quotes it ends nothing.
fn until(text: &str, end: u8) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == end && !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

/// The words of the first `rel`.
fn relations(mut parameters: &str) -> impl Iterator<Item = &str> {
    let mut found = "";
    while !parameters.is_empty() && found.is_empty() {
        let (parameter, rest) = until(parameters, b';');
        parameters = rest;
        if let Some((_, value)) =
            parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("rel"))
        {
            found = value.trim().trim_matches('"');
        }
    }
    found.split_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn of(headers: &[(&str, &str)]) -> Option<Announcement> {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Announcement::of(&headers)
    }

    #[test]
    fn dates_in_all_their_forms() {
        let check = |value: &str, expected: Option<Option<&str>>| {
            let found = of(&[("deprecation", value)]);
            assert_eq!(found.is_some(), expected.is_some(), "{value}");
            let found = found.and_then(|found| found.deprecated_at).map(|at| at.to_string());
            assert_eq!(found.as_deref(), expected.flatten(), "{value}");
        };
        // RFC 9745's own example.
        check("@1688169599", Some(Some("2023-06-30T23:59:59.000Z")));
        check("@1688169599;x=1", Some(Some("2023-06-30T23:59:59.000Z")));
        check("@0", Some(Some("1970-01-01T00:00:00.000Z")));
        check("true", Some(None));
        check("Fri, 30 Jun 2023 23:59:59 GMT", Some(Some("2023-06-30T23:59:59.000Z")));
        for nothing in ["", "@", "@-1", "@1.5", "@99999999999999999999", "false", "?0", "soon", "1688169599"]
        {
            check(nothing, None);
        }
        let sunset = |value: &str| of(&[("sunset", value)]).map(|found| found.sunset_at.unwrap().to_string());
        // RFC 8594's own example.
        assert_eq!(sunset("Sat, 31 Dec 2018 23:59:59 GMT"), None, "that was a Monday");
        assert_eq!(sunset("Mon, 31 Dec 2018 23:59:59 GMT").as_deref(), Some("2018-12-31T23:59:59.000Z"));
        assert_eq!(sunset("@1688169599"), None);
        assert_eq!(
            of(&[("link", "<https://a.test>; rel=\"sunset\"")]),
            None,
            "a link alone announces nothing"
        );
    }

    #[test]
    fn the_link_that_says_more() {
        let check = |value: &str, expected: Option<&str>| {
            let found = of(&[("deprecation", "true"), ("link", value)]).unwrap();
            assert_eq!(found.link.as_deref(), expected, "{value}");
        };
        check("<https://a.test/d>; rel=\"deprecation\"; type=\"text/html\"", Some("https://a.test/d"));
        check("<https://a.test/s>;rel=sunset", Some("https://a.test/s"));
        check(
            "<https://a.test/n>; rel=next, <https://a.test/d>; REL=\"x Deprecation\"",
            Some("https://a.test/d"),
        );
        check(
            "<https://a.test/s>; rel=sunset, <https://a.test/d>; rel=deprecation",
            Some("https://a.test/d"),
        );
        check("<https://a.test/,;n>; title=\"a, <b>; rel=sunset\"; rel=next", None);
        for none in ["", "<", "<>; rel=sunset", "https://a.test; rel=sunset", "<https://a.test>; rel=sunsets"]
        {
            check(none, None);
        }
        check(&format!("<{}>; rel=sunset", "x".repeat(ANNOUNCED_LINK_BYTES_MAX + 1)), None);
    }

    #[test]
    fn an_endpoint_is_one_whichever_thing_was_asked_for() {
        let check = |url: &str, expected: &str| assert_eq!(endpoint(url), expected);
        check("https://a.test/v1/things/cus_42?x=1", "https://a.test/v1/things/*");
        check("https://a.test/api/2024-01/orders/42/lines", "https://a.test/api/2024-01/orders/*/lines");
        check("https://a.test/v1.2/2024-01-31/vat/v1x", "https://a.test/v1.2/2024-01-31/vat/*");
        check("https://a1.test/", "https://a1.test/");
        check("https://a1.test", "https://a1.test");
        check("https://a.test/v123456789", "https://a.test/*");
        check("https://a.test/1234\u{e9}6", "https://a.test/*");
    }
}
