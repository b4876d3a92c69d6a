//! How a vendor signs what it delivers: `signing` of `[webhook]`, a scheme by name or one that is described. A name stands for
//! data of the described form. Verifies nothing: that is `secrets`. Refuses a description under which a body, or the time that
//! is looked at, could be another one than was signed.
use crate::limits::{NAME_BYTES_MAX, SIGNED_PARTS_MAX, SIGNING_TEXT_BYTES_MAX, TOLERANCE_MAX};
use std::{fmt, str::FromStr, time::Duration};

mod handshake;
mod named;
mod template;
mod words;

pub use handshake::Handshake;
pub use named::NAMES;
pub use template::TemplateError;
pub(crate) use words::separator;
pub use words::{SECRET, WordError};

/// What `[webhook] signing` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    name: Option<&'static str>,
    scheme: Scheme,
}

/// How a delivery shows who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// Where the signature stands: a header's name, in lower case.
    pub header: String,
    /// What stands in front of it there.
    pub prefix: String,
    /// What it is.
    pub proof: Proof,
}

/// What stands in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The secret itself, as it is or in base64: nothing of the delivery is signed.
    Secret(Encoding),
    /// A signature.
    Signature(Signature),
}

/// A signature, and what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// By which it is made.
    pub algorithm: Algorithm,
    /// How its bytes are written.
    pub encoding: Encoding,
    /// Between several items of one header: `,`, `;` or a space.
    pub separator: Option<char>,
    /// In order.
    pub signed: Signed,
    /// When it was signed, where the vendor says so.
    pub timestamp: Option<Timestamp>,
    /// How the key is written that the operator got from the vendor.
    pub key: Key,
}

/// When a delivery was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Where it stands.
    pub place: Place,
    /// How it is written.
    pub unit: Unit,
    /// How far from now it may be, before and after.
    pub tolerance: Duration,
}

/// Where the time of signing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a header, behind a prefix.
    Header {
        /// Its name, in lower case.
        name: String,
        /// What stands in front of it.
        prefix: String,
    },
    /// In the body, which is JSON, at this pointer (RFC 6901).
    Body(String),
}

/// How a key is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As it is, or as digits of its bytes.
    pub encoding: Encoding,
    /// What stands in front of it, and may be left out.
    pub prefix: String,
}

/// An algorithm for signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 2104 with SHA-1: what an old vendor has.
    HmacSha1,
    /// RFC 2104 with SHA-256.
    HmacSha256,
    /// RFC 2104 with SHA-512.
    HmacSha512,
    /// RFC 8032: the key is a public one.
    Ed25519,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Text,
    /// Lower-case hexadecimal digits.
    Hex,
    /// RFC 4648 section 4, with padding.
    Base64,
}

/// How a moment is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Since 1970, whole.
    Seconds,
    /// Since 1970, whole.
    Milliseconds,
    /// RFC 3339.
    Rfc3339,
}

/// What is signed, one part after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed(pub Vec<Part>);

/// One part of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These characters.
    Text(String),
    /// `{method}`
    Method,
    /// `{url}`: the public one, with its query.
    Url,
    /// The same as HubSpot signs it: with some characters decoded.
    DecodedUrl,
    /// `{body}`
    Body,
    /// The body as Twilio signs it: the pairs of a form, sorted; of another body nothing, and its digest is in the URL.
    Form,
    /// `{timestamp}`, as it is written in its header.
    Timestamp,
    /// `{header.NAME}`
    Header(String),
}

/// What is wrong with a description: the key, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemeFault {
    /// Keys below `signing`.
    pub path: Vec<&'static str>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// How far from now a time of signing may be, where nothing else is said.
pub const TOLERANCE_DEFAULT: Duration = Duration::from_secs(5 * 60);

impl Signing {
    /// A scheme by its name.
    pub fn named(name: &str) -> Option<Self> {
        let name = NAMES.into_iter().find(|known| *known == name)?;
        named::scheme(name).map(|scheme| Self { name: Some(name), scheme })
    }

    /// One that an author describes, which is to be checked.
    pub(crate) fn described(scheme: Scheme) -> Self {
        Self { name: None, scheme }
    }

    /// Its name, where it has one.
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// What a vendor of this name asks first, where it does.
    pub(crate) fn handshake(&self) -> Option<Handshake> {
        match self.name {
            Some("slack") => Some(Handshake::Slack),
            Some("zoom") => Some(Handshake::Zoom),
            _ => None,
        }
    }

    /// What it means.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }
}

impl fmt::Display for Signing {
    /// For people: the name where it has one, and what it means.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "{name}: {}", self.scheme),
            None => self.scheme.fmt(f),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = |prefix: &str| match prefix.trim_end() {
            "" => String::new(),
            shown => format!(" behind `{shown}`"),
        };
        let Proof::Signature(signature) = &self.proof else {
            return write!(
                f,
                "the secret itself in `{}`{}; nothing is signed",
                self.header,
                prefix(&self.prefix)
            );
        };
        let Signature { algorithm, encoding, signed, timestamp, .. } = signature;
        write!(
            f,
            "{} of `{signed}` in `{}`{}, {}",
            algorithm.as_str(),
            self.header,
            prefix(&self.prefix),
            encoding.as_str()
        )?;
        let Some(timestamp) = timestamp else { return f.write_str(", without a time") };
        let place = match &timestamp.place {
            Place::Header { name, prefix: before } => format!("`{name}`{}", prefix(before)),
            Place::Body(pointer) => format!("the body at `{pointer}`"),
        };
        write!(f, ", its time in {place} at most {} s from now", timestamp.tolerance.as_secs_f64())
    }
}

