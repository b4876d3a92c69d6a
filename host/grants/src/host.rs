//! Hosts, host patterns and the authority part of a URL or rule (RFC 3986 section 3.2, UTS 46, public suffix list).
//! One spelling a host: what is written otherwise than it would be sent is refused, never converted.

use crate::limits::{HOST_BYTES_MAX, LABEL_BYTES_MAX};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

mod shared;

/// An exact host: ASCII after IDNA, lower case, without trailing dot; or an address literal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name.
    Name(String),
    /// An IPv4 literal.
    V4(Ipv4Addr),
    /// An IPv6 literal.
    V6(Ipv6Addr),
}

impl Host {
    /// Reads a host; IPv6 in brackets. Upper case is read as lower case, any other spelling than the canonical one
    /// is refused.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if !text.is_ascii() {
            // Only what would itself be taken is worth proposing.
            let ascii = idna::domain_to_ascii(text).ok().filter(|ascii| Self::parse(ascii).is_ok());
            return Err(HostError::NotAscii { ascii });
        }
        let lower = text.to_ascii_lowercase();
        if !lower.starts_with('[') {
            check_name(&lower)?;
        }
        let read = ::url::Host::parse(&lower).map_err(|_| HostError::Unreadable(lower.clone()))?;
        // The other reader: RFC 3986 takes these characters as they stand.
        let canonical = read.to_string();
        if canonical != lower {
            return Err(HostError::Spelling { written: lower, canonical });
        }
        Ok(match read {
            ::url::Host::Domain(name) => Self::Name(name),
            ::url::Host::Ipv4(address) => Self::V4(address),
            ::url::Host::Ipv6(address) => Self::V6(address),
        })
    }

    /// The address, where this is a literal.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }
}

/// As it stands in a URL: IPv6 in brackets, in the spelling of WHATWG URL (never dotted).
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => ::url::Host::<&str>::Ipv6(*address).fmt(f),
        }
    }
}

fn check_name(lower: &str) -> Result<(), HostError> {
    // Before everything else: `url` decodes `%2e` in a host, and no resolver has to see any of these.
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if let Some(character) = lower.chars().find(|c| !known(*c)) {
        return Err(HostError::Character(character));
    }
    if lower.ends_with('.') {
        return Err(HostError::TrailingDot);
    }
    if lower.len() > HOST_BYTES_MAX
        || lower.split('.').any(|label| label.is_empty() || label.len() > LABEL_BYTES_MAX)
    {
        return Err(HostError::Labels);
    }
    Ok(())
}

/// The host part of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host alone.
    Exact(Host),
    /// `*.SUFFIX`: exactly one label before the suffix, which is kept here without `*.`.
    OneLabel(String),
    /// `*`: every host, addresses included. In a boundary alone.
    Any,
}

/// Who may register names below a suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registry {
    /// A registry of the DNS: `com`, `co.uk`; also a lone label that the list does not know.
    Icann,
    /// A provider that gives names to its customers: `github.io`.
    Private,
    /// The owner of the name.
    Owner,
}

