//! Takes the exchanges of one live run and makes them those of a cassette. They come masked from the pipeline; here is decided what
//! a cassette can hold of them, and what is left out because it is another one each time. Nothing is shortened.
use super::Recorded;
use crate::exit::{Exit, Failure, Result};
use async_trait::async_trait;
use portcullis_egress::{Exchange, ExchangeSink, Outcome, Whole, WholeContent};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// All of a cassette: what is read as TOML here has a bound.
pub const CASSETTE_BYTES_MAX: usize = portcullis_manifest::limits::TOML_BYTES_MAX;
/// One body: it fits as base64 too. A `body-file` beside the cassette may be larger.
pub const BODY_BYTES_MAX: usize = CASSETTE_BYTES_MAX / 2;

/// Headers of answers that a cassette does without: of the connection and its framing, and what is another one each time and says
/// nothing to a connector.
const LEFT_OUT: [&str; 38] = [
    "age",
    "alt-svc",
    "cf-cache-status",
    "cf-ray",
    "connection",
    "content-encoding",
    "content-length",
    "content-security-policy",
    "date",
    "expect-ct",
    "keep-alive",
    "nel",
    "permissions-policy",
    "referrer-policy",
    "report-to",
    "reporting-endpoints",
    "request-id",
    "server",
    "server-timing",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "x-amz-request-id",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "x-cache",
    "x-powered-by",
    "x-request-id",
    "x-runtime",
];

/// The exchanges of one run.
#[derive(Default)]
pub struct Recorder(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    exchanges: Vec<Exchange>,
    bytes: u64,
    over: bool,
}

/// What a cassette holds of them.
#[derive(Debug, Default)]
pub struct Taken {
    /// In the order in which they ended.
    pub exchanges: Vec<Recorded>,
    /// Names of headers that were left out.
    pub left_out: BTreeSet<String>,
    /// Where something is masked: `exchange 2, body`.
    pub masked: Vec<String>,
    /// What a person should know before they commit it.
    pub notes: Vec<String>,
}

#[async_trait]
impl ExchangeSink for Recorder {
    async fn record(&self, exchange: Exchange) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = exchange.whole.as_ref().map_or(0, |whole| size(whole));
        kept.bytes = kept.bytes.saturating_add(bytes).saturating_add(exchange.url.len() as u64);
        if kept.over || kept.bytes > CASSETTE_BYTES_MAX as u64 {
            kept.over = true;
            return;
        }
        kept.exchanges.push(exchange);
    }

    fn whole_bytes_max(&self) -> Option<usize> {
        Some(BODY_BYTES_MAX)
    }
}

fn size(whole: &Whole) -> u64 {
    let content = |content: &WholeContent| match content {
        WholeContent::Masked { bytes, .. } => bytes.len(),
        _ => 0,
    };
    let headers: usize = whole.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    (headers + content(&whole.request_body) + content(&whole.body)) as u64
}

impl Recorder {
    /// What a cassette holds of them, or why it can't. `sensitive` = some property is.
    pub fn taken(&self, sensitive: bool) -> Result<Taken> {
        let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if kept.over {
            let message = format!(
                "the exchanges of this run have more than {CASSETTE_BYTES_MAX} bytes, which is all that a cassette takes"
            );
            return Err(refused(message).with_help(LESS));
        }
        let mut taken = Taken::default();
        for (at, exchange) in kept.exchanges.iter().enumerate() {
            let shown = format!("{} {}", exchange.method, exchange.url);
            match (&exchange.outcome, &exchange.whole) {
                (Outcome::Answered, Some(whole)) => taken.take(exchange, whole, sensitive)?,
                (Outcome::Denied { reason, remedy }, _) => {
                    let failure = refused(format!("`{shown}` was denied: {reason}"));
                    return Err(remedy
                        .iter()
                        .fold(failure, |failure, remedy| failure.with_help(remedy.clone())));
                }
                (Outcome::Failed { detail, .. }, _) => {
                    let same =
                        |later: &&Exchange| later.method == exchange.method && later.url == exchange.url;
                    if kept.exchanges[at + 1..].iter().find(same).is_none() {
                        return Err(refused(format!("`{shown}` had no answer: {detail}"))
                            .with_help("a cassette holds answers: record again, or write it by hand"));
                    }
                    taken.notes.push(format!(
                        "`{shown}` had no answer at first ({detail}): that attempt is left out"
                    ));
                }
                (Outcome::Withheld | Outcome::Answered, _) => {}
            }
        }
        Ok(taken)
    }
}

