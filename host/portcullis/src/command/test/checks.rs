//! What is checked of each cassette. A check that fails says what was expected, what came, and what to do.
use super::{
    mistakes,
    sandbox::{Connected, Ended, Sandbox},
};
use crate::{
    cassette::{Called, Cassette, Expected, SUCCEEDS, player::Player},
    exit::Result,
    wiring,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_egress::{Exchange, Outcome};
use portcullis_engine::{ANY_NAME, Batch, Operation as Asked, Schema};
use portcullis_runtime::{CallError, ConnectorError, Operation, Output, Reply, call::Position};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

/// Pages of one read: more is taken for paging without end.
const PAGES_MAX: usize = 1_000;
/// What a vendor's refusal has to become, where the cassette says nothing else.
const STATUSES: [(u16, &str); 8] = [
    (400, "invalid-input"),
    (401, "unauthorized"),
    (403, "forbidden"),
    (404, "not-found"),
    (409, "conflict"),
    (422, "invalid-input"),
    (429, "rate-limited"),
    (503, "unavailable"),
];

/// One line of the report.
#[derive(Debug)]
pub struct Check {
    /// Cassette, and what was checked of it.
    pub name: String,
    /// The cassette.
    pub file: Option<PathBuf>,
    /// What is wrong; none = it holds.
    pub fault: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Check {
    /// One line.
    pub fn new(name: &str, file: Option<PathBuf>, fault: Option<String>, took: Duration) -> Self {
        Self { name: name.to_owned(), file, fault, took }
    }
}

/// One page, as the connector gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    records: Vec<u8>,
    next: Option<String>,
    checkpoint: Option<String>,
}

/// What a whole call came to.
#[derive(Clone, Debug, PartialEq)]
enum Came {
    Success,
    Output(String),
    Pages(Vec<Page>),
    /// Events as `name`, `id` and `payload`, and the reply.
    Handled(Vec<Value>, Option<Reply>),
    /// Lines from 1 with the kind of each one's error.
    Rejected(BTreeMap<u32, String>),
    Removed(u64),
    /// Kind and message.
    Error(String, String),
}

/// Plays one cassette in every way; `used` gets the places of the rules that were used.
pub async fn of(sandbox: &Sandbox, cassette: &Cassette, used: &mut BTreeSet<String>) -> Result<Vec<Check>> {
    let player = Player::start(&cassette.hosts()?).await?;
    let stage = Stage { sandbox, cassette, player };
    let mut checks = Vec::new();
    let first = stage.check("", async {
        let (came, ended) = stage.play(None, Position::Start).await?;
        used.extend(ended.iter().flat_map(|ended| &ended.exchanges).map(|row| row.manifest_place.clone()));
        Ok(stage.judge(&came, &ended))
    });
    let first = first.await?;
    let held = first.fault.is_none();
    checks.push(first);
    // What is wrong once is wrong again: one fault, told once.
    if !held {
        return Ok(checks);
    }
    checks.push(stage.check("again", stage.again()).await?);
    if matches!(cassette.expected, Expected::Records(_)) {
        checks.push(stage.check("resumed", stage.resumed()).await?);
    }
    if !cassette.exchanges.is_empty() && !matches!(cassette.expected, Expected::Error(_)) {
        for (status, kind) in STATUSES {
            let kind = cassette.statuses.get(&status).map_or(kind, String::as_str);
            let name = format!("status {status}");
            checks.push(stage.check(&name, stage.refused(status, kind)).await?);
        }
    }
    Ok(checks)
}

/// What comes of a cassette, whatever it says.
pub struct Replayed {
    /// As a cassette would say it.
    pub came: Expected,
    /// Of an error.
    pub words: String,
    /// What was asked for beyond the cassette, or left in it.
    pub amiss: Option<String>,
    /// In order.
    pub exchanges: Vec<Exchange>,
}

/// Plays a cassette once.
pub async fn replayed(sandbox: &Sandbox, cassette: &Cassette) -> Result<Replayed> {
    let player = Player::start(&cassette.hosts()?).await?;
    let stage = Stage { sandbox, cassette, player };
    let (came, ended) = stage.play(None, Position::Start).await?;
    let amiss = stage.unexpected().or_else(|| stage.unasked());
    let mut words = String::new();
    let came = match came {
        Came::Success => Expected::Success,
        Came::Output(output) => Expected::Output(serde_json::from_str(&output).unwrap_or(Value::Null)),
        Came::Pages(pages) => Expected::Records(values(&pages)),
        Came::Handled(events, reply) => Expected::Handled { events, reply },
        Came::Rejected(lines) => Expected::Rejected(lines),
        Came::Removed(removed) => Expected::Removed(removed),
        Came::Error(kind, message) => {
            words = message;
            Expected::Error(kind)
        }
    };
    Ok(Replayed {
        came,
        words,
        amiss,
        exchanges: ended.into_iter().flat_map(|ended| ended.exchanges).collect(),
    })
}

struct Stage<'s> {
    sandbox: &'s Sandbox,
    cassette: &'s Cassette,
    player: Player,
}