impl HostPattern {
    /// Reads an exact host or `*.` and a suffix that is not a public one of ICANN, nor above one.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text == "*" {
            return Err(HostError::AnyHost);
        }
        let Some(suffix) = text.strip_prefix("*.") else {
            if text.contains('*') {
                return Err(HostError::Wildcard);
            }
            return Host::parse(text).map(Self::Exact);
        };
        if suffix.contains('*') {
            return Err(HostError::Wildcard);
        }
        match Host::parse(suffix)? {
            Host::Name(name) if registry(&name) == Registry::Icann => Err(HostError::PublicSuffix(name)),
            Host::Name(name) => Ok(Self::OneLabel(name)),
            Host::V4(_) | Host::V6(_) => Err(HostError::Wildcard),
        }
    }

    /// Whether this host is meant.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(exact), host) => exact == host,
            (Self::OneLabel(suffix), Host::Name(name)) => name
                .strip_suffix(suffix.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty() && !label.contains('.')),
            (Self::OneLabel(_), Host::V4(_) | Host::V6(_)) => false,
            (Self::Any, _) => true,
        }
    }

    /// Whether strangers can have names that this pattern matches, or that lie below those: a wildcard at a private public
    /// suffix, or above one (`s3.amazonaws.com` is one, and `*.amazonaws.com` matches it).
    pub fn is_open_to_strangers(&self) -> bool {
        match self {
            Self::Exact(_) => false,
            Self::Any => true,
            Self::OneLabel(suffix) => registry(suffix) == Registry::Private || is_above_private(suffix),
        }
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            // One label before different suffixes is never the same name.
            (Self::OneLabel(a), Self::OneLabel(b)) => a == b,
            (pattern, Self::Exact(host)) | (Self::Exact(host), pattern) => pattern.matches(host),
        }
    }

    pub(crate) fn covers(&self, inner: &Self) -> bool {
        match (self, inner) {
            (Self::Any, _) => true,
            (_, Self::Exact(host)) => self.matches(host),
            (_, Self::OneLabel(_) | Self::Any) => self == inner,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::OneLabel(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

fn registry(suffix: &str) -> Registry {
    // Asked with a label in front, the list answers for the names that the pattern would match, so that
    // `kawasaki.jp`, which is no public suffix while everything right below it is one, counts as above one.
    let probe = format!("a.{suffix}");
    let at = |name: &str| {
        psl::suffix(name.as_bytes())
            .filter(|found| found.as_bytes().len() >= suffix.len())
            .map(|found| found.typ())
    };
    match at(&probe).or_else(|| at(suffix)) {
        Some(Some(psl::Type::Private)) => Registry::Private,
        Some(_) => Registry::Icann,
        None => Registry::Owner,
    }
}

/// Whether names right below this one are for anyone to register, and it is on the list itself: `co.uk`, but not `localhost`.
pub(crate) fn is_icann_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| {
        suffix.as_bytes() == name.as_bytes() && suffix.is_known() && suffix.typ() == Some(psl::Type::Icann)
    })
}

fn is_above_private(suffix: &str) -> bool {
    shared::ABOVE_PRIVATE.binary_search_by_key(&suffix, |(above, _)| above).is_ok()
}

/// `HOST[:PORT]` of a URL or rule, split as RFC 3986 does. No port = `default`.
pub(crate) fn split_authority(authority: &str, default: u16) -> Result<(&str, u16), HostError> {
    if authority.contains('@') {
        return Err(HostError::Userinfo);
    }
    let host_end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').map(|end| end + 2).ok_or(HostError::Bracket)?,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    if rest.is_empty() {
        return Ok((host, default));
    }
    let port = rest.strip_prefix(':').ok_or(HostError::Bracket)?;
    let canonical = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    match port.parse::<u16>() {
        Ok(number) if canonical && number != 0 => Ok((host, number)),
        _ => Err(HostError::Port(port.to_owned())),
    }
}

/// Why a host, a host pattern or a port is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing between `//` and the path.
    #[error("the host is missing")]
    Empty,
    /// Unicode; the writer has to see what would be asked for.
    #[error("the host is not ASCII{}", ascii.as_ref().map(|a| format!("; if it is meant, write `{a}`")).unwrap_or_default())]
    NotAscii {
        /// What IDNA makes of it.
        ascii: Option<String>,
    },
    /// Neither letter, digit, `-`, `_` nor `.`.
    #[error("the host holds `{}`, which no host name has", .0.escape_default())]
    Character(char),
    /// `example.com.` names the same host as `example.com` to some readers and another one to others.
    #[error("the host ends in a dot; write it without")]
    TrailingDot,
    /// RFC 1035 section 2.3.4.
    #[error("the host has an empty label, or is longer than a host name can be")]
    Labels,
    /// Not an address, not a name.
    #[error("the host `{}` cannot be read", .0.escape_debug())]
    Unreadable(String),
    /// Two readers would not agree.
    #[error("the host `{written}` would be read as `{canonical}`; if it is meant, write that")]
    Spelling {
        /// As written, in lower case.
        written: String,
        /// As a browser reads it.
        canonical: String,
    },
    /// RFC 3986 section 3.2.1.
    #[error("a user name or password before the host is refused")]
    Userinfo,
    /// `[` without `]`, or something between `]` and `:`.
    #[error("the brackets around an IPv6 address do not fit")]
    Bracket,
    /// Empty, leading zero, zero, above 65535 or not a number.
    #[error("the port `{}` is not a number from 1 to 65535 in its plain spelling", .0.escape_debug())]
    Port(String),
    /// `*` alone.
    #[error("`*` as any host belongs to `[boundary]` alone")]
    AnyHost,
    /// `*` in another place.
    #[error("in a host, `*.` may stand at the start, for exactly one label of a name, and nowhere else")]
    Wildcard,
    /// `*.co.uk`.
    #[error("`*.{0}` is refused: anyone can register a name below `{0}`")]
    PublicSuffix(String),
}

#[cfg(test)]
mod tests;
