//! `[webhook]` in both forms: every name, what is described, and each twin that is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    connector::tests::{faults_of, folder},
    signing::{Part, Signed},
};
use std::{fs, path::Path, time::Duration};

const HEAD: &str = r#"[connector]
name = "acme/bell"
version = "0.1.0"
position-version = 1
config-version = 1
roles = ["webhook"]
summary = "s"

"#;

fn read(webhook: &str) -> Connector {
    let text = format!("{HEAD}{webhook}\n");
    Connector::read_folder(folder(&text).path()).unwrap_or_else(|faults| panic!("{webhook}\n{faults:#?}"))
}

/// The faults of this table, which begins at line 9.
fn faults(webhook: &str) -> Vec<String> {
    faults_of(&format!("{HEAD}{webhook}\n"))
}

fn survives(connector: &Connector) {
    let json = connector.to_json();
    assert_eq!(Connector::from_json(&json).as_ref(), Ok(connector));
    assert_eq!(Connector::from_json(&json).unwrap().to_json(), json);
}

const DESCRIBED: &str = r#"[webhook.signing]
algorithm = "hmac-sha256"
header = "X-Acme-Signature"
encoding = "hex"
prefix = "v1="
separator = ","
signed = "v1 {timestamp}.{header.X-Acme-Id}.{method}{url}{body}"
timestamp = { header = "X-Acme-Signature", prefix = "t=", tolerance = "2m" }
key = { encoding = "base64", prefix = "acme_" }"#;

