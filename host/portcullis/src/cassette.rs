//! Cassettes: one call of a connector with the exchanges that it had, and what came of it. A TOML file each, beside the code,
//! for people to read and to write. Unknown keys are errors with their line.
mod handed;
pub mod player;
mod print;
pub mod recorder;
pub mod refusal;
#[cfg(test)]
mod tests;

use crate::exit::{Exit, Failure, Result, at_file};
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_engine::{Batch, Delivery};
use portcullis_grants::Origin;
use portcullis_manifest::{
    Diagnostic,
    diagnose::{Document, Spanned, Table, shown},
};
use portcullis_runtime::{ErrorKind, Reply};
use refusal::Refusal;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use print::inline;

/// Where they lie in a connector's folder.
pub const FOLDER: &str = "tests/cassettes";
/// The largest body beside a cassette.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Words for `[statuses]`, beside the error kinds of the WIT.
pub const SUCCEEDS: &str = "succeeds";

/// One call, its exchanges, and what came of it.
#[derive(Clone, Debug)]
pub struct Cassette {
    /// The file's name without `.toml`.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// What is called.
    pub call: Called,
    /// The connection's config.
    pub config: Value,
    /// Origins that stand in the rules.
    pub origins: BTreeMap<String, Origin>,
    /// Records asked for in a page.
    pub max_records: Option<u32>,
    /// A read that begins at a checkpoint may bring again what came before it.
    pub lookback: bool,
    /// What has to come of it.
    pub expected: Expected,
    /// What a refusal of any exchange has to become.
    pub statuses: Statuses,
    /// In the order in which they are asked for.
    pub exchanges: Vec<Recorded>,
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// `check = true`
    Check,
    /// `discover = true`
    Discover,
    /// `action = "NAME"`, `input = '…'`
    Action {
        /// The action.
        name: String,
        /// JSON text.
        input: String,
    },
    /// `stream = "NAME"`
    Stream(String),
    /// `[delivery]`
    Delivery(Delivery),
    /// `write = "STREAM"`, `batch = '…'`
    Batch(Batch),
    /// `complete = "STREAM"`
    Complete {
        /// The stream.
        stream: String,
        /// What is older is gone.
        generation: u64,
        /// Where more than that would go, nothing does.
        removed_max: Option<u64>,
    },
}

impl Called {
    /// For people: `stream customers`.
    pub fn words(&self) -> String {
        match self {
            Self::Check => "check".to_owned(),
            Self::Discover => "discover".to_owned(),
            Self::Action { name, .. } => format!("action {name}"),
            Self::Stream(name) => format!("stream {name}"),
            Self::Delivery(delivery) => format!("delivery {}", delivery.id),
            Self::Batch(batch) => format!("write {}", batch.stream.name),
            Self::Complete { stream, .. } => format!("complete {stream}"),
        }
    }
}

/// What has to come of the call.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// It succeeds: a `check`.
    Success,
    /// An action's output.
    Output(Value),
    /// All records of a stream, in order.
    Records(Vec<Value>),
    /// Events, as `name`, `id` and `payload`, and the reply.
    Handled {
        /// In order.
        events: Vec<Value>,
        /// None = the host's own.
        reply: Option<Reply>,
    },
    /// Lines that are rejected, from 1, with the kind of each one's error.
    Rejected(BTreeMap<u32, String>),
    /// Records that are removed.
    Removed(u64),
    /// `error = "KIND"`.
    Error(String),
}

/// The error kind, or `succeeds`, that a refusal has to become, where it is not the usual one.
pub type Statuses = BTreeMap<Refusal, String>;

/// One exchange with the vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Method.
    pub method: String,
    /// Whole URL, as the connector asks for it: without what a credential adds.
    pub url: String,
    /// Compared where it is there.
    pub request_body: Option<Vec<u8>>,
    /// Status.
    pub status: u16,
    /// Headers of the answer.
    pub headers: Vec<(String, String)>,
    /// Body of the answer.
    pub body: Vec<u8>,
    /// Asked for by a read that begins at a checkpoint, and not by the call itself.
    pub resumed: bool,
    /// What a refusal of this one has to become.
    pub statuses: Statuses,
}

