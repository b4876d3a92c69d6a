//! One URL type (WHATWG URL by the `url` crate), held against a second reading by RFC 3986's own rules.
//! What the two read differently is refused: what passes goes out exactly as it was written.

use crate::{
    host::{Host, HostError, split_authority},
    limits::URL_BYTES_MAX,
};

/// A URL that passed the parser: http or https, host, no userinfo, no fragment sent, both parsers agree.
/// `as_str` is exactly what goes out on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalUrl {
    url: ::url::Url,
    host: Host,
    port: u16,
}

impl CanonicalUrl {
    /// Parses what a guest or a config wrote. Refuses what another reader would read differently (host or port
    /// spelled otherwise than canonical, path or query that would be changed, whitespace, backslash, userinfo, …).
    /// Taken as the same: upper case in scheme and host, the default port, no path for `/`. A fragment is dropped.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let plain = plain(text)?;
        #[expect(clippy::disallowed_methods, reason = "the one reading of a URL")]
        let mut url = ::url::Url::parse(text).map_err(|_| UrlError::Unreadable)?;
        url.set_fragment(None);
        let (host, port) = (plain.host, plain.port);
        // Each part is compared on its own, so that the error can say which one differs.
        if url.scheme() != plain.scheme || url.port_or_known_default() != Some(port) {
            return Err(UrlError::Unreadable);
        }
        if url.host_str() != Some(host.to_string().as_str())
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(UrlError::Unreadable);
        }
        if url.path() != plain.path {
            return Err(UrlError::Path { canonical: url.path().to_owned() });
        }
        if url.query() != plain.query {
            return Err(UrlError::Query);
        }
        Ok(Self { url, host, port })
    }

    /// What a `Location` means here (RFC 3986 section 5.2, without the removal of dot segments: a path that holds some
    /// is refused as any other). Held to the same two readings as what a guest writes.
    pub fn resolve(&self, reference: &str) -> Result<Self, UrlError> {
        if reference.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        // Readers take these away, or for something else, before they look where the parts lie.
        if let Some(character) = reference.chars().find(|c| !c.is_ascii_graphic() || *c == '\\') {
            return Err(UrlError::Character(character));
        }
        let whole = self.url.as_str();
        let origin =
            &whole[..whole.len() - self.url.path().len() - self.query().map_or(0, |query| query.len() + 1)];
        let first = reference.find([':', '/', '?', '#']).and_then(|at| reference.as_bytes().get(at).copied());
        let resolved = if first == Some(b':') {
            reference.to_owned()
        } else if reference.starts_with("//") {
            format!("{}:{reference}", self.scheme())
        } else if reference.starts_with('/') {
            format!("{origin}{reference}")
        } else if reference.is_empty() || reference.starts_with('#') {
            whole.to_owned()
        } else if reference.starts_with('?') {
            format!("{origin}{}{reference}", self.path())
        } else {
            let folder = self.path().rfind('/').map_or("/", |at| &self.path()[..=at]);
            format!("{origin}{folder}{reference}")
        };
        Self::parse(&resolved)
    }

    /// The parsed value, for the transport.
    pub fn as_url(&self) -> &::url::Url {
        &self.url
    }

    /// The serialisation that goes out.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Name or literal.
    pub fn host(&self) -> Host {
        self.host.clone()
    }

    /// The explicit port, or the default of the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts with `/`.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// Without `?`.
    pub fn query(&self) -> Option<&str> {
        self.url.query()
    }

    /// Without query: what a person may be shown.
    pub fn without_query(&self) -> &str {
        let text = self.url.as_str();
        text.split_once('?').map_or(text, |(before, _)| before)
    }

    pub(crate) fn host_ref(&self) -> &Host {
        &self.host
    }
}

/// The second reading: where the parts lie by RFC 3986, nothing converted.
struct Plain<'a> {
    scheme: &'static str,
    host: Host,
    port: u16,
    path: &'a str,
    query: Option<&'a str>,
}

fn plain(text: &str) -> Result<Plain<'_>, UrlError> {
    let (scheme, rest) = text.split_once(':').ok_or(UrlError::Relative)?;
    let scheme = Scheme::parse(scheme).map_err(|_| UrlError::Scheme(shown(scheme)))?;
    let rest = rest.strip_prefix("//").ok_or(UrlError::Slashes)?;
    let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    let (host, port) = split_authority(authority, scheme.default_port())?;
    // The host has better words for what it refuses; the rest is checked for every character that some reader
    // strips, converts or splits at.
    let host = Host::parse(host)?;
    if let Some(character) = rest.chars().find(|c| !c.is_ascii_graphic() || *c == '\\') {
        return Err(UrlError::Character(character));
    }
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    Ok(Plain { scheme: scheme.as_str(), host, port, path: if path.is_empty() { "/" } else { path }, query })
}

/// Whole or not at all: whoever looks for secrets in messages has to see a word whole.
fn shown(text: &str) -> String {
    if text.len() > 32 { "…".to_owned() } else { text.escape_default().to_string() }
}

/// `http` or `https`; no other scheme exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn parse(text: &str) -> Result<Self, NotAScheme> {
        if text.eq_ignore_ascii_case("https") {
            Ok(Self::Https)
        } else if text.eq_ignore_ascii_case("http") {
            Ok(Self::Http)
        } else {
            Err(NotAScheme)
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

pub(crate) struct NotAScheme;

/// Why a URL is refused. No text of it holds userinfo or query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Over the cap.
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// No scheme.
    #[error("the URL has no scheme; write it whole")]
    Relative,
    /// Neither http nor https.
    #[error("the scheme `{0}` is neither `https` nor `http`")]
    Scheme(String),
    /// `https:host`.
    #[error("the scheme is not followed by `//`")]
    Slashes,
    /// Host or port.
    #[error("{0}")]
    Host(HostError),
    /// Whitespace, control, backslash or beyond ASCII.
    #[error("the URL holds `{}` after the host; percent-encode it", .0.escape_default())]
    Character(char),
    /// A browser reads another path.
    #[error("the path would be changed to `{canonical}`; if it is meant, write that")]
    Path {
        /// What a browser makes of it.
        canonical: String,
    },
    /// A browser would encode something in the query.
    #[error("the query would be changed; percent-encode quotes, `<` and `>` in it")]
    Query,
    /// The parsers disagree in another way.
    #[error("the URL cannot be read in one way only")]
    Unreadable,
}

impl From<HostError> for UrlError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

#[cfg(test)]
mod tests;
