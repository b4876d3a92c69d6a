//! A vendor of bytes that nobody stores: each is computed from its place, going out and coming in. It cuts connections.
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// How much, and how often something breaks.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Bytes of the file.
    pub total: u64,
    /// A connection is cut after so many of them, down and up.
    pub fault: u64,
    /// Sizes in which the guest sends it.
    pub slices: Vec<u64>,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Downloads that were begun.
    pub downs: u32,
    /// Uploads that were cut.
    pub up_faults: u32,
    since_fault: u64,
    /// Slices that arrived, by their place.
    pub parts: BTreeMap<u64, u64>,
    /// Bytes of the file in the form.
    pub form: Option<u64>,
    /// Bytes, or words around them, that were not as they should be.
    pub wrong: u64,
}

impl Seen {
    /// Where the slices end, if each begins where the one before it ended.
    pub fn uploaded(&self) -> Option<u64> {
        self.parts.iter().try_fold(0, |end, (at, size)| (*at == end).then_some(end + size))
    }
}

/// Running.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
}

const BLOCK: usize = 64 << 10;

/// The file from `offset` on.
fn fill(offset: u64, bytes: &mut [u8]) {
    let mut word = offset / 8;
    let mut skip = usize::try_from(offset % 8).unwrap();
    let mut at = 0;
    while at < bytes.len() {
        let mut mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).to_le_bytes();
        let taken = (8 - skip).min(bytes.len() - at);
        bytes[at..at + taken].copy_from_slice(&mixed[skip..skip + taken]);
        (at, word, skip) = (at + taken, word + 1, 0);
    }
}

/// Of the file, in hexadecimal.
pub fn sha256(total: u64) -> String {
    let (mut hash, mut bytes, mut at) = (Sha256::new(), vec![0; BLOCK], 0);
    while at < total {
        let size = usize::try_from(total - at).unwrap_or(BLOCK).min(BLOCK);
        fill(at, &mut bytes[..size]);
        hash.update(&bytes[..size]);
        at += size as u64;
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Server {
    pub fn start(scale: Scale) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the server listens");
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (scale, seen) = (scale.clone(), Arc::clone(&shared));
                // A connection that breaks is the product's affair.
                std::thread::spawn(move || {
                    // What breaks off is the point of it.
                    let _broken = Serving { scale, seen }.answer(socket);
                });
            }
        });
        Self { port, seen }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

struct Head {
    line: String,
    headers: BTreeMap<String, String>,
}

impl Head {
    fn read(wire: &mut impl BufRead) -> Option<Self> {
        let mut line = String::new();
        wire.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            wire.read_line(&mut header).ok()?;
            match header.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
                None => return Some(Self { line, headers }),
            };
        }
    }

    fn length(&self) -> u64 {
        self.headers.get("content-length").and_then(|length| length.parse().ok()).expect("its length is told")
    }
}

struct Serving {
    scale: Scale,
    seen: Arc<Mutex<Seen>>,
}

impl Serving {
    fn answer(&self, socket: TcpStream) -> Option<()> {
        let mut out = socket.try_clone().ok()?;
        let mut wire = BufReader::with_capacity(BLOCK, socket);
        let head = Head::read(&mut wire)?;
        match head.line.split(' ').next()? {
            "GET" => return self.send(&head, &mut out),
            "PUT" => self.part(&head, &mut wire)?,
            _ => self.form(&head, &mut wire)?,
        }
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()
    }

    /// The file, or what is left of it, and after `fault` bytes the end.
    fn send(&self, head: &Head, out: &mut TcpStream) -> Option<()> {
        self.seen.lock().unwrap().downs += 1;
        let total = self.scale.total;
        let from = head.headers.get("range").and_then(|range| {
            assert_eq!(head.headers.get("if-range").map(String::as_str), Some("\"v1\""));
            range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u64>().ok()
        });
        let mut at = from.unwrap_or(0);
        let status = match from {
            Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {at}-{}/{total}", total - 1),
            None => "200 OK".to_owned(),
        };
        let length = total - at;
        write!(
            out,
            "HTTP/1.1 {status}\r\nETag: \"v1\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let end = total.min(at + self.scale.fault);
        let mut bytes = vec![0; BLOCK];
        while at < end {
            let size = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
            fill(at, &mut bytes[..size]);
            out.write_all(&bytes[..size]).ok()?;
            at += size as u64;
        }
        Some(())
    }

    /// A slice; None where this one is cut.
    fn part(&self, head: &Head, wire: &mut impl Read) -> Option<()> {
        let (offset, size) =
            (head.line.split("offset=").nth(1)?.split(' ').next()?.parse().ok()?, head.length());
        self.compare(wire, offset, size, true)?;
        let twice = self.seen.lock().unwrap().parts.insert(offset, size);
        assert!(twice.is_none(), "one that was answered is not sent again");
        Some(())
    }

    fn compare(&self, wire: &mut impl Read, offset: u64, size: u64, cuts: bool) -> Option<()> {
        let (mut here, mut there, mut at) = (vec![0; BLOCK], vec![0; BLOCK], 0);
        while at < size {
            let wanted = usize::try_from(size - at).unwrap_or(BLOCK).min(BLOCK);
            wire.read_exact(&mut here[..wanted]).ok()?;
            fill(offset + at, &mut there[..wanted]);
            at += wanted as u64;
            let mut seen = self.seen.lock().unwrap();
            seen.wrong += u64::from(here[..wanted] != there[..wanted]);
            seen.since_fault += wanted as u64;
            if cuts && seen.since_fault >= self.scale.fault {
                (seen.since_fault, seen.up_faults) = (0, seen.up_faults + 1);
                return None;
            }
        }
        Some(())
    }

    /// A title, then the file.
    fn form(&self, head: &Head, wire: &mut impl Read) -> Option<()> {
        let content_type = head.headers.get("content-type").expect("its type is told");
        let boundary =
            content_type.strip_prefix("multipart/form-data; boundary=").expect("a form").to_owned();
        let before = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nall of it\r\n--{boundary}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"a%22b.bin\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let after = format!("\r\n--{boundary}--\r\n");
        let around = (before.len() + after.len()) as u64;
        let size = head.length() - around;
        let word = |expected: &str, wire: &mut dyn Read| {
            let mut found = vec![0; expected.len()];
            wire.read_exact(&mut found).ok()?;
            self.seen.lock().unwrap().wrong += u64::from(found != expected.as_bytes());
            Some(())
        };
        word(&before, wire)?;
        self.compare(wire, 0, size, false)?;
        word(&after, wire)?;
        self.seen.lock().unwrap().form = Some(size);
        Some(())
    }
}
