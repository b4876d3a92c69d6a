//! Coded rows of `shared/corpora/bombs`, and hand-made ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_macros, reason = "a test that is skipped says so")]
use super::*;
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use http::HeaderValue;
use proptest::prelude::*;
use std::io::Write;
use std::path::PathBuf;

const MAX: u64 = 8 << 20;
const RATIO: &str = "malformed: compressed more than 200 to 1";

fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
    rows.iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

async fn decode(headers: &HeaderMap, wire: &[u8], piece: usize) -> Result<Bytes, Error> {
    let chunks: Vec<Result<Bytes, io::Error>> =
        wire.chunks(piece).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let limits = DecodeLimits { body_bytes_max: MAX, idle: Duration::from_secs(5) };
    collect(headers, stream::iter(chunks), &limits).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The vectors lie beside the checkout; a checkout without them skips those rows and says so.
fn bomb(name: &str) -> Option<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/bombs");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no vectors at {}", folder.display());
        return None;
    }
    Some(std::fs::read(folder.join(name)).unwrap())
}

fn text(result: Result<Bytes, Error>) -> String {
    match result {
        Ok(body) => format!("ok {}", body.len()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn gzip_rows_of_the_bombs() {
    let rows = [
        ("zeros-100MiB.gz", RATIO),
        ("many-members-10k.gz", "malformed: more than 1000 gzip members"),
        ("many-members-1MiBeach.gz", RATIO),
        ("truncated.gz", "malformed: the gzip body is cut short or corrupt"),
        ("bad-crc.gz", "malformed: the gzip body is cut short or corrupt"),
        ("trailing-garbage.gz", "malformed: the gzip body is cut short or corrupt"),
        ("not-gzip.bin", "malformed: the gzip body is cut short or corrupt"),
        ("slow-ratio-text.gz", "ok 64000"),
    ];
    let gzipped = headers(&[("content-encoding", "gzip")]);
    for (name, expected) in rows {
        let Some(wire) = bomb(name) else { return };
        for piece in [7, 1000, 1 << 16] {
            assert_eq!(text(decode(&gzipped, &wire, piece).await), expected, "{name} in pieces of {piece}");
        }
    }
    let nested = bomb("nested-gz-x5.gz").unwrap();
    let stacked = headers(&[("content-encoding", "gzip, gzip, gzip, gzip, gzip")]);
    assert_eq!(text(decode(&stacked, &nested, 64).await), "malformed: more than one content coding");
}

#[tokio::test]
async fn rows_of_the_bombs_in_other_codings() {
    let corrupt = |coding| format!("malformed: the {coding} body is cut short or corrupt");
    for (name, coding, expected) in [
        ("zeros-1GiB.br", "br", RATIO.to_owned()),
        ("zeros-1GiB.zst", "zstd", RATIO.to_owned()),
        ("zeros-100MiB.zlib", "deflate", RATIO.to_owned()),
        ("window-128MiB.zst", "zstd", corrupt("zstd")),
        // The zlib format alone: a raw stream may happen to look like one.
        ("deflate-raw.bin", "deflate", corrupt("deflate")),
        ("not-gzip.bin", "br", corrupt("br")),
        ("not-gzip.bin", "zstd", corrupt("zstd")),
    ] {
        let Some(wire) = bomb(name) else { return };
        let coded = headers(&[("content-encoding", coding)]);
        for piece in [1, 1000, 1 << 16] {
            assert_eq!(text(decode(&coded, &wire, piece).await), expected, "{name} in pieces of {piece}");
        }
    }
    for unknown in ["compress", "dcb", "aes128gcm"] {
        let coded = headers(&[("content-encoding", unknown)]);
        let expected = format!("malformed: content coding `{unknown}` is not supported");
        assert_eq!(text(decode(&coded, b"x", 1).await), expected);
    }
    let two = headers(&[("content-encoding", "gzip"), ("content-encoding", "identity")]);
    assert_eq!(text(decode(&two, b"x", 1).await), "malformed: more than one content coding");
}

/// `hello, hello, hello, hello` as the encoders of others write it.
const HELLO: &[u8] = b"hello, hello, hello, hello";

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A brotli stream, bit by bit (RFC 7932 section 9): the least significant first.
#[derive(Default)]
struct Brotli {
    bytes: Vec<u8>,
    /// Bits used of the last byte; 0 = whole.
    used: u32,
}

impl Brotli {
    fn bits(&mut self, value: usize, count: u32) {
        for at in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= u8::from(value >> at & 1 == 1) << self.used;
            self.used = (self.used + 1) % 8;
        }
    }

    /// ISLAST 0, MNIBBLES, MLEN - 1, ISUNCOMPRESSED.
    fn meta_block(&mut self, length: usize, stored: bool) {
        let nibbles = (4..=6).find(|nibbles| length - 1 < 1 << (4 * nibbles)).unwrap();
        self.bits(0, 1);
        self.bits(nibbles as usize - 4, 2);
        self.bits(length - 1, 4 * nibbles);
        self.bits(usize::from(stored), 1);
    }

    /// One command: four zeros, then a copy of what lies four bytes back (the first of the last distances).
    fn zeros(&mut self, count: usize) {
        self.meta_block(count, false);
        // One block type of each kind, NPOSTFIX and NDIRECT 0, context mode 0, one tree of literals and one of distances.
        self.bits(0, 3 + 2 + 4 + 2 + 1 + 1);
        // Codes of one symbol each, which then takes no bits: literal 0; insert 4 and copy code 23; the last distance.
        for (symbol, width) in [(0, 8), (384 + (4 << 3) + 7, 10), (0, 6)] {
            self.bits(1, 2);
            self.bits(0, 2);
            self.bits(symbol, width);
        }
        self.bits(count - 4 - 2118, 24);
    }

    fn stored(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(1 << 16) {
            self.meta_block(part.len(), true);
            self.used = 0;
            self.bytes.extend_from_slice(part);
        }
    }
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    brotli_of(0, bytes)
}

fn brotli_of(zeros: usize, stored: &[u8]) -> Vec<u8> {
    let mut stream = Brotli::default();
    // WBITS 16.
    stream.bits(0, 1);
    if zeros > 0 {
        stream.zeros(zeros);
    }
    stream.stored(stored);
    // ISLAST, ISLASTEMPTY.
    stream.bits(3, 2);
    stream.bytes
}

#[tokio::test]
async fn each_coding_in_every_piece_and_cut_anywhere() {
    for (coding, wire) in
        [("gzip", gzip(HELLO)), ("deflate", zlib(HELLO)), ("br", brotli(HELLO)), ("zstd", zstd(HELLO))]
    {
        let coded = headers(&[("content-encoding", coding)]);
        let corrupt = format!("malformed: the {coding} body is cut short or corrupt");
        for piece in 1..=wire.len() {
            assert_eq!(decode(&coded, &wire, piece).await.unwrap(), HELLO, "{coding} in pieces of {piece}");
            let more = [&wire, &b"more"[..]].concat();
            assert_eq!(text(decode(&coded, &more, piece).await), corrupt, "{coding} and more, by {piece}");
        }
        for length in 1..wire.len() {
            assert_eq!(text(decode(&coded, &wire[..length], 3).await), corrupt, "{coding} cut at {length}");
        }
        assert_eq!(text(decode(&coded, b"", 4).await), "ok 0");
    }
    let two = [zstd(HELLO), zstd(HELLO)].concat();
    let coded = headers(&[("content-encoding", "zstd")]);
    assert_eq!(decode(&coded, &two, 9).await.unwrap(), [HELLO, HELLO].concat());
    let many = zstd(b"x").repeat(limits::ZSTD_FRAMES_MAX as usize + 1);
    assert_eq!(text(decode(&coded, &many, 4096).await), "malformed: the zstd body is cut short or corrupt");
    // Of the others a second body may not follow.
    for (coding, wire) in [("deflate", zlib(HELLO)), ("br", brotli(HELLO))] {
        let coded = headers(&[("content-encoding", coding)]);
        assert!(decode(&coded, &[wire.clone(), wire].concat(), 64).await.is_err(), "{coding}");
    }
}

/// Zeros, then bytes that no coding makes shorter.
fn dense_then_noise(coding: &str, zeros: usize, rest: &[u8]) -> Vec<u8> {
    let body = || [&vec![0; zeros], rest].concat();
    match coding {
        "gzip" => gzip(&body()),
        "deflate" => zlib(&body()),
        "br" => brotli_of(zeros, rest),
        _ => zstd(&body()),
    }
}

const PIECES: [usize; 6] = [7, 1000, 4096, 4097, 1 << 16, usize::MAX];

#[tokio::test]
async fn a_body_below_the_cap_is_held_to_the_ratio_however_it_arrives() {
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let coded = headers(&[("content-encoding", coding)]);
        let wire = dense_then_noise(coding, 4 << 20, b"");
        assert!(wire.len() < (4 << 20) / 400, "{coding}: {}", wire.len());
        for piece in PIECES {
            assert_eq!(text(decode(&coded, &wire, piece).await), RATIO, "{coding} in pieces of {piece}");
        }
        // The twin: up to `RATIO_FREE_BYTES` a body may compress as well as it likes.
        let wire = dense_then_noise(coding, limits::RATIO_FREE_BYTES as usize, b"");
        assert_eq!(text(decode(&coded, &wire, 1000).await), "ok 1048576", "{coding}");
    }
}

/// Bytes that no coding makes shorter.
fn noise(count: usize) -> Vec<u8> {
    let mut seed = 1u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[tokio::test]
async fn bytes_that_come_later_make_up_for_no_dense_start() {
    let rest = noise(64 << 10);
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let coded = headers(&[("content-encoding", coding)]);
        // All together it is far below the ratio. 4 MiB of zeros need 21,000 bytes of wire, which come too late; of zstd
        // nothing is decoded before all of it is there.
        let wire = dense_then_noise(coding, 4 << 20, &rest);
        assert!(wire.len() > 64 << 10, "{coding}");
        let expected =
            if coding == "zstd" { format!("ok {}", (4 << 20) + rest.len()) } else { RATIO.to_owned() };
        let dense = (1 << 20) - (16 << 10);
        let honest = dense_then_noise(coding, dense, &rest);
        for piece in PIECES {
            assert_eq!(text(decode(&coded, &wire, piece).await), expected, "{coding} in pieces of {piece}");
            let passed = text(decode(&coded, &honest, piece).await);
            assert_eq!(passed, format!("ok {}", dense + rest.len()), "{coding} in pieces of {piece}");
        }
    }
}

#[tokio::test]
async fn noise_is_no_body() {
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let coded = headers(&[("content-encoding", coding)]);
        for noise in noise(500 * 64).chunks(64) {
            // Some noise is a valid brotli stream; none may take more than its cap, or panic.
            if let Ok(body) = decode(&coded, noise, 7).await {
                assert!(body.len() as u64 <= MAX);
            }
        }
    }
}

