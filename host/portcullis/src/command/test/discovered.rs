//! What `discover` finds beside what the manifest says of the same streams: callers read the manifest, and `read` what the code says.
use super::{
    mistakes,
    report::Check,
    sandbox::{Chance, Ended, Sandbox},
};
use crate::{
    cassette::{Called, Cassette, Recorded, SUCCEEDS, player::Player, refusal::Refusal},
    exit::Result,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_engine::ANY_NAME;
use portcullis_manifest::{
    Stream,
    diagnose::{nearest, shown},
};
use portcullis_runtime::{CallError, ErrorKind, Operation, Output, call::StreamDescriptor};
use serde_json::Value;
use std::collections::BTreeSet;

/// Compares them, over a vendor that answers as the cassettes of the first stream's config say, and has it refused.
pub async fn compared(
    sandbox: &Sandbox,
    cassettes: &[&Cassette],
    used: &mut BTreeSet<String>,
) -> Result<Check> {
    let began = RealClock.monotonic();
    let skipped = |why: String| Some(format!("{why}: what it finds is not compared with connector.toml"));
    let (fault, skipped) = match Vendor::new(sandbox, cassettes).await? {
        None => {
            let why = "no cassette reads a stream, whose config `discover` would be given";
            (None, skipped(why.to_owned()))
        }
        Some(vendor) => match vendor.found(used).await? {
            Found::Streams(found) => match differs(sandbox, &found) {
                None => (vendor.refused().await?, None),
                differs => (differs, None),
            },
            Found::Failed(words) => (Some(format!("`discover` fails: {words}")), None),
            Found::Unknown(why) => (None, skipped(why)),
        },
    };
    let took = RealClock.monotonic().saturating_sub(began);
    Ok(Check { skipped, ..Check::new("discover", None, fault, took) })
}

/// What `discover` came to.
enum Found {
    Streams(Vec<StreamDescriptor>),
    Failed(String),
    /// Its vendor was asked for what no cassette knows.
    Unknown(String),
}

/// Whom `discover` asks.
struct Vendor<'s> {
    sandbox: &'s Sandbox,
    /// All that is known of it.
    cassette: Cassette,
    player: Player,
}

impl<'s> Vendor<'s> {
    async fn new(sandbox: &'s Sandbox, cassettes: &[&Cassette]) -> Result<Option<Self>> {
        // One of its own is all that it is given, and is played by itself beside this.
        if let Some(own) = cassettes.iter().find(|cassette| cassette.call == Called::Discover) {
            let player = Player::start(&own.hosts()?).await?;
            return Ok(Some(Self { sandbox, cassette: (*own).clone(), player }));
        }
        let of_a_stream = cassettes.iter().find(|cassette| matches!(cassette.call, Called::Stream(_)));
        let Some(first) = of_a_stream else { return Ok(None) };
        let of_its_config =
            cassettes.iter().filter(|other| other.config == first.config && other.origins == first.origins);
        let exchanges = of_its_config.flat_map(|cassette| cassette.exchanges.clone()).collect();
        // Like `check`, it has no rules of its own.
        let cassette = Cassette { call: Called::Check, exchanges, ..(*first).clone() };
        let player = Player::start(&cassette.hosts()?).await?;
        Ok(Some(Self { sandbox, cassette, player }))
    }

    async fn discover(&self, refused: Option<(usize, Refusal)>) -> Result<Ended> {
        self.player.play(&self.cassette.exchanges, refused, true);
        let connected = self.sandbox.connect(&self.cassette, &self.player, Chance::USUAL)?;
        Ok(connected.call(Operation::Discover { config: connected.config() }, 0).await)
    }

    async fn found(&self, used: &mut BTreeSet<String>) -> Result<Found> {
        let ended = self.discover(None).await?;
        used.extend(ended.exchanges.iter().map(|row| row.manifest_place.clone()));
        let asked = self.player.asked();
        let unknown = asked.iter().find(|asked| asked.answered_by.is_none());
        if let Some(denied) = mistakes::denied(std::slice::from_ref(&ended)) {
            return Ok(Found::Failed(denied));
        }
        Ok(match (&ended.result, unknown) {
            (Ok(Output::Streams(found)), _) => Found::Streams(found.clone()),
            (_, Some(asked)) => Found::Unknown(format!(
                "`discover` asks for `{} {}`, which no cassette has; one of its own has `discover = true`, and\n[[exchange]]\nrequest = \"{0} {1}\"\nstatus = 200\nbody = '…'\nuntil then",
                asked.method,
                shown(&asked.url)
            )),
            (Ok(_), None) => Found::Failed("the answer is of another function".to_owned()),
            (Err(CallError::Connector(error)), None) => {
                let words = mistakes::shortened(&error.message);
                Found::Failed(format!("`{}`: {words}", error.kind.as_str()))
            }
            (Err(error), None) => Found::Failed(mistakes::ended(error)),
        })
    }

