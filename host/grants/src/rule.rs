//! One rule: `METHOD[,METHOD] scheme://host[:port]/path`. Refuses what can match nothing, and the forms of later
//! versions by name. Methods after RFC 9110 section 9.

use crate::{
    address::{self, Reach},
    host::{Host, HostError, HostPattern, split_authority},
    limits::{METHOD_BYTES_MAX, METHODS_MAX, RULE_BYTES_MAX},
    origin::Origin,
    path::{PathPattern, PatternError, RequestPath},
    url::{CanonicalUrl, Scheme},
};
use std::{fmt, str::FromStr};

/// An HTTP method a guest may use; CONNECT, TRACE and TRACK do not exist.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(String);

impl Method {
    /// RFC 9110 section 9.1 token, upper case, not CONNECT/TRACE/TRACK. Of the token's characters only letters,
    /// digits, `-` and `_`: no registered method has another one.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        // Not a part of it: whoever looks for secrets in messages has to see a word whole.
        let shown = if text.len() > METHOD_BYTES_MAX { "…" } else { text };
        let bad = |why| Err(RuleError::Method { method: shown.to_owned(), why });
        if text.is_empty() || text.len() > METHOD_BYTES_MAX {
            return bad("a method has 1 to 32 letters");
        }
        if text == "*" {
            return bad("methods are named one by one");
        }
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return bad("methods are written in upper case, as in `POST`");
        }
        let is_known = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if !text.bytes().all(is_known) || !text.starts_with(|c: char| c.is_ascii_uppercase()) {
            return bad("a method consists of letters");
        }
        // CONNECT makes a tunnel, TRACE and TRACK send credentials back, PRI opens HTTP/2 (RFC 9113 section 3.4).
        if matches!(text, "CONNECT" | "TRACE" | "TRACK" | "PRI") {
            return bad("it is never sent");
        }
        Ok(Self(text.to_owned()))
    }

    /// The method as it goes out.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// GET, HEAD, OPTIONS (RFC 9110 section 9.2.1).
    pub fn is_safe(&self) -> bool {
        matches!(self.0.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    /// Safe ones, PUT and DELETE (RFC 9110 section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        self.is_safe() || matches!(self.0.as_str(), "PUT" | "DELETE")
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A parsed rule. `Display` prints the canonical text, which parses to the same rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Sorted, each once, never empty.
    methods: Vec<Method>,
    scheme: Scheme,
    host: HostPattern,
    port: u16,
    path: PathPattern,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        parse(text, false)
    }
}

/// `any_host`: `*` alone is a host, as in a boundary.
pub(crate) fn parse(text: &str, any_host: bool) -> Result<Rule, RuleError> {
    if text.len() > RULE_BYTES_MAX {
        return Err(RuleError::TooLong);
    }
    refuse_later_forms(text)?;
    let (methods, url) = text.split_once(' ').ok_or(RuleError::Shape)?;
    let is_over = |part: &str| part.contains("://");
    if methods.ends_with(',')
        || url
            .split_once(' ')
            .is_some_and(|(method, rest)| !method.is_empty() && !is_over(method) && is_over(rest))
    {
        return Err(RuleError::Blank);
    }
    if let Some(character) = url.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(RuleError::Character(character));
    }
    let methods = parse_methods(methods)?;
    let (scheme, rest) = url.split_once("://").ok_or(RuleError::Shape)?;
    let scheme = Scheme::parse(scheme).map_err(|_| RuleError::Scheme(scheme.to_owned()))?;
    let path_start = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_start);
    let (host, port) = split_authority(authority, scheme.default_port())?;
    let host = if any_host && host == "*" { HostPattern::Any } else { HostPattern::parse(host)? };
    if path.contains('#') {
        return Err(RuleError::Character('#'));
    }
    Ok(Rule { methods, scheme, host, port, path: PathPattern::parse(path)? })
}

