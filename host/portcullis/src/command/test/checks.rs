//! What is checked of each cassette. A check that fails says what was expected, what came, and what to do.
mod declared;
mod given;
mod refused;
mod resumed;

use super::{
    compared::{differ, outputs_differ, rejected_words, replies_differ, requests_differ},
    mistakes,
    report::Check,
    sandbox::{Chance, Connected, Ended, Sandbox},
};
use crate::{
    cassette::{Called, Cassette, Expected, SUCCEEDS, player::Player, refusal::Refusal},
    exit::Result,
    wiring,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_egress::Exchange;
use portcullis_engine::{ANY_NAME, Batch, Operation as Asked, Schema};
use portcullis_runtime::{CallError, ConnectorError, Operation, Output, Reply, call::Position};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Pages of one read: more is taken for paging without end.
const PAGES_MAX: usize = 1_000;
const CLOCK: &str = "the same answers give another checkpoint at another time: the clock is in it, and what changed at the vendor \
                     meanwhile is never read; take it from the records, or from the vendor's `Date`, a header of the cassette";

const PENDING: &str = "the action answered `pending`, which this version does not wait for: answer once it is done, or give the \
                       job's id as output and ask for it by an action of its own";

/// What a check came to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    Fault(String),
    /// There was nothing to check.
    Skipped(String),
}