#[tokio::test]
async fn a_body_is_held_to_its_cap_and_length() {
    let none = HeaderMap::new();
    let body = vec![b'a'; MAX as usize + 1];
    assert_eq!(text(decode(&none, &body[1..], 1 << 16).await), format!("ok {MAX}"));
    assert_eq!(text(decode(&none, &body, 1 << 16).await), format!("larger than {MAX} bytes"));
    // Noise that does not compress reaches the cap and not the ratio.
    let noise: Vec<u8> = (0..MAX as u32 + 9).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let gzipped = headers(&[("content-encoding", "X-GZip")]);
    assert_eq!(text(decode(&gzipped, &gzip(&noise), 9000).await), format!("larger than {MAX} bytes"));
    assert_eq!(decode(&gzipped, &gzip(b"{}"), 3).await.unwrap(), &b"{}"[..]);
    let two = [gzip(b"one "), gzip(b"two")].concat();
    for piece in 1..two.len() {
        assert_eq!(decode(&gzipped, &two, piece).await.unwrap(), &b"one two"[..]);
    }
    let ten = headers(&[("content-length", "10")]);
    assert_eq!(
        text(decode(&ten, b"123456789", 4).await),
        "malformed: the body is shorter than its `content-length`"
    );
    assert_eq!(
        text(decode(&ten, b"12345678901", 4).await),
        "malformed: the body is longer than its `content-length`"
    );
    assert_eq!(text(decode(&ten, b"1234567890", 4).await), "ok 10");
    assert_eq!(text(decode(&ten, b"", 4).await), "ok 0");
    assert_eq!(text(decode(&gzipped, b"", 4).await), "ok 0");
    let disagree = headers(&[("content-length", "10"), ("content-length", "9")]);
    assert_eq!(text(decode(&disagree, b"", 4).await), "malformed: two `content-length` headers disagree");
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_timeout() {
    let limits = DecodeLimits { body_bytes_max: MAX, idle: Duration::from_secs(5) };
    let endless = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"x"))]).chain(stream::pending());
    assert!(matches!(collect(&HeaderMap::new(), endless, &limits).await, Err(Error::Timeout)));
}

