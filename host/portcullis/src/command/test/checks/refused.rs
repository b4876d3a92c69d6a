//! A vendor that refuses one request of a call: each in turn, those before it are answered as the cassette says.
use super::{Came, Fault, Stage, Verdict};
use crate::{
    cassette::{Expected, SUCCEEDS, player::Asked, refusal::Refusal},
    command::test::mistakes,
    exit::Result,
};
use portcullis_runtime::{ErrorKind, call::Position};
use std::{collections::BTreeMap, sync::Arc};

/// Of a line, whatever the vendor said of it.
const INVALID: &str = "invalid-input";
/// Exchanges of one cassette that are refused in turn: of more, the first and the last.
const REFUSED_MAX: usize = 32;

/// A call by which an exchange is asked for.
#[derive(Clone, Debug)]
pub(super) struct Begin {
    from: Position,
    /// What it asks for where nothing is refused.
    usual: Arc<Vec<Asked>>,
}

impl Stage<'_> {
    /// Where the calls begin by which each exchange is asked for: those of a resumed read at a checkpoint, where one leads to them.
    pub(super) async fn begins(&self) -> Result<BTreeMap<usize, Begin>> {
        let (came, _) = self.play(None, Position::Start).await?;
        let whole = Begin { from: Position::Start, usual: Arc::new(self.player.asked()) };
        let of_the_whole =
            self.cassette.exchanges.iter().enumerate().filter(|(_, exchange)| !exchange.resumed);
        let mut begins: BTreeMap<usize, Begin> = of_the_whole.map(|(at, _)| (at, whole.clone())).collect();
        if begins.len() == self.cassette.exchanges.len() {
            return Ok(begins);
        }
        for checkpoint in came.pages().filter_map(|page| page.checkpoint.clone()) {
            let from = Position::Checkpoint(checkpoint);
            self.play(None, from.clone()).await?;
            let begin = Begin { from, usual: Arc::new(self.player.asked()) };
            for at in begin.usual.iter().filter_map(|asked| asked.answered_by) {
                begins.entry(at).or_insert_with(|| begin.clone());
            }
        }
        Ok(begins)
    }

    /// Exchanges that this refusal would be another answer of, among these.
    pub(super) fn refusable(&self, refusal: Refusal, begins: &BTreeMap<usize, Begin>) -> Vec<usize> {
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
        begins: &BTreeMap<usize, Begin>,
        refusal: Refusal,
        usual: ErrorKind,
    ) -> Result<Verdict> {
        let mut faults = Vec::new();
        for at in places {
            let Some(begin) = begins.get(at) else { continue };
            if let Some(fault) = self.refused_at(*at, begin, refusal, usual).await? {
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
        begin: &Begin,
        refusal: Refusal,
        usual: ErrorKind,
    ) -> Result<Fault> {
        let said = self.cassette.says_of(at, refusal);
        let kind = said.unwrap_or(usual.as_str());
        let (came, ended) = self.play(Some((at, refusal)), begin.from.clone()).await?;
        let asked = self.player.asked();
        if let Some(fault) =
            mistakes::denied(&ended).or_else(|| mistakes::logged(self.cassette, &self.sensitive(), &ended))
        {
            return Ok(Some(fault));
        }
        // Who says what comes of such an answer may ask for something else: tidy up, for one.
        if said.is_none()
            && let Some(beside) = mistakes::asked_beside(refusal, &asked)
        {
            let help = self.help(at, refusal, came.kind());
            let lets =
                if help.is_empty() { "" } else { ", which lets the call ask for something else after it" };
            return Ok(Some(beside + &help + lets));
        }
        // And for the same again, where the answer is about what was asked: a poll for what is not there yet.
        if !(said.is_some() && refusal.is_of_what_was_asked())
            && let Some(repeated) = mistakes::repeated(self.cassette, refusal, &ended, &asked)
            && !self.is_at_once(at, begin, refusal).await?
        {
            let help = if refusal.is_of_what_was_asked() {
                self.help(at, refusal, came.kind())
            } else {
                String::new()
            };
            return Ok(Some(repeated + &help));
        }
        if let Came::Rejected(found) = &came
            && let Some(verdict) = self.rejected(at, refusal, kind, found)
        {
            return Ok(verdict);
        }
        let what = refusal.words();
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

    /// What is said of the lines that a destination rejects then; none = they say nothing of it.
    fn rejected(
        &self,
        at: usize,
        refusal: Refusal,
        kind: &str,
        found: &BTreeMap<u32, String>,
    ) -> Option<Fault> {
        let (what, new) = (refusal.words(), self.newly_rejected(found));
        match new.first() {
            Some((line, found)) if !refusal.is_of_what_was_asked() => Some(Some(format!(
                "{what} is no fault of a line: line {line} was rejected with `{found}`, and is not sent again; return the error \
                 instead, which ends the batch with `{kind}`"
            ))),
            // A destination may refuse the lines that the vendor refused, and write the others.
            Some(_) if new.iter().all(|(_, found)| *found == kind || *found == INVALID) => {
                Some(self.rejected_beside(&new).map(|(line, meant)| {
                    format!(
                        "the vendor refused line {meant} with {what}, and line {line} was rejected, which that request does not have: a \
                         line that was not sent, or was written, is none of those that come back"
                    )
                }))
            }
            Some((line, found)) => {
                let help = self.help(at, refusal, found);
                Some(Some(format!(
                    "{what} has to be `{kind}`, and line {line} was rejected with `{found}`{help}"
                )))
            }
            // The vendor refuses the line that it refuses in the cassette, in other words.
            None => {
                let is_in_other_words = refusal.is_of_what_was_asked()
                    && self.cassette.exchanges[at].status >= 400
                    && found.values().any(|found| found == kind);
                is_in_other_words.then_some(None)
            }
        }
    }

    /// Whether what is asked for twice, where nothing is refused, too, is under way at once: then none of it follows the refusal.
    async fn is_at_once(&self, at: usize, begin: &Begin, refusal: Refusal) -> Result<bool> {
        let same = |one: &Asked, other: &Asked| {
            (&one.method, &one.url, &one.body) == (&other.method, &other.url, &other.body)
        };
        let is_twice = |one: &Asked| begin.usual.iter().filter(|other| same(one, other)).count() > 1;
        if !begin.usual.iter().any(|asked| asked.answered_by == Some(at) && is_twice(asked)) {
            return Ok(false);
        }
        self.player.hold(true);
        let played = self.play(Some((at, refusal)), begin.from.clone()).await;
        self.player.hold(false);
        let (_, ended) = played?;
        Ok(self.player.held_at_once() >= mistakes::first_attempts(refusal, &ended).count())
    }

    /// What the cassette says where that is right; of a call that broke off, nothing.
    fn help(&self, at: usize, refusal: Refusal, found: &str) -> String {
        let is_kind = crate::cassette::refusal::is_kind(found);
        // What says that the connector is at fault is right for no answer of a vendor.
        if !is_kind || [ErrorKind::Unsupported, ErrorKind::Internal].iter().any(|kind| kind.as_str() == found)
        {
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