impl Cassette {
    /// All cassettes of a folder by name; every fault of all of them at once.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at_file("read", folder)(error)),
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<std::io::Result<Vec<_>>>().map_err(at_file("read", folder))?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let (mut cassettes, mut faults) = (Vec::new(), Vec::new());
        for path in paths {
            match Self::read(&path)? {
                Ok(cassette) => cassettes.push(cassette),
                Err(more) => faults.extend(more),
            }
        }
        if faults.is_empty() { Ok(cassettes) } else { Err(Failure::documents(faults)) }
    }

    /// What it says has to come of this refusal of one of its exchanges, where it says something.
    pub fn says_of(&self, at: usize, refusal: Refusal) -> Option<&str> {
        let own = self.exchanges.get(at).and_then(|exchange| exchange.statuses.get(&refusal));
        own.or_else(|| self.statuses.get(&refusal)).map(String::as_str)
    }

    fn read(file: &Path) -> Result<std::result::Result<Self, Vec<Diagnostic>>> {
        let bytes = crate::files::read_regular(file, FILE_BYTES_MAX)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::fault(format!("`{}` is not UTF-8", file.display())))?;
        Ok(Self::parse(file, &text))
    }

    /// Parses the text of a file.
    pub fn parse(file: &Path, text: &str) -> std::result::Result<Self, Vec<Diagnostic>> {
        let document = Document::parse(file, text)?;
        let read = read(&document, file);
        document.finish(read)
    }

    /// `https` origins of its exchanges that have to be dialled: host and port.
    pub fn hosts(&self) -> Result<Vec<String>> {
        let mut hosts = Vec::new();
        for exchange in &self.exchanges {
            let host = host_of(&exchange.url).ok_or_else(|| {
                let url = shown(&exchange.url);
                Failure::new(Exit::Fault, format!("`{}`: `{url}` can't be replayed", self.file.display()))
                    .with_help("cassettes hold `https://` URLs of a host name, without a port")
            })?;
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        Ok(hosts)
    }
}

/// The name in `https://NAME/…`. None where it is no name, or there is a port.
fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://")?;
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let named = host.contains(|c: char| c.is_ascii_lowercase()) && host.chars().all(is_name);
    named.then(|| host.to_owned())
}

fn read(document: &Document, file: &Path) -> Option<Cassette> {
    let mut root = document.root();
    let call = called(&mut root, file);
    let config = root.json("config").map_or(Value::Object(serde_json::Map::new()), |config| config.value);
    let origins = root.string_map("origins");
    let origins = origins.into_iter().filter_map(|(name, text)| match text.value.parse::<Origin>() {
        Ok(origin) => Some((name.value, origin)),
        Err(error) => {
            root.fault(text.span, format!("`{}`: {error}", shown(&text.value)), None);
            None
        }
    });
    let origins = origins.collect();
    let max_records = root.integer("max-records", 1..=i64::from(u32::MAX));
    let max_records = max_records.and_then(|max| u32::try_from(max.value).ok());
    let lookback = root.boolean("lookback").is_some_and(|lookback| lookback.value);
    let expected = expected(&mut root, call.as_ref(), file);
    let statuses = statuses(&mut root);
    let exchanges: Vec<_> =
        root.tables("exchange").into_iter().filter_map(|table| exchange(table, file)).collect();
    Some(Cassette {
        name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        file: file.to_owned(),
        call: call?,
        config,
        origins,
        max_records,
        lookback,
        expected: expected?,
        statuses,
        exchanges,
    })
}

fn called(root: &mut Table<'_>, file: &Path) -> Option<Called> {
    let (check, discover) = (root.boolean("check"), root.boolean("discover"));
    let whole =
        match (check.is_some_and(|check| check.value), discover.is_some_and(|discover| discover.value)) {
            (true, false) => Some(Called::Check),
            (false, true) => Some(Called::Discover),
            (false, false) => None,
            (true, true) => {
                handed::one_call(root);
                return None;
            }
        };
    let (action, stream) = (root.string("action"), root.string("stream"));
    let input = root.string("input");
    let handed = ["delivery", "write", "complete"].iter().any(|key| root.has(key));
    match (whole, action, stream, handed) {
        (Some(whole), None, None, false) => Some(whole),
        (None, Some(action), None, false) => {
            let input = input.map_or("{}".to_owned(), |input| input.value);
            Some(Called::Action { name: action.value, input })
        }
        (None, None, Some(stream), false) => Some(Called::Stream(stream.value)),
        (None, None, None, true) if input.is_none() => handed::called(root, file),
        _ => {
            handed::one_call(root);
            None
        }
    }
}

