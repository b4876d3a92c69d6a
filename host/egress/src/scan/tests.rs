//! A canary through credential, decode, echo scan and exchange log: whatever a vendor makes of it, in every coding and cut of the
//! wire, neither the guest nor a row nor a trace line holds eight characters of it. `PROPTEST_CASES` raises the number of runs:
//! `just canary`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    credential::AttachCredential,
    decode::{self, DecodeLimits},
    exchange_log::LogAttempts,
    limits::SEARCHES_MAX,
    testing::{Kit, Script, request, response, slot, state},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{FutureExt, stream};
use http::{HeaderMap, HeaderValue};
use portcullis_secrets::Secret;
use proptest::{prelude::*, test_runner::TestRunner};
use std::{
    io::{self, Write},
    sync::{Mutex, mpsc},
    time::Duration,
};

const CANARY: &str = "sk_live_c4N/rY+7=zq~81&vx?Kd%Lm";
const ENCODINGS: usize = 12;

/// One of the usual ways in which it comes back. Of base64 what no neighbour can change: the rest holds bits of others.
fn encoded(how: usize) -> String {
    let bytes = CANARY.as_bytes();
    let each = |write: &dyn Fn(u8) -> String| bytes.iter().map(|byte| write(*byte)).collect::<String>();
    let base64 = |offset: usize| {
        let text = STANDARD.encode([&[0_u8; 2][..offset], bytes].concat());
        text[(offset * 8).div_ceil(6)..(offset + bytes.len()) * 8 / 6].to_owned()
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    match how {
        0 => CANARY.to_owned(),
        1..=3 => base64(how - 1),
        4 => base64(0).replace('+', "-").replace('/', "_"),
        5 => each(&|byte| format!("{byte:02x}")),
        6 => each(&|byte| format!("{byte:02X}")),
        7 => each(&|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }),
        8 => each(&|byte| format!("%{byte:02x}")),
        9 => each(&|byte| format!("\\u{byte:04x}")),
        10 => each(&|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%25{byte:02X}") }),
        _ => each(&|byte| if plain(byte) { char::from(byte).to_string() } else { format!("&#x{byte:X};") }),
    }
}

/// Eight characters of what was echoed, or of the canary itself, anywhere in a text.
fn shows(text: &[u8], echoed: &str) -> Option<String> {
    let windows = CANARY.as_bytes().windows(8).chain(echoed.as_bytes().windows(8));
    let mut found = windows.filter(|window| memchr::memmem::find(text, window).is_some());
    found.next().map(|window| String::from_utf8_lossy(window).into_owned())
}

/// What the tracing of a run wrote, spans and their fields included.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crate::state::lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Run {
    how: usize,
    in_header: bool,
    status: u16,
    content_type: &'static str,
    gzip: bool,
    before: String,
    after: String,
    /// Places in the wire, whatever its length.
    cuts: Vec<usize>,
}

fn cut(wire: &[u8], cuts: &[usize]) -> Vec<Result<Bytes, io::Error>> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    at.extend([0, wire.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| Ok(Bytes::copy_from_slice(&wire[pair[0]..pair[1]]))).collect()
}

/// What the guest got, and every row.
async fn run(kit: &Kit, run: &Run) -> (Vec<u8>, Vec<u8>, u32) {
    let echoed = encoded(run.how);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(run.content_type));
    let text = [&*run.before, if run.in_header { "" } else { &*echoed }, &*run.after].concat();
    let wire = if run.gzip {
        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    } else {
        text.into_bytes()
    };
    let limits = DecodeLimits { body_bytes_max: 1 << 20, idle: Duration::from_secs(5) };
    let body = decode::collect(&headers, stream::iter(cut(&wire, &run.cuts)), &limits).await.unwrap();
    let mut listed = vec![("content-type".to_owned(), run.content_type.as_bytes().to_vec())];
    if run.in_header {
        listed.push(("x-echo".to_owned(), format!("it was {echoed}!").into_bytes()));
        listed.push(("location".to_owned(), format!("https://x.test/{echoed}?k={echoed}").into_bytes()));
    }
    let answer =
        Response { status: run.status, headers: listed, body, pieces: None, safe: true, follow: false };
    let script = Script::new([Ok(answer)]);
    let mut layers = LogAttempts::new(AttachCredential::new(Scan::new(script.service())));
    let prepared = Arc::new(kit.prepared(&state(kit), request("GET", "https://api.vendor.test/v1/items")));
    let response = layers.call(Attempt::new(prepared, 1)).await.unwrap();
    // The positive control: what the transport was handed does hold it.
    let sent = script.asked.lock().unwrap()[0].credential.clone().unwrap();
    let (_, value) = sent.header.as_ref().unwrap();
    assert!(memchr::memmem::find(value.expose(), CANARY.as_bytes()).is_some());
    let mut guest = response.body.to_vec();
    for (name, value) in &response.headers {
        guest.extend_from_slice(name.as_bytes());
        guest.extend_from_slice(value);
    }
    let rows: Vec<_> = std::mem::take(&mut *crate::state::lock(&kit.sink.0));
    assert_eq!(rows.len(), 1);
    let echoes = rows[0].echoes;
    (guest, format!("{rows:?}").into_bytes(), echoes)
}

