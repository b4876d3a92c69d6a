//! A DNS server on `127.0.0.1:53` in a network of its own: answers what a test scripted, counts what was asked. RFC 1035.

use std::{
    net::{IpAddr, UdpSocket},
    sync::{Arc, Mutex},
};

/// One answer record.
#[derive(Clone, Debug)]
pub enum Record {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME.
    Alias(String),
}

/// What a question gets.
#[derive(Clone, Debug)]
pub enum Reply {
    /// These records of the given owner, TTL 0. Records of the other address family are left out by the server.
    Records(Vec<(String, Record)>),
    /// NXDOMAIN.
    NoName,
    /// Nothing at all.
    Silence,
}

/// A question: name in lower case without its last dot, `A` or `AAAA`, how often this very question came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name.
    pub name: String,
    /// 1 = A, 28 = AAAA.
    pub kind: u16,
    /// From 0.
    pub ordinal: usize,
}

/// A running server.
pub struct Dns {
    asked: Arc<Mutex<Vec<Question>>>,
}

impl Dns {
    /// Answers from now on, to the end of the process.
    pub fn start(answer: impl Fn(&Question) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").expect("port 53 in a network of its own");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 4096];
            while let Ok((size, from)) = socket.recv_from(&mut buffer) {
                let Some((name, kind, end)) = question(&buffer[..size]) else { continue };
                let ordinal = {
                    let mut log = log.lock().unwrap();
                    let ordinal = log
                        .iter()
                        .filter(|known: &&Question| known.name == name && known.kind == kind)
                        .count();
                    log.push(Question { name: name.clone(), kind, ordinal });
                    ordinal
                };
                if let Some(bytes) = encode(&buffer[..end], kind, &answer(&Question { name, kind, ordinal }))
                {
                    // Who asked may be gone.
                    let _sent = socket.send_to(&bytes, from);
                }
            }
        });
        Self { asked }
    }

    /// Questions so far.
    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }
}

/// Name, type and where the question ends.
fn question(bytes: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
    Some((labels.join("."), kind, at + 4))
}

fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn encode(question: &[u8], kind: u16, reply: &Reply) -> Option<Vec<u8>> {
    let (code, records): (u8, &[(String, Record)]) = match reply {
        Reply::Silence => return None,
        Reply::NoName => (3, &[]),
        Reply::Records(records) => (0, records),
    };
    let (name, _, _) = self::question(question)?;
    let mut bytes = question.to_vec();
    let mut answers = Vec::new();
    let mut count = 0_u16;
    for (owner, record) in records {
        let (of, data) = match record {
            Record::Address(IpAddr::V4(ip)) => (1, ip.octets().to_vec()),
            Record::Address(IpAddr::V6(ip)) => (28, ip.octets().to_vec()),
            Record::Alias(target) => (5, name_bytes(target)),
        };
        if of != 5 && of != kind {
            continue;
        }
        // The question's own name as a pointer to it: 16 bytes a record.
        answers.extend(if *owner == name { vec![0xc0, 0x0c] } else { name_bytes(owner) });
        answers.extend(u16::to_be_bytes(of));
        answers.extend([0, 1, 0, 0, 0, 0]);
        answers.extend(u16::to_be_bytes(u16::try_from(data.len()).unwrap()));
        answers.extend(data);
        count += 1;
    }
    bytes[2] = 0x84;
    bytes[3] = 0x80 | code;
    bytes[4..6].copy_from_slice(&[0, 1]);
    bytes[6..8].copy_from_slice(&count.to_be_bytes());
    bytes[8..12].fill(0);
    bytes.extend(answers);
    Some(bytes)
}