#[test]
fn every_name_is_read_and_written() {
    for name in NAMES {
        let connector = read(&format!("[webhook]\nsigning = \"{name}\""));
        let signing = &connector.webhook.as_ref().unwrap().signing;
        assert_eq!(signing.name(), Some(name));
        // What a name stands for is held to what a description is held to.
        assert!(signing.scheme().faults().is_empty(), "{name}");
        survives(&connector);
        let json = String::from_utf8(connector.to_json()).unwrap();
        let handshake = match signing.handshake() {
            Some(handshake) => format!(r#""handshake":"{}","#, handshake.as_str()),
            None => String::new(),
        };
        assert!(json.contains(&format!(r#""webhook":{{{handshake}"signing":"{name}"}}"#)), "{json}");
    }
    assert!(NAMES.is_sorted());
}

#[test]
fn a_description_is_read_and_written() {
    let connector = read(DESCRIBED);
    let scheme = connector.webhook.as_ref().unwrap().signing.scheme();
    let Proof::Signature(signature) = &scheme.proof else { panic!("{scheme:?}") };
    assert_eq!((scheme.header.as_str(), scheme.prefix.as_str()), ("x-acme-signature", "v1="));
    assert_eq!((signature.algorithm, signature.separator), (Algorithm::HmacSha256, Some(',')));
    let text = |text: &str| Part::Text(text.to_owned());
    let signed = vec![
        text("v1 "),
        Part::Timestamp,
        text("."),
        Part::Header("x-acme-id".to_owned()),
        text("."),
        Part::Method,
        Part::Url,
        Part::Body,
    ];
    assert_eq!(signature.signed, Signed(signed));
    let time = signature.timestamp.as_ref().unwrap();
    assert_eq!((time.unit, time.tolerance), (Unit::Seconds, Duration::from_secs(120)));
    assert_eq!(signature.key, Key { encoding: Encoding::Base64, prefix: "acme_".to_owned() });
    survives(&connector);
    for described in [
        "[webhook.signing]\nalgorithm = \"secret\"\nheader = \"X-Gitlab-Token\"",
        "[webhook]\nsigning = { algorithm = \"secret\", header = \"authorization\", prefix = \"Token \", encoding = \"base64\" }",
        "[webhook]\nsigning = { algorithm = \"ed25519\", header = \"x-s\", encoding = \"base64\", signed = \"{timestamp}{body}\", timestamp = { header = \"x-t\", unit = \"rfc3339\" }, key = { encoding = \"hex\" } }",
        "[webhook]\nsigning = { algorithm = \"hmac-sha512\", header = \"x-s\", encoding = \"hex\", signed = \"{body}\", timestamp = { body = \"/sent~1at\", unit = \"milliseconds\", tolerance = \"1h\" } }",
        "[webhook]\nsigning = { algorithm = \"hmac-sha1\", header = \"x-s\", encoding = \"hex\", signed = \"{body}\" }",
    ] {
        survives(&read(described));
    }
}

#[test]
fn a_handshake_is_the_vendors_or_the_one_that_is_named() {
    use crate::signing::Handshake;
    let of = |webhook: &str| {
        let connector = read(webhook);
        survives(&connector);
        connector.webhook.unwrap().handshake
    };
    assert_eq!(of("[webhook]\nsigning = \"slack\""), Some(Handshake::Slack));
    assert_eq!(of("[webhook]\nsigning = \"zoom\""), Some(Handshake::Zoom));
    assert_eq!(of("[webhook]\nsigning = \"github\""), None);
    assert_eq!(of("[webhook]\nsigning = \"github\"\nhandshake = \"meta\""), Some(Handshake::Meta));
    assert_eq!(of("[webhook]\nsigning = \"bearer\"\nhandshake = \"graph\""), Some(Handshake::Graph));
    for (word, handshake) in Handshake::WORDS.into_iter().zip(Handshake::ALL) {
        assert_eq!((word.parse(), handshake.as_str()), (Ok(handshake), word));
    }
    let check = |webhook: &str, expected: &[&str]| assert_eq!(faults(webhook), expected, "{webhook}");
    check(
        "[webhook]\nsigning = \"github\"\nhandshake = \"facebook\"",
        &["11:13: `handshake` is `facebook`: expected `slack`, `zoom`, `graph` or `meta`"],
    );
    check(
        "[webhook]\nsigning = \"bearer\"\nhandshake = \"zoom\"",
        &["11:13: `zoom` needs a secret that signs"],
    );
    check(
        "[webhook]\nsigning = \"discord\"\nhandshake = \"zoom\"",
        &["11:13: `zoom` needs a secret that signs"],
    );
}

#[test]
fn what_is_no_scheme_is_refused_with_its_line() {
    let check = |webhook: &str, expected: &[&str]| assert_eq!(faults(webhook), expected, "{webhook}");
    check("[webhook]", &["9:2: `signing` is missing in `webhook`"]);
    check("[webhook]\nsigning = \"strpe\"", &["10:11: unknown scheme `strpe`"]);
    check("[webhook]\nsigning = \"jwt\"", &["10:11: scheme `jwt` is not supported yet"]);
    check("[webhook]\nsigning = 1", &["10:11: `signing`: expected a string, found an integer"]);
    check("[webhook]\nsigning = \"github\"\nsecret = \"x\"", &["11:1: unknown key `secret` in `webhook`"]);
    check("[webhooks]\nsigning = \"github\"", &["9:2: unknown key `webhooks`"]);
    check("[webhook.signing]\nalgorithm = \"jwt\"", &["10:13: `jwt` is not supported yet"]);
    check("[webhook.signing]\nheader = \"x\"", &["9:10: `algorithm` is missing in `webhook.signing`"]);
    check(
        "[webhook.signing]\nalgorithm = \"hmac-md5\"\nheader = \"x\"",
        &[
            "10:13: `algorithm` is `hmac-md5`: expected `hmac-sha256`, `hmac-sha512`, `hmac-sha1`, `ed25519` or `secret`",
        ],
    );
    check(
        "[webhook.signing]\nalgorithm = \"secret\"\nheader = \"x\"\nsigned = \"{body}\"",
        &["12:1: unknown key `signed` in `webhook.signing`"],
    );
    let help = |webhook: &str| {
        let found = Connector::read_folder(folder(&format!("{HEAD}{webhook}\n")).path()).unwrap_err();
        found[0].help.clone().unwrap_or_default()
    };
    assert_eq!(help("[webhook]\nsigning = \"strpe\""), "did you mean `stripe`?");
    assert_eq!(help("[webhooks]\nsigning = \"github\""), "did you mean `webhook`?");
    assert!(help("[webhook]\nsigning = \"acme\"").ends_with("or a table that describes another one"));
    // Without the role nobody would be called.
    let other =
        format!("{HEAD}[webhook]\nsigning = \"github\"\n").replace("[\"webhook\"]", "[\"destination\"]");
    assert_eq!(faults_of(&other), ["9:2: `[webhook]` needs the role `webhook`"]);
    // With the role and without the table, nothing is said of how its deliveries are signed.
    assert_eq!(read("").webhook, None);
}

/// (what is replaced, by what, what is said)
#[test]
fn a_description_that_proves_nothing_is_refused() {
    let check = |from: &str, to: &str, said: &str| {
        assert!(DESCRIBED.contains(from), "{from}");
        let found = faults(&DESCRIBED.replacen(from, to, 1));
        assert!(found.len() == 1 && found[0].contains(said), "{to}: {found:#?}");
    };
    check("{url}{body}", "{url}", "`signed` has no `{body}`: any body would pass");
    check("{timestamp}.", "", "15:10: `timestamp` stands in a header, and `signed` has no `{timestamp}`");
    check("timestamp = {", "key2 = {", "unknown key `key2`");
    check("{body}", "{bdy}", "`{bdy}` is no placeholder");
    check("{body}", "{body", "a `{` or `}` that belongs to no placeholder");
    check("{body}", "{body}}", "a `{` or `}` that belongs to no placeholder");
    check("{header.X-Acme-Id}", "{header.x y}", "`x y` is no header's name");
    check("\"X-Acme-Signature\"", "\"x:y\"", "`x:y` is no header's name");
    check("separator = \",\"", "separator = \"|\"", "`separator` is `|`: expected `,`, `;` or a space");
    check("separator = \",\"\n", "", "signature and time in one header need `separator`");
    check("prefix = \"t=\", ", "", "and the time a `prefix`");
    check("\"v1=\"", "\"v1,\"", "`prefix` has the separator in it");
    check("\"t=\"", "\"t,\"", "`prefix` has the separator in it");
    check("\"v1=\"", "\"v\\u001b\"", "is not visible ASCII");
    check("encoding = \"hex\"", "encoding = \"text\"", "a signature is written in `hex` or `base64`");
    check("\"2m\"", "\"0s\"", "`tolerance` is 1s to 24h");
    check("\"2m\"", "\"25h\"", "`tolerance` is 1s to 24h");
    check(
        "encoding = \"base64\", prefix",
        "encoding = \"base32\", prefix",
        "expected `hex`, `base64` or `text`",
    );
    check("tolerance", "unit = \"minutes\", tolerance", "expected `seconds`, `milliseconds` or `rfc3339`");
    check(
        "header = \"X-Acme-Signature\", prefix = \"t=\"",
        "body = \"/at\"",
        "in the body it is signed with the body",
    );
    let key = DESCRIBED.replace("hmac-sha256", "ed25519").replace("encoding = \"base64\", prefix", "prefix");
    assert!(faults(&key)[0].contains("a public key is written in `hex` or `base64`"));
    let bare = DESCRIBED.replace("timestamp = {", "# timestamp = {");
    assert!(faults(&bare)[0].contains("`{timestamp}` is signed, and `timestamp` is missing"));
    let many = DESCRIBED.replace("{body}", &"{body}.".repeat(10));
    assert!(faults(&many)[0].contains("`signed` has more than 16 parts"));
    let body = DESCRIBED
        .replace("{timestamp}.", "")
        .replace("header = \"X-Acme-Signature\", prefix = \"t=\"", "body = \"at\"");
    assert!(
        faults(&body)[0].contains("`body` is a JSON pointer, which begins with `/`"),
        "{:?}",
        faults(&body)
    );
    let token = "[webhook.signing]\nalgorithm = \"secret\"\nheader = \"x\"\nencoding = \"hex\"";
    assert!(faults(token)[0].contains("a secret stands there as `text` or in `base64`"));
}

type Change = dyn Fn(&mut Value);

#[test]
fn the_embedded_form_is_held_to_the_same() {
    let changed = |change: &Change| {
        let mut value: Value = serde_json::from_slice(&read(DESCRIBED).to_json()).unwrap();
        change(&mut value);
        let read = Connector::from_json(value.to_string().as_bytes());
        read.err().map_or(String::new(), |error| error.to_string())
    };
    assert_eq!(changed(&|_| {}), "");
    let cases: [(&Change, &str); 9] = [
        (&|v| v["webhook"]["signing"] = json!("acme"), "at `/webhook/signing`: unknown scheme `acme`"),
        (&|v| v["webhook"]["other"] = json!(1), "at `/webhook`: unknown key `other`"),
        (
            &|v| v["webhook"]["signing"]["header"] = json!("X-Acme"),
            "at `/webhook/signing/header`: `X-Acme` is no header's name",
        ),
        (
            &|v| v["webhook"]["signing"]["signed"] = json!("{url}"),
            "at `/webhook/signing/signed`: `signed` has no `{body}`",
        ),
        (
            &|v| v["webhook"]["signing"]["algorithm"] = json!("jwt"),
            "at `/webhook/signing/algorithm`: `jwt` is not supported yet",
        ),
        (
            &|v| v["webhook"]["signing"]["separator"] = json!("ab"),
            "at `/webhook/signing/separator`: expected",
        ),
        (
            &|v| v["webhook"]["signing"]["key"]["more"] = json!(1),
            "at `/webhook/signing/key`: unknown key `more`",
        ),
        (
            &|v| v["webhook"]["signing"]["timestamp"]["tolerance"] = json!("9d"),
            "at `/webhook/signing/timestamp/tolerance`: `tolerance` is 1s to 24h",
        ),
        (
            &|v| v["connector"]["roles"] = json!(["destination"]),
            "at `/webhook`: `[webhook]` needs the role `webhook`",
        ),
    ];
    for (change, said) in cases {
        let found = changed(change);
        assert!(found.contains(said), "{said}: {found}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]
    #[test]
    fn any_description_survives(
        header in "[a-z][a-z0-9-]{0,20}",
        prefix in "[a-zA-Z0-9_= .]{0,12}",
        text in "[a-zA-Z0-9:.\" \\\\]{0,12}",
        at in 0usize..3,
        algorithm in 0usize..4,
        separated: bool,
        seconds in 1u64..86_400,
    ) {
        use Algorithm::*;
        let place = match at {
            0 => None,
            1 => Some(Place::Header { name: format!("{header}-at"), prefix: prefix.clone() }),
            _ => Some(Place::Body(format!("/{text}"))),
        };
        let stamp = if at == 1 { "{timestamp}" } else { "" };
        let scheme = Scheme {
            header: header.clone(),
            prefix: prefix.clone(),
            proof: Proof::Signature(Signature {
                algorithm: [HmacSha1, HmacSha256, HmacSha512, Ed25519][algorithm],
                encoding: Encoding::Hex,
                separator: separated.then_some(';'),
                signed: format!("{text}\n{stamp}{{header.{header}}}{{body}}{text}").parse().unwrap(),
                timestamp: place.map(|place| Timestamp {
                    place,
                    unit: Unit::Rfc3339,
                    tolerance: Duration::from_secs(seconds),
                }),
                key: Key { encoding: Encoding::Base64, prefix },
            }),
        };
        proptest::prop_assert!(scheme.faults().is_empty());
        let webhook = Some(Webhook { signing: Signing::described(scheme), handshake: None });
        let connector = Connector { webhook, ..read("") };
        let json = connector.to_json();
        proptest::prop_assert_eq!(Connector::from_json(&json).unwrap(), connector);
        proptest::prop_assert_eq!(Connector::from_json(&json).unwrap().to_json(), json);
    }
}

/// What authors are shown is what is read: each name in the table, and each description.
#[test]
fn the_guide_of_authors_names_every_scheme() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authors/webhooks.md");
    let guide = fs::read_to_string(guide).unwrap();
    // Of the first table; another one says what a vendor asks.
    let table = guide.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: Vec<(&str, &str)> = rows.filter(|(name, _)| NAMES.contains(name)).collect();
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, NAMES);
    for (name, rest) in rows {
        let signing = Signing::named(name).unwrap();
        assert!(rest.contains(&format!("`{}`", signing.scheme().header)), "{name}: {rest}");
    }
    let blocks: Vec<&str> =
        guide.split("```toml\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(blocks.len() >= 4, "{}", blocks.len());
    for block in blocks {
        survives(&read(block));
    }
}