type Fault = Option<String>;

impl Stage<'_> {
    async fn check(&self, name: &str, work: impl Future<Output = Result<Fault>>) -> Result<Check> {
        let began = RealClock.monotonic();
        let fault = work.await?;
        let took = RealClock.monotonic().saturating_sub(began);
        let name = [self.cassette.name.as_str(), name].join(" ");
        Ok(Check::new(name.trim_end(), Some(self.cassette.file.clone()), fault, took))
    }

    /// The whole call: all pages of a stream.
    async fn play(&self, status: Option<u16>, from: Position) -> Result<(Came, Vec<Ended>)> {
        self.player.play(&self.cassette.exchanges, status);
        let connected = self.sandbox.connect(self.cassette, &self.player)?;
        Ok(match &self.cassette.call {
            Called::Check => one(&connected, Operation::Check { config: connected.config() }).await,
            Called::Action { name, input } => {
                let (config, resume) = (connected.config(), None);
                let (action, input) = (name.clone(), input.clone());
                one(&connected, Operation::Invoke { config, action, input, resume }).await
            }
            Called::Stream(name) => self.pages(&connected, name, from).await,
            Called::Delivery(delivery) => handed(&connected, Asked::Handle(delivery.clone())).await,
            Called::Batch(batch) => handed(&connected, Asked::Write(self.described(batch))).await,
            Called::Complete { stream, generation, removed_max } => {
                let (stream, generation, removed_max) = (stream.clone(), *generation, *removed_max);
                handed(&connected, Asked::Complete { stream, generation, removed_max }).await
            }
        })
    }

    /// A stream of the manifest is what the manifest says, as `write` has it.
    fn described(&self, batch: &Batch) -> Batch {
        let mut batch = batch.clone();
        if let Some(known) = self.sandbox.component.manifest.streams.get(&batch.stream.name) {
            batch.stream.schema = known.schema.to_string();
            batch.stream.cursor_field.clone_from(&known.cursor_field);
            if batch.stream.primary_key.is_empty() {
                batch.stream.primary_key.clone_from(&known.primary_key);
            }
        }
        batch
    }

    async fn pages(&self, connected: &Connected<'_>, stream: &str, from: Position) -> (Came, Vec<Ended>) {
        let (mut pages, mut all, mut position) = (Vec::<Page>::new(), Vec::new(), from);
        for number in 0..PAGES_MAX {
            let operation = Operation::Read {
                config: connected.config(),
                stream_name: stream.to_owned(),
                position: position.clone(),
                max_records: self.cassette.max_records,
            };
            let ended = connected.call(operation, number).await;
            let page = match &ended.result {
                Ok(Output::Page(page)) => page.clone(),
                other => {
                    let came = came(other);
                    all.push(ended);
                    return (came, all);
                }
            };
            all.push(ended);
            let twice = pages.iter().position(|known| page.next.is_some() && known.next == page.next);
            let next = page.next.clone();
            pages.push(Page { records: page.records, next: page.next, checkpoint: page.checkpoint });
            if let Some(known) = twice {
                let message = format!(
                    "paging has no end: page {} asks for the same `next` as page {}; give `next = none` with the last page",
                    pages.len(),
                    known + 1
                );
                return (Came::Error("loop".to_owned(), message), all);
            }
            match next {
                Some(next) => position = Position::Next(next),
                None => return (Came::Pages(pages), all),
            }
        }
        let message = format!("paging has no end: {PAGES_MAX} pages, and `next` is still there");
        (Came::Error("loop".to_owned(), message), all)
    }

    /// Whether this is what the cassette says, and was come to in a right way.
    fn judge(&self, came: &Came, ended: &[Ended]) -> Fault {
        let denied = ended.iter().flat_map(|ended| &ended.exchanges).find_map(|row| match &row.outcome {
            Outcome::Denied { reason, remedy } => {
                let remedy = remedy.as_ref().map_or(String::new(), |remedy| format!("\n{remedy}"));
                Some(format!("{} {} was denied: {reason}{remedy}", row.method, row.url))
            }
            _ => None,
        });
        denied
            .or_else(|| self.unexpected())
            .or_else(|| self.differs(came))
            .or_else(|| self.unasked())
            .or_else(|| self.schema(came))
            .or_else(|| mistakes::large_record(came.pages().map(|page| page.records.as_slice())))
            .or_else(|| mistakes::logged(self.cassette, &self.sensitive(), ended))
    }

    /// A request that the cassette does not have.
    fn unexpected(&self) -> Fault {
        let asked = self.player.asked();
        let unknown = asked.iter().find(|asked| asked.answered_by.is_none())?;
        let mut text =
            format!("asked for what the cassette does not have:\n  {} {}", unknown.method, unknown.url);
        if !unknown.body.is_empty() {
            text.push_str(&format!("\n  {}", mistakes::shortened(&String::from_utf8_lossy(&unknown.body))));
        }
        let used = |at: usize| asked.iter().any(|asked| asked.answered_by == Some(at));
        let mut left = self.cassette.exchanges.iter().enumerate().filter(|(at, _)| !used(*at));
        if let Some((_, next)) = left.next() {
            text.push_str(&format!("\nit has:\n  {} {}", next.method, next.url));
            if let Some(body) = &next.request_body {
                text.push_str(&format!("\n  {}", mistakes::shortened(&String::from_utf8_lossy(body))));
            }
        }
        text.push_str("\nwhere it is right to ask for that: add the exchange to the cassette; `--record` makes one of a real answer");
        Some(text)
    }

    /// An exchange that nobody asked for.
    fn unasked(&self) -> Fault {
        let asked = self.player.asked();
        let used = |at: usize| asked.iter().any(|asked| asked.answered_by == Some(at));
        let (at, left) = self.cassette.exchanges.iter().enumerate().find(|(at, _)| !used(*at))?;
        Some(format!("exchange {} of the cassette was never asked for: {} {}", at + 1, left.method, left.url))
    }

    fn differs(&self, came: &Came) -> Fault {
        match (&self.cassette.expected, came) {
            (Expected::Error(kind), Came::Error(found, _)) if kind == found => None,
            (Expected::Error(kind), Came::Error(found, message)) => {
                Some(format!("expected the error `{kind}`, it is `{found}`: {message}"))
            }
            (Expected::Error(kind), _) => Some(format!("expected the error `{kind}`, and it succeeded")),
            (_, Came::Error(kind, message)) => Some(format!("`{kind}`: {message}")),
            (Expected::Success, _) => None,
            (Expected::Output(expected), Came::Output(found)) => {
                let found: Value = serde_json::from_str(found).unwrap_or(Value::Null);
                (found != *expected)
                    .then(|| format!("the output differs\n  expected {expected}\n  it is    {found}"))
            }
            (Expected::Records(expected), Came::Pages(pages)) => differ("record", expected, &values(pages)),
            (Expected::Handled { events, reply }, Came::Handled(found, replied)) => {
                differ("event", events, found).or_else(|| replies_differ(reply.as_ref(), replied.as_ref()))
            }
            (Expected::Rejected(expected), Came::Rejected(found)) => (expected != found).then(|| {
                let (expected, found) = (rejected_words(expected), rejected_words(found));
                format!("other lines are rejected\n  expected {expected}\n  it is    {found}")
            }),
            (Expected::Removed(expected), Came::Removed(found)) => {
                (expected != found).then(|| format!("{expected} records are to be removed, {found} were"))
            }
            _ => Some("the answer is of another function".to_owned()),
        }
    }

    /// Records and outputs by the schemas of the manifest.
    fn schema(&self, came: &Came) -> Fault {
        let manifest = &self.sandbox.component.manifest;
        let (schema, texts): (&Value, Vec<String>) = match (&self.cassette.call, came) {
            (Called::Action { name, .. }, Came::Output(output)) => {
                let action = manifest.actions.get(name).or_else(|| manifest.actions.get(ANY_NAME))?;
                (&action.output, vec![output.clone()])
            }
            (Called::Stream(name), Came::Pages(pages)) => {
                let stream = manifest.streams.get(name).or_else(|| manifest.streams.get(ANY_NAME))?;
                (&stream.schema, lines(pages))
            }
            _ => return None,
        };
        let schema = Schema::new(schema.to_string());
        for (number, text) in (1..).zip(&texts) {
            let faults = match schema.validate_in_time(text) {
                Ok(faults) => faults,
                Err(error) => return Some(error.to_string()),
            };
            if let Some(fault) = faults.first() {
                let what = match self.cassette.call {
                    Called::Stream(_) => format!("record {number}"),
                    _ => "the output".to_owned(),
                };
                let place = if fault.pointer.is_empty() { "itself" } else { &fault.pointer };
                return Some(format!("{what} is not what its schema says: `{place}`: {}", fault.message));
            }
        }
        None
    }

    /// Names that the manifest calls sensitive for this call.
    fn sensitive(&self) -> Vec<String> {
        let manifest = &self.sandbox.component.manifest;
        let found = match &self.cassette.call {
            // What belongs to no operation has no names of its own: all are meant.
            Called::Check | Called::Delivery(_) | Called::Batch(_) | Called::Complete { .. } => {
                let actions = manifest.actions.values().flat_map(|action| &action.sensitive);
                let streams = manifest.streams.values().flat_map(|stream| &stream.sensitive);
                return actions.chain(streams).cloned().collect();
            }
            Called::Action { name, .. } => {
                let action = manifest.actions.get(name).or_else(|| manifest.actions.get(ANY_NAME));
                action.map(|action| &action.sensitive)
            }
            Called::Stream(name) => {
                let stream = manifest.streams.get(name).or_else(|| manifest.streams.get(ANY_NAME));
                stream.map(|stream| &stream.sensitive)
            }
        };
        found.cloned().unwrap_or_default()
    }

    /// The same input gives the same bytes, page by page, and the same requests.
    async fn again(&self) -> Result<Fault> {
        let (first, _) = self.play(None, Position::Start).await?;
        let asked = self.player.asked();
        let (second, _) = self.play(None, Position::Start).await?;
        if first != second {
            return Ok(Some(
                "the same call gives other bytes the second time: time, randomness or the order of a map is in it"
                    .to_owned(),
            ));
        }
        let same = asked == self.player.asked();
        Ok((!same).then(|| "the same call asks for other things the second time".to_owned()))
    }

    /// From each checkpoint the rest of the records comes, without a gap and without a repeat.
    async fn resumed(&self) -> Result<Fault> {
        let (Came::Pages(pages), _) = self.play(None, Position::Start).await? else { return Ok(None) };
        for (number, page) in pages.iter().enumerate() {
            let Some(checkpoint) = &page.checkpoint else { continue };
            let rest = values(&pages[number + 1..]);
            let (came, _) = self.play(None, Position::Checkpoint(checkpoint.clone())).await?;
            // Beyond the last page a vendor may have more: the cassette says so, or has nothing for it.
            if number + 1 == pages.len() && self.unexpected().is_some() {
                continue;
            }
            if let Some(unexpected) = self.unexpected() {
                return Ok(Some(format!("resumed from the checkpoint of page {}: {unexpected}", number + 1)));
            }
            let fault = match &came {
                Came::Pages(resumed) => differ("record", &rest, &values(resumed)),
                Came::Error(kind, message) => Some(format!("`{kind}`: {message}")),
                _ => None,
            };
            if let Some(fault) = fault {
                return Ok(Some(format!("resumed from the checkpoint of page {}: {fault}", number + 1)));
            }
        }
        Ok(None)
    }

    /// The kind of error of the lines that are written where the vendor answers as the cassette says; none where there are none,
    /// or where they have several.
    fn newly_rejected<'l>(&self, found: &'l BTreeMap<u32, String>) -> Option<&'l str> {
        let before = match &self.cassette.expected {
            Expected::Rejected(lines) => Some(lines),
            _ => None,
        };
        let is_new = |line: &u32| before.is_none_or(|before| !before.contains_key(line));
        let mut kinds = found.iter().filter(|(line, _)| is_new(line)).map(|(_, kind)| kind.as_str());
        let first = kinds.next()?;
        kinds.all(|kind| kind == first).then_some(first)
    }

    /// A vendor that refuses becomes the right kind of error, and is not asked again by hand.
    async fn refused(&self, status: u16, kind: &str) -> Result<Fault> {
        let (came, ended) = self.play(Some(status), Position::Start).await?;
        if let Some(repeated) = mistakes::repeated(&ended, &self.player.asked()) {
            return Ok(Some(repeated));
        }
        let help = || {
            format!(
                "\nwhere that is right: `[statuses]` with `{status} = \"{}\"` in the cassette",
                came.kind()
            )
        };
        Ok(match &came {
            Came::Error(found, _) if found == kind => None,
            // A destination may refuse the lines that the vendor refused, and write the others.
            Came::Rejected(found) if self.newly_rejected(found).is_some_and(|found| found == kind) => None,
            Came::Error(found, message) => {
                Some(format!("{status} has to be `{kind}`, it is `{found}`: {message}{}", help()))
            }
            _ if kind == SUCCEEDS => None,
            _ => Some(format!("{status} has to be `{kind}`, and it succeeded{}", help())),
        })
    }
}

