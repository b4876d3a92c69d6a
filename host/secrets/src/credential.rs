//! Credentials: scheme, place, secret parts, and their rendering onto a request (RFC 6750, RFC 7617). A value that its place
//! can't carry is refused, never cut or escaped into something else.
use crate::{
    Providers, Reference, Secret, SecretError,
    limits::{NAME_BYTES_MAX, SECRET_BYTES_MIN},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use zeroize::Zeroizing;

/// Where a credential goes. Fixed by the operator's config, pinned by approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Header name, canonical lower case.
    Header(String),
    /// Query name, exact.
    Query(String),
}

impl std::fmt::Display for Place {
    /// As a lock pins it: `header authorization`, `query api_key`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query {name}"),
        }
    }
}

/// Why a name is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Not a token (RFC 9110 section 5.6.2).
    #[error("expected the name of a header: letters, digits and `-`")]
    Header,
    /// A header that the host computes.
    #[error("header `{0}` is set by the host")]
    HostHeader(String),
    /// Not a plain query name.
    #[error("expected the name of a query pair: letters, digits, `-`, `.`, `_`, `~` and `$`")]
    Query,
    /// The text before a key in a header.
    #[error("`prefix` has characters that a header can't carry")]
    Prefix,
}

/// Framing, hop-by-hop and what else the host computes (RFC 9110 sections 7.2, 7.6.1, 8.6).
const HOST_HEADERS: [&str; 14] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
    "proxy-authorization",
    "user-agent",
];

impl Place {
    /// A header by name.
    pub fn header(name: &str) -> Result<Self, PlaceError> {
        let name = name.to_ascii_lowercase();
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(token) {
            return Err(PlaceError::Header);
        }
        if HOST_HEADERS.contains(&name.as_str()) {
            return Err(PlaceError::HostHeader(name));
        }
        Ok(Self::Header(name))
    }

    /// A query pair by name.
    pub fn query(name: &str) -> Result<Self, PlaceError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~$".contains(&b);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(PlaceError::Query);
        }
        Ok(Self::Query(name.to_owned()))
    }
}

/// How a request is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750: `Authorization: Bearer SECRET`.
    Bearer {
        /// The token.
        secret: Reference,
    },
    /// RFC 7617: `Authorization: Basic base64(user:password)`. The user name is no secret unless it is a reference.
    Basic {
        /// Before the colon.
        username: UserName,
        /// After it; absent = empty.
        password: Option<Reference>,
    },
    /// `NAME: [PREFIX]SECRET`.
    ApiKeyHeader {
        /// Header name.
        name: String,
        /// Put before the key as it is, spaces included.
        prefix: Option<String>,
        /// The key.
        secret: Reference,
    },
    /// `?NAME=SECRET`.
    ApiKeyQuery {
        /// Query name.
        name: String,
        /// The key.
        secret: Reference,
    },
}

/// A user name of `basic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserName {
    /// Written in the config.
    Plain(String),
    /// A secret (Stripe's key is the user name).
    Secret(Reference),
}

/// A `[credentials.*]` block.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its name.
    pub name: String,
    /// How.
    pub scheme: Scheme,
    /// Secrets shorter than 8 bytes are accepted.
    pub short: bool,
    /// Rate budget shared by every connection bound to it.
    pub requests_per_second: Option<f64>,
}

/// What is added to one request: rendered bytes are secret.
pub struct Attachment {
    /// Header name (lower case) and value.
    pub header: Option<(String, Secret)>,
    /// Query name and percent-encoded value.
    pub query: Option<(String, Secret)>,
    /// The raw secret values behind it, for the echo scan.
    pub needles: Vec<Secret>,
}

