//! What the tests of several layers share: ports that remember, settings, scripted inner services, and servers on
//! loopback that keep what reached them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::{
    Call, CallContext, Capture, ConnectionSettings, Egress, Exchange, ExchangeSink, Intent, IntentEnd,
    IntentError, Intents, NetworkSettings, Prior, Request, Response,
    prepared::{Asked, Parsed, Prepared},
    request::Wanted,
    service::{Answering, Failure},
    state::{CallState, lock},
};
use bytes::Bytes;
use portcullis_clock::{SeededClock, SeededRandom};
use portcullis_grants::{AddressPolicy, Attributes, FromResponse, Grants, ManifestRule, OperatorRules};
use portcullis_secrets::{Credential, Providers, Scheme};
use std::{
    collections::{BTreeMap, VecDeque},
    os::unix::fs::PermissionsExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, rustls};

pub(crate) const SECRET: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

#[derive(Default)]
pub(crate) struct MemorySink(pub Mutex<Vec<Exchange>>);

#[async_trait::async_trait]
impl ExchangeSink for MemorySink {
    async fn record(&self, exchange: Exchange) {
        lock(&self.0).push(exchange);
    }
}

/// Remembers intents as the store would, and the order of everything that was durable.
#[derive(Default)]
pub(crate) struct MemoryIntents {
    pub begun: Mutex<Vec<Intent>>,
    pub ended: Mutex<Vec<(u32, IntentEnd)>>,
    /// How old each stored intent is.
    pub age: Mutex<Duration>,
    pub uses: Mutex<Vec<(String, String)>>,
    pub broken: AtomicBool,
}

#[async_trait::async_trait]
impl Intents for MemoryIntents {
    async fn begin(&self, intent: Intent) -> Result<Prior, IntentError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(IntentError("disk full".to_owned()));
        }
        let mut begun = lock(&self.begun);
        let prior = begun.iter().find(|known| (&known.call, known.ordinal) == (&intent.call, intent.ordinal));
        let answer = match prior {
            None => Prior::New,
            Some(known) if known.request_hash == intent.request_hash => {
                let ended = lock(&self.ended);
                let last = ended.iter().rfind(|(ordinal, _)| *ordinal == intent.ordinal);
                let refused = last.is_some_and(|(_, end)| end.refused);
                Prior::Same { key: known.key.clone(), age: *lock(&self.age), refused }
            }
            Some(_) => return Ok(Prior::Different),
        };
        if answer == Prior::New {
            begun.push(intent);
        }
        Ok(answer)
    }

    async fn end(&self, _: &str, _: &str, _: &str, ordinal: u32, end: IntentEnd) -> Result<(), IntentError> {
        lock(&self.ended).push((ordinal, end));
        Ok(())
    }

    async fn secret_use(&self, _: &str, _: &str, credential: &str, rule: &str) -> Result<(), IntentError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(IntentError("disk full".to_owned()));
        }
        lock(&self.uses).push((credential.to_owned(), rule.to_owned()));
        Ok(())
    }
}

/// One egress with one connection, and everything that a test looks at.
pub(crate) struct Kit {
    pub clock: SeededClock,
    pub sink: Arc<MemorySink>,
    pub intents: Arc<MemoryIntents>,
    pub egress: Arc<Egress>,
    pub folder: tempfile::TempDir,
    pub settings: Settings,
    pub cancel: watch::Sender<bool>,
}

/// What tests vary.
pub(crate) struct Settings {
    pub rules: Vec<(&'static str, Attributes)>,
    pub from_response: Vec<FromResponse>,
    pub credentials: BTreeMap<String, Credential>,
    pub network: NetworkSettings,
    pub revoked: Arc<AtomicBool>,
    pub timeout: Duration,
    pub requests_max: u64,
}

impl Kit {
    /// Virtual time: what the pipeline waits for by its clock ends at once. Real servers stay real.
    pub fn seeded(rules: &[(&'static str, Attributes)]) -> Self {
        let (sink, intents) = (Arc::new(MemorySink::default()), Arc::new(MemoryIntents::default()));
        let clock = SeededClock::default();
        let random = Arc::new(SeededRandom::new(1));
        Self {
            egress: Egress::new(Arc::new(clock.clone()), random, sink.clone(), intents.clone()),
            clock,
            sink,
            intents,
            folder: tempfile::tempdir().unwrap(),
            settings: Settings {
                rules: rules.to_vec(),
                from_response: Vec::new(),
                credentials: BTreeMap::new(),
                network: NetworkSettings::default(),
                revoked: Arc::default(),
                timeout: Duration::from_secs(20),
                requests_max: 1000,
            },
            cancel: watch::channel(false).0,
        }
    }

    /// Writes a secret, as its owner alone may read it, and gives its reference.
    pub fn secret(&self, name: &str, value: &str) -> portcullis_secrets::Reference {
        let path = self.folder.path().join(name);
        std::fs::write(&path, value).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!("file:{name}").parse().unwrap()
    }

    /// Binds `slot` to a bearer credential `vendor-live` over [`SECRET`].
    pub fn bearer(&mut self, slot: &str, requests_per_second: Option<f64>) {
        let secret = self.secret("key", SECRET);
        self.bind(slot, "vendor-live", Scheme::Bearer { secret }, requests_per_second);
    }

    pub fn bind(&mut self, slot: &str, name: &str, scheme: Scheme, requests_per_second: Option<f64>) {
        let credential = Credential { name: name.to_owned(), scheme, short: false, requests_per_second };
        self.settings.credentials.insert(slot.to_owned(), credential);
    }

    /// Lists loopback and trusts `authority`; `name:port` is dialled at `server`.
    pub fn reach(&mut self, name: &str, port: u16, server: &Server) {
        let network = &mut self.settings.network;
        network.addresses = AddressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]).unwrap();
        network.ca_pem = server.authority.clone().map(String::into_bytes);
        network.connect_to = vec![((name.to_owned(), port), ("127.0.0.1".to_owned(), server.port))];
    }

