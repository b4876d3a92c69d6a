//! A project whose `serve` runs: deliveries are sent to it over sockets, as GitHub signs them.

use portcullis_tests::{Project, case::Case, project::Running, wait_for};
use ring::hmac;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::mpsc::Receiver,
    time::Duration,
};

pub(crate) const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

/// The project of a guest that reads deliveries, approved; `serve` and `route` are further lines of their tables.
pub(crate) fn project(serve: &str, route: &str) -> Project {
    project_of(Case::default(), serve, route)
}

/// The same of a guest that does more.
pub(crate) fn project_of(mut case: Case, serve: &str, route: &str) -> Project {
    case.manifest.push_str("\n[webhook]\nsigning = \"github\"\n");
    let project = case.approved_with("sk_test_0123456789abcdef");
    let config = std::fs::read_to_string(project.path("portcullis.toml")).unwrap();
    let served = format!(
        "{config}\n[serve]\ningress = \"127.0.0.1:0\"\noperator = \"127.0.0.1:0\"\n\
         public-url = \"https://hooks.vendor.test\"\n{serve}\n\
         [webhooks.things]\nconnection = \"probe\"\npath = \"/hooks/things\"\nsecret = \"file:hook.key\"\n{route}\n"
    );
    project.file("portcullis.toml", served.as_bytes()).secret("hook.key", SECRET);
    project
}

/// A `serve` that runs.
pub(crate) struct Serving {
    pub(crate) running: Running,
    pub(crate) ingress: SocketAddr,
    pub(crate) operator: SocketAddr,
    said: Receiver<String>,
}

impl Serving {
    /// Started, and ready.
    pub(crate) fn start(project: &Project) -> Self {
        Self::of(&mut project.command(&["--json", "serve"]))
    }

    /// The same of this command.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("portcullis starts");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Nobody listens where the test is over.
            for line in stderr.lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        let mut lines = stdout.lines();
        let running = Running::of(child);
        let Some(Ok(line)) = lines.next() else {
            panic!("it does not serve: {:?}", said.iter().collect::<Vec<_>>());
        };
        std::thread::spawn(move || lines.for_each(drop));
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["event"], "serving");
        let address = |key: &str| line[key].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        Self { ingress: address("ingress"), operator: address("operator"), running, said }
    }

    /// Waits until it says a line that holds this.
    pub(crate) fn says(&self, words: &str) -> String {
        let mut heard = Vec::new();
        loop {
            match self.said.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => heard.push(line),
                Err(_) => panic!("it does not say `{words}`: {heard:#?}"),
            }
        }
    }

    /// Sends one delivery on a connection of its own; the status, none where there was no answer.
    pub(crate) fn deliver(&self, body: &[u8]) -> Option<u16> {
        deliver(self.ingress, body)
    }
}

/// One request and its answer: status, and the rest as text.
pub(crate) fn exchange(to: SocketAddr, request: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    // A process that is killed resets what it had.
    drop(stream.read_to_end(&mut answer));
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, text))
}

/// A request with these lines beside those that every one has.
pub(crate) fn request(target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("POST {target} HTTP/1.1\r\nHost: somebody.test\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

/// As GitHub signs.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

pub(crate) fn deliver(to: SocketAddr, body: &[u8]) -> Option<u16> {
    let signature = signature(SECRET, body);
    let request = request("/hooks/things", &[("X-Hub-Signature-256", &signature)], body);
    exchange(to, &request).map(|(status, _)| status)
}

/// Rows of `deliveries --json`, oldest first.
pub(crate) fn deliveries(project: &Project) -> Vec<Value> {
    let ran = project.run(&["--json", "deliveries", "--limit", "10000"]);
    let mut rows = ran.exits(0).lines();
    rows.reverse();
    rows
}

/// One, whole.
pub(crate) fn delivery(project: &Project, id: &Value) -> Value {
    project.run(&["--json", "deliveries", "show", id.as_str().unwrap()]).exits(0).json()
}

/// Waits until none waits any more.
pub(crate) fn drained(project: &Project) -> Vec<Value> {
    wait_for("deliveries to be over", || {
        let rows = deliveries(project);
        rows.iter().all(|row| row["ended_at"].is_string()).then_some(rows)
    })
}
