//! Every bound of this crate. What a connection may set lies under these; nothing here is read from a file.
use std::time::Duration;

/// Headers a guest may set on one request.
pub const REQUEST_HEADERS_MAX: usize = 64;
/// Bytes of all names and values that a guest may set on one request.
pub const REQUEST_HEADER_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a URL as a guest may write it.
pub const URL_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an idempotency key (Stripe's own bound, the largest of those known).
pub const KEY_BYTES_MAX: usize = 255;

/// How often one request may leave, the first time included.
pub const ATTEMPTS_MAX: u32 = 4;
/// Upper end of the first wait; it doubles with each attempt.
pub const BACKOFF_BASE: Duration = Duration::from_millis(200);
/// Upper end of any computed wait.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Longest wait that happens here; longer ones go to the engine as `rate-limited`.
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest `Retry-After` that is believed: a hostile vendor can't park a connection for years.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Clients (pools) in the process: one per (connection, slot, scheme, mapping).
pub const CLIENTS_MAX: usize = 512;
/// A client, and a connection in its pool, goes after this long without use.
pub const CLIENT_IDLE_MAX: Duration = Duration::from_secs(90);
/// How often idle clients are looked for.
pub const CLIENT_SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Idle connections a client keeps for one host.
pub const POOL_IDLE_PER_HOST_MAX: usize = 64;
/// Resolve, connect and TLS handshake together.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// One lookup, all its queries included.
pub const LOOKUP_TIME_MAX: Duration = Duration::from_secs(5);
/// Addresses of one name; more is refused, not cut: a cut could hide a denied one.
pub const ADDRESSES_MAX: usize = 32;
/// Answers the resolver keeps.
pub const LOOKUPS_CACHED_MAX: u64 = 1024;
/// An answer is asked for anew after this long, whatever its time to live says.
pub const LOOKUP_AGE_MAX: Duration = Duration::from_secs(300);
/// Bytes of response headers over HTTP/2, as RFC 9113 section 6.5.2 counts them (32 more for each).
pub const HTTP2_HEADER_LIST_BYTES_MAX: u32 = 72 * 1024;
/// Silence of a peer in the middle of a body.
pub const BODY_IDLE_MAX: Duration = Duration::from_secs(10);

/// A fetched credential is used this long: files rotate, and a fetch for every request would cost more than the request.
pub const ATTACHMENT_AGE_MAX: Duration = Duration::from_secs(1);
/// A slot that is only scanned for is fetched again after this long.
pub const SCANNED_AGE_MAX: Duration = Duration::from_secs(30);
/// Rotated secrets of one slot that are still scanned for.
pub const PREDECESSORS_MAX: usize = 8;

/// A longer body is searched for secrets on a thread of its own.
pub const SCANNED_INLINE_BYTES_MAX: usize = 256 << 10;
/// And so is what has more signs with which an escape may begin: a hostile text of that kind takes seconds a megabyte.
pub const SCANNED_INLINE_SIGNS_MAX: usize = 256;
/// Such searches of one connection at once. One goes on when nobody waits for it any more, so that without a bound a vendor and a
/// guest with short timeouts could have any number of them.
pub const SEARCHES_MAX: usize = 2;
/// Denials a call keeps for the operator.
pub const DENIALS_MAX: usize = 32;
/// A link to more about an announced end; a longer one is not kept.
pub const ANNOUNCED_LINK_BYTES_MAX: usize = 512;
/// The last second that a date of an announcement can name: the end of the year 9999.
pub const ANNOUNCED_SECONDS_MAX: i64 = 253_402_300_799;
/// Requests that a dry run shows of a call; the rest are counted.
pub const WITHHELD_MAX: usize = 64;
/// Refusals of a run that have a row each; of the rest each call has one row that gives their number.
pub const REFUSAL_ROWS_MAX: u64 = 256;
/// Requests over a run's limit that are refused before its call is ended.
pub const OVER_REQUESTS_MAX: u64 = 16;
/// A refused request's URL in the exchange log.
pub const REFUSED_URL_BYTES_MAX: usize = 1 << 10;
/// The URL of an unsafe request, kept with its run.
pub const INTENT_URL_BYTES_MAX: usize = 512;
/// The reason of a denial, as the operator reads it.
pub const DENIAL_REASON_BYTES_MAX: usize = 1 << 10;
/// What a denial offers to paste: it repeats the rules that a connection has already.
pub const DENIAL_REMEDY_BYTES_MAX: usize = 4 << 10;
/// A name of the guest's in the reason of a denial.
pub const DENIED_NAME_BYTES_MAX: usize = 128;
/// Requests of one `send-all`.
pub const SEND_ALL_REQUESTS_MAX: usize = 64;
/// Those of one `send-all` that are on their way at a time.
pub const SEND_ALL_CONCURRENT_MAX: usize = 8;
/// Bodies of all answers of one `send-all` together: they enter the guest at once.
pub const SEND_ALL_BODY_BYTES_MAX: u64 = 8 << 20;
/// Bodies that a call reads in pieces at a time: each holds a connection.
pub const BODIES_OPEN_MAX: u32 = 64;
/// Rows of bodies that were dropped halfway, kept until the next body is opened or the call ends.
pub const ROWS_LEFT_MAX: usize = 64;
/// Parts of one multipart body.
pub const PARTS_MAX: usize = 1_000;
/// What is said about all of them: names, file names and types.
pub const PART_HEAD_BYTES_MAX: usize = 256 << 10;
/// What is read at a time of a body that the host holds.
pub const PAYLOAD_PIECE_BYTES: usize = 256 << 10;
/// A download that brought so much before it broke has its attempts again.
pub const DOWNLOAD_PROGRESS_BYTES_MIN: u64 = 1 << 20;
/// Runs whose budgets a connection remembers; those without a living call are forgotten first.
pub const RUNS_MAX: usize = 1024;
/// Failures in a row after which an origin is left alone. More than one run makes of one request.
pub const BREAKER_FAILURES_MAX: u32 = 20;
/// How long at first; it doubles with each attempt that fails after it.
pub const BREAKER_PAUSE_MIN: Duration = Duration::from_secs(15);
/// How long at most.
pub const BREAKER_PAUSE_MAX: Duration = Duration::from_secs(300);
/// Origins of one connection whose failures are counted.
pub const BREAKERS_MAX: usize = 256;
/// Redirects that the host follows for one request.
pub const REDIRECTS_MAX: usize = 10;
/// Rate budgets (credentials) in the process.
pub const BUCKETS_MAX: usize = 4096;

const _: () = {
    assert!(BACKOFF_BASE.as_millis() <= BACKOFF_MAX.as_millis());
    assert!(BACKOFF_MAX.as_millis() <= WAIT_MAX.as_millis());
    assert!(WAIT_MAX.as_millis() < RETRY_AFTER_MAX.as_millis());
    assert!(ATTACHMENT_AGE_MAX.as_millis() <= SCANNED_AGE_MAX.as_millis());
    assert!(HTTP2_HEADER_LIST_BYTES_MAX as usize >= RESPONSE_HEADER_BYTES_MAX + 32 * RESPONSE_HEADERS_MAX);
    assert!(CLIENT_SWEEP_EVERY.as_millis() < CLIENT_IDLE_MAX.as_millis());
};

// Response side: decode, echo scan, exchange log.

/// Header lines of one answer.
pub const RESPONSE_HEADERS_MAX: usize = 256;
/// Names and values of one answer's headers together.
pub const RESPONSE_HEADER_BYTES_MAX: usize = 64 << 10;
/// Members of one gzip body: an empty one costs 20 bytes on the wire and a whole decoder here.
pub const GZIP_MEMBERS_MAX: u32 = 1_000;
/// Frames of one zstd body.
pub const ZSTD_FRAMES_MAX: u32 = 1_000;
/// Window of a zstd frame, what RFC 9659 allows over HTTP.
pub const ZSTD_WINDOW_BYTES_MAX: u64 = 8 << 20;
/// What is counted, and then decoded, of a coded body at a time: a peer can be ahead of the ratio by no more than this.
pub const DECODE_PIECE_BYTES: usize = 4 << 10;
/// What one such piece may decode to, where the body is read in pieces: all of it lies in memory.
pub const DECODED_PIECE_BYTES_MAX: usize = 8 << 20;
/// Decoded bytes that are worth handing over.
pub const DECODED_HANDED_BYTES: usize = 64 << 10;
/// A zstd body where the answer is read in pieces: it is decoded when it is whole.
pub const ZSTD_WHOLE_BYTES_MAX: u64 = 8 << 20;
/// What a brotli decoder hands over at a time.
pub const BROTLI_BUFFER_BYTES: usize = 32 << 10;
/// Decoded bytes per byte on the wire, once a body is larger than `RATIO_FREE_BYTES`.
pub const RATIO_MAX: u64 = 200;
/// Up to here no ratio is looked at: small bodies may compress as well as they like.
pub const RATIO_FREE_BYTES: u64 = 1 << 20;
/// Secrets shorter than this (possible with `short = true`) are looked for as they are and in no encoding.
pub const ENCODED_SECRET_BYTES_MIN: usize = 8;
/// A secret longer than this is scanned for by its first bytes in this number.
pub const ECHO_SECRET_BYTES_MAX: usize = 64 << 10;
/// Fragment of an encoded secret that the scan looks for before it compares the whole.
pub const ECHO_FRAGMENT_BYTES_MAX: usize = 12;
/// Layers of escapes that are taken off in search of a secret: an escaped document within an escaped document has two.
pub const ECHO_LAYERS_MAX: usize = 3;
/// Bytes compared per byte of a body before the body is masked whole: a bound on what repetition can cost.
pub const ECHO_WORK_PER_BYTE_MAX: u64 = 64;
/// What the echo scan holds back of a body that is read in pieces before it masks all of it.
pub const ECHO_HELD_BYTES_MAX: usize = 1 << 20;
/// What is held is searched again when so much has come that may go on with it, or anything that may not.
pub const ECHO_WAITED_FOR_BYTES: usize = 16;
/// What is held beyond this is searched again only when a quarter of it has come.
pub const ECHO_LOOKED_AGAIN_BYTES: usize = 4 << 10;
/// Secrets up to here are looked for by their first bytes at the end of a piece; of a longer one its length is held back.
pub const ECHO_PREFIX_BYTES_MAX: usize = 4 << 10;
/// What is kept of a body that is read in pieces until it is captured.
pub const CAPTURE_KEPT_BYTES_MAX: usize = 64 << 10;
/// A captured body in the exchange log.
pub const CAPTURE_BYTES_MAX: usize = 16 << 10;
/// What is looked at of a body that the log may show: what is shown, long values that are masked before it, and the longest
/// encoding of a secret.
pub const CAPTURE_SEARCHED_BYTES_MAX: usize = 2 << 20;
/// The same of one that is slow to search.
pub const CAPTURE_SLOW_BYTES_MAX: usize = 2 * CAPTURE_BYTES_MAX;
/// A URL or one header value in the exchange log.
pub const CAPTURE_LINE_BYTES_MAX: usize = 8 << 10;
/// Texts at the places of one answer that are looked at as URLs.
pub const NAMED_FOUND_MAX: usize = 1024;
/// Nesting of a JSON body that is still masked by name; deeper ones do not tokenize.
pub const MASK_DEPTH_MAX: usize = 512;
/// A property name is compared up to here; a longer one is no sensitive name.
pub const MASK_NAME_BYTES_MAX: usize = 256;

const _: () = assert!(RATIO_FREE_BYTES < 8 << 20 && RATIO_MAX > 1);
const _: () = assert!(DECODE_PIECE_BYTES as u64 * RATIO_MAX <= RATIO_FREE_BYTES);
const _: () = assert!(ENCODED_SECRET_BYTES_MIN <= ECHO_FRAGMENT_BYTES_MAX);
const _: () = assert!(CAPTURE_LINE_BYTES_MAX <= CAPTURE_BYTES_MAX);
const _: () = assert!(REFUSED_URL_BYTES_MAX <= CAPTURE_LINE_BYTES_MAX);
