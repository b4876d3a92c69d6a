//! The exchange log: one row for every attempt and for the first refusals of a run, one for the rest of a call's; masked
//! before it is shortened.
use crate::{Announcement, Whole};
use portcullis_clock::Timestamp;

/// One HTTP request/response pair that left, or was refused. Everything in it is masked already.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// `exch_…`; refusals have one too.
    pub exchange_id: String,
    /// Run.
    pub run_id: String,
    /// Step.
    pub step: String,
    /// Call.
    pub call: String,
    /// Correlation id.
    pub correlation_id: String,
    /// Connection name.
    pub connection: String,
    /// Connection id.
    pub connection_id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Microseconds until its end.
    pub duration_us: u64,
    /// 1 = first.
    pub attempt: u32,
    /// As it went out.
    pub method: String,
    /// Masked.
    pub url: String,
    /// `http[0].allow[1]` or empty.
    pub manifest_place: String,
    /// Operator rule's place or empty.
    pub operator_place: String,
    /// Name of the credential that was attached.
    pub credential: Option<String>,
    /// Address dialled.
    pub peer: Option<String>,
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: Option<String>,
    /// Idempotency key that was sent.
    pub idempotency_key: Option<String>,
    /// Masked request headers.
    pub request_headers: Vec<(String, String)>,
    /// Captured, masked, shortened.
    pub request_body: Option<String>,
    /// Bytes sent in the body.
    pub request_bytes: u64,
    /// Status where one arrived.
    pub status: Option<u16>,
    /// Masked response headers.
    pub response_headers: Vec<(String, String)>,
    /// Captured, masked, shortened.
    pub response_body: Option<String>,
    /// Decoded bytes received.
    pub response_bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Secrets found in the answer and masked.
    pub echoes: u32,
    /// What the answer announced of its endpoint's end.
    pub announced: Option<Announced>,
    /// All of it, where the sink asks for that.
    pub whole: Option<Box<Whole>>,
}

/// An announced end, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Masked URL without query, its ids as `*`.
    pub endpoint: String,
    /// Text of the manifest rule that matched.
    pub rule: String,
    /// What was announced.
    pub announcement: Announcement,
}

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer arrived whole.
    Answered,
    /// Refused before a byte left.
    Denied {
        /// For the operator.
        reason: String,
        /// TOML to paste.
        remedy: Option<String>,
    },
    /// Ready to leave, and held back: a dry run.
    Withheld,
    /// Failed on the way: a short kind (`timeout`, `connect`, `tls`, `too-large`, `malformed`, `rate-limited`, `cancelled`) and detail.
    Failed {
        /// Kind.
        kind: &'static str,
        /// Detail for the operator.
        detail: String,
    },
}

/// A request that a dry run held back, as it would have left. Masked like the exchange log.
#[derive(Clone, Debug)]
pub struct Withheld {
    /// Its row in the exchange log.
    pub exchange: Exchange,
    /// Text of the manifest rule that matched.
    pub rule: String,
    /// The slot whose credential goes along.
    pub slot: Option<String>,
    /// Where that is put: `header authorization`, `query api_key`.
    pub place: Option<String>,
    /// The body, masked and shortened, whatever the log keeps; none where there is none, or it is neither JSON nor a form and
    /// the connection does not say `capture = "all"`.
    pub body: Option<String>,
    /// The guest asked for it after it had been told that another one was held back: with an answer to that one, it may
    /// have asked for something else.
    pub after_withheld: bool,
}

/// Where exchanges go: a bounded queue behind; may wait when full.
#[async_trait::async_trait]
pub trait ExchangeSink: Send + Sync {
    /// Takes one over.
    async fn record(&self, exchange: Exchange);

    /// The largest body that it wants whole; none, as nearly always: it wants no exchange whole.
    fn whole_bytes_max(&self) -> Option<usize> {
        None
    }
}
