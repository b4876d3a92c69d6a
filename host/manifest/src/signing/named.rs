//! The named schemes: what each vendor's documentation says, as data of the described form.
use super::{
    Algorithm::{self, *},
    Encoding::{self, *},
    Key, Part, Place, Proof, Scheme, Signature, Signed, TOLERANCE_DEFAULT, Timestamp, Unit,
};

/// Every name.
pub const NAMES: [&str; 18] = [
    "basic",
    "bearer",
    "discord",
    "github",
    "hubspot",
    "intercom",
    "jira",
    "linear",
    "shopify",
    "slack",
    "square",
    "standard-webhooks",
    "stripe",
    "svix",
    "twilio",
    "typeform",
    "zendesk",
    "zoom",
];

/// One of them.
pub(super) fn scheme(name: &str) -> Option<Scheme> {
    use Part::{Body, DecodedUrl, Form, Method, Url};
    let time = || Part::Timestamp;
    Some(match name {
        // RFC 7617 and RFC 6750: the vendor sends what it was given.
        "basic" => secret("Basic ", Base64),
        "bearer" => secret("Bearer ", Text),
        "github" => signature("x-hub-signature-256", "sha256=", HmacSha256, Hex, [Body]),
        "jira" => signature("x-hub-signature", "sha256=", HmacSha256, Hex, [Body]),
        // SHA-1 is all that these two have.
        "intercom" => signature("x-hub-signature", "sha1=", HmacSha1, Hex, [Body]),
        "twilio" => signature("x-twilio-signature", "", HmacSha1, Base64, [Url, Form]),
        "shopify" => signature("x-shopify-hmac-sha256", "", HmacSha256, Base64, [Body]),
        "typeform" => signature("typeform-signature", "sha256=", HmacSha256, Base64, [Body]),
        "square" => signature("x-square-hmacsha256-signature", "", HmacSha256, Base64, [Url, Body]),
        "linear" => timed(
            signature("linear-signature", "", HmacSha256, Hex, [Body]),
            Place::Body("/webhookTimestamp".to_owned()),
            Unit::Milliseconds,
        ),
        "slack" => timed(
            signature("x-slack-signature", "v0=", HmacSha256, Hex, [text("v0:"), time(), text(":"), Body]),
            header("x-slack-request-timestamp"),
            Unit::Seconds,
        ),
        "zoom" => timed(
            signature("x-zm-signature", "v0=", HmacSha256, Hex, [text("v0:"), time(), text(":"), Body]),
            header("x-zm-request-timestamp"),
            Unit::Seconds,
        ),
        "zendesk" => timed(
            signature("x-zendesk-webhook-signature", "", HmacSha256, Base64, [time(), Body]),
            header("x-zendesk-webhook-signature-timestamp"),
            Unit::Rfc3339,
        ),
        "hubspot" => timed(
            signature("x-hubspot-signature-v3", "", HmacSha256, Base64, [Method, DecodedUrl, Body, time()]),
            header("x-hubspot-request-timestamp"),
            Unit::Milliseconds,
        ),
        "discord" => {
            let signed = signature("x-signature-ed25519", "", Ed25519, Hex, [time(), Body]);
            let signed = timed(signed, header("x-signature-timestamp"), Unit::Seconds);
            keyed(signed, Hex, "")
        }
        "stripe" => {
            let signed = signature("stripe-signature", "v1=", HmacSha256, Hex, [time(), text("."), Body]);
            let place = Place::Header { name: "stripe-signature".to_owned(), prefix: "t=".to_owned() };
            separated(timed(signed, place, Unit::Seconds), ',')
        }
        "standard-webhooks" => standard("webhook"),
        "svix" => standard("svix"),
        _ => return None,
    })
}

/// <https://www.standardwebhooks.com>, whose headers Svix called otherwise before.
fn standard(family: &str) -> Scheme {
    let id = Part::Header(format!("{family}-id"));
    let signed = [id, text("."), Part::Timestamp, text("."), Part::Body];
    let signed = signature(&format!("{family}-signature"), "v1,", HmacSha256, Base64, signed);
    let timed = timed(signed, header(&format!("{family}-timestamp")), Unit::Seconds);
    keyed(separated(timed, ' '), Base64, "whsec_")
}

fn secret(prefix: &str, encoding: Encoding) -> Scheme {
    let header = "authorization".to_owned();
    Scheme { header, prefix: prefix.to_owned(), proof: Proof::Secret(encoding) }
}

fn signature<const N: usize>(
    header: &str,
    prefix: &str,
    algorithm: Algorithm,
    encoding: Encoding,
    signed: [Part; N],
) -> Scheme {
    let proof = Proof::Signature(Signature {
        algorithm,
        encoding,
        separator: None,
        signed: Signed(signed.into()),
        timestamp: None,
        key: Key { encoding: Text, prefix: String::new() },
    });
    Scheme { header: header.to_owned(), prefix: prefix.to_owned(), proof }
}

fn with(mut scheme: Scheme, change: impl FnOnce(&mut Signature)) -> Scheme {
    if let Proof::Signature(signature) = &mut scheme.proof {
        change(signature);
    }
    scheme
}

fn timed(scheme: Scheme, place: Place, unit: Unit) -> Scheme {
    with(scheme, |signature| {
        signature.timestamp = Some(Timestamp { place, unit, tolerance: TOLERANCE_DEFAULT });
    })
}

fn separated(scheme: Scheme, separator: char) -> Scheme {
    with(scheme, |signature| signature.separator = Some(separator))
}

fn keyed(scheme: Scheme, encoding: Encoding, prefix: &str) -> Scheme {
    with(scheme, |signature| signature.key = Key { encoding, prefix: prefix.to_owned() })
}

fn header(name: &str) -> Place {
    Place::Header { name: name.to_owned(), prefix: String::new() }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}
