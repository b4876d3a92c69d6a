//! How a vendor's list goes on: what the next request asks, and from which place of the answer it knows.

use super::{absolute, next_link};
use crate::{
    Error, ErrorKind, Page, Result,
    http::{RequestBuilder, Response},
    json,
};
use serde::Deserialize;
use serde_json::Value;

/// One vendor's way. Places are JSON pointers (RFC 6901) into the answer. As JSON: `{"by": "cursor", "parameter": …, "at": …}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Paging {
    /// One answer holds everything.
    None,
    /// The answer names a cursor, which the next request sends; none, null, false or empty = the end.
    Cursor {
        /// The query pair that carries it.
        parameter: String,
        /// Where it stands.
        at: String,
    },
    /// The next request names the last record of this page.
    LastRecord {
        /// The query pair that carries it.
        parameter: String,
        /// What of the record: a pointer into it.
        at: String,
        /// Where the answer says whether there is more; without it, a page without records is the end.
        more: Option<String>,
    },
    /// The answer names the next URL, whole or relative; none, null or empty = the end.
    NextUrl {
        /// Where it stands.
        at: String,
    },
    /// The header `Link` names it, with `rel="next"` (RFC 8288).
    Link,
    /// Pages have numbers. A page without records is the end: a vendor may send fewer than were asked for before it.
    Page {
        /// The query pair that carries it.
        parameter: String,
        /// The first page's; 1 where absent.
        #[serde(default, deserialize_with = "whole")]
        first: Option<u64>,
        /// Where the answer says whether there is more, which saves the request for a page without records.
        more: Option<String>,
    },
    /// The next request names how many records came before. A page without records is the end.
    Offset {
        /// The query pair that carries it.
        parameter: String,
        /// Where the answer says whether there is more, which saves the request for a page without records.
        more: Option<String>,
    },
}

impl Paging {
    /// The request for the page at `token`; none = the first one, which is `first` with the first number where there are any.
    pub fn ask(&self, first: RequestBuilder, token: Option<&str>) -> RequestBuilder {
        match (self, token) {
            (Self::Page { parameter, first: number, .. }, None) => {
                first.query(parameter, number.unwrap_or(PAGE_FIRST))
            }
            (_, None) | (Self::None, _) => first,
            (Self::NextUrl { .. } | Self::Link, Some(url)) => first.to(url),
            (
                Self::Cursor { parameter, .. }
                | Self::LastRecord { parameter, .. }
                | Self::Page { parameter, .. }
                | Self::Offset { parameter, .. },
                Some(token),
            ) => first.query(parameter, token),
        }
    }

    /// Where the list goes on after this answer; none = it has ended. `asked` is the request's URL, `token` what it stood at,
    /// `page` the records of this answer. An answer that leads back to itself is `ContractDrift`.
    pub fn next(
        &self,
        asked: &str,
        token: Option<&str>,
        answer: &Response,
        page: &Page,
    ) -> Result<Option<String>> {
        let next = match self {
            Self::None => None,
            Self::Cursor { at, .. } => text_at(answer.text()?, at)?,
            Self::NextUrl { at } => text_at(answer.text()?, at)?.map(|url| absolute(asked, &url)),
            Self::Link => next_link(answer).map(|url| absolute(asked, &url)),
            Self::LastRecord { at, more, .. } => {
                match (goes_on(answer, page, more.as_deref())?, page.last_line()) {
                    (false, _) => None,
                    (true, Some(record)) => Some(text_at(record, at)?.ok_or_else(|| {
                        drift(format!("a record has nothing at `{at}`, by which its list goes on"))
                    })?),
                    // To call this the end would leave out what was never read.
                    (true, None) => {
                        return Err(drift("the answer says that there is more, and has no record".into()));
                    }
                }
            }
            Self::Page { first, more, .. } => {
                let here = number(token)?.unwrap_or(first.unwrap_or(PAGE_FIRST));
                goes_on(answer, page, more.as_deref())?.then(|| here.saturating_add(1).to_string())
            }
            Self::Offset { more, .. } => {
                let next = number(token)?.unwrap_or(0).saturating_add(page.len() as u64);
                goes_on(answer, page, more.as_deref())?.then(|| next.to_string())
            }
        };
        let leads_back = next.is_some() && (next.as_deref() == token || next.as_deref() == Some(asked));
        if leads_back {
            return Err(drift("the answer names the page that it is as the next one".into()));
        }
        Ok(next)
    }
}

const PAGE_FIRST: u64 = 1;

/// A number inside a tagged type: read as a value first, since numbers that keep their digits are not kept as numbers there.
fn whole<'de, D: serde::Deserializer<'de>>(value: D) -> std::result::Result<Option<u64>, D::Error> {
    let number = serde_json::Number::deserialize(value)?;
    number.as_u64().map(Some).ok_or_else(|| serde::de::Error::custom(format_args!("`first` is {number}")))
}

fn drift(why: String) -> Error {
    Error::new(ErrorKind::ContractDrift, why)
}

/// A number that this read's own position holds.
fn number(token: Option<&str>) -> Result<Option<u64>> {
    let parse = |text: &str| {
        text.parse().map_err(|_| Error::new(ErrorKind::PositionExpired, "the position holds no page number"))
    };
    token.map(parse).transpose()
}

/// Whether there is more: where `more` stands, as it says; else as long as there are records.
fn goes_on(answer: &Response, page: &Page, more: Option<&str>) -> Result<bool> {
    let Some(at) = more else { return Ok(!page.is_empty()) };
    let told = json::at(answer.text()?, at)?.map(|raw| json::parse(raw.get())).transpose()?;
    match told {
        Some(Value::Bool(more)) => Ok(more),
        None | Some(Value::Null) => Ok(false),
        Some(_) => Err(drift(format!("`{at}` of the vendor's answer is neither true nor false"))),
    }
}

