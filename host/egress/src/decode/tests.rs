//! Coded rows of `shared/corpora/bombs`, and hand-made ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_macros, reason = "a test that is skipped says so")]
use super::*;
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use http::HeaderValue;
use std::io::Write;
use std::path::PathBuf;

const MAX: u64 = 8 << 20;
const STOPPED: &str = "at the ratio or at the cap";

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
        ("zeros-100MiB.gz", STOPPED),
        ("many-members-10k.gz", "malformed: more than 1000 gzip members"),
        ("many-members-1MiBeach.gz", STOPPED),
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
            let ended = text(decode(&gzipped, &wire, piece).await);
            if expected == STOPPED {
                // Which of the two bounds comes first depends on how large a piece arrived at once.
                let bounds = ["malformed: compressed more than 200 to 1", "larger than 8388608 bytes"];
                assert!(bounds.contains(&&*ended), "{name} in pieces of {piece}: {ended}");
            } else {
                assert_eq!(ended, expected, "{name} in pieces of {piece}");
            }
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
        ("zeros-1GiB.br", "br", STOPPED.to_owned()),
        ("zeros-1GiB.zst", "zstd", STOPPED.to_owned()),
        ("zeros-100MiB.zlib", "deflate", STOPPED.to_owned()),
        ("window-128MiB.zst", "zstd", corrupt("zstd")),
        // The zlib format alone: a raw stream may happen to look like one.
        ("deflate-raw.bin", "deflate", corrupt("deflate")),
        ("not-gzip.bin", "br", corrupt("br")),
        ("not-gzip.bin", "zstd", corrupt("zstd")),
    ] {
        let Some(wire) = bomb(name) else { return };
        let coded = headers(&[("content-encoding", coding)]);
        for piece in [1, 1000, 1 << 16] {
            let ended = text(decode(&coded, &wire, piece).await);
            let bounds = ["malformed: compressed more than 200 to 1", "larger than 8388608 bytes"];
            let stopped = expected == STOPPED && bounds.contains(&&*ended);
            assert!(stopped || ended == expected, "{name} in pieces of {piece}: {ended}");
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

/// Stored, not compressed: one meta-block of bytes as they are, then the end (RFC 7932 §9.2).
fn brotli(bytes: &[u8]) -> Vec<u8> {
    // WBITS 16 (bit 0), ISLAST 0, MNIBBLES 4 (00), MLEN - 1 in 16 bits, ISUNCOMPRESSED 1, then aligned.
    let bits = ((bytes.len() as u32 - 1) << 4) | (1 << 20);
    let mut wire = bits.to_le_bytes()[..3].to_vec();
    wire.extend_from_slice(bytes);
    wire.push(3);
    wire
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

#[tokio::test]
async fn noise_is_no_body() {
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let coded = headers(&[("content-encoding", coding)]);
        let mut seed = 1u64;
        for _ in 0..500 {
            let noise: Vec<u8> = (0..64)
                .map(|_| {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (seed >> 33) as u8
                })
                .collect();
            // Some noise is a valid brotli stream; none may take more than its cap, or panic.
            if let Ok(body) = decode(&coded, &noise, 7).await {
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
