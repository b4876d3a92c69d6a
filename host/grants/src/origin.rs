//! Origins that only an operator knows: `{origin.NAME}` in place of `scheme://host[:port]` in a manifest's rule, and the value
//! that the operator binds to it. Refuses each value that names more than one host, and every spelling but the one that is
//! printed. A rule with a name in it matches no request; only what it is expanded to does (RFC 6454 section 4, RFC 3986).

use crate::{
    CanonicalUrl, ManifestRule, Method, Rule, RuleError, UrlError,
    address::{Reach, classify},
    host::{Host, is_icann_suffix},
    limits::{ORIGIN_BYTES_MAX, ORIGIN_NAME_BYTES_MAX, RULE_BYTES_MAX},
    path::{PathPattern, PatternError},
    rule,
    url::Scheme,
};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// `https://acme.service-now.com`, or with literal segments before every path of the rule: `https://acme.test/tenant-7`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Literal segments alone; none where the origin has no path.
    pub(crate) prefix: Option<PathPattern>,
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text.len() > ORIGIN_BYTES_MAX {
            return Err(OriginError::TooLong);
        }
        let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if authority.contains('*') {
            return Err(OriginError::Wildcard);
        }
        // No words of what stands there: userinfo and query are where people put secrets.
        let url = CanonicalUrl::parse(text).map_err(OriginError::Url)?;
        if url.query().is_some() || text.contains('#') {
            return Err(OriginError::Query);
        }
        let origin = Self {
            scheme: Scheme::parse(url.scheme()).map_err(|_| OriginError::Url(UrlError::Unreadable))?,
            host: url.host(),
            port: url.port(),
            prefix: prefix(url.path().trim_end_matches('/'))?,
        };
        if let Host::Name(name) = &origin.host
            && is_icann_suffix(name)
        {
            return Err(OriginError::PublicSuffix(name.clone()));
        }
        if let Some(class) = origin.host.address().map(classify).filter(|class| class.reach == Reach::Never) {
            return Err(OriginError::Address(class.name));
        }
        let canonical = origin.to_string();
        if canonical == text { Ok(origin) } else { Err(OriginError::Spelling { canonical }) }
    }
}

fn prefix(path: &str) -> Result<Option<PathPattern>, OriginError> {
    if path.is_empty() {
        return Ok(None);
    }
    let pattern = PathPattern::parse(path).map_err(OriginError::Path)?;
    if pattern.is_literal() { Ok(Some(pattern)) } else { Err(OriginError::Wildcard) }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        self.prefix.as_ref().map_or(Ok(()), |prefix| prefix.fmt(f))
    }
}

/// Why a value is no origin. No text of it holds userinfo or query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Over the cap.
    #[error("the origin is longer than {ORIGIN_BYTES_MAX} bytes")]
    TooLong,
    /// `https://*.acme.test`, `https://acme.test/*`.
    #[error("an origin names one host and literal segments: it has no wildcard")]
    Wildcard,
    /// What no URL may hold.
    #[error("{0}")]
    Url(UrlError),
    /// `?key=…`, `#top`.
    #[error("an origin has neither query nor fragment")]
    Query,
    /// What no path may hold.
    #[error("{0}")]
    Path(PatternError),
    /// `https://co.uk`.
    #[error("anyone can register a name below `{0}`, and it is no vendor's host itself")]
    PublicSuffix(String),
    /// `http://169.254.169.254`.
    #[error("the host is {0}, which is never dialled")]
    Address(&'static str),
    /// One spelling an origin, so that what is approved can be compared.
    #[error("it would be read as `{canonical}`; if it is meant, write that")]
    Spelling {
        /// The one spelling.
        canonical: String,
    },
}

impl OriginError {
    /// Whether the value may hold a secret, so that nobody shows it.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Query | Self::Url(UrlError::Host(crate::host::HostError::Userinfo)))
    }

    /// What the writer of a refused value may have meant, where that is plain.
    pub fn meant(&self, text: &str) -> Option<Origin> {
        let candidate = match self {
            Self::Spelling { canonical } => canonical.clone(),
            Self::Query => text.split(['?', '#']).next()?.trim_end_matches('/').to_owned(),
            Self::Url(UrlError::Relative) => format!("https://{}", text.trim_end_matches('/')),
            _ => return None,
        };
        candidate.parse().ok()
    }
}

