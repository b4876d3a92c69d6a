//! A vendor that refuses one request of a call: each in turn, those before it are answered as the cassette says.
use super::{Came, Fault, Stage, Verdict};
use crate::{
    cassette::{Expected, SUCCEEDS, refusal::Refusal},
    command::test::mistakes,
    exit::Result,
};
use portcullis_runtime::{ErrorKind, call::Position};
use std::collections::BTreeMap;

/// Exchanges of one cassette that are refused in turn: of more, the first and the last.
const REFUSED_MAX: usize = 32;

impl Stage<'_> {
    /// Where the calls begin by which each exchange is asked for: those of a resumed read at a checkpoint, where one leads to them.
    pub(super) async fn begins(&self) -> Result<BTreeMap<usize, Position>> {
        let exchanges = || self.cassette.exchanges.iter().enumerate();
        let of_the_whole = exchanges().filter(|(_, exchange)| !exchange.resumed);
        let mut begins: BTreeMap<usize, Position> =
            of_the_whole.map(|(at, _)| (at, Position::Start)).collect();
        if begins.len() == self.cassette.exchanges.len() {
            return Ok(begins);
        }
        let (came, _) = self.play(None, Position::Start).await?;
        for checkpoint in came.pages().filter_map(|page| page.checkpoint.clone()) {
            let from = Position::Checkpoint(checkpoint);
            self.play(None, from.clone()).await?;
            for at in self.player.asked().iter().filter_map(|asked| asked.answered_by) {
                begins.entry(at).or_insert_with(|| from.clone());
            }
        }
        Ok(begins)
    }

    /// Exchanges that this refusal would be another answer of, among these.
    pub(super) fn refusable(&self, refusal: Refusal, begins: &BTreeMap<usize, Position>) -> Vec<usize> {
        let mut all: Vec<usize> = begins.keys().copied().collect();
        if let Some(last) = all.last().copied().filter(|_| all.len() > REFUSED_MAX) {
            all.truncate(REFUSED_MAX - 1);
            all.push(last);
        }
        // What comes of it, the cassette itself says.
        all.retain(|at| Refusal::Status(self.cassette.exchanges[*at].status) != refusal);
        all
    }

    /// A vendor that refuses becomes the right kind of error, and is not asked again by hand.
    pub(super) async fn refused(
        &self,
        places: &[usize],
        begins: &BTreeMap<usize, Position>,
        refusal: Refusal,
        usual: ErrorKind,
    ) -> Result<Verdict> {
        let mut faults = Vec::new();
        for at in places {
            let from = begins.get(at).cloned().unwrap_or(Position::Start);
            if let Some(fault) = self.refused_at(*at, from, refusal, usual).await? {
                faults.push((*at, fault));
            }
        }
        let Some((at, first)) = faults.first() else { return Ok(Verdict::Holds) };
        let place = |at: usize| match self.cassette.exchanges.len() {
            1 => String::new(),
            _ => {
                let exchange = &self.cassette.exchanges[at];
                format!("exchange {} ({} {}): ", at + 1, exchange.method, exchange.url)
            }
        };
        let others: Vec<_> = faults[1..].iter().map(|(at, _)| (at + 1).to_string()).collect();
        let others = match others.as_slice() {
            [] => String::new(),
            others => format!("\nsomething is wrong with the refusal of exchange {}, too", others.join(", ")),
        };
        Ok(Verdict::Fault(format!("{}{first}{others}", place(*at))))
    }

    async fn refused_at(
        &self,
        at: usize,
        from: Position,
        refusal: Refusal,
        usual: ErrorKind,
    ) -> Result<Fault> {
        let said = self.cassette.says_of(at, refusal);
        let kind = said.unwrap_or(usual.as_str());
        let (came, ended) = self.play(Some((at, refusal)), from).await?;
        // Who says what comes of such an answer may ask again: a poll for what is not there yet, for one.
        if !(said.is_some() && refusal.is_of_what_was_asked())
            && let Some(repeated) = mistakes::repeated(self.cassette, refusal, &ended, &self.player.asked())
        {
            let help = if refusal.is_of_what_was_asked() {
                self.help(at, refusal, came.kind())
            } else {
                String::new()
            };
            return Ok(Some(repeated + &help));
        }
        let what = refusal.words();
        if let Came::Rejected(found) = &came {
            let new = self.newly_rejected(found);
            match new.first() {
                Some((line, found)) if !refusal.is_of_what_was_asked() => {
                    return Ok(Some(format!(
                        "{what} is no fault of a line: line {line} was rejected with `{found}`, and is not sent again; return the error \
                         instead, which ends the batch with `{kind}`"
                    )));
                }
                // A destination may refuse the lines that the vendor refused, and write the others.
                Some(_) if new.iter().all(|(_, found)| *found == kind) => return Ok(None),
                Some((line, found)) => {
                    let help = self.help(at, refusal, found);
                    return Ok(Some(format!(
                        "{what} has to be `{kind}`, and line {line} was rejected with `{found}`{help}"
                    )));
                }
                // The vendor refuses the line that it refuses in the cassette, in other words.
                None if refusal.is_of_what_was_asked()
                    && self.cassette.exchanges[at].status >= 400
                    && found.values().any(|found| found == kind) =>
                {
                    return Ok(None);
                }
                None => {}
            }
        }
        Ok(match &came {
            Came::Error(found, _) if found == kind => None,
            Came::Error(found, message) => {
                let help = self.help(at, refusal, found);
                Some(format!("{what} has to be `{kind}`, it is `{found}`: {message}{help}"))
            }
            _ if kind == SUCCEEDS => None,
            _ => Some(format!(
                "{what} has to be `{kind}`, and it succeeded{}",
                self.help(at, refusal, SUCCEEDS)
            )),
        })
    }

    /// What the cassette says where that is right; of a call that broke off, nothing.
    fn help(&self, at: usize, refusal: Refusal, found: &str) -> String {
        let is_kind = crate::cassette::refusal::is_kind(found);
        if !is_kind {
            return String::new();
        }
        let line = format!("statuses = {{ {} = \"{found}\" }}", refusal.key());
        let place = match self.cassette.exchanges.len() {
            1 => "in its `[[exchange]]`".to_owned(),
            _ => format!("in `[[exchange]]` {} of the cassette", at + 1),
        };
        format!("\nwhere that is right: `{line}` {place}")
    }

    /// Lines that are written where the vendor answers as the cassette says, with the kind of each one's error.
    fn newly_rejected<'l>(&self, found: &'l BTreeMap<u32, String>) -> Vec<(u32, &'l str)> {
        let before = match &self.cassette.expected {
            Expected::Rejected(lines) => Some(lines),
            _ => None,
        };
        let is_new = |line: &u32| before.is_none_or(|before| !before.contains_key(line));
        let new = found.iter().filter(|(line, _)| is_new(line));
        new.map(|(line, kind)| (*line, kind.as_str())).collect()
    }
}