    pub fn connection_settings(&self) -> ConnectionSettings {
        let settings = &self.settings;
        let rule = |(index, (text, attributes)): (usize, &(&str, Attributes))| ManifestRule {
            place: format!("http[{index}].allow[0]"),
            rule: text.parse().unwrap(),
            attributes: attributes.clone(),
            why: "test".to_owned(),
        };
        let rules = settings.rules.iter().enumerate().map(rule).collect();
        let revoked = Arc::clone(&settings.revoked);
        ConnectionSettings {
            name: "billing".to_owned(),
            connection_id: "conn_1".to_owned(),
            connector: "acme/vendor".to_owned(),
            connector_version: "1.2.0".to_owned(),
            grants: Grants::new(rules, OperatorRules::Requested)
                .and_then(|grants| grants.with_from_response(settings.from_response.clone()))
                .unwrap(),
            credentials: settings.credentials.clone(),
            providers: Providers::new(self.folder.path().to_owned(), BTreeMap::new()),
            network: settings.network.clone(),
            sensitive: Vec::new(),
            capture: Capture::All,
            timeout: settings.timeout,
            response_bytes_max: 1 << 20,
            streamed_bytes_max: 16 << 20,
            requests_max: settings.requests_max,
            bytes_out_max: 1 << 20,
            revoked: Arc::new(move || revoked.load(Ordering::SeqCst)),
        }
    }

    pub fn context(&self) -> CallContext {
        CallContext {
            run_id: "run_1".to_owned(),
            step: "step".to_owned(),
            call: "0".to_owned(),
            correlation_id: "corr".to_owned(),
            operation_rules: None,
            cancelled: self.cancel.subscribe(),
            dry_run: false,
        }
    }

    pub fn call(&self) -> Arc<Call> {
        self.egress.connection(self.connection_settings()).unwrap().call(self.context())
    }

    pub fn rows(&self) -> Vec<Exchange> {
        lock(&self.sink.0).clone()
    }

    /// Parsed and authorised, as the layers behind that get it.
    pub fn prepared(&self, state: &Arc<CallState>, request: Request) -> Prepared {
        let settings = &state.connection.settings;
        let authorized = settings.grants.authorize(
            "billing",
            &request.method,
            &request.url,
            None,
            request.credential.as_deref(),
        );
        let mut headers = http::HeaderMap::new();
        for (name, value) in &request.headers {
            headers.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                http::HeaderValue::from_bytes(value).unwrap(),
            );
        }
        let deadline = state.now() + settings.timeout;
        let asked = Asked {
            request: Arc::new(request),
            call: Arc::clone(state),
            ordinal: None,
            wanted: Wanted::Whole,
        };
        let parsed = Parsed { asked, headers, deadline, response_bytes_max: 1 << 20 };
        Prepared::new(parsed, authorized.unwrap())
    }
}

pub(crate) fn request(method: &str, url: &str) -> Request {
    Request { method: method.to_owned(), url: url.to_owned(), ..Request::default() }
}

pub(crate) fn with_body(method: &str, url: &str, body: &'static str) -> Request {
    Request { body: Some(Bytes::from_static(body.as_bytes())), ..request(method, url) }
}

pub(crate) fn with_header(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    request
}

pub(crate) fn response(status: u16, headers: &[(&str, &str)]) -> Response {
    let headers =
        headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    Response { status, headers, body: Bytes::new(), pieces: None, safe: false, follow: false }
}

pub(crate) fn slot(name: &str) -> Attributes {
    Attributes { credentials: vec![name.to_owned()], ..Attributes::default() }
}

pub(crate) fn keyed() -> Attributes {
    let idempotency = portcullis_grants::Idempotency {
        header: "Idempotency-Key".to_owned(),
        window: Duration::from_secs(24 * 60 * 60),
    };
    Attributes { idempotency: Some(idempotency), ..Attributes::default() }
}