    /// Each request of it is refused in turn: that has to become the usual kind of error, and is not asked again by hand.
    async fn refused(&self) -> Result<Option<String>> {
        if self.cassette.call == Called::Discover {
            return Ok(None);
        }
        let asked = self.player.asked();
        let answered: BTreeSet<usize> = asked.iter().filter_map(|asked| asked.answered_by).collect();
        for at in answered {
            for (refusal, usual) in Refusal::USUAL {
                let exchange = &self.cassette.exchanges[at];
                if refusal == Refusal::Status(exchange.status) {
                    continue;
                }
                let ended = self.discover(Some((at, refusal))).await?;
                let fault = self.refused_as(refusal, usual, &ended);
                if let Some(fault) = fault {
                    let place = format!("{} {}", exchange.method, shown(&exchange.url));
                    return Ok(Some(format!(
                        "`discover` at {place}: {fault}{}",
                        own(refusal, &ended, exchange)
                    )));
                }
            }
        }
        Ok(None)
    }

    fn refused_as(&self, refusal: Refusal, usual: ErrorKind, ended: &Ended) -> Option<String> {
        let asked = self.player.asked();
        let repeated = || mistakes::repeated(&self.cassette, refusal, std::slice::from_ref(ended), &asked);
        if let Some(fault) = mistakes::asked_beside(refusal, &asked).or_else(repeated) {
            return Some(fault);
        }
        let (what, kind) = (refusal.words(), usual.as_str());
        match &ended.result {
            Err(CallError::Connector(error)) if error.kind == usual => None,
            Err(CallError::Connector(error)) => {
                let (found, words) = (error.kind.as_str(), mistakes::shortened(&error.message));
                Some(format!("{what} has to be `{kind}`, it is `{found}`: {words}"))
            }
            Err(error) => Some(format!("{what} has to be `{kind}`, and {}", mistakes::ended(error))),
            // What is not there may well be left out of the list.
            Ok(_) if refusal.is_of_what_was_asked() => None,
            Ok(_) => Some(format!("{what} has to be `{kind}`, and it succeeded")),
        }
    }
}

/// Where that is right, a cassette says so.
fn own(refusal: Refusal, ended: &Ended, exchange: &Recorded) -> String {
    let found = match &ended.result {
        Ok(_) => SUCCEEDS,
        Err(CallError::Connector(error)) => error.kind.as_str(),
        Err(_) => return String::new(),
    };
    format!(
        "\nwhere that is right: a cassette with `discover = true` says so, by `statuses = {{ {} = \"{found}\" }}` in its `[[exchange]]` of \
         {} {}",
        refusal.key(),
        exchange.method,
        shown(&exchange.url)
    )
}

fn differs(sandbox: &Sandbox, found: &[StreamDescriptor]) -> Option<String> {
    let declared = &sandbox.component.manifest.streams;
    let any = declared.contains_key(ANY_NAME);
    for (at, stream) in found.iter().enumerate() {
        let name = shown(&stream.name);
        if found[..at].iter().any(|before| before.name == stream.name) {
            return Some(format!("`discover` finds the stream `{name}` twice"));
        }
        match declared.get(&stream.name) {
            Some(said) => {
                if let Some(fault) = other(&name, said, stream) {
                    return Some(fault);
                }
            }
            None if any => {}
            None => {
                let near = nearest(&stream.name, declared.keys().map(String::as_str));
                let help = near.map_or_else(
                    || format!("add `[streams.{name}]` to connector.toml, or leave it out of `discover`"),
                    |near| format!("did you mean `{near}`?"),
                );
                return Some(format!(
                    "`discover` finds the stream `{name}`, which connector.toml does not have\n{help}"
                ));
            }
        }
    }
    let missing =
        declared.keys().find(|name| *name != ANY_NAME && !found.iter().any(|it| it.name == **name))?;
    Some(format!(
        "connector.toml has the stream `{missing}`, which `discover` does not find\nadd it to `discover`, or remove \
         `[streams.{missing}]`"
    ))
}

fn other(name: &str, said: &Stream, found: &StreamDescriptor) -> Option<String> {
    let differs = |what: &str, said: &str, found: &str| {
        Some(format!(
            "the stream `{name}` has another {what} in `discover`\n  connector.toml  {}\n  discover        {}",
            shown(said),
            shown(found)
        ))
    };
    if said.primary_key != found.primary_key {
        return differs("primary key", &said.primary_key.join(", "), &found.primary_key.join(", "));
    }
    if said.cursor_field != found.cursor_field {
        let word = |field: &Option<String>| field.clone().unwrap_or_else(|| "none".to_owned());
        return differs("cursor field", &word(&said.cursor_field), &word(&found.cursor_field));
    }
    let schema: Option<Value> = serde_json::from_str(&found.schema).ok();
    if schema.as_ref() != Some(&said.schema) {
        return Some(format!(
            "the stream `{name}` has another schema in `discover` than the one that connector.toml names\n\
             `include_str!` of the same file makes them one"
        ));
    }
    None
}
