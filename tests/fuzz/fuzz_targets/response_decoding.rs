//! A response body in any coding: never more than the cap, and the same however the wire is cut, whole or in pieces.
#![no_main]
use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use portcullis_egress::fuzzing::{decode, decode_in_pieces};
use std::io::Write;

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    Identity,
}

#[derive(Arbitrary, Debug)]
struct Answer {
    coding: Coding,
    /// Coded here: what decodes, so that more than the first check is reached.
    well_formed: bool,
    cap: u32,
    cuts: Vec<u8>,
    body: Vec<u8>,
}

impl Answer {
    /// Bytes that say themselves what they are stand for themselves: files of a corpus.
    fn of(bytes: &[u8]) -> Option<Self> {
        let coding = match bytes {
            [0x1f, 0x8b, ..] => Coding::Gzip,
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Coding::Deflate,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Coding::Zstd,
            _ => return Self::arbitrary_take_rest(Unstructured::new(bytes)).ok(),
        };
        let cuts = bytes.iter().rev().take(32).copied().collect();
        Some(Self { coding, well_formed: false, cap: 1 << 22, cuts, body: bytes.to_vec() })
    }

    fn wire(&self) -> Vec<u8> {
        let fast = flate2::Compression::fast();
        match (self.coding, self.well_formed) {
            (Coding::Gzip, true) => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), fast);
                encoder.write_all(&self.body).expect("memory");
                encoder.finish().expect("memory")
            }
            (Coding::Deflate, true) => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), fast);
                encoder.write_all(&self.body).expect("memory");
                encoder.finish().expect("memory")
            }
            (Coding::Zstd, true) => {
                ruzstd::encoding::compress_to_vec(&self.body[..], ruzstd::encoding::CompressionLevel::Fastest)
            }
            _ => self.body.clone(),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some(answer) = Answer::of(bytes) else { return };
    let cap = answer.cap % (4 << 20);
    let wire = answer.wire();
    let name = ["gzip", "deflate", "br", "zstd", "identity"][answer.coding as usize];
    let whole = decode(name, &[&wire], cap.into()).map_err(|error| error.to_string());
    let same = answer.coding == Coding::Identity || answer.well_formed && answer.coding != Coding::Brotli;
    if let Ok(body) = &whole {
        assert!(body.len() <= cap as usize);
        assert!(!same || body == &answer.body);
    }
    // zstd is held to the cap by its wire too.
    assert!(!(same && answer.body.len().max(wire.len()) <= cap as usize) || whole.is_ok(), "{whole:?}");
    let mut pieces = Vec::new();
    let mut rest = &wire[..];
    for cut in answer.cuts.iter().take(32) {
        let (piece, after) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(decode(name, &pieces, cap.into()).map_err(|error| error.to_string()), whole, "{name}");
    let passed = decode_in_pieces(name, &pieces, cap.into()).map_err(|error| error.to_string());
    match (&whole, &passed) {
        (Ok(whole), Ok(passed)) => assert_eq!(whole, passed),
        (Ok(_), Err(error)) => panic!("{name}: whole alone: {error}"),
        // The ratio is more patient where an event has to reach its reader at once.
        (Err(error), Ok(body)) => {
            assert!(error.contains(" to 1"), "{name}: in pieces alone: {error}");
            assert!(body.len() <= cap as usize);
        }
        (Err(_), Err(_)) => {}
    }
});