/// A cursor: text, or a number with its digits as they stand.
fn text_at(answer: &str, at: &str) -> Result<Option<String>> {
    let Some(raw) = json::at(answer, at)? else { return Ok(None) };
    match json::parse(raw.get())? {
        Value::Null | Value::Bool(false) => Ok(None),
        Value::String(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Value::Number(_) => Ok(Some(raw.get().to_owned())),
        _ => Err(drift(format!("`{at}` of the vendor's answer is no cursor"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::http;
    use serde_json::json;

    const URL: &str = "https://a.b/v1/things";

    fn paging(value: Value) -> Paging {
        // From text, as a config is.
        json::parse(&value.to_string()).unwrap()
    }

    fn next(paging: &Paging, token: Option<&str>, link: &str, body: &str) -> Result<Option<String>> {
        let answer = Response::new(200, &[("link", link)], body);
        let mut page = Page::new();
        page.push_records(body, "/data").unwrap();
        paging.next(&paging.ask(http::get(URL).query("q", 1), token).url(), token, &answer, &page)
    }

    /// Walks from the first page; each answer, and the URL that is asked after it. The last one must be the end.
    #[track_caller]
    fn check(way: Value, first: &str, steps: &[(&str, &str, &str)], end: &str) {
        let paging = paging(way.clone());
        let ask = |token: Option<&str>| paging.ask(http::get(URL).query("q", 1), token).url();
        assert_eq!(ask(None), format!("{URL}?q=1{first}"), "{way}");
        let mut token = None;
        for (link, body, url) in steps {
            token = next(&paging, token.as_deref(), link, body).unwrap();
            assert!(token.is_some(), "{way} {body}");
            assert_eq!(ask(token.as_deref()), *url, "{way} {body}");
        }
        assert_eq!(next(&paging, token.as_deref(), "", end).unwrap(), None, "{way} {end}");
    }

    #[test]
    fn every_way_goes_on_and_ends() {
        let empty = r#"{"data":[]}"#;
        let two = r#"{"data":[{"id":1},{"id":2}]}"#;
        check(json!({"by": "none"}), "", &[], two);
        let at = |after: &str| format!("{URL}?q=1&{after}");
        let cursor = json!({"by": "cursor", "parameter": "c", "at": "/meta/next"});
        let one = r#"{"data":[],"meta":{"next":"a=b"}}"#;
        let other = r#"{"data":[],"meta":{"next":1.10}}"#;
        let steps = [("", one, &*at("c=a%3Db")), ("", other, &*at("c=1.10"))];
        for end in [empty, r#"{"data":[{}],"meta":{"next":""}}"#, r#"{"data":[],"meta":{"next":null}}"#] {
            check(cursor.clone(), "", &steps, end);
        }
        let last = json!({"by": "last-record", "parameter": "after", "at": "/id"});
        check(last, "", &[("", two, &at("after=2"))], empty);
        let last = json!({"by": "last-record", "parameter": "after", "at": "/id", "more": "/more"});
        check(last, "", &[("", r#"{"data":[{"id":"x"}],"more":true}"#, &at("after=x"))], two);
        let url = json!({"by": "next-url", "at": "/next"});
        let body = r#"{"data":[],"next":"/v1/things?cursor=x"}"#;
        check(url, "", &[("", body, "https://a.b/v1/things?cursor=x")], empty);
        let link = r#"<?page=2&q=1>; rel="next""#;
        check(json!({"by": "link"}), "", &[(link, empty, "https://a.b/v1/things?page=2&q=1")], two);
        let page = json!({"by": "page", "parameter": "p"});
        check(page, "&p=1", &[("", two, &at("p=2")), ("", two, &at("p=3"))], empty);
        let page = json!({"by": "page", "parameter": "p", "first": 0, "more": "/more"});
        check(page, "&p=0", &[("", r#"{"data":[],"more":true}"#, &at("p=1"))], two);
        let offset = json!({"by": "offset", "parameter": "o"});
        check(offset, "", &[("", two, &at("o=2")), ("", r#"{"data":[{}]}"#, &at("o=3"))], empty);
    }

    #[test]
    fn what_is_no_next_page() {
        let cursor = paging(json!({"by": "cursor", "parameter": "c", "at": "/next"}));
        let link = paging(json!({"by": "link"}));
        let last = paging(json!({"by": "last-record", "parameter": "c", "at": "/id", "more": "/more"}));
        let page = paging(json!({"by": "page", "parameter": "p", "more": "/more"}));
        for (way, token, header, body, kind) in [
            (&cursor, None, "", r#"{"data":[],"next":{}}"#, ErrorKind::ContractDrift),
            (&cursor, Some("x"), "", r#"{"data":[],"next":"x"}"#, ErrorKind::ContractDrift),
            (&link, None, "<?q=1>; rel=next", r#"{"data":[]}"#, ErrorKind::ContractDrift),
            (&last, None, "", r#"{"data":[],"more":true}"#, ErrorKind::ContractDrift),
            (&last, None, "", r#"{"data":[{}],"more":true}"#, ErrorKind::ContractDrift),
            (&page, None, "", r#"{"data":[],"more":"yes"}"#, ErrorKind::ContractDrift),
            (&page, Some("x"), "", r#"{"data":[]}"#, ErrorKind::PositionExpired),
        ] {
            assert_eq!(next(way, token, header, body).unwrap_err().kind(), kind, "{way:?} {body}");
        }
        assert!(serde_json::from_value::<Paging>(json!({"by": "cursor", "at": "/x", "name": "y"})).is_err());
    }
}