#[tokio::test]
async fn a_lost_connection_and_broken_framing_differ() {
    let limits = DecodeLimits { body_bytes_max: MAX, idle: Duration::from_secs(5) };
    for (kind, expected) in [
        (
            io::ErrorKind::ConnectionReset,
            "could not connect: the connection was lost while the answer arrived",
        ),
        (io::ErrorKind::UnexpectedEof, "malformed: the body broke off"),
        (io::ErrorKind::InvalidData, "malformed: the body's framing is broken"),
        (io::ErrorKind::Other, "malformed: the body broke off"),
    ] {
        let chunks =
            stream::iter([Ok(Bytes::from_static(b"x")), Err(io::Error::new(kind, "https://secret"))]);
        assert_eq!(text(collect(&HeaderMap::new(), chunks, &limits).await), expected);
    }
}

#[test]
fn header_caps() {
    let mut many = HeaderMap::new();
    for at in 0..=limits::RESPONSE_HEADERS_MAX {
        assert!(check_headers(&many).is_ok());
        many.insert(http::HeaderName::try_from(format!("x-{at}")).unwrap(), HeaderValue::from_static("1"));
    }
    assert!(matches!(check_headers(&many), Err(Error::Malformed(_))));
    let long = HeaderValue::from_str(&"a".repeat(limits::RESPONSE_HEADER_BYTES_MAX)).unwrap();
    let long: HeaderMap = [(http::HeaderName::from_static("x"), long)].into_iter().collect();
    assert!(matches!(check_headers(&long), Err(Error::TooLarge(_))));
}

