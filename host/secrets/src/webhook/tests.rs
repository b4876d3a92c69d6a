//! Every scheme against what its vendor published, against what is forged, and against what two readers would read differently.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(
    clippy::disallowed_macros,
    reason = "a test that is skipped says so, and one that counts says how many"
)]
use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis_clock::{Random, SeededRandom};
use portcullis_manifest::signing::{Algorithm, Key as Form, NAMES, Part, Signed, Signing, TOLERANCE_DEFAULT};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn scheme(name: &str) -> Scheme {
    Signing::named(name).unwrap_or_else(|| panic!("no scheme `{name}`")).scheme().clone()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

/// What is refused when a route is set up is refused as well.
fn verified(
    scheme: &Scheme,
    secrets: &[Secret],
    delivered: &Delivered<'_>,
    now: Timestamp,
) -> Result<(), String> {
    let verifier = Verifier::new(scheme, secrets).map_err(|error| error.to_string())?;
    verifier.verify(delivered, now).map(drop).map_err(|error| error.to_string())
}

/// Vendors of the vectors by the scheme's name; none = what is no webhook.
fn of_provider(provider: &str) -> Option<&str> {
    match provider {
        // The answer of an OAuth dialogue, signed in its query: no delivery.
        "shopify-oauth" => None,
        "hubspot-v3" => Some("hubspot"),
        other => Some(other),
    }
}

#[test]
fn every_published_vector() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/corpora/webhook-vectors/vectors.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("SKIPPED: {} is missing", file.display());
        return;
    };
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for vector in &vectors {
        let word = |key: &str| vector[key].as_str().unwrap_or_default();
        let Some(name) = of_provider(word("provider")) else { continue };
        let given: Vec<_> = vector["headers"].as_object().unwrap().iter().collect();
        let given: Vec<_> =
            given.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let body = STANDARD.decode(word("body_b64")).unwrap();
        let headers = headers(&given);
        let delivered =
            Delivered { method: word("method"), url: word("url"), headers: &headers, body: &body };
        // Where a vector says nothing of time, it is now.
        let signed_at = given.iter().find_map(|(_, value)| Timestamp::parse(value));
        let now = vector["now"].as_i64().map(|seconds| Timestamp::from_millis(seconds * 1000));
        let now = now.or(signed_at).unwrap_or(NOW);
        let found = verified(&scheme(name), &[secret(word("secret"))], &delivered, now);
        // Which header of Shopify's is signed is another question than whether the signature fits; what came before is the store's.
        let fits = matches!(word("expect"), "accept" | "accept-but-topic-untrusted" | "dedupe");
        match (fits, &found) {
            (true, Ok(())) => accepted += 1,
            (false, Err(_)) => refused += 1,
            _ => wrong.push(format!("{name} {}: {found:?}, and {}", word("name"), word("reason"))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    eprintln!("{accepted} accepted, {refused} refused of {} vectors", vectors.len());
    assert!(accepted >= 15 && refused >= 15, "{accepted} accepted, {refused} refused");
}

/// (scheme, secret, URL, headers, body, now in seconds), each with its source.
type Published<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, i64);

const PUBLISHED: [Published<'_>; 3] = [
    // Atlassian, Jira Cloud platform, "Webhooks": secure admin webhooks.
    (
        "jira",
        "It's a Secret to Everybody",
        "",
        &[("X-Hub-Signature", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9")],
        "Hello World!",
        0,
    ),
    // RFC 7617 section 2, and RFC 6750 section 2.1: what the header holds.
    ("basic", "Aladdin:open sesame", "", &[("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")], "", 0),
    ("bearer", "mF_9.B5f-4.1JqM", "", &[("authorization", "bearer mF_9.B5f-4.1JqM")], "", 0),
];

#[test]
fn what_vendors_published_beside() {
    for (name, key, url, given, body, now) in PUBLISHED {
        let headers = headers(given);
        let delivered = Delivered { method: "POST", url, headers: &headers, body: body.as_bytes() };
        let now = Timestamp::from_millis(now * 1000);
        assert_eq!(verified(&scheme(name), &[secret(key)], &delivered, now), Ok(()), "{name}");
        let other = secret(&format!("{key}x"));
        assert!(verified(&scheme(name), &[other], &delivered, now).is_err(), "{name}");
    }
}

fn seed(random: &SeededRandom) -> [u8; 32] {
    let mut seed = [0; 32];
    random.fill(&mut seed);
    seed
}

fn sample() -> Sample {
    Sample {
        method: "POST".to_owned(),
        url: "https://hooks.example.com/in%3Fa/b?q=1%2C2".to_owned(),
        headers: headers(&[("content-type", "application/json")]),
        body: br#"{"id":12345678901234567890,"webhookTimestamp":1}"#.to_vec(),
    }
}

/// Each named scheme, and described ones with what no name has.
fn all() -> Vec<(String, Scheme)> {
    let named = NAMES.into_iter().map(|name| (name.to_owned(), scheme(name)));
    let described = [Algorithm::HmacSha512, Algorithm::Ed25519].map(|algorithm| {
        let signed = "{method} {url}\n{timestamp}.{body}".parse::<Signed>().unwrap();
        let name = "x-acme-signature".to_owned();
        let signature = Signature {
            algorithm,
            encoding: Encoding::Base64,
            separator: Some(';'),
            signed,
            timestamp: Some(Time {
                place: Place::Header { name: name.clone(), prefix: "at=".to_owned() },
                unit: Unit::Rfc3339,
                tolerance: TOLERANCE_DEFAULT,
            }),
            key: Form { encoding: Encoding::Base64, prefix: "key_".to_owned() },
        };
        let scheme = Scheme { header: name, prefix: "by=".to_owned(), proof: Proof::Signature(signature) };
        (algorithm.as_str().to_owned(), scheme)
    });
    named.chain(described).collect()
}

#[test]
fn what_each_scheme_signs_it_verifies() {
    let random = SeededRandom::new(1);
    for (name, scheme) in all() {
        let (ours, other) = (seed(&random), seed(&random));
        let signer = Signer::made_up(&scheme, ours).unwrap();
        let other = Signer::made_up(&scheme, other).unwrap();
        let mut sample = sample();
        signer.sign(&mut sample, NOW).unwrap();
        let check = |secrets: &[&Secret], now: Timestamp| {
            let secrets: Vec<Secret> = secrets.iter().map(|secret| (*secret).clone()).collect();
            verified(&scheme, &secrets, &sample.delivered(), now)
        };
        assert_eq!(check(&[signer.secret()], NOW), Ok(()), "{name}");
        // During a rotation, in either order.
        assert_eq!(check(&[other.secret(), signer.secret()], NOW), Ok(()), "{name}");
        assert_eq!(check(&[signer.secret(), other.secret()], NOW), Ok(()), "{name}");
        let refused = check(&[other.secret()], NOW).unwrap_err();
        assert!(refused.starts_with("no signature fits"), "{name}: {refused}");
        // Signed again, what signed it before is gone.
        let mut again = sample.clone();
        signer.sign(&mut again, NOW).unwrap();
        again.headers.sort();
        let mut once = sample.clone();
        once.headers.sort();
        assert_eq!(again, once, "{name}");
        let Proof::Signature(Signature { timestamp: Some(time), .. }) = &scheme.proof else { continue };
        let edge = |over: u64| time.tolerance + Duration::from_millis(over);
        assert_eq!(check(&[signer.secret()], NOW.plus(edge(0))), Ok(()), "{name}");
        assert_eq!(check(&[signer.secret()], NOW.minus(edge(0))), Ok(()), "{name}");
        let late = check(&[signer.secret()], NOW.plus(edge(1))).unwrap_err();
        assert!(late.starts_with("it was signed 300 s ago, and 300 s are allowed"), "{name}: {late}");
        let early = check(&[signer.secret()], NOW.minus(edge(1))).unwrap_err();
        assert!(early.starts_with("it was signed 300 s from now"), "{name}: {early}");
    }
}

/// One change of a delivery that no vendor signed.
fn forge(sample: &mut Sample, scheme: &Scheme, pick: &mut dyn FnMut(usize) -> usize) {
    let flip = |bytes: &mut Vec<u8>, pick: &mut dyn FnMut(usize) -> usize| {
        if bytes.is_empty() {
            bytes.push(b'x');
        } else {
            let at = pick(bytes.len());
            bytes[at] ^= 1 << pick(8);
        }
    };
    let at = sample.headers.iter().position(|(name, _)| *name == scheme.header).unwrap();
    let time = match &scheme.proof {
        Proof::Signature(Signature {
            timestamp: Some(Time { place: Place::Header { name, .. }, .. }),
            ..
        }) => sample.headers.iter().position(|(known, _)| known == name),
        _ => None,
    };
    match pick(9) {
        0 => flip(&mut sample.headers[at].1, pick),
        1 => {
            let short = pick(sample.headers[at].1.len());
            sample.headers[at].1.truncate(short);
        }
        2 => sample.headers[at].1.push(b'0'),
        3 => sample.headers[at].1 = scheme.prefix.clone().into_bytes(),
        4 => drop(sample.headers.remove(at)),
        // A header more: it is nobody's business which of the two is meant.
        5 => {
            let twice = sample.headers[at].clone();
            sample.headers.insert(pick(sample.headers.len() + 1), (twice.0.to_ascii_uppercase(), twice.1));
        }
        6 => match time {
            Some(time) => flip(&mut sample.headers[time].1, pick),
            None => flip(&mut sample.headers[at].1, pick),
        },
        7 => {
            let (before, after) = sample.headers[at].1.split_at(scheme.prefix.len());
            sample.headers[at].1 = [before, &after.to_ascii_uppercase()[..]].concat();
        }
        _ => match pick(4) {
            0 => flip(&mut sample.body, pick),
            // An id that is signed too.
            3 if sample.headers.iter().any(|(name, _)| name.ends_with("-id")) => {
                let id = sample.headers.iter_mut().find(|(name, _)| name.ends_with("-id")).unwrap();
                flip(&mut id.1, pick);
            }
            1 => drop(sample.body.pop()),
            _ => sample.body.push(b'\n'),
        },
    }
}

/// Whether this change alters what the scheme is about: a bearer's body is nobody's, and a prefix of `Authorization` has no case.
fn says_the_same(before: &Sample, after: &Sample, scheme: &Scheme) -> bool {
    if before == after {
        return true;
    }
    let of = |sample: &Sample| -> Vec<Vec<u8>> {
        let known = sample.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&scheme.header));
        known.map(|(_, value)| value.clone()).collect()
    };
    let (Proof::Secret(_), [was], [is]) = (&scheme.proof, &of(before)[..], &of(after)[..]) else {
        return false;
    };
    let prefix = scheme.prefix.len();
    was.len() == is.len()
        && was[prefix..] == is[prefix..]
        && was[..prefix].eq_ignore_ascii_case(&is[..prefix])
}

#[test]
fn nothing_forged_passes() {
    const EACH: usize = 600;
    let random = SeededRandom::new(7);
    let mut pick = |below: usize| {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % below.max(1) as u64) as usize
    };
    let (mut forged, mut accepted) = (0, Vec::new());
    for (name, scheme) in all() {
        let signer = Signer::made_up(&scheme, [pick(256) as u8; 32]).unwrap();
        let mut valid = sample();
        signer.sign(&mut valid, NOW).unwrap();
        let verifier = Verifier::new(&scheme, &[signer.secret().clone()]).unwrap();
        assert_eq!(verifier.verify(&valid.delivered(), NOW).map(drop), Ok(()), "{name}");
        for _ in 0..EACH {
            let mut sample = valid.clone();
            forge(&mut sample, &scheme, &mut pick);
            if says_the_same(&valid, &sample, &scheme) {
                continue;
            }
            forged += 1;
            if verifier.verify(&sample.delivered(), NOW).is_ok() {
                accepted.push(format!("{name}: {sample:?}"));
            }
        }
        // A URL that is signed is one byte for byte: but for what HubSpot decodes.
        let Proof::Signature(Signature { signed, .. }) = &scheme.proof else { continue };
        if signed.0.iter().any(|part| matches!(part, Part::Url | Part::DecodedUrl)) {
            for at in 0..valid.url.len() {
                let mut bytes = valid.url.clone().into_bytes();
                bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
                let sample = Sample { url: String::from_utf8(bytes).unwrap(), ..valid.clone() };
                forged += 1;
                if verifier.verify(&sample.delivered(), NOW).is_ok() {
                    accepted.push(format!("{name}: {}", sample.url));
                }
            }
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
    eprintln!("{forged} forged, 0 accepted");
    assert!(forged >= 10_000, "{forged}");
}

#[test]
fn a_rotation_of_signatures() {
    let scheme = scheme("stripe");
    let signed = |seed: u8| {
        let (signer, mut sample) = (Signer::made_up(&scheme, [seed; 32]).unwrap(), sample());
        signer.sign(&mut sample, NOW).unwrap();
        let value = String::from_utf8(sample.headers.pop().unwrap().1).unwrap();
        (signer.secret().clone(), value.split_once(",v1=").unwrap().1.to_owned())
    };
    let ((old, by_old), (new, by_new)) = (signed(1), signed(2));
    let both = format!("t=1700000000,v1={by_old},v1={by_new},v0=00");
    let delivered = |value: &str, secrets: &[&Secret]| {
        let (mut sample, secrets) = (sample(), secrets.iter().map(|secret| (*secret).clone()));
        sample.headers.push(("Stripe-Signature".to_owned(), value.as_bytes().to_vec()));
        let secrets: Vec<_> = secrets.collect();
        verified(&scheme, &secrets, &sample.delivered(), NOW)
    };
    assert_eq!(delivered(&both, &[&old]), Ok(()));
    assert_eq!(delivered(&both, &[&new]), Ok(()));
    let one = format!("t=1700000000,v1={by_new}");
    assert_eq!(delivered(&one, &[&old, &new]), Ok(()));
    assert!(delivered(&one, &[&old]).unwrap_err().starts_with("no signature fits"));
    let many = format!("t=1700000000{}", format!(",v1={by_old}").repeat(WEBHOOK_SIGNATURES_MAX));
    assert!(delivered(&many, &[&old]).unwrap_err().contains("more than 32 items"));
    // Two times: two readers would choose differently.
    let twice = format!("t=1700000000,t=1700000001,v1={by_old}");
    assert!(delivered(&twice, &[&old]).unwrap_err().contains("or more than one"));
}

#[test]
fn twilio_signs_a_form_as_it_means_and_a_body_by_its_digest() {
    let scheme = scheme("twilio");
    let signer = Signer::made_up(&scheme, [3; 32]).unwrap();
    let signed = |kind: &str, url: &str, body: &str| {
        let headers = headers(&[("Content-Type", kind)]);
        let (method, url) = ("POST".to_owned(), url.to_owned());
        let mut sample = Sample { method, url, headers, body: body.as_bytes().to_vec() };
        signer.sign(&mut sample, NOW).unwrap();
        sample
    };
    let verify = |sample: &Sample| verified(&scheme, &[signer.secret().clone()], &sample.delivered(), NOW);
    const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
    let form = signed(FORM, "https://a.test/in", "b=2&a=x+y&b=1&b=2&c");
    assert_eq!((verify(&form), form.url.as_str()), (Ok(()), "https://a.test/in"));
    let with = |body: &str| Sample { body: body.as_bytes().to_vec(), ..form.clone() };
    // The same pairs, written otherwise: Twilio signs what they mean.
    assert_eq!(verify(&with("a=x%20y&b=1&b=2&c=")), Ok(()));
    for other in ["b=2&a=x+y&b=1", "b=2&a=x+y&b=1&b=3&c", "", "b=2&a=x+z&b=1&b=2&c"] {
        assert!(verify(&with(other)).is_err(), "{other}");
    }
    let json = signed("application/json", "https://a.test/in?q", "{\"a\":1}");
    assert!(
        json.url.starts_with("https://a.test/in?q&bodySHA256=") && verify(&json) == Ok(()),
        "{}",
        json.url
    );
    // A digest in the URL holds whatever the type says: else an empty form would be what was signed.
    for body in ["", "a=1", "{\"a\":2}"] {
        let sample = Sample { body: body.into(), headers: json.headers.clone(), ..json.clone() };
        let mut typed = sample.clone();
        typed.headers[0].1 = FORM.as_bytes().to_vec();
        for sample in [sample, typed] {
            assert!(verify(&sample).unwrap_err().starts_with("the body is neither"), "{body}");
        }
    }
    // Signed without a body, with one now.
    let bare = signed("application/json", "https://a.test/in", "");
    assert_eq!((verify(&bare), bare.url.as_str()), (Ok(()), "https://a.test/in"));
    let refused = verify(&Sample { body: b"{}".to_vec(), ..bare }).unwrap_err();
    assert!(refused.starts_with("the body is neither"), "{refused}");
}

#[test]
fn secrets_that_are_no_key_are_refused_before_any_delivery() {
    let refused = |name: &str, secrets: &[&str]| {
        let secrets: Vec<_> = secrets.iter().map(|text| secret(text)).collect();
        Verifier::new(&scheme(name), &secrets).err()
    };
    assert_eq!(refused("github", &[]), Some(KeyError::Count(0)));
    assert_eq!(refused("github", &["a"; 9]), Some(KeyError::Count(9)));
    for name in ["github", "bearer", "basic", "stripe", "standard-webhooks"] {
        assert_eq!(refused(name, &["good", ""]).or(refused(name, &[""])), Some(KeyError::Empty), "{name}");
    }
    assert_eq!(refused("standard-webhooks", &["whsec_"]), Some(KeyError::Empty));
    // A public key never verifies what a secret signs.
    let public = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    assert_eq!(refused("standard-webhooks", &[public]), Some(KeyError::Form("base64")));
    assert_eq!(refused("discord", &["00"]), Some(KeyError::Public));
    assert_eq!(refused("discord", &["GG"]), Some(KeyError::Form("lower-case hexadecimal digits")));
    let key = secret(&"ab".repeat(32));
    assert_eq!(Signer::new(&scheme("discord"), key).err(), Some(KeyError::Private));
}

#[test]
fn no_error_shows_a_secret_or_what_would_fit() {
    for (name, scheme) in all() {
        let signer = Signer::made_up(&scheme, [9; 32]).unwrap();
        let mut valid = sample();
        signer.sign(&mut valid, NOW).unwrap();
        let at = valid.headers.iter().position(|(name, _)| *name == scheme.header).unwrap();
        let fits = valid.headers[at].1.clone();
        let value = String::from_utf8(fits.clone()).unwrap();
        let digits = value.rsplit([',', '=', ' ', ';']).find(|part| part.len() > 8).unwrap();
        for (value, body) in [(b"".to_vec(), &b"{}"[..]), (fits, b"{}"), (b"v1=00".to_vec(), b"")] {
            let mut sample = valid.clone();
            (sample.headers[at].1, sample.body) = (value, body.to_vec());
            for now in [NOW, NOW.plus(Duration::from_secs(9999))] {
                let secrets = [signer.secret().clone()];
                let Err(error) = verified(&scheme, &secrets, &sample.delivered(), now) else { continue };
                let shown = String::from_utf8_lossy(signer.secret().expose()).into_owned();
                assert!(!error.contains(&shown) && !error.contains(digits), "{name}: {error}");
            }
        }
    }
}