impl From<Fault> for Verdict {
    fn from(fault: Fault) -> Self {
        fault.map_or(Self::Holds, Self::Fault)
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
    if declared::is_refused_by_the_host(&sandbox.component.manifest, cassette) {
        return Ok(vec![stage.check("", async { Ok(Verdict::Holds) }).await?]);
    }
    let first = stage.check("", async {
        if let Some(fault) = declared::amiss(&sandbox.component.manifest, cassette) {
            return Ok(Verdict::Fault(fault));
        }
        let (came, ended) = stage.play(None, Position::Start).await?;
        used.extend(ended.iter().flat_map(|ended| &ended.exchanges).map(|row| row.manifest_place.clone()));
        let fault = stage.judge(&came, &ended);
        match stage.unexpected() {
            Some(unexpected) if fault.as_ref() == Some(&unexpected) => stage.by_chance(unexpected).await,
            _ => Ok(fault.into()),
        }
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
    if !matches!(cassette.expected, Expected::Error(_)) {
        let begins = stage.begins().await?;
        for (refusal, usual) in Refusal::USUAL {
            let places = stage.refusable(refusal, &begins);
            if !places.is_empty() {
                let name = refusal.to_string();
                checks.push(stage.check(&name, stage.refused(&places, &begins, refusal, usual)).await?);
            }
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
    async fn check(&self, name: &str, work: impl Future<Output = Result<Verdict>>) -> Result<Check> {
        let began = RealClock.monotonic();
        let (fault, skipped) = match work.await? {
            Verdict::Holds => (None, None),
            Verdict::Fault(fault) => (Some(fault), None),
            Verdict::Skipped(why) => (None, Some(why)),
        };
        let took = RealClock.monotonic().saturating_sub(began);
        let name = [self.cassette.name.as_str(), name].join(" ");
        let check = Check::new(name.trim_end(), Some(self.cassette.file.clone()), fault, took);
        Ok(Check { skipped, ..check })
    }

    /// The whole call: all pages of a stream.
    async fn play(&self, refused: Option<(usize, Refusal)>, from: Position) -> Result<(Came, Vec<Ended>)> {
        self.play_by(Chance::USUAL, refused, from).await
    }

    async fn play_by(
        &self,
        chance: Chance,
        refused: Option<(usize, Refusal)>,
        from: Position,
    ) -> Result<(Came, Vec<Ended>)> {
        let resumed = matches!(from, Position::Checkpoint(_));
        self.player.play(&self.cassette.exchanges, refused, resumed);
        let connected = self.sandbox.connect(self.cassette, &self.player, chance)?;
        Ok(match &self.cassette.call {
            Called::Check => one(&connected, Operation::Check { config: connected.config() }).await,
            Called::Discover => one(&connected, Operation::Discover { config: connected.config() }).await,
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
        mistakes::denied(ended)
            .or_else(|| self.unexpected())
            // No cassette can hold one to compare it with.
            .or_else(|| mistakes::large_record(came.pages().map(|page| page.records.as_slice())))
            .or_else(|| self.amiss(came))
            .or_else(|| self.differs(came))
            .or_else(|| self.unasked())
            .or_else(|| self.schema(came))
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

    /// A request that is another one each time is in no cassette: that is what is wrong with it.
    async fn by_chance(&self, unexpected: String) -> Result<Verdict> {
        let asked = self.player.asked();
        self.play_by(Chance::OTHER_RANDOMNESS[0], None, Position::Start).await?;
        let differs = requests_differ(&asked, &self.player.asked());
        let why = differs.map_or_else(String::new, |other| {
            format!("\nand it is another one each time: randomness, or the order of a map, is in it\n{other}")
        });
        Ok(Verdict::Fault(unexpected + &why))
    }

    /// An exchange that nobody asked for.
    fn unasked(&self) -> Fault {
        let asked = self.player.asked();
        let used = |at: usize| asked.iter().any(|asked| asked.answered_by == Some(at));
        let mut exchanges = self.cassette.exchanges.iter().enumerate();
        let (at, left) = exchanges.find(|(at, exchange)| !exchange.resumed && !used(*at))?;
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
                outputs_differ(expected, &found)
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
        let what = |number: usize| match self.cassette.call {
            Called::Stream(_) => format!("record {number}"),
            _ => "the output".to_owned(),
        };
        let schema = Schema::new(schema.to_string());
        let fault =
            (1..).zip(&texts).find_map(|(number, text)| declared::misfit(&schema, text, &what(number)))?;
        Some(format!(
            "{fault}\nmake it what the schema says; where the vendor is right, correct the schema's file, which connector.toml names"
        ))
    }

    /// Names that the manifest calls sensitive for this call.
    fn sensitive(&self) -> Vec<String> {
        let manifest = &self.sandbox.component.manifest;
        let found = match &self.cassette.call {
            // What belongs to no operation has no names of its own: all are meant.
            Called::Check
            | Called::Discover
            | Called::Delivery(_)
            | Called::Batch(_)
            | Called::Complete { .. } => {
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

    /// The same input gives the same bytes, page by page, and the same requests, whatever is random and whatever the time is. Who
    /// asks for other things at another time reads up to now: of that a cassette says nothing.
    async fn again(&self) -> Result<Verdict> {
        let (first, ended) = self.play(None, Position::Start).await?;
        let meant = |ended: &[Ended]| ended.iter().map(|ended| ended.meant.clone()).collect::<Vec<_>>();
        let (asked, in_order) = (self.player.asked(), meant(&ended));
        let what = "randomness, or the order of a map, is in";
        for other in Chance::OTHER_RANDOMNESS {
            let (second, ended) = self.play_by(other, None, Position::Start).await?;
            if let Some(other) = requests_differ(&asked, &self.player.asked()) {
                return Ok(Verdict::Fault(format!(
                    "the same call asks for other things the second time: {what} a request; a repeated request has to be the same, \
                     or its vendor takes it for another one\n{other}"
                )));
            }
            if in_order != meant(&ended) {
                return Ok(Verdict::Fault(format!(
                    "the same call asks for the same in another order the second time: {what} it; what is to have an effect is \
                     known by its place in the call"
                )));
            }
            if first != second {
                return Ok(Verdict::Fault(format!(
                    "the same call gives other bytes the second time: {what} it; a `BTreeMap` has an order, and an id is the vendor's"
                )));
            }
        }
        let (later, _) = self.play_by(Chance::LATER, None, Position::Start).await?;
        if requests_differ(&asked, &self.player.asked()).is_some() {
            return Ok(Verdict::Holds);
        }
        if first.given() != later.given() {
            return Ok(Verdict::Fault(
                "the same call gives other bytes at another time: the clock is in it; take the time from what the vendor says"
                    .to_owned(),
            ));
        }
        if first != later {
            return Ok(Verdict::Fault(CLOCK.to_owned()));
        }
        Ok(Verdict::Holds)
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
        Ok(Output::Unit | Output::Streams(_)) => Came::Success,
        Ok(Output::Done(output)) => Came::Output(output.clone()),
        Ok(Output::Pending { .. }) => Came::Error("unsupported".to_owned(), PENDING.to_owned()),
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
    /// What a caller is given: where a later read begins is not.
    fn given(&self) -> Self {
        match self {
            Self::Pages(pages) => {
                let records =
                    |page: &Page| Page { records: page.records.clone(), next: None, checkpoint: None };
                Self::Pages(pages.iter().map(records).collect())
            }
            other => other.clone(),
        }
    }

    fn kind(&self) -> &str {
        match self {
            Self::Error(kind, _) => kind,
            _ => SUCCEEDS,
        }
    }

    fn pages(&self) -> impl Iterator<Item = &Page> {
        match self {
            Self::Pages(pages) => pages.iter(),
            _ => [].iter(),
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