/// Bodies of zeros, noise and words, as they are mixed in the wild.
fn a_body() -> impl Strategy<Value = Vec<u8>> {
    let part = (0_u8..3, 0_usize..6_000, any::<u8>()).prop_map(|(kind, count, byte)| match kind {
        0 => vec![byte; count],
        1 => noise(count),
        _ => HELLO.iter().copied().cycle().take(count).collect(),
    });
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn coded(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => gzip(body),
        "deflate" => zlib(body),
        "br" => brotli_of(0, body),
        "zstd" => zstd(body),
        _ => body.to_vec(),
    }
}

fn collected(coding: &str, wire: &[u8], cuts: &[prop::sample::Index], cap: u64) -> Result<Bytes, Error> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
    at.extend([0, wire.len()]);
    at.sort_unstable();
    let chunks: Vec<Result<Bytes, io::Error>> =
        at.windows(2).map(|pair| Ok(Bytes::copy_from_slice(&wire[pair[0]..pair[1]]))).collect();
    let limits = DecodeLimits { body_bytes_max: cap, idle: Duration::from_secs(5) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(collect(&headers(&[("content-encoding", coding)]), stream::iter(chunks), &limits))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_000), ..ProptestConfig::default() })]

    /// Never more than the cap, exactly the body below it, wherever the wire is cut and whatever a bit of it became.
    #[test]
    fn never_more_than_the_cap(
        coding in prop::sample::select(vec!["gzip", "deflate", "br", "zstd", "identity"]),
        body in a_body(),
        cap in 0_u64..24_000,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        flipped in prop::option::of((any::<prop::sample::Index>(), 0_u8..8)),
    ) {
        let mut wire = coded(coding, &body);
        let whole = flipped.is_none() || wire.is_empty();
        if let (Some((at, bit)), false) = (flipped, wire.is_empty()) {
            let at = at.index(wire.len());
            wire[at] ^= 1 << bit;
        }
        let found = collected(coding, &wire, &cuts, cap);
        if let Ok(found) = &found {
            prop_assert!(found.len() as u64 <= cap);
        }
        if whole && body.len() as u64 <= cap {
            prop_assert_eq!(found.as_deref().ok(), Some(&body[..]), "{:?}", found);
        } else if whole {
            prop_assert!(matches!(found, Err(Error::TooLarge(bytes)) if bytes == cap), "{found:?}");
        }
        // How it arrives changes nothing.
        let at_once = collected(coding, &wire, &[], cap);
        prop_assert_eq!(text(at_once), text(found));
    }
}