const LESS: &str = "ask the vendor for less: by the config, the input or `--max-records`; or write the cassette by hand, with `body-file`";

fn refused(message: String) -> Failure {
    Failure::new(Exit::Failed, format!("nothing was recorded: {message}"))
}

impl Taken {
    fn take(&mut self, exchange: &Exchange, whole: &Whole, sensitive: bool) -> Result<()> {
        let number = self.exchanges.len() + 1;
        let shown = format!("{} {}", exchange.method, exchange.url);
        let large = |what: &str, bytes: u64| {
            let limit = format!("a cassette takes {BODY_BYTES_MAX} bytes of a body");
            refused(format!("the {what} of `{shown}` has {bytes} bytes, and {limit}")).with_help(LESS)
        };
        let hidden = |what: &str| {
            let why = "its answers name URLs that are a right of their own, and this is no JSON in which they could be masked";
            refused(format!("the {what} of `{shown}` can't be shown: {why}"))
        };
        let request_body = match &whole.request_body {
            WholeContent::Masked { bytes, .. } => Some(bytes.clone()).filter(|bytes| !bytes.is_empty()),
            WholeContent::Held(bytes) => {
                let note = format!(
                    "exchange {number}: the body of the request lies outside memory ({bytes} bytes) and is not compared"
                );
                self.notes.push(note);
                None
            }
            WholeContent::TooLarge(bytes) => return Err(large("request", *bytes)),
            WholeContent::Hidden => return Err(hidden("request")),
        };
        let body = match &whole.body {
            WholeContent::Masked { bytes, unnamed } => {
                if *unnamed && sensitive {
                    self.notes.push(format!(
                        "exchange {number}: the body is neither JSON nor a form, so that no property is masked in it by name: \
                         look through it before you commit it"
                    ));
                }
                bytes.clone()
            }
            WholeContent::TooLarge(bytes) | WholeContent::Held(bytes) => return Err(large("answer", *bytes)),
            WholeContent::Hidden => return Err(hidden("answer")),
        };
        if exchange.echoes > 0 {
            self.notes.push(format!("exchange {number}: the vendor sent a secret back; it is masked"));
        }
        let headers = self.headers(&whole.headers);
        let masked = whole.masked.iter().filter(|place| {
            let name = place.strip_prefix("header ");
            name.is_none_or(|name| headers.iter().any(|(kept, _)| kept == name))
        });
        self.masked.extend(masked.map(|place| format!("exchange {number}, {place}")));
        self.exchanges.push(Recorded {
            resumed: false,
            statuses: Default::default(),
            method: exchange.method.clone(),
            url: whole.url.clone(),
            request_body,
            status: exchange.status.unwrap_or_default(),
            headers,
            body,
        });
        Ok(())
    }

    /// Those that say something to a connector; of one name as one (RFC 9110 section 5.3).
    fn headers(&mut self, all: &[(String, String)]) -> Vec<(String, String)> {
        let mut kept: Vec<(String, String)> = Vec::new();
        for (name, value) in all {
            if LEFT_OUT.contains(&name.as_str()) || name.starts_with("proxy-") {
                self.left_out.insert(name.clone());
            } else if let Some((_, first)) = kept.iter_mut().find(|(known, _)| known == name) {
                first.push_str(", ");
                first.push_str(value);
            } else {
                kept.push((name.clone(), value.clone()));
            }
        }
        kept
    }
}
