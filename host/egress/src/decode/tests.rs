//! Rows of `shared/corpora/bombs` that are gzip, and hand-made ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_macros, reason = "a test that is skipped says so")]
use super::*;
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use http::HeaderValue;
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
async fn other_codings_are_named_and_refused() {
    for (name, coding) in [
        ("zeros-1GiB.br", "br"),
        ("zeros-1GiB.zst", "zstd"),
        ("window-128MiB.zst", "zstd"),
        ("deflate-raw.bin", "deflate"),
        ("zeros-100MiB.zlib", "deflate"),
    ] {
        let Some(wire) = bomb(name) else { return };
        let coded = headers(&[("content-encoding", coding)]);
        let expected = format!("malformed: content coding `{coding}` is not supported");
        assert_eq!(text(decode(&coded, &wire, 4096).await), expected);
    }
    let two = headers(&[("content-encoding", "gzip"), ("content-encoding", "identity")]);
    assert_eq!(text(decode(&two, b"x", 1).await), "malformed: more than one content coding");
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
