//! URLs that a vendor mints and names in an answer: upload sessions, download links. A rule of this kind lets no request pass by
//! itself; it lets exactly a URL pass that an answer of the same run named at the place that the rule tells, without credential.
//! Refuses places that name no property or header: what stands there could not be masked by its name (RFC 6901, RFC 9110
//! section 5.1).

use crate::{
    AuthorizedRequest, CanonicalUrl, ExpandError, Grants, ManifestRule, Origin, RequestedRule, Rule,
    limits::{NAMED_URLS_MAX, URL_PLACE_BYTES_MAX, URL_PLACE_STEPS_MAX},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// One `from-response` of a manifest: over literal rules, or as it was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromResponse<R = Rule> {
    /// What a named URL has to match, and what holds for a request to it.
    pub rule: ManifestRule<R>,
    /// The requests whose answers are read.
    pub of: R,
    /// Where a URL stands in them.
    pub at: Vec<UrlPlace>,
}

impl FromResponse<RequestedRule> {
    /// The literal rules, with all that holds for them.
    pub fn expand(&self, origins: &BTreeMap<String, Origin>) -> Result<FromResponse, ExpandError> {
        Ok(FromResponse {
            rule: self.rule.expand(origins)?,
            of: self.of.expand(origins)?,
            at: self.at.clone(),
        })
    }
}

/// Where a URL stands in an answer. `Display` prints what parses to the same place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UrlPlace {
    /// `/files/*/url`: a JSON pointer (RFC 6901), with `*` for each item of a list.
    Pointer(Vec<Step>),
    /// `header:location`, the name in lower case.
    Header(String),
}

/// One step of a pointer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A property, or the item of a list with that number.
    Name(String),
    /// Each item of a list.
    Each,
}

impl Step {
    /// Whether this step goes to the item with this number.
    pub fn takes_item(&self, number: usize) -> bool {
        match self {
            Self::Each => true,
            Self::Name(name) => *name == number.to_string(),
        }
    }

    /// Whether this step goes to the property with this name.
    pub fn takes_property(&self, name: &str) -> bool {
        matches!(self, Self::Name(own) if own == name)
    }
}

impl UrlPlace {
    /// The name whose value is never shown: of the header, or the last property on the way.
    pub fn name(&self) -> &str {
        match self {
            Self::Header(name) => name,
            Self::Pointer(steps) => steps
                .iter()
                .rev()
                .find_map(|step| match step {
                    Step::Name(name) if !is_number(name) => Some(name.as_str()),
                    _ => None,
                })
                .unwrap_or_default(),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for UrlPlace {
    type Err = UrlPlaceError;

    fn from_str(text: &str) -> Result<Self, UrlPlaceError> {
        if text.len() > URL_PLACE_BYTES_MAX || text.contains(char::is_control) {
            return Err(UrlPlaceError::TooLong);
        }
        if let Some(name) = text.strip_prefix("header:") {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if name.is_empty() || !name.bytes().all(known) {
                return Err(UrlPlaceError::Shape);
            }
            return Ok(Self::Header(name.to_ascii_lowercase()));
        }
        let steps = text.strip_prefix('/').ok_or(UrlPlaceError::Shape)?;
        let steps = steps.split('/').map(step).collect::<Option<Vec<_>>>().ok_or(UrlPlaceError::Shape)?;
        if steps.len() > URL_PLACE_STEPS_MAX {
            return Err(UrlPlaceError::TooLong);
        }
        let place = Self::Pointer(steps);
        if place.name().is_empty() { Err(UrlPlaceError::Nameless) } else { Ok(place) }
    }
}

fn step(text: &str) -> Option<Step> {
    if text == "*" {
        return Some(Step::Each);
    }
    let mut name = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        name.push(match character {
            '~' => match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(Step::Name(name))
}

impl fmt::Display for UrlPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Pointer(steps) => steps.iter().try_for_each(|step| match step {
                Step::Each => f.write_str("/*"),
                Step::Name(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")),
            }),
        }
    }
}

/// Why a place is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlPlaceError {
    /// Neither form.
    #[error("a place is a JSON pointer such as `/files/*/url`, or `header:NAME`")]
    Shape,
    /// Over a cap.
    #[error(
        "a place has at most {URL_PLACE_BYTES_MAX} bytes and {URL_PLACE_STEPS_MAX} steps, and no control character"
    )]
    TooLong,
    /// Only numbers and `*`.
    #[error("the pointer names no property, so that nothing could be masked by its name")]
    Nameless,
}

/// What became of a URL that an answer named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It passes from now on, or did before.
    Kept,
    /// It does not match the rule, or is none.
    Foreign,
    /// The run has as many as it may have.
    OverBound,
}

/// The URLs that the answers of one run named: by what rule each passes, and of the URL a hash. Nothing can be read out of it.
#[derive(Debug, Default)]
pub struct NamedUrls {
    kept: BTreeSet<(usize, [u8; 32])>,
    over: bool,
}

impl NamedUrls {
    /// Takes a URL as it stands in an answer. `base` = what a relative one is resolved against; none = it has to be whole.
    /// The first ones are kept: a later one never takes the place of another.
    pub fn take(&mut self, grants: &Grants, rule: usize, text: &str, base: Option<&CanonicalUrl>) -> Taken {
        let url = match base {
            Some(base) => base.resolve(text),
            None => CanonicalUrl::parse(text),
        };
        let (Ok(url), Some(from)) = (url, grants.from_response().get(rule)) else { return Taken::Foreign };
        let allow = &from.rule.rule;
        if !allow.methods().iter().any(|method| allow.matches(method, &url)) {
            return Taken::Foreign;
        }
        let entry = (rule, hash(&url));
        if self.kept.contains(&entry) {
            return Taken::Kept;
        }
        if self.kept.len() >= NAMED_URLS_MAX {
            self.over = true;
            return Taken::OverBound;
        }
        self.kept.insert(entry);
        Taken::Kept
    }

    pub(crate) fn contains(&self, rule: usize, url: &CanonicalUrl) -> bool {
        !self.kept.is_empty() && self.kept.contains(&(rule, hash(url)))
    }

    /// Whether some were named that are not kept.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }
}

/// The same for the same bytes of the canonical form alone.
fn hash(url: &CanonicalUrl) -> [u8; 32] {
    Sha256::digest(url.as_str()).into()
}

impl Grants {
    /// The rules that read the answer to this request, each with its number.
    pub fn reading(&self, request: &AuthorizedRequest) -> impl Iterator<Item = (usize, &FromResponse)> {
        let matches = |from: &FromResponse| from.of.matches(request.method(), request.url());
        self.from_response().iter().enumerate().filter(move |(_, from)| matches(from))
    }
}

#[cfg(test)]
mod tests;
