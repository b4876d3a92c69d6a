//! The ways in which a guest's URL comes to be dialled. A promise about what leaves is held over each of them; a new one is a
//! variant here, and every matrix runs over it.

use crate::{
    Asked, Next, Project,
    case::{Case, http, is_denied},
    guests,
    vendor::reply,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
};

/// Where the redirects come from: a public address of its own, which `answer` serves.
pub const HOP: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 216, 254));

/// Requests of one `send-all`.
const SEND_ALL_REQUESTS_MAX: usize = 64;

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `http.send`, one after another.
    Send,
    /// `http.send-all`, as many at once as it takes.
    SendAll,
    /// `http.open`, read to its end.
    Open,
    /// `http.download`.
    Download,
    /// `wasi:http/outgoing-handler`.
    Fetch,
    /// A `Location` that the host follows.
    Followed,
}

/// What came of a request, whatever words the way has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A whole answer of 200.
    Reached,
    /// Refused, and the guest learned no more.
    Denied,
    /// No request that can be sent.
    Malformed,
    /// No connection.
    Unconnected,
    /// Out of time.
    Late,
    /// Something else.
    Other,
}

/// The same rules for the guest of `http` and for the one of `wasi:http`.
pub struct Projects {
    probe: Project,
    fetch: Project,
}

impl Projects {
    /// Approved guests that may ask for what these rules name, and reach listed ranges.
    #[track_caller]
    pub fn new(rules: &[String], addresses: &[&str]) -> Self {
        let hop = format!("GET https://{HOP}/go");
        let manifest = [
            if rules.is_empty() { String::new() } else { http(rules, "") },
            http(&[&hop], "redirect = \"follow\""),
        ];
        let case = Case {
            manifest: manifest.concat(),
            allow: Some(rules.iter().cloned().chain([hop]).collect()),
            addresses: addresses.iter().map(|range| (*range).to_owned()).collect(),
            limits: "timeout = \"120s\"".to_owned(),
            ..Case::default()
        };
        Self { probe: case.approved(), fetch: case.fetching("a secret that nobody asks for") }
    }
}

/// Builds the guests, before the network is left.
pub fn prepare() {
    drop((guests::probe(""), guests::fetch("")));
}

/// `scheme authority path`, as a language's own parser would part it.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((scheme, &rest[..at], &rest[at..]))
}

impl Transport {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Send, Self::SendAll, Self::Open, Self::Download, Self::Fetch, Self::Followed];

    /// Whether a text can be carried at all: a header line holds no end of a line, and `wasi:http` takes a URL in its parts.
    pub fn carries(self, url: &str) -> bool {
        match self {
            Self::Followed => !url.contains(['\r', '\n', '\0']),
            Self::Fetch => parts(url).is_some(),
            _ => true,
        }
    }

    /// What it dials besides the targets.
    pub fn dials(self) -> Option<IpAddr> {
        (self == Self::Followed).then_some(HOP)
    }

    fn order(self, url: &str, within_ms: u64) -> Value {
        match self {
            Self::Fetch => {
                let (scheme, authority, path) = parts(url).expect("`carries` was asked");
                json!({"method": "GET", "scheme": scheme, "authority": authority, "path": path, "first-byte-ms": within_ms})
            }
            Self::Followed => {
                let go = format!("https://{HOP}/go?{}", URL_SAFE_NO_PAD.encode(url));
                json!({"method": "GET", "url": go, "timeout-ms": within_ms})
            }
            Self::Open => json!({"method": "GET", "url": url, "by": "open", "timeout-ms": within_ms}),
            Self::Download => json!({"method": "GET", "url": url, "by": "download", "timeout-ms": within_ms}),
            Self::Send | Self::SendAll => json!({"method": "GET", "url": url, "timeout-ms": within_ms}),
        }
    }

    /// Asks for each of these in as few calls as it takes; what came of each.
    #[track_caller]
    pub fn ask(self, projects: &Projects, urls: &[String], within_ms: u64) -> Vec<(Came, Value)> {
        let (project, action, at_once) = match self {
            Self::Fetch => (&projects.fetch, "fetch", urls.len()),
            Self::SendAll => (&projects.probe, "send-all", SEND_ALL_REQUESTS_MAX),
            _ => (&projects.probe, "send-each", urls.len()),
        };
        let mut came = Vec::new();
        for urls in urls.chunks(at_once.max(1)) {
            let orders: Vec<Value> = urls.iter().map(|url| self.order(url, within_ms)).collect();
            let (ran, report) = project.call("probe", action, &json!({"requests": orders}));
            assert_eq!(report["outcome"], "succeeded", "{self:?}: {report:#}\n{}", ran.stderr);
            let answers = report["output"].as_array().expect("a list");
            assert_eq!(answers.len(), urls.len());
            came.extend(answers.iter().map(|answer| (self.came(answer), answer.clone())));
        }
        came
    }

    fn came(self, answer: &Value) -> Came {
        if answer["status"] == 200 {
            return if answer["ended"].is_null() { Came::Reached } else { Came::Other };
        }
        let error = answer["error"].as_str().unwrap_or_default();
        match (self, error) {
            (Self::Fetch, "HttpRequestDenied") => Came::Denied,
            // The last three are refused by the interface, before anything is handed over.
            (
                Self::Fetch,
                "HttpProtocolError" | "HttpRequestUriInvalid" | "scheme" | "authority" | "path",
            ) => Came::Malformed,
            (Self::Fetch, "DestinationUnavailable") => Came::Unconnected,
            (Self::Fetch, "HttpResponseTimeout") => Came::Late,
            (Self::Fetch, _) => Came::Other,
            (_, "denied") if is_denied(answer) => Came::Denied,
            (_, "malformed") => Came::Malformed,
            (_, "connect") => Came::Unconnected,
            (_, "timeout") => Came::Late,
            _ => Came::Other,
        }
    }
}

/// The hop's side: `/go?URL` leads to the URL, everything else is reached.
pub fn answer(asked: &Asked, wire: &mut dyn Write) -> Next {
    let target = URL_SAFE_NO_PAD.decode(asked.query()).ok().filter(|_| asked.path() == "/go");
    let Some(target) = target else { return reply(wire, 200, &[], b"reached") };
    let head = [b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ", &target[..], b"\r\n\r\n"].concat();
    let _left = wire.write_all(&head);
    Next::Keep
}
