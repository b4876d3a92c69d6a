//! `query` of a rule: which names a request may bring, and what their values may be. A rule without one lets every
//! query pass. Names and values are compared percent-decoded (RFC 3986 section 2.1), and `+` both as itself and as a
//! space (WHATWG URL, form encoding): what servers read in two ways has to fit in both.

use crate::limits::{QUERY_NAMES_MAX, QUERY_TEXT_BYTES_MAX};
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

/// What one value may be: a text, or whatever begins with one (`data.*`, `*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuePattern {
    text: String,
    open: bool,
}

impl FromStr for ValuePattern {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let (text, open) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err(QueryError::Star(text.to_owned()));
        }
        check(text)?;
        Ok(Self { text: text.to_owned(), open })
    }
}

impl fmt::Display for ValuePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.open { "*" } else { "" })
    }
}

impl ValuePattern {
    fn matches(&self, value: &str) -> bool {
        if self.open { value.starts_with(&self.text) } else { value == self.text }
    }

    /// Whether this is every value that `inner` may be.
    fn covers(&self, inner: &Self) -> bool {
        if self.open { inner.text.starts_with(&self.text) } else { self == inner }
    }
}

/// The listed names, each with its values. Empty = no query at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryRule(BTreeMap<String, ValuePattern>);

impl QueryRule {
    /// From names and values as they are meant, not encoded.
    pub fn new(pairs: impl IntoIterator<Item = (String, ValuePattern)>) -> Result<Self, QueryError> {
        let mut listed = BTreeMap::new();
        for (name, value) in pairs {
            check(&name)?;
            if name.is_empty() || name.contains(['+', '*']) {
                return Err(QueryError::Name(name));
            }
            listed.insert(name, value);
        }
        if listed.len() > QUERY_NAMES_MAX {
            return Err(QueryError::TooMany);
        }
        Ok(Self(listed))
    }

    /// In the order of the names.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &ValuePattern)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether every query that passes `inner` passes this.
    pub(crate) fn covers(&self, inner: &Self) -> bool {
        inner.0.iter().all(|(name, value)| self.0.get(name).is_some_and(|outer| outer.covers(value)))
    }

    /// Why a query does not pass; none where each of its pairs is listed. A name may come more than once.
    pub(crate) fn refuses(&self, query: &str) -> Option<String> {
        // Some servers split at `;` too, and would see a name that stands in nobody's list.
        if query.contains(';') {
            return Some("a `;` in the query is read in two ways".to_owned());
        }
        query.split('&').filter(|pair| !pair.is_empty()).find_map(|pair| self.refuses_pair(pair))
    }

    fn refuses_pair(&self, pair: &str) -> Option<String> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = decode(name) else { return Some("a query name can't be read".to_owned()) };
        let Some(pattern) = self.0.get(&*name) else {
            return Some(format!("the query name `{}` is not listed", name.escape_debug()));
        };
        let spaced = value.replace('+', " ");
        let fits = [value, &spaced]
            .into_iter()
            .all(|value| decode(value).is_some_and(|value| pattern.matches(&value)));
        (!fits).then(|| format!("the query value of `{}` is not `{pattern}`", name.escape_debug()))
    }
}

/// Text without controls, or nothing.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    let broken = text.match_indices('%').any(|(at, _)| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    (!broken && !decoded.contains(char::is_control)).then_some(decoded)
}

fn check(text: &str) -> Result<(), QueryError> {
    if text.len() > QUERY_TEXT_BYTES_MAX {
        return Err(QueryError::TooLong);
    }
    if text.contains(char::is_control) {
        return Err(QueryError::Name(text.to_owned()));
    }
    Ok(())
}

/// Why a `query` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A name that no query brings, or that is read in two ways.
    #[error("`{}` is no query name or value", .0.escape_debug())]
    Name(String),
    /// `*` in the middle.
    #[error("`*` may stand at the end of a value and nowhere else, and not in `{}`", .0.escape_debug())]
    Star(String),
    /// Over a cap.
    #[error("a query name or value is longer than {QUERY_TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// Over a cap.
    #[error("`query` lists more than {QUERY_NAMES_MAX} names")]
    TooMany,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn listed(pairs: &[(&str, &str)]) -> QueryRule {
        QueryRule::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.parse().unwrap())))
            .unwrap()
    }

    #[test]
    fn what_passes() {
        let rule =
            listed(&[("limit", "*"), ("expand", "data.*"), ("mode", "a b"), ("sort", "x+y"), ("ids[]", "*")]);
        fn check(rule: &QueryRule, query: &str, passes: bool) {
            assert_eq!(rule.refuses(query).is_none(), passes, "{query}: {:?}", rule.refuses(query));
        }
        for query in
            ["", "limit=1", "limit", "limit=", "limit=1&limit=2", "&limit=1&&", "%6Cimit=9", "expand=data.id"]
        {
            check(&rule, query, true);
        }
        for query in ["mode=a%20b", "sort=x%2By", "ids[]=1", "ids%5B%5D=1", "expand=data.%2e%2e", "limit=a=b"]
        {
            check(&rule, query, true);
        }
        for query in [
            "Limit=1",
            "limi=1",
            "limit%00=1",
            "limit=%0a",
            "limit=%zz",
            "limit=%",
            "limit=%ff",
            "expand=dat",
            "expand",
            "x=1",
            "limit=1;x=1",
            "limit=1%26x=1&x",
            "=1",
            "ids=1",
            "lim+it=1",
        ] {
            check(&rule, query, false);
        }
        // `+` has to fit as itself and as a space.
        check(&rule, "mode=a+b", false);
        check(&rule, "sort=x+y", false);
        check(&rule, "limit=x+y", true);
        // Encoded separators stay inside their value.
        check(&rule, "limit=1%26x%3D1", true);
        check(&listed(&[]), "a=1", false);
        check(&listed(&[]), "", true);
    }

    #[test]
    fn what_is_no_list() {
        for bad in ["a*b", "**", "x*y*", "\n"] {
            assert!(bad.parse::<ValuePattern>().is_err(), "{bad}");
        }
        for bad in ["", "a+b", "a*", "a\n", &"x".repeat(QUERY_TEXT_BYTES_MAX + 1)] {
            assert!(QueryRule::new([(bad.to_owned(), "*".parse().unwrap())]).is_err(), "{bad}");
        }
        for text in ["", "*", "data.*", "a b", "é", &"x".repeat(QUERY_TEXT_BYTES_MAX)] {
            assert_eq!(text.parse::<ValuePattern>().unwrap().to_string(), text);
        }
        let rule = listed(&[("mode", "b*"), ("limit", "1")]);
        let pairs: Vec<_> = rule.pairs().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["limit=1", "mode=b*"], "in the order of the names");
        let names = |count: usize| (0..count).map(|number| (number.to_string(), "*".parse().unwrap()));
        assert!(QueryRule::new(names(QUERY_NAMES_MAX)).is_ok());
        assert_eq!(QueryRule::new(names(QUERY_NAMES_MAX + 1)), Err(QueryError::TooMany));
    }
}