/// Whether this can be the name of an origin: `[a-z0-9][a-z0-9-]{0,62}`.
pub fn is_origin_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= ORIGIN_NAME_BYTES_MAX
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || b == b'-')
}

/// A rule as a manifest writes it: over a host, or over `{origin.NAME}`. `Display` prints what parses to the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestedRule {
    name: Option<String>,
    /// Where there is a name, over a host that no URL can have and only rules with this name share.
    rule: Rule,
}

impl FromStr for RequestedRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let Some((methods, url)) = text.split_once(' ').filter(|(_, url)| url.starts_with('{')) else {
            // A literal rule is told that it has no origin; this one may have one, in another place.
            let shape = |error| if error == RuleError::Origin { RuleError::OriginShape } else { error };
            return Ok(Self { name: None, rule: text.parse().map_err(shape)? });
        };
        if text.len() > RULE_BYTES_MAX {
            return Err(RuleError::TooLong);
        }
        let (name, path) = url
            .strip_prefix("{origin.")
            .and_then(|rest| rest.split_once('}'))
            .filter(|(name, path)| is_origin_name(name) && (path.is_empty() || path.starts_with('/')))
            .ok_or(RuleError::OriginShape)?;
        let host = Host::Name(format!("{{origin.{name}}}"));
        Ok(Self { name: Some(name.to_owned()), rule: rule::over(methods, host, path)? })
    }
}

impl From<Rule> for RequestedRule {
    fn from(rule: Rule) -> Self {
        Self { name: None, rule }
    }
}

/// As rules of one manifest are compared: two with the same name meet, with different names they don't. What two names are
/// bound to is known at the approval alone, which compares the expanded rules.
impl AsRef<Rule> for RequestedRule {
    fn as_ref(&self) -> &Rule {
        &self.rule
    }
}

impl fmt::Display for RequestedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = &self.name else { return self.rule.fmt(f) };
        let methods: Vec<&str> = self.methods().iter().map(Method::as_str).collect();
        write!(f, "{} {{origin.{name}}}{}", methods.join(","), self.rule.path_text())
    }
}

impl RequestedRule {
    /// The origin that it waits for.
    pub fn origin(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Sorted, each once.
    pub fn methods(&self) -> &[Method] {
        self.rule.methods()
    }

    /// What a security person should know; of a host that is not known yet, that it is not.
    pub fn flags(&self) -> Vec<String> {
        match &self.name {
            Some(name) => vec![format!("on the host that you bind to the origin `{name}`")],
            None => self.rule.flags(),
        }
    }

    /// The literal rule.
    pub fn expand(&self, origins: &BTreeMap<String, Origin>) -> Result<Rule, ExpandError> {
        let Some(name) = &self.name else { return Ok(self.rule.clone()) };
        let unbound = || ExpandError::Unbound { name: name.clone(), rule: self.to_string() };
        let rule = self.rule.at(origins.get(name).ok_or_else(unbound)?);
        if rule.to_string().len() > RULE_BYTES_MAX {
            return Err(ExpandError::TooLong { name: name.clone(), rule: self.to_string() });
        }
        Ok(rule)
    }
}

impl ManifestRule<RequestedRule> {
    /// The literal rule, with all that holds for it.
    pub fn expand(&self, origins: &BTreeMap<String, Origin>) -> Result<ManifestRule, ExpandError> {
        Ok(ManifestRule {
            place: self.place.clone(),
            rule: self.rule.expand(origins)?,
            attributes: self.attributes.clone(),
            why: self.why.clone(),
        })
    }
}

/// Why a requested rule becomes no literal one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// Nothing is bound to the name.
    #[error("no origin is bound to `{name}`, and the connector requests `{rule}`")]
    Unbound {
        /// The name.
        name: String,
        /// The rule as it was requested.
        rule: String,
    },
    /// The prefix makes it too long.
    #[error("`{rule}` with the origin `{name}` is longer than {RULE_BYTES_MAX} bytes")]
    TooLong {
        /// The name.
        name: String,
        /// The rule as it was requested.
        rule: String,
    },
}

impl ExpandError {
    /// The origin that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Unbound { name, .. } | Self::TooLong { name, .. } => name,
        }
    }
}

#[cfg(test)]
mod tests;
