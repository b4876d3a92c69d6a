//! A scriptable vendor: TLS under names of its own authority, or plain on loopback. The handler gets each request as it arrived
//! and writes the answer's bytes itself, so that an answer can be as hostile as it likes. Every decrypted byte that came in is
//! kept: that capture, not the product's log, is what tests assert on.

use crate::authority::authority;
use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which connection brought it, from 0.
    pub connection: usize,
    /// The name that TLS asked for.
    pub sni: Option<String>,
    /// `GET`
    pub method: String,
    /// `/path?query`, or what stood there.
    pub target: String,
    /// Names as they came, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The head's bytes.
    pub head: Vec<u8>,
}

impl Asked {
    /// The first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// How often that header came.
    pub fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).count()
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query without `?`.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The connection waits for another request.
    Keep,
    /// It closes.
    Close,
}

/// Answers one request by writing bytes.
pub type Handler = dyn Fn(&Asked, &mut dyn Write) -> Next + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    asked: Mutex<Vec<Asked>>,
    bytes: Mutex<Vec<u8>>,
    connects: AtomicUsize,
    stopped: AtomicBool,
}

/// A running vendor; ends when dropped.
pub struct Vendor {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Vendor {
    /// Over TLS on `127.0.0.1`, under these names.
    pub fn tls(
        names: &[&str],
        handler: impl Fn(&Asked, &mut dyn Write) -> Next + Send + Sync + 'static,
    ) -> Self {
        Self::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0, Some(authority().server(names)), Box::new(handler))
    }

    /// Over TLS with a configuration of its own.
    pub fn tls_with(
        config: Arc<rustls::ServerConfig>,
        handler: impl Fn(&Asked, &mut dyn Write) -> Next + Send + Sync + 'static,
    ) -> Self {
        Self::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0, Some(config), Box::new(handler))
    }

    /// Plain HTTP on `127.0.0.1`.
    pub fn plain(handler: impl Fn(&Asked, &mut dyn Write) -> Next + Send + Sync + 'static) -> Self {
        Self::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0, None, Box::new(handler))
    }

    /// Over TLS at an address and port of choice, where every address is local.
    pub fn at(
        address: IpAddr,
        port: u16,
        names: &[&str],
        handler: impl Fn(&Asked, &mut dyn Write) -> Next + Send + Sync + 'static,
    ) -> Self {
        Self::start(address, port, Some(authority().server(names)), Box::new(handler))
    }

    /// Plain HTTP at an address and port of choice, where every address is local.
    pub fn plain_at(
        address: IpAddr,
        port: u16,
        handler: impl Fn(&Asked, &mut dyn Write) -> Next + Send + Sync + 'static,
    ) -> Self {
        Self::start(address, port, None, Box::new(handler))
    }

    fn start(ip: IpAddr, port: u16, tls: Option<Arc<rustls::ServerConfig>>, handler: Box<Handler>) -> Self {
        let listener = TcpListener::bind((ip, port)).expect("the vendor listens");
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler,
            asked: Mutex::default(),
            bytes: Mutex::default(),
            connects: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let connection = accepting.connects.fetch_add(1, Ordering::SeqCst);
                let (shared, tls) = (Arc::clone(&accepting), tls.clone());
                std::thread::spawn(move || serve(stream, tls, &shared, connection));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// How many requests so far.
    pub fn count(&self) -> usize {
        self.shared.asked.lock().unwrap().len()
    }

    /// Every byte that arrived, after TLS.
    pub fn bytes(&self) -> Vec<u8> {
        self.shared.bytes.lock().unwrap().clone()
    }

    /// TCP connections so far.
    pub fn connects(&self) -> usize {
        self.shared.connects.load(Ordering::SeqCst)
    }

    /// Forgets what arrived.
    pub fn clear(&self) {
        self.shared.asked.lock().unwrap().clear();
        self.shared.bytes.lock().unwrap().clear();
    }

    /// Whether these bytes arrived anywhere.
    pub fn saw(&self, needle: &[u8]) -> bool {
        contains(&self.bytes(), needle)
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes `accept`; who listens there no more does not matter.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_millis(200)));
    }
}

/// Whether `needle` stands somewhere in `bytes`.
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle)
}

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

fn serve(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>, shared: &Shared, connection: usize) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut wire, sni): (Box<dyn Wire>, Option<String>) = match tls {
        None => (Box::new(stream), None),
        Some(config) => {
            let mut stream = stream;
            let mut session = rustls::ServerConnection::new(config).unwrap();
            while session.is_handshaking() {
                if session.complete_io(&mut stream).is_err() {
                    return;
                }
            }
            let sni = session.server_name().map(str::to_owned);
            (Box::new(rustls::StreamOwned::new(session, stream)), sni)
        }
    };
    let mut pending = Vec::new();
    while let Some(asked) = read_request(&mut wire, &mut pending, shared, connection, sni.clone()) {
        shared.asked.lock().unwrap().push(asked.clone());
        let next = (shared.handler)(&asked, &mut wire);
        if wire.flush().is_err() || next == Next::Close {
            return;
        }
    }
}

fn read_more(wire: &mut Box<dyn Wire>, pending: &mut Vec<u8>, shared: &Shared) -> bool {
    let mut chunk = [0_u8; 16 * 1024];
    loop {
        match wire.read(&mut chunk) {
            Ok(0) => return false,
            Ok(read) => {
                pending.extend_from_slice(&chunk[..read]);
                shared.bytes.lock().unwrap().extend_from_slice(&chunk[..read]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

fn read_request(
    wire: &mut Box<dyn Wire>,
    pending: &mut Vec<u8>,
    shared: &Shared,
    connection: usize,
    sni: Option<String>,
) -> Option<Asked> {
    let end = loop {
        if let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if !read_more(wire, pending, shared) {
            return None;
        }
    };
    let head: Vec<u8> = pending.drain(..end).collect();
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.trim_end().split("\r\n");
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut asked = Asked { connection, sni, method, target, headers, body: Vec::new(), head };
    let length = asked.header("content-length").and_then(|length| length.parse::<usize>().ok());
    if asked.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        asked.body = read_chunked(wire, pending, shared)?;
    } else if let Some(length) = length {
        while pending.len() < length {
            if !read_more(wire, pending, shared) {
                return None;
            }
        }
        asked.body = pending.drain(..length).collect();
    }
    Some(asked)
}

fn read_chunked(wire: &mut Box<dyn Wire>, pending: &mut Vec<u8>, shared: &Shared) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(end) = pending.windows(2).position(|window| window == b"\r\n") {
                break pending.drain(..end + 2).collect::<Vec<u8>>();
            }
            if !read_more(wire, pending, shared) {
                return None;
            }
        };
        let size =
            usize::from_str_radix(String::from_utf8_lossy(&line).trim().split(';').next()?, 16).ok()?;
        while pending.len() < size + 2 {
            if !read_more(wire, pending, shared) {
                return None;
            }
        }
        body.extend(pending.drain(..size));
        pending.drain(..2);
        if size == 0 {
            return Some(body);
        }
    }
}

/// Writes an ordinary answer. A peer that left does not matter.
pub fn reply(wire: &mut dyn Write, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Next {
    let mut head = format!("HTTP/1.1 {status} Told\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let _left =
        wire.write_all(head.as_bytes()).and_then(|()| wire.write_all(body)).and_then(|()| wire.flush());
    Next::Keep
}

/// Writes JSON with status 200.
pub fn reply_json(wire: &mut dyn Write, body: &serde_json::Value) -> Next {
    reply(wire, 200, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}