/// What a call of this kind may end with.
fn expected(root: &mut Table<'_>, call: Option<&Called>, file: &Path) -> Option<Expected> {
    let (output, records, error) = (root.string("output"), root.string("records"), root.string("error"));
    let Some(call) = call else {
        handed::ignore(root);
        return None;
    };
    match (call, output, records, error) {
        (_, None, None, Some(error)) => Some(Expected::Error(error.value)),
        (Called::Check | Called::Discover, None, None, None) => Some(Expected::Success),
        (Called::Action { .. }, Some(output), None, None) => {
            json(&output, root, "output").map(Expected::Output)
        }
        (Called::Stream(_), None, Some(records), None) => {
            let lines = records.value.lines().filter(|line| !line.trim().is_empty());
            let record = |line: &str| {
                json(&Spanned { value: line.to_owned(), span: records.span.clone() }, root, "records")
            };
            lines.map(record).collect::<Option<Vec<_>>>().map(Expected::Records)
        }
        (Called::Delivery(_) | Called::Batch(_) | Called::Complete { .. }, None, None, None) => {
            handed::expected(root, call, file)
        }
        (call, ..) => {
            let what = match call {
                Called::Check | Called::Discover => "nothing, or `error = \"KIND\"`",
                Called::Action { .. } => "`output = '…'` or `error = \"KIND\"`",
                Called::Stream(_) => "`records = '''…'''` or `error = \"KIND\"`",
                Called::Delivery(_) => "`events = '''…'''` and a `[reply]`, or `error = \"KIND\"`",
                Called::Batch(_) => "`rejected = { LINE = \"KIND\" }`, nothing, or `error = \"KIND\"`",
                Called::Complete { .. } => "`removed = N` or `error = \"KIND\"`",
            };
            root.fault(0..0, format!("{} ends with {what}", call.words()), None);
            None
        }
    }
}

fn json(text: &Spanned<String>, root: &Table<'_>, what: &str) -> Option<Value> {
    match serde_json::from_str::<Value>(&text.value) {
        Ok(value) => Some(value),
        Err(error) => {
            root.fault(text.span.clone(), format!("`{what}` is not JSON: {error}"), None);
            None
        }
    }
}

/// `statuses = { 404 = "succeeds" }`, of a cassette or of one exchange.
fn statuses(table: &mut Table<'_>) -> Statuses {
    let mut statuses = Statuses::new();
    for (key, kind) in table.string_map("statuses") {
        let Some(refusal) = Refusal::of_key(&key.value) else {
            let played: Vec<_> =
                Refusal::USUAL.iter().map(|(refusal, _)| format!("`{}`", refusal.key())).collect();
            let help = format!("an entry such as `404 = \"succeeds\"`, of {}", played.join(", "));
            table.fault(key.span, format!("`{}` is no status that is played", shown(&key.value)), Some(help));
            continue;
        };
        if !refusal::is_kind(&kind.value) {
            let kinds: Vec<_> = ErrorKind::ALL.iter().map(|kind| format!("`{}`", kind.as_str())).collect();
            let help = format!("`{SUCCEEDS}`, or a kind of error: {}", kinds.join(", "));
            table.fault(kind.span, format!("no call ends with `{}`", shown(&kind.value)), Some(help));
            continue;
        }
        statuses.insert(refusal, kind.value);
    }
    statuses
}

fn exchange(mut table: Table<'_>, file: &Path) -> Option<Recorded> {
    let request = table.required_string("request");
    let request_body = bytes(&mut table, "request-body", file);
    let status = table.required_integer("status", 200..=599);
    let headers = table.string_map("headers").into_iter().map(|(name, value)| (name.value, value.value));
    let headers: Vec<_> = headers.collect();
    let body = bytes(&mut table, "body", file).unwrap_or_default();
    let resumed = table.boolean("resumed").is_some_and(|resumed| resumed.value);
    let statuses = statuses(&mut table);
    // Every key is asked for by now: none is called unknown because another one is missing.
    let (request, status) = (request?, status?);
    let Some((method, url)) = request.value.split_once(' ') else {
        let help = Some("`request = \"GET https://api.example.com/v1/things\"`".to_owned());
        table.fault(request.span, "`request` is a method and a URL", help);
        return None;
    };
    Some(Recorded {
        method: method.to_owned(),
        url: url.trim().to_owned(),
        request_body,
        status: u16::try_from(status.value).ok()?,
        headers,
        body,
        resumed,
        statuses,
    })
}

/// `KEY = "text"`, `KEY-base64` of what is no text, or `KEY-file = "name"` of a file beside the cassette.
fn bytes(table: &mut Table<'_>, key: &str, cassette: &Path) -> Option<Vec<u8>> {
    let (text, named) = (table.string(key), table.string(&format!("{key}-file")));
    if let Some(coded) = table.string(&format!("{key}-base64")) {
        let digits: String = coded.value.chars().filter(|character| !character.is_whitespace()).collect();
        let decoded = STANDARD.decode(digits).ok();
        if decoded.is_none() {
            table.fault(coded.span, format!("`{key}-base64` is no base64"), None);
        }
        return decoded;
    }
    let Some(named) = named else { return text.map(|text| text.value.into_bytes()) };
    let plain = !named.value.is_empty() && !named.value.contains(['/', '\\']) && named.value != "..";
    let read = match plain {
        true => {
            crate::files::read_regular(&crate::config::folder_of(cassette).join(&named.value), FILE_BYTES_MAX)
                .map_err(|error| error.to_string())
        }
        false => Err("a file beside the cassette has no `/` in its name".to_owned()),
    };
    match read {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            table.fault(named.span, format!("`{}`: {error}", shown(&named.value)), None);
            None
        }
    }
}
