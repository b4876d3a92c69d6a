//! The vendor: a child process that answers 1 KiB (or as many bytes as `/bytes/N` says), at once or after 5 ms, and counts.
//! `/file/KIND/N` is as long as it says and is never whole in memory; what is sent up with POST is read and forgotten. It
//! speaks just enough HTTP/1.1 (RFC 9112) for clients that send GET without a body and POST with its length.

use anyhow::Context;
use serde_json::Value;
use std::{
    cell::Cell,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What every request has to bring: made up, and long enough to be looked for in answers.
pub const SECRET: &str = "sk_bench_0123456789abcdefghijklmnop";
/// How long `/slow` takes.
pub const SLOW: Duration = Duration::from_millis(5);
const BODY_BYTES: usize = 1 << 10;
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The running child.
pub struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts it and waits for its port.
    pub fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(crate::SERVER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the server does not start")?;
        let mut stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let port = line.trim().parse().context("the server told no port")?;
        Ok(Self { child, stdout, port })
    }

    /// Answers at once, or after `SLOW`.
    pub fn url(&self, slow: bool) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, if slow { "slow" } else { "fast" })
    }

    /// What it counted: its end of stdin closes, it prints and ends.
    pub fn counts(mut self) -> anyhow::Result<Value> {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Counts {
    connections: Cell<u64>,
    requests: Cell<u64>,
    without_credential: Cell<u64>,
}

/// The child's whole life: it ends with its stdin, so also when the parent is killed.
pub fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let counts: Rc<Counts> = Rc::default();
    let counted = Rc::clone(&counts);
    local.block_on(&runtime, async move {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{}", listener.local_addr()?.port())?;
        stdout.flush()?;
        tokio::select! {
            ended = accept(listener, counted) => ended,
            _ = async { tokio::io::stdin().read_u8().await } => Ok(()),
        }
    })?;
    let counts = serde_json::json!({
        "connections": counts.connections.get(),
        "requests": counts.requests.get(),
        "without_credential": counts.without_credential.get(),
    });
    writeln!(std::io::stdout(), "{counts}")?;
    Ok(())
}

async fn accept(listener: TcpListener, counts: Rc<Counts>) -> anyhow::Result<()> {
    let answer: Rc<[u8]> = answer().into();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        count(&counts.connections);
        let (counts, answer) = (Rc::clone(&counts), Rc::clone(&answer));
        // A client that goes away ends its connection alone.
        tokio::task::spawn_local(async move { serve(stream, &counts, &answer).await.ok() });
    }
}

async fn serve(mut stream: TcpStream, counts: &Counts, answer: &[u8]) -> std::io::Result<()> {
    let credential = format!("Bearer {SECRET}");
    let mut buffer = Vec::with_capacity(4 << 10);
    loop {
        let end = loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if buffer.len() > HEAD_BYTES_MAX || stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        count(&counts.requests);
        if find(&buffer[..end], credential.as_bytes()).is_none() {
            count(&counts.without_credential);
        }
        if buffer.starts_with(b"GET /slow") {
            tokio::time::sleep(SLOW).await;
        }
        let asked = buffer.strip_prefix(b"GET /bytes/").map(asked_bytes);
        let file = asked_file(&buffer);
        let uploaded = if buffer.starts_with(b"POST ") { Some(length(&buffer[..end])) } else { None };
        buffer.drain(..end);
        match (asked, file, uploaded) {
            (_, _, Some(bytes)) => {
                forget(&mut stream, &mut buffer, bytes).await?;
                stream.write_all(answer).await?;
            }
            (Some(bytes), ..) => stream.write_all(&self::bytes(bytes)).await?,
            (_, Some((kind, bytes)), _) => send_file(&mut stream, kind, bytes).await?,
            _ => stream.write_all(answer).await?,
        }
    }
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn asked_bytes(rest: &[u8]) -> usize {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, byte| sum * 10 + usize::from(byte - b'0'))
}

fn asked_file(request: &[u8]) -> Option<(Kind, usize)> {
    let path = request.strip_prefix(b"GET /file/")?;
    let kind = Kind::ALL.into_iter().find(|kind| path.starts_with(kind.name().as_bytes()))?;
    Some((kind, asked_bytes(path.get(kind.name().len() + 1..)?)))
}

/// What a large file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As what is compressed or encrypted: every byte alike.
    Random,
    /// Lines of JSON, with an escape here and there.
    Text,
}

impl Kind {
    /// In the order in which they are measured.
    pub const ALL: [Self; 2] = [Self::Random, Self::Text];

    /// In the path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Text => "text",
        }
    }

    fn block(self) -> Vec<u8> {
        let mut block = Vec::with_capacity(FILE_BLOCK_BYTES + 512);
        let (mut state, mut n) = (0x9e37_79b9_7f4a_7c15_u64, 0);
        while block.len() < FILE_BLOCK_BYTES {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match self {
                Self::Random => block.extend_from_slice(&state.to_le_bytes()),
                Self::Text => {
                    n += 1;
                    block.extend_from_slice(
                        format!(
                            "{{\"id\":\"cus_{state:016x}\",\"object\":\"customer\",\"created\":{},\"email\":\
                             \"jenny.rosen{n:06}@example.com\",\"name\":\"Jenny \\\"JR\\\" Rosen\",\"balance\":-120,\
                             \"url\":\"https://example.com/c?id={n}&from=a%20mail\",\"note\":\"first\\nsecond line\"}}\n",
                            1_760_000_000 + n
                        )
                        .as_bytes(),
                    );
                }
            }
        }
        block.truncate(FILE_BLOCK_BYTES);
        block
    }
}

const FILE_BLOCK_BYTES: usize = 4 << 20;

async fn send_file(stream: &mut TcpStream, kind: Kind, bytes: usize) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let (block, mut left) = (kind.block(), bytes);
    while left > 0 {
        let sent = left.min(block.len());
        stream.write_all(&block[..sent]).await?;
        left -= sent;
    }
    Ok(())
}

/// Of a request's body; where none is told, there is none.
fn length(head: &[u8]) -> usize {
    let lower = head.to_ascii_lowercase();
    let name = b"\r\ncontent-length: ";
    find(&lower, name).map_or(0, |at| asked_bytes(&lower[at + name.len()..]))
}

/// Reads a body of so many bytes, of which some may have arrived.
async fn forget(stream: &mut TcpStream, buffer: &mut Vec<u8>, bytes: usize) -> std::io::Result<()> {
    let here = buffer.len().min(bytes);
    buffer.drain(..here);
    let (mut left, mut piece) = (bytes - here, vec![0; 256 << 10]);
    while left > 0 {
        let most = left.min(piece.len());
        match stream.read(&mut piece[..most]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => left -= read,
        }
    }
    Ok(())
}

/// Text in which nothing is found.
fn bytes(count: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {count}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.extend((0..count).map(|n| b"0123456789 abcdefghijklmnopqrstuvwxyz\n"[n % 38]));
    answer
}

/// A head as vendors send it and a body of JSON.
fn answer() -> Vec<u8> {
    let record = r#"{"id":"cus_9s6XKzkNRiz8i3","email":"jenny@example.com","livemode":false},"#;
    let mut body = String::from("[");
    while body.len() + record.len() < BODY_BYTES - 1 {
        body.push_str(record);
    }
    body.push_str(&format!("{:>width$}]", "0", width = BODY_BYTES - body.len() - 1));
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         request-id: req_1GyWJvT4aZQ2d1\r\nserver: bench\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}
