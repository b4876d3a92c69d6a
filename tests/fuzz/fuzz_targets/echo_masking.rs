//! A vendor that gives a secret back, in any of its encodings and below a second layer, amid anything: no byte of it is left, no
//! length changes, and it is all the same where the body was cut.
#![no_main]
use arbitrary::Arbitrary;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use libfuzzer_sys::fuzz_target;
use portcullis_egress::fuzzing::Scan;

/// The longest beginning of an escape.
const OPEN_BYTES_MAX: usize = 16;

#[derive(Arbitrary, Debug)]
enum Encoding {
    Plain,
    HexLower,
    HexUpper,
    PercentUpper,
    PercentLower,
    Json,
    JsonUpper,
    Hexadecimal,
    Octal,
    Decimal,
    Reference,
    Base64,
    Base64Url,
}

#[derive(Arbitrary, Debug)]
enum Layer {
    None,
    Percent,
    Json,
    Html,
}

#[derive(Arbitrary, Debug)]
struct Echo {
    encoding: Encoding,
    layer: Layer,
    secret: [u8; 24],
    before: Vec<u8>,
    after: Vec<u8>,
    cuts: Vec<u8>,
}

fn encoded(secret: &[u8], encoding: &Encoding, offset: usize) -> Vec<u8> {
    let each =
        |write: fn(u8) -> String| secret.iter().map(|byte| write(*byte)).collect::<String>().into_bytes();
    // The characters that no neighbour can change.
    let base64 = |text: String| {
        let (from, to) = ((offset * 8).div_ceil(6), (offset + secret.len()) * 8 / 6);
        text.as_bytes()[from..to].to_vec()
    };
    let padded = [&[0_u8; 2][..offset], secret].concat();
    match encoding {
        Encoding::Plain => secret.to_vec(),
        Encoding::HexLower => each(|byte| format!("{byte:02x}")),
        Encoding::HexUpper => each(|byte| format!("{byte:02X}")),
        Encoding::PercentUpper => each(|byte| format!("%{byte:02X}")),
        Encoding::PercentLower => each(|byte| format!("%{byte:02x}")),
        Encoding::Json => each(|byte| format!("\\u{byte:04x}")),
        Encoding::JsonUpper => each(|byte| format!("\\u{byte:04X}")),
        Encoding::Hexadecimal => each(|byte| format!("\\x{byte:02x}")),
        Encoding::Octal => each(|byte| format!("\\{byte:03o}")),
        Encoding::Decimal => each(|byte| format!("&#{byte};")),
        Encoding::Reference => each(|byte| format!("&#x{byte:X};")),
        Encoding::Base64 => base64(STANDARD.encode(&padded)),
        Encoding::Base64Url => base64(URL_SAFE.encode(&padded)),
    }
}

fn layered(text: Vec<u8>, layer: &Layer) -> Vec<u8> {
    let each =
        |write: fn(u8) -> String| text.iter().map(|byte| write(*byte)).collect::<String>().into_bytes();
    match layer {
        Layer::None => text,
        Layer::Percent => each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        }),
        Layer::Json => each(|byte| match byte {
            b'\\' | b'/' => format!("\\{}", char::from(byte)),
            _ => char::from(byte).to_string(),
        }),
        Layer::Html => each(|byte| match byte {
            b'&' => "&amp;".to_owned(),
            _ => char::from(byte).to_string(),
        }),
    }
}

fuzz_target!(|echo: Echo| {
    // A key as vendors make them: none of its characters is a mask.
    let secret: Vec<u8> = echo
        .secret
        .iter()
        .map(|byte| {
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[usize::from(byte % 64)]
        })
        .collect();
    let mut before = echo.before;
    // The open beginning of an escape right before would take characters of the secret for its own, or make more layers than
    // are taken off: an honest limit, told in SECURITY.md.
    while let Some(open) = before.iter().rposition(|byte| b"%\\&".contains(byte))
        && before.len() - open <= OPEN_BYTES_MAX
    {
        before.truncate(open);
    }
    let echoed = layered(encoded(&secret, &echo.encoding, before.len() % 3), &echo.layer);
    let body = [&before[..], &echoed, &echo.after].concat();
    let scan = Scan::of(&secret);
    let masked = scan.mask(&body);
    assert_eq!(masked.len(), body.len());
    // The whole place is masked, so that a cut of it shows nothing either.
    let place = &masked[before.len()..][..echoed.len()];
    assert!(place.iter().all(|byte| *byte == b'*'), "{:?} below {:?}: {place:?}", echo.encoding, echo.layer);
    assert!(masked.iter().zip(&body).all(|(now, then)| now == then || *now == b'*'));
    assert!(!masked.windows(secret.len()).any(|window| window == secret));
    let mut pieces = Vec::new();
    let mut rest = &body[..];
    for cut in echo.cuts.iter().take(32) {
        let (piece, after) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(scan.mask_in_pieces(&pieces), masked);
});