async fn handed(connected: &Connected<'_>, operation: Asked) -> (Came, Vec<Ended>) {
    one(connected, wiring::operation(connected.config(), operation)).await
}

async fn one(connected: &Connected<'_>, operation: Operation) -> (Came, Vec<Ended>) {
    let ended = connected.call(operation, 0).await;
    (came(&ended.result), vec![ended])
}

fn came(result: &std::result::Result<Output, CallError>) -> Came {
    match result {
        Ok(Output::Unit) => Came::Success,
        Ok(Output::Done(output)) => Came::Output(output.clone()),
        Ok(Output::Pending { .. }) => {
            Came::Error("unsupported".to_owned(), "the action answered `pending`".to_owned())
        }
        Ok(Output::Events { events, reply }) => {
            let event = |(name, id, payload): &(String, Option<String>, String)| {
                let payload: Value = serde_json::from_str(payload).unwrap_or(Value::Null);
                json!({ "name": name, "id": id, "payload": payload })
            };
            Came::Handled(events.iter().map(event).collect(), reply.clone())
        }
        Ok(Output::Rejected(lines)) => {
            let line = |(line, error): &(u32, ConnectorError)| {
                (line.saturating_add(1), error.kind.as_str().to_owned())
            };
            Came::Rejected(lines.iter().map(line).collect())
        }
        Ok(Output::Removed(count)) => Came::Removed(*count),
        Ok(_) => Came::Error("internal".to_owned(), "the answer is of another function".to_owned()),
        Err(CallError::Connector(error)) => {
            Came::Error(error.kind.as_str().to_owned(), mistakes::shortened(&error.message))
        }
        Err(error) => Came::Error("failed".to_owned(), mistakes::ended(error)),
    }
}