/// RFC 3986 section 2.3: everything else of a value is encoded.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Credential {
    /// `bearer`, `basic`, `api-key-header`, `api-key-query`.
    pub fn scheme_name(&self) -> &'static str {
        match self.scheme {
            Scheme::Bearer { .. } => "bearer",
            Scheme::Basic { .. } => "basic",
            Scheme::ApiKeyHeader { .. } => "api-key-header",
            Scheme::ApiKeyQuery { .. } => "api-key-query",
        }
    }

    /// Where it goes.
    pub fn place(&self) -> Place {
        match &self.scheme {
            Scheme::Bearer { .. } | Scheme::Basic { .. } => Place::Header("authorization".to_owned()),
            Scheme::ApiKeyHeader { name, .. } => Place::Header(name.to_ascii_lowercase()),
            Scheme::ApiKeyQuery { name, .. } => Place::Query(name.clone()),
        }
    }

    /// What can be known to be wrong before any secret is fetched (config time).
    pub fn check(&self) -> Result<(), SecretError> {
        let place = match &self.scheme {
            Scheme::Bearer { .. } => Ok(()),
            Scheme::Basic { username: UserName::Plain(name), .. } if name.contains(':') => {
                return Err(SecretError::Colon(self.name.clone()));
            }
            Scheme::Basic { username: UserName::Plain(name), .. } if name.chars().any(char::is_control) => {
                return Err(SecretError::Characters(self.name.clone()));
            }
            Scheme::Basic { .. } => Ok(()),
            Scheme::ApiKeyHeader { name, prefix, .. } => Place::header(name).map(drop).and_then(|()| {
                let text = prefix.as_deref().unwrap_or_default();
                let visible = |b: u8| (0x20..0x7f).contains(&b);
                if text.bytes().all(visible) && !text.starts_with(' ') {
                    Ok(())
                } else {
                    Err(PlaceError::Prefix)
                }
            }),
            Scheme::ApiKeyQuery { name, .. } => Place::query(name).map(drop),
        };
        place.map_err(|problem| SecretError::Place { credential: self.name.clone(), problem })
    }

    /// All references in it.
    pub fn references(&self) -> Vec<&Reference> {
        match &self.scheme {
            Scheme::Bearer { secret }
            | Scheme::ApiKeyHeader { secret, .. }
            | Scheme::ApiKeyQuery { secret, .. } => vec![secret],
            Scheme::Basic { username, password } => {
                let user = if let UserName::Secret(reference) = username { Some(reference) } else { None };
                user.into_iter().chain(password).collect()
            }
        }
    }

    /// Fetches the parts and renders them. Refuses values with CR, LF, NUL or other controls in a header.
    pub async fn attachment(&self, providers: &Providers) -> Result<Attachment, SecretError> {
        self.check()?;
        match &self.scheme {
            Scheme::Bearer { secret } => self.header("authorization", "Bearer ", secret, providers).await,
            Scheme::ApiKeyHeader { name, prefix, secret } => {
                self.header(
                    &name.to_ascii_lowercase(),
                    prefix.as_deref().unwrap_or_default(),
                    secret,
                    providers,
                )
                .await
            }
            Scheme::ApiKeyQuery { name, secret } => {
                let key = self.fetch(secret, providers).await?;
                if key.expose().iter().any(u8::is_ascii_control) {
                    return Err(SecretError::Characters(secret.to_string()));
                }
                let mut value = Vec::with_capacity(key.len() * 3);
                percent_encode(key.expose(), QUERY_VALUE)
                    .for_each(|piece| value.extend_from_slice(piece.as_bytes()));
                Ok(Attachment {
                    header: None,
                    query: Some((name.clone(), Secret::new(value))),
                    needles: vec![key],
                })
            }
            Scheme::Basic { username, password } => self.basic(username, password.as_ref(), providers).await,
        }
    }

    async fn fetch(&self, reference: &Reference, providers: &Providers) -> Result<Secret, SecretError> {
        let secret = providers.fetch(reference).await?;
        if secret.len() < SECRET_BYTES_MIN && !self.short {
            return Err(SecretError::Short(reference.to_string()));
        }
        Ok(secret)
    }

    async fn header(
        &self,
        name: &str,
        prefix: &str,
        secret: &Reference,
        providers: &Providers,
    ) -> Result<Attachment, SecretError> {
        let key = self.fetch(secret, providers).await?;
        // Spaces at the ends would be dropped by whoever parses the header, so that another secret arrived.
        let ends = [key.expose().first(), key.expose().last()];
        if !key.expose().iter().all(|b| (0x20..0x7f).contains(b)) || ends.contains(&Some(&b' ')) {
            return Err(SecretError::Characters(secret.to_string()));
        }
        let mut value = Vec::with_capacity(prefix.len() + key.len());
        value.extend_from_slice(prefix.as_bytes());
        value.extend_from_slice(key.expose());
        Ok(Attachment {
            header: Some((name.to_owned(), Secret::new(value))),
            query: None,
            needles: vec![key],
        })
    }

    async fn basic(
        &self,
        username: &UserName,
        password: Option<&Reference>,
        providers: &Providers,
    ) -> Result<Attachment, SecretError> {
        let mut needles = Vec::new();
        let mut pair = Zeroizing::new(Vec::new());
        let user = match username {
            UserName::Plain(name) => Secret::copy(name.as_bytes()),
            UserName::Secret(reference) => {
                let user = self.fetch(reference, providers).await?;
                needles.push(user.clone());
                user
            }
        };
        if user.expose().contains(&b':') {
            return Err(SecretError::Colon(self.name.clone()));
        }
        let word = match password {
            Some(reference) => {
                let word = self.fetch(reference, providers).await?;
                needles.push(word.clone());
                word
            }
            None => Secret::new(Vec::new()),
        };
        // RFC 7617 section 2: neither part may hold control characters.
        if [&user, &word].iter().any(|part| part.expose().iter().any(u8::is_ascii_control)) {
            return Err(SecretError::Characters(self.name.clone()));
        }
        pair.reserve_exact(user.len() + 1 + word.len());
        pair.extend_from_slice(user.expose());
        pair.push(b':');
        pair.extend_from_slice(word.expose());
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_slice()));
        let mut value = Vec::with_capacity("Basic ".len() + encoded.len());
        value.extend_from_slice(b"Basic ");
        value.extend_from_slice(encoded.as_bytes());
        if !needles.is_empty() {
            // A server that echoes the header shows neither part at a base64 border of its own.
            needles.push(Secret::copy(encoded.as_bytes()));
        }
        Ok(Attachment {
            header: Some(("authorization".to_owned(), Secret::new(value))),
            query: None,
            needles,
        })
    }
}

#[cfg(test)]
mod tests;
