//! A read that begins where an earlier one said that a later one may.
use super::{Came, Fault, Stage, Verdict, values};
use crate::{
    cassette::{Called, player::Asked},
    command::test::{
        compared::{differ, requests_differ},
        mistakes,
        sandbox::Chance,
    },
    exit::Result,
};
use portcullis_runtime::call::Position;
use serde_json::Value;
use std::collections::BTreeSet;

impl Stage<'_> {
    /// From each checkpoint the rest of the records comes, without a gap and without a repeat.
    pub(super) async fn resumed(&self) -> Result<Verdict> {
        let (Came::Pages(pages), _) = self.play(None, Position::Start).await? else {
            return Ok(Verdict::Holds);
        };
        let (all, asks) = (values(&pages), !self.player.asked().is_empty());
        let says = self.cassette.exchanges.iter().any(|exchange| exchange.resumed);
        let (mut tried, mut left, mut used) = (0, None, BTreeSet::new());
        for (number, page) in pages.iter().enumerate() {
            let Some(checkpoint) = &page.checkpoint else { continue };
            let is_last = number + 1 == pages.len();
            let rest = values(&pages[number + 1..]);
            let (came, ended) = self.play(None, Position::Checkpoint(checkpoint.clone())).await?;
            let asked = self.player.asked();
            used.extend(asked.iter().filter_map(|asked| asked.answered_by));
            // Beyond the last page a vendor may have more: the cassette says so, or has nothing for it.
            let in_vain = asked.iter().find(|asked| asked.answered_by.is_none());
            if let Some(asked) = in_vain.filter(|_| is_last && !says) {
                left = Some(format!("{} {}", asked.method, asked.url));
                continue;
            }
            tried += 1;
            if is_last && let Some(fault) = self.tells_the_time(&came, &asked, checkpoint).await? {
                return Ok(Verdict::Fault(fault));
            }
            let in_itself = mistakes::denied(&ended)
                .or_else(|| self.unexpected())
                .or_else(|| self.schema(&came))
                .or_else(|| mistakes::logged(self.cassette, &self.sensitive(), &ended));
            let fault = in_itself.or_else(|| match &came {
                Came::Pages(_) if is_last && asks && asked.is_empty() => {
                    Some("it asks for nothing: whatever is new then, it never reads".to_owned())
                }
                // What a vendor has by then, nobody knows but the cassette, which has no records of it.
                Came::Pages(resumed) if is_last => self.repeats(&all, &values(resumed)),
                Came::Pages(resumed) => {
                    let before = values(&pages[..=number]);
                    self.continues(&before, &rest, &values(resumed))
                }
                Came::Error(kind, message) => Some(format!("`{kind}`: {message}")),
                _ => None,
            });
            if let Some(fault) = fault {
                let place = number + 1;
                return Ok(Verdict::Fault(format!("resumed from the checkpoint of page {place}: {fault}")));
            }
        }
        let mut exchanges = self.cassette.exchanges.iter().enumerate();
        if let Some((at, unused)) = exchanges.find(|(at, exchange)| exchange.resumed && !used.contains(at)) {
            let (number, method, url) = (at + 1, &unused.method, &unused.url);
            return Ok(Verdict::Fault(format!(
                "exchange {number} of the cassette is that of a resumed read, and none asked for it: {method} {url}"
            )));
        }
        Ok(match (tried, left) {
            (0, Some(asked)) => Verdict::Skipped(format!(
                "the cassette does not say what the vendor answers to a read that begins at the last checkpoint; where it is \
                 right to ask for that, add\n\
                 [[exchange]]\nresumed = true\nrequest = \"{asked}\"\nstatus = 200\nbody = '…'"
            )),
            (0, None) => {
                Verdict::Skipped("no page has a checkpoint: each read begins at the start".to_owned())
            }
            _ => Verdict::Holds,
        })
    }

    /// What is left, and before it at most those records again that stand at the checkpoint: where the vendor is asked for what is
    /// equal, too, all with the last one's value of the cursor field; without such a field the last one.
    fn continues(&self, before: &[Value], rest: &[Value], resumed: &[Value]) -> Fault {
        let differs = differ("record", rest, resumed)?;
        let Some(again) = resumed.len().checked_sub(rest.len()).filter(|again| *again <= before.len()) else {
            return Some(differs);
        };
        let at_checkpoint = &before[before.len() - again..];
        let comes_again = resumed.starts_with(at_checkpoint) && resumed.ends_with(rest);
        if self.cassette.lookback && comes_again {
            return None;
        }
        let field = match &self.cassette.call {
            Called::Stream(name) => {
                self.sandbox.component.manifest.streams.get(name).and_then(|it| it.cursor_field.as_deref())
            }
            _ => None,
        };
        let is_equal = match field {
            Some(field) => at_checkpoint
                .iter()
                .all(|record| record.get(field) == before.last().and_then(|last| last.get(field))),
            None => again <= 1,
        };
        let help = match comes_again {
            true => {
                "\nwhere the vendor is asked for more than is new, since it can't be asked for less: `lookback = true` in the cassette"
            }
            false => "",
        };
        (!(is_equal && comes_again)).then(|| differs + help)
    }

    /// The same read at another time: what it asks for is the same, and where a later one begins is not.
    async fn tells_the_time(&self, came: &Came, asked: &[Asked], from: &str) -> Result<Fault> {
        let from = Position::Checkpoint(from.to_owned());
        let (later, _) = self.play_by(Chance::LATER, None, from.clone()).await?;
        let differs = requests_differ(asked, &self.player.asked()).is_none() && later != *came;
        // What it was asked for is looked at after this.
        self.play(None, from).await?;
        Ok(differs.then(|| super::CLOCK.to_owned()))
    }

    /// All records again, from the answers of the whole read: the checkpoint changed nothing. The last one may well come again, where
    /// a vendor is asked for what is equal, too.
    fn repeats(&self, all: &[Value], resumed: &[Value]) -> Option<String> {
        let answered = self.player.asked();
        let by_the_whole =
            |at: usize| self.cassette.exchanges.get(at).is_some_and(|exchange| !exchange.resumed);
        let is_whole = answered.iter().filter_map(|asked| asked.answered_by).all(by_the_whole);
        (is_whole && all.len() > 1 && all == resumed).then(|| {
            "it gives all that was read already: begin where the checkpoint says, or give none".to_owned()
        })
    }
}