/// What a later version reads must not be taken for something else by this one.
fn refuse_later_forms(text: &str) -> Result<(), RuleError> {
    let url = text.split_once(' ').map_or(text, |(_, url)| url);
    let first = text.split([' ', ':', '=']).next().unwrap_or_default();
    let form = match first {
        "graphql" => "GraphQL operations in a rule",
        "soap" => "SOAP operations in a rule",
        "from-response" => return Err(RuleError::FromResponse),
        "TCP" => "`TCP` rules",
        _ if url.starts_with('{') || url.contains("://{") => return Err(RuleError::Origin),
        _ if url.contains('?') => return Err(RuleError::Query),
        _ => return Ok(()),
    };
    Err(RuleError::Unsupported(form))
}

/// A rule of a manifest over a host that stands for an origin.
pub(crate) fn over(methods: &str, host: Host, path: &str) -> Result<Rule, RuleError> {
    refuse_unfit(path)?;
    if path.contains('?') {
        return Err(RuleError::Query);
    }
    let scheme = Scheme::Https;
    Ok(Rule {
        methods: parse_methods(methods)?,
        scheme,
        host: HostPattern::Exact(host),
        port: scheme.default_port(),
        path: PathPattern::parse(path)?,
    })
}

/// Whitespace, controls and a fragment have no place.
fn refuse_unfit(url: &str) -> Result<(), RuleError> {
    match url.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '#') {
        Some(character) => Err(RuleError::Character(character)),
        None => Ok(()),
    }
}

fn parse_methods(text: &str) -> Result<Vec<Method>, RuleError> {
    let mut methods = text.split(',').map(Method::parse).collect::<Result<Vec<_>, _>>()?;
    if methods.len() > METHODS_MAX {
        return Err(RuleError::TooLong);
    }
    methods.sort();
    if let Some(pair) = methods.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(RuleError::Method { method: pair[0].0.clone(), why: "it is named twice" });
    }
    Ok(methods)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if index == 0 { "" } else { "," })?;
        }
        write!(f, " {}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        self.path.fmt(f)
    }
}

impl AsRef<Self> for Rule {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Rule {
    /// Whether the request passes this rule. A path that no rule lets through passes none.
    pub fn matches(&self, method: &Method, url: &CanonicalUrl) -> bool {
        RequestPath::read(url.path()).is_ok_and(|path| self.matches_read(method, url, &path))
    }

    pub(crate) fn matches_read(&self, method: &Method, url: &CanonicalUrl, path: &RequestPath<'_>) -> bool {
        self.has_method(method)
            && self.has_scheme(url)
            && self.port == url.port()
            && self.host.matches(url.host_ref())
            && self.path.matches(path)
    }

    /// The narrowest rule for one request.
    pub(crate) fn of(method: &Method, url: &CanonicalUrl, path: &RequestPath<'_>) -> Option<Self> {
        Some(Self {
            methods: vec![method.clone()],
            scheme: Scheme::parse(url.scheme()).ok()?,
            host: HostPattern::Exact(url.host()),
            port: url.port(),
            path: PathPattern::of(path),
        })
    }

    /// The same methods and path below an origin.
    pub(crate) fn at(&self, origin: &Origin) -> Self {
        let Origin { scheme, host, port, prefix } = origin;
        let path = prefix.as_ref().map_or_else(|| self.path.clone(), |prefix| self.path.below(prefix));
        let methods = self.methods.clone();
        Self { methods, scheme: *scheme, host: HostPattern::Exact(host.clone()), port: *port, path }
    }

    /// The same place under these methods.
    pub(crate) fn with_methods(&self, methods: &[Method]) -> Self {
        let mut methods = methods.to_vec();
        methods.sort();
        methods.dedup();
        Self { methods, ..self.clone() }
    }