impl Came {
    fn pages(&self) -> impl Iterator<Item = &Page> {
        match self {
            Self::Pages(pages) => pages.iter(),
            _ => [].iter(),
        }
    }

    fn kind(&self) -> &str {
        match self {
            Self::Error(kind, _) => kind,
            _ => SUCCEEDS,
        }
    }
}

fn lines(pages: &[Page]) -> Vec<String> {
    let text: Vec<u8> = pages.iter().flat_map(|page| with_end(&page.records)).collect();
    String::from_utf8_lossy(&text).lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// A page's last line may come without its end.
fn with_end(records: &[u8]) -> Vec<u8> {
    let mut records = records.to_vec();
    if records.last().is_some_and(|last| *last != b'\n') {
        records.push(b'\n');
    }
    records
}

fn values(pages: &[Page]) -> Vec<Value> {
    lines(pages).iter().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect()
}

/// `what`: record, event.
fn differ(what: &str, expected: &[Value], found: &[Value]) -> Fault {
    let at = (0..expected.len().max(found.len())).find(|at| expected.get(*at) != found.get(*at))?;
    let text = |value: Option<&Value>| match value {
        Some(value) => mistakes::shortened(&value.to_string()),
        None => format!("nothing: the {what}s are over"),
    };
    Some(format!(
        "{what} {} differs ({} expected, {} came)\n  expected {}\n  it is    {}",
        at + 1,
        expected.len(),
        found.len(),
        text(expected.get(at)),
        text(found.get(at))
    ))
}

/// Names of headers have no case, and no order among different ones.
fn replies_differ(expected: Option<&Reply>, found: Option<&Reply>) -> Fault {
    let plain = |(status, headers, body): &Reply| {
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        headers.sort();
        (*status, headers, body.clone())
    };
    if expected.map(plain) == found.map(plain) {
        return None;
    }
    let words = |reply: Option<&Reply>| {
        let Some((status, headers, body)) = reply else { return "none of its own".to_owned() };
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect();
        let body = String::from_utf8_lossy(body);
        mistakes::shortened(&format!("{status} [{}] {body}", headers.join(", ")))
    };
    Some(format!("the reply differs\n  expected {}\n  it is    {}", words(expected), words(found)))
}

fn rejected_words(lines: &BTreeMap<u32, String>) -> String {
    let words: Vec<_> = lines.iter().map(|(line, kind)| format!("line {line}: {kind}")).collect();
    if words.is_empty() { "none".to_owned() } else { mistakes::shortened(&words.join(", ")) }
}