/// How an intent ended, as tests compare it.
pub(crate) fn ended(proven: bool, refused: bool, outcome: &str) -> IntentEnd {
    IntentEnd { proven, refused, outcome: outcome.to_owned() }
}

/// An inner service that answers from a list and keeps what it was asked. The end of the list is a test's fault.
pub(crate) struct Script<Q> {
    pub asked: Mutex<Vec<Q>>,
    answers: Mutex<VecDeque<Result<Response, Failure>>>,
}

impl<Q: Send + 'static> Script<Q> {
    pub fn new(answers: impl IntoIterator<Item = Result<Response, Failure>>) -> Arc<Self> {
        Arc::new(Self { asked: Mutex::default(), answers: Mutex::new(answers.into_iter().collect()) })
    }

    pub fn service(self: &Arc<Self>) -> Scripted<Q> {
        Scripted(Arc::clone(self))
    }

    pub fn asked(&self) -> usize {
        lock(&self.asked).len()
    }
}

pub(crate) struct Scripted<Q>(Arc<Script<Q>>);

impl<Q> Clone for Scripted<Q> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q: Send + 'static> tower::Service<Q> for Scripted<Q> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Failure>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, asked: Q) -> Self::Future {
        lock(&self.0.asked).push(asked);
        let answer = lock(&self.0.answers).pop_front().expect("the script is at its end");
        Box::pin(std::future::ready(answer))
    }
}

/// What a server does with its nth request (from 0), whose bytes it gets.
pub(crate) type Answer = dyn Fn(usize, &str) -> Reply + Send + Sync;

/// A server's answer.
pub(crate) enum Reply {
    /// These bytes, then the connection closes.
    Bytes(Vec<u8>),
    /// These bytes, then nothing, for ever.
    Stall(Vec<u8>),
    /// The connection closes without a byte.
    Drop,
    /// Nothing, for ever.
    Silence,
}

/// `HTTP/1.1 STATUS`, the header lines given, and a body with its length.
pub(crate) fn reply(status: u16, lines: &[&str], body: &str) -> Reply {
    let mut text = format!("HTTP/1.1 {status} X\r\n");
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()));
    Reply::Bytes(text.into_bytes())
}

/// A server on loopback.
pub(crate) struct Server {
    pub port: u16,
    /// Its authority, where it speaks TLS.
    pub authority: Option<String>,
    /// Heads and bodies, as they came.
    pub requests: Arc<Mutex<Vec<String>>>,
    /// Connections that were accepted.
    pub connects: Arc<Mutex<usize>>,
}

impl Server {
    pub async fn plain(answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, None, Arc::new(answer)).await
    }

    /// TLS under `name`, with an authority of its own; HTTP/1.1 alone.
    pub async fn tls(name: &str, answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let (acceptor, authority) = acceptor(name, &[b"http/1.1"]);
        Self::start(Some(acceptor), Some(authority), Arc::new(answer)).await
    }

    async fn start(acceptor: Option<TlsAcceptor>, authority: Option<String>, answer: Arc<Answer>) -> Self {
        let listener = listener().await;
        let port = listener.local_addr().unwrap().port();
        let (requests, connects): (Arc<Mutex<Vec<String>>>, Arc<Mutex<usize>>) = Default::default();
        let (kept, counted) = (Arc::clone(&requests), Arc::clone(&connects));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                *lock(&counted) += 1;
                let (acceptor, kept, answer) = (acceptor.clone(), Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(socket, &kept, &*answer).await,
                        Some(acceptor) => {
                            if let Ok(socket) = acceptor.accept(socket).await {
                                serve(socket, &kept, &*answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, authority, requests, connects }
    }

    pub fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }

    pub fn connects(&self) -> usize {
        *lock(&self.connects)
    }
}

async fn serve(mut socket: impl AsyncRead + AsyncWrite + Unpin, kept: &Mutex<Vec<String>>, answer: &Answer) {
    let Some(text) = read_request(&mut socket).await else { return };
    let number = {
        let mut kept = lock(kept);
        kept.push(text.clone());
        kept.len() - 1
    };
    match answer(number, &text) {
        Reply::Drop => {}
        Reply::Silence => std::future::pending::<()>().await,
        Reply::Stall(bytes) => {
            let _ = socket.write_all(&bytes).await;
            let _ = socket.flush().await;
            std::future::pending::<()>().await;
        }
        Reply::Bytes(bytes) => {
            let _ = socket.write_all(&bytes).await;
            let _ = socket.shutdown().await;
        }
    }
}

async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// An acceptor for `name` with a fresh authority, and the authority in PEM.
pub(crate) fn acceptor(name: &str, protocols: &[&[u8]]) -> (TlsAcceptor, String) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(params, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

/// The state behind a call, for tests of single layers.
pub(crate) fn state(kit: &Kit) -> Arc<CallState> {
    kit.call().state_for_tests()
}

/// A port on loopback that the kernel chose.
#[expect(clippy::disallowed_methods, reason = "a test's own vendor")]
pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}