impl Scheme {
    /// What must hold of a description.
    pub fn faults(&self) -> Vec<SchemeFault> {
        let mut faults = Faults(Vec::new());
        faults.header(vec!["header"], &self.header);
        faults.text(vec!["prefix"], &self.prefix);
        match &self.proof {
            Proof::Secret(Encoding::Hex) => {
                faults.add(vec!["encoding"], "a secret stands there as `text` or in `base64`", None)
            }
            Proof::Secret(_) => {}
            Proof::Signature(signature) => self.signature_faults(signature, &mut faults),
        }
        faults.0
    }

    fn signature_faults(&self, signature: &Signature, faults: &mut Faults) {
        let Signature { algorithm, encoding, separator, signed, timestamp, key } = signature;
        if *encoding == Encoding::Text {
            faults.add(vec!["encoding"], "a signature is written in `hex` or `base64`", None);
        }
        if separator.is_some_and(|separator| self.prefix.contains(separator)) {
            faults.add(vec!["prefix"], "`prefix` has the separator in it: it would match no item", None);
        }
        faults.text(vec!["key", "prefix"], &key.prefix);
        if *algorithm == Algorithm::Ed25519 && key.encoding == Encoding::Text {
            faults.add(vec!["key", "encoding"], "a public key is written in `hex` or `base64`", None);
        }
        let Signed(parts) = signed;
        if !parts.iter().any(|part| matches!(part, Part::Body | Part::Form)) {
            let help = "write `{body}` where the vendor signs it; one that signs no body can't be told from a forger";
            faults.add(vec!["signed"], "`signed` has no `{body}`: any body would pass", Some(help));
        }
        if parts.len() > SIGNED_PARTS_MAX {
            faults.add(vec!["signed"], format!("`signed` has more than {SIGNED_PARTS_MAX} parts"), None);
        }
        for part in parts {
            match part {
                Part::Header(name) => faults.header(vec!["signed"], name),
                Part::Text(text) => faults.text(vec!["signed"], &text.replace('\n', " ")),
                _ => {}
            }
        }
        let is_signed = parts.contains(&Part::Timestamp);
        match timestamp {
            None if is_signed => {
                let help = "timestamp = { header = \"x-vendor-timestamp\" }";
                faults.add(vec!["signed"], "`{timestamp}` is signed, and `timestamp` is missing", Some(help));
            }
            None => {}
            Some(timestamp) => self.timestamp_faults(timestamp, is_signed, *separator, faults),
        }
    }

    fn timestamp_faults(
        &self,
        timestamp: &Timestamp,
        is_signed: bool,
        separator: Option<char>,
        faults: &mut Faults,
    ) {
        match &timestamp.place {
            Place::Header { name, prefix } => {
                faults.header(vec!["timestamp", "header"], name);
                faults.text(vec!["timestamp", "prefix"], prefix);
                if !is_signed {
                    let help = "where the vendor does not sign it, leave `timestamp` out: anybody could write another one";
                    let message = "`timestamp` stands in a header, and `signed` has no `{timestamp}`";
                    faults.add(vec!["signed"], message, Some(help));
                }
                let shared = *name == self.header;
                if shared && (separator.is_none() || prefix.is_empty()) {
                    let message =
                        "signature and time in one header need `separator`, and the time a `prefix`";
                    faults.add(
                        vec!["timestamp", "header"],
                        message,
                        Some("separator = \",\" and prefix = \"t=\""),
                    );
                }
                if separator.is_some_and(|separator| prefix.contains(separator)) {
                    let message = "`prefix` has the separator in it: it would match no item";
                    faults.add(vec!["timestamp", "prefix"], message, None);
                }
            }
            Place::Body(pointer) => {
                if is_signed {
                    let message = "`{timestamp}` is one of a header; in the body it is signed with the body";
                    faults.add(vec!["signed"], message, None);
                }
                faults.text(vec!["timestamp", "body"], pointer);
                if !pointer.starts_with('/') {
                    let message = "`body` is a JSON pointer, which begins with `/`";
                    faults.add(vec!["timestamp", "body"], message, None);
                }
            }
        }
        if timestamp.tolerance.as_secs() == 0 || timestamp.tolerance > TOLERANCE_MAX {
            let message = format!("`tolerance` is 1s to {}h", TOLERANCE_MAX.as_secs() / 3600);
            faults.add(vec!["timestamp", "tolerance"], message, None);
        }
    }
}

struct Faults(Vec<SchemeFault>);

impl Faults {
    fn add(&mut self, path: Vec<&'static str>, message: impl Into<String>, help: Option<&str>) {
        self.0.push(SchemeFault { path, message: message.into(), help: help.map(str::to_owned) });
    }

    /// RFC 9110 section 5.6.2.
    fn header(&mut self, path: Vec<&'static str>, name: &str) {
        let token = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(token) {
            self.add(path, format!("`{}` is no header's name", crate::diagnose::shown(name)), None);
        }
    }

    /// What can stand in a header.
    fn text(&mut self, path: Vec<&'static str>, text: &str) {
        let visible = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if !visible || text.len() > SIGNING_TEXT_BYTES_MAX {
            let message = format!(
                "`{}` is not visible ASCII of at most {SIGNING_TEXT_BYTES_MAX} bytes",
                crate::diagnose::shown(text)
            );
            self.add(path, message, None);
        }
    }
}

impl FromStr for Signed {
    type Err = TemplateError;
    fn from_str(text: &str) -> Result<Self, TemplateError> {
        template::read(text).map(Self)
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| template::print(part, f))
    }
}