    /// What a security person should know: wildcard host, wildcard at a private suffix, plain http, … in words.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        match &self.host {
            HostPattern::OneLabel(suffix) if self.host.is_open_to_strangers() => flags.push(format!(
                "exfiltration channel: strangers can register names below `{suffix}`, and the rule reaches them"
            )),
            HostPattern::OneLabel(suffix) => flags.push(format!("wildcard host: every name right below `{suffix}`")),
            HostPattern::Exact(host) if let Some(address) = host.address() => {
                let class = address::classify(address);
                let reach = match class.reach {
                    Reach::Public => "",
                    Reach::Loopback | Reach::Listed => "; needs an `addresses` entry",
                    Reach::Never => "; never dialled, whatever `addresses` lists",
                };
                flags.push(format!("address instead of a name: `{host}` is {}{reach}", class.name));
            }
            HostPattern::Any => flags.push("every host".to_owned()),
            HostPattern::Exact(_) => {}
        }
        if self.scheme == Scheme::Http {
            flags.push("plain `http`: not encrypted, reaches loopback alone".to_owned());
        }
        if self.port != self.scheme.default_port() {
            flags.push(format!("port {} instead of {}", self.port, self.scheme.default_port()));
        }
        if self.path.is_everything() {
            flags.push("every path of the host".to_owned());
        }
        flags
    }

    /// Sorted, each once.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme.as_str()
    }

    /// The host part.
    pub fn host_pattern(&self) -> &HostPattern {
        &self.host
    }

    /// The explicit port, or the default of the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// That of the scheme, written or not.
    pub(crate) fn has_default_port(&self) -> bool {
        self.port == self.scheme.default_port()
    }

    /// The path part as it is written in a rule.
    pub fn path_text(&self) -> String {
        self.path.to_string()
    }

    pub(crate) fn path(&self) -> &PathPattern {
        &self.path
    }

    pub(crate) fn has_method(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    pub(crate) fn has_scheme(&self, url: &CanonicalUrl) -> bool {
        self.scheme.as_str() == url.scheme()
    }
}

/// Why a rule is refused; `Display` for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Over a cap.
    #[error("the rule is longer than {RULE_BYTES_MAX} bytes, or names more than {METHODS_MAX} methods")]
    TooLong,
    /// Not of the form.
    #[error("a rule has the form `METHOD[,METHOD] scheme://host[:port]/path`")]
    Shape,
    /// Whitespace, a control, or a fragment.
    #[error("`{}` has no place in a rule", .0.escape_default())]
    Character(char),
    /// One of the methods.
    #[error("method `{}`: {why}", method.escape_debug())]
    Method {
        /// As written.
        method: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Neither http nor https.
    #[error("the scheme `{}` is neither `https` nor `http`", .0.escape_debug())]
    Scheme(String),
    /// Host or port.
    #[error("{0}")]
    Host(HostError),
    /// The path, also one that can match nothing.
    #[error("{0}")]
    Path(PatternError),
    /// `{origin.NAME}` where a literal is needed.
    #[error(
        "`{{origin.NAME}}` stands in a manifest's rules alone, in place of `scheme://host[:port]`; write the origin itself"
    )]
    Origin,
    /// A manifest's rule that begins with `{` and is none over an origin.
    #[error(
        "a rule over an origin has the form `METHOD[,METHOD] {{origin.NAME}}/path`, the name of lower-case letters, digits and `-`"
    )]
    OriginShape,
    /// A key that is no part of a rule.
    #[error(
        "`from-response` is a key of its own: `from-response = {{ allow = \"METHOD URL\", of = \"METHOD URL\", at = \"/pointer\" }}`"
    )]
    FromResponse,
    /// `?` in its URL.
    #[error(
        "a rule's URL has no query: in a connector's `[[http]]` table, `query = {{ NAME = \"VALUE\" }}` says which pairs it lets pass, \
         `*` any value"
    )]
    Query,
    /// `GET, HEAD`.
    #[error("several methods are written without a blank between them: `GET,HEAD https://…`")]
    Blank,
    /// A form of a later version.
    #[error("{0} is not supported by this version")]
    Unsupported(&'static str),
}

impl From<HostError> for RuleError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl From<PatternError> for RuleError {
    fn from(error: PatternError) -> Self {
        Self::Path(error)
    }
}

#[cfg(test)]
mod tests;