fn kit() -> Kit {
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/**", slot("key"))]);
    let secret = kit.secret("canary", CANARY);
    kit.bind("key", "vendor-live", portcullis_secrets::Scheme::Bearer { secret }, None);
    kit
}

/// What it ends with, and every trace line meanwhile.
fn traced<T>(runs: impl Future<Output = T>) -> (T, Vec<u8>) {
    let lines = Lines::default();
    let kept = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || kept.clone())
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let ended = tracing::subscriber::with_default(subscriber, || runtime.block_on(runs));
    let traced = crate::state::lock(&lines.0).clone();
    (ended, traced)
}

/// Checks the guest, the rows and the lines of a run.
fn held(kit: &Kit, one: &Run) {
    let ((guest, rows, echoes), traced) = traced(run(kit, one));
    assert!(!traced.is_empty(), "an echo is told of");
    let echoed = encoded(one.how);
    for (sink, bytes) in [("the guest", &guest), ("a row", &rows), ("a trace line", &traced)] {
        let shown = shows(bytes, &echoed);
        assert_eq!(shown, None, "in {sink}, echoed as {}: {}", one.how, String::from_utf8_lossy(bytes));
    }
    assert!(echoes > 0);
}

/// A body of one piece.
struct Once(Option<Bytes>);

#[async_trait::async_trait]
impl Pieces for Once {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        Ok(self.0.take())
    }
}

/// The twin of an echo: no place is noted, and nobody is warned. Whole and in pieces.
#[test]
fn a_warning_is_of_an_echo_alone() {
    let kit = kit();
    let prepared = Arc::new(kit.prepared(&state(&kit), request("GET", "https://api.vendor.test/v1/items")));
    let needles = Arc::new(Needles::new([&Secret::new(CANARY.as_bytes().to_vec())]));
    let twice = format!("{CANARY} {CANARY}");
    for (value, body, places) in [("a", "b", 0), (&*twice, "b", 2), ("a", CANARY, 1), (&*twice, CANARY, 3)] {
        for in_pieces in [false, true] {
            let mut answer = response(200, &[("x-echo", value), ("v", "")]);
            let body = Bytes::from(body.to_owned());
            match in_pieces {
                true => answer.pieces = Some(Piecewise::new(Once(Some(body)))),
                false => answer.body = body,
            }
            let attempt = Attempt::new(Arc::clone(&prepared), 1);
            attempt.trace.note(|noted| noted.needles = Some(Arc::clone(&needles)));
            let trace = Arc::clone(&attempt.trace);
            let ((), lines) = traced(async {
                let mut scan = Scan::new(Script::new([Ok(answer)]).service());
                let mut pieces = scan.call(attempt).await.unwrap().pieces.map(Piecewise::into_inner);
                while let Some(pieces) = &mut pieces
                    && let Some(piece) = pieces.next().await.unwrap()
                {
                    assert!(!piece.is_empty());
                }
            });
            assert_eq!(trace.note(|noted| noted.echoes), places, "{value}, {in_pieces}");
            let warned = memchr::memmem::find(&lines, b"a peer sent a secret back").is_some();
            assert_eq!(warned, places > 0, "{value}, {in_pieces}");
        }
    }
}

#[test]
fn every_encoding_in_every_cut_of_the_wire() {
    let kit = kit();
    for how in 0..ENCODINGS {
        let echoed = encoded(how);
        for at in 0..=echoed.len() + 2 {
            let one = Run {
                how,
                in_header: false,
                status: 400,
                content_type: "text/plain",
                gzip: false,
                before: "<".to_owned(),
                after: ">".to_owned(),
                cuts: vec![at],
            };
            held(&kit, &one);
        }
        held(
            &kit,
            &Run {
                how,
                in_header: true,
                status: 302,
                content_type: "text/plain",
                gzip: true,
                before: "moved".to_owned(),
                after: String::new(),
                cuts: Vec::new(),
            },
        );
    }
}

#[test]
fn fuzzed_runs_show_no_eight_characters() {
    let kit = kit();
    // No surrounding that could be a part of the canary, nor make base64 of other bits of it.
    let around = "([ -$,:;<>{}\"\n!äÿ]|it was ){0,40}";
    let runs = (
        0..ENCODINGS,
        any::<bool>(),
        prop::sample::select(vec![200_u16, 302, 400, 401, 500]),
        prop::sample::select(vec!["application/json", "text/html", "application/x-www-form-urlencoded"]),
        any::<bool>(),
        around,
        around,
        prop::collection::vec(0_usize..1_000, 0..6),
    );
    let cases = ProptestConfig::default().cases.max(10_000);
    let mut runner =
        TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..Default::default() });
    let outcome = runner.run(&runs, |(how, in_header, status, content_type, gzip, before, after, cuts)| {
        held(&kit, &Run { how, in_header, status, content_type, gzip, before, after, cuts });
        Ok(())
    });
    outcome.unwrap();
}

fn searches() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(SEARCHES_MAX))
}

/// A search that nobody waits for counts until it ends.
#[test]
fn no_more_are_searched_at_once_than_may_be() {
    let (runtime, let_go) = busy_beside();
    let needles = Arc::new(Needles::new([&Secret::new(b"sk_live_long_0123456789".to_vec())]));
    let body = Bytes::from(b"%".repeat(1 << 10));
    let searches = searches();
    runtime.block_on(async {
        for left in (0..SEARCHES_MAX).rev() {
            let abandoned = super::scanned(body.clone(), &needles, &searches);
            assert!(abandoned.now_or_never().is_none(), "it is waited for");
            assert_eq!(searches.available_permits(), left);
        }
        let mut next = std::pin::pin!(super::scanned(body, &needles, &searches));
        assert!((&mut next).now_or_never().is_none());
        drop(let_go);
        assert!(next.await.is_ok(), "its turn comes");
        // One that is over gives its place back.
        assert!(searches.acquire_many(u32::try_from(SEARCHES_MAX).unwrap()).await.is_ok());
    });
}

/// Beside the threads that serve there is one, and it is busy until it is let go: what is searched there is waited for.
fn busy_beside() -> (tokio::runtime::Runtime, mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (let_go, busy) = mpsc::channel();
    runtime.spawn_blocking(move || busy.recv());
    (runtime, let_go)
}

/// What is slow to search must not keep the attempt from ending with its time, nor a thread from everybody else.
#[test]
fn a_long_body_is_searched_beside_the_threads_that_serve() {
    let (runtime, let_go) = busy_beside();
    let needles = Arc::new(Needles::new([&Secret::new(b"sk_live_long_0123456789".to_vec())]));
    let body = |length: usize| {
        let mut body = vec![b'x'; length];
        body[length - 23..].copy_from_slice(b"sk_live_long_0123456789");
        Bytes::from(body)
    };
    let length = crate::limits::SCANNED_INLINE_BYTES_MAX;
    let all = searches();
    runtime.block_on(async {
        let short = std::pin::pin!(super::scanned(body(length - 1), &needles, &all));
        let Some(Ok((_, 1))) = short.now_or_never() else { panic!("a short one is searched at once") };
        let mut long = std::pin::pin!(super::scanned(body(length), &needles, &all));
        assert!((&mut long).now_or_never().is_none(), "a long one is waited for");
        drop(let_go);
        let Ok((masked, 1)) = long.await else { panic!("one place") };
        assert!(masked.ends_with(b"x***********************"));
    });
}

/// A name comes lower-cased, whatever was sent; a value as it was.
#[test]
fn a_secret_in_a_headers_name_is_masked_whatever_its_case() {
    let needles = Arc::new(Needles::new([&Secret::new(b"sk_LIVE_long_0123456789".to_vec())]));
    let headers = vec![
        ("x-sk_live_long_0123456789".to_owned(), b"sk_live_long_0123456789".to_vec()),
        ("x-b".to_owned(), b"sk_LIVE_long_0123456789".to_vec()),
    ];
    let scanned = super::scanned_headers(headers, &needles, &searches()).now_or_never();
    let Some(Ok((masked, 2))) = scanned else { panic!("a name and a value") };
    assert_eq!(masked[0], (format!("x-{}", "*".repeat(23)), b"sk_live_long_0123456789".to_vec()));
    assert_eq!(masked[1], ("x-b".to_owned(), b"*".repeat(23)));
}

/// So are headers, which are bounded: one that is slow keeps nobody else waiting.
#[test]
fn slow_headers_are_searched_beside_them() {
    let (runtime, let_go) = busy_beside();
    let needles = Arc::new(Needles::new([&Secret::new(b"sk_live_long_0123456789".to_vec())]));
    let headers = |signs: usize| {
        vec![("x-a".to_owned(), b"%".repeat(signs)), ("x-b".to_owned(), b"sk_live_long_0123456789".to_vec())]
    };
    let all = searches();
    runtime.block_on(async {
        let few = headers(crate::limits::SCANNED_INLINE_SIGNS_MAX);
        let quick = super::scanned_headers(few, &needles, &all).now_or_never();
        assert!(matches!(quick, Some(Ok((_, 1)))), "at once");
        let many = headers(crate::limits::SCANNED_INLINE_SIGNS_MAX + 1);
        let mut slow = std::pin::pin!(super::scanned_headers(many, &needles, &all));
        assert!((&mut slow).now_or_never().is_none(), "waited for");
        assert_eq!(all.available_permits(), SEARCHES_MAX - 1);
        drop(let_go);
        let Ok((masked, 1)) = slow.await else { panic!("one place") };
        assert_eq!(masked[1], ("x-b".to_owned(), b"*".repeat(23)));
    });
}

/// The same for a short one that is full of signs, whole and in pieces; and whom nobody waited for is no whole body.
#[test]
fn what_is_slow_to_search_is_searched_beside_them_too() {
    let (runtime, let_go) = busy_beside();
    let needles = Arc::new(Needles::new([&Secret::new(b"sk_live_long_0123456789".to_vec())]));
    let signs = |count: usize| {
        let body = [b"%".repeat(count), b"x".repeat(200), b"sk_live_long_0123456789".to_vec()].concat();
        Bytes::from(body)
    };
    let (few, many) = (crate::limits::SCANNED_INLINE_SIGNS_MAX, crate::limits::SCANNED_INLINE_SIGNS_MAX + 1);
    let all = searches();
    let scanned = |count| Scanned {
        inner: Box::new(Once(Some(signs(count)))),
        scan: Some(Running::new(Arc::clone(&needles))),
        searches: Arc::clone(&all),
        trace: Arc::default(),
        over: false,
    };
    runtime.block_on(async {
        assert!(super::scanned(signs(few), &needles, &searches()).now_or_never().is_some());
        assert!(super::scanned(signs(many), &needles, &searches()).now_or_never().is_none());
        assert!(matches!(scanned(few).next().now_or_never(), Some(Ok(Some(_)))), "at once");
        // Few a piece, and many in all.
        let mut running = Running::new(Arc::clone(&needles));
        let piece = b"%41 and so on ";
        let slow = (0..=many).position(|_| {
            let slow = running.is_slow(Some(piece));
            running.push(Bytes::from_static(piece));
            slow
        });
        assert_eq!(slow, Some(few));
        assert!(!running.is_slow(Some(b"without any")), "where there is nothing to undo it is quick");
        let mut left = scanned(many);
        assert!(left.next().now_or_never().is_none(), "it is waited for");
        assert_eq!(
            all.available_permits(),
            SEARCHES_MAX - 1,
            "whoever waits, it has its permit while it is at work"
        );
        assert!(left.next().await.is_err(), "cut off, and taken for the end");
        drop(let_go);
        let mut waited_for = scanned(many);
        let mut whole = Vec::new();
        while let Ok(Some(piece)) = waited_for.next().await {
            whole.extend_from_slice(&piece);
        }
        assert!(waited_for.over && whole.len() == signs(many).len());
        assert!(whole.ends_with(b"x***********************"));
    });
}
