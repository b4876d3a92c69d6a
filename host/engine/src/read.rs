//! A read as a state machine: page after page, until there is no next one. Pure. Finds loops, falls back from an
//! expired position, and says when to wait and when to stop.

use crate::{
    Failure, Page, Position,
    limits::{FALLBACKS_MAX, POLL_WAIT_MIN, POSITIONS_MAX, WAIT_MAX},
    retry::{self, Verdict},
    run::{Doubt, Ending},
};
use portcullis_clock::Random;
use sha2::{Digest, Sha256};
use std::{collections::HashSet, time::Duration};

#[derive(Debug)]
pub(crate) enum Event<'a> {
    Page(&'a Page),
    /// The page is durable where it went; it is about to be committed.
    Delivered,
    Failed(Failure, Doubt),
    /// The checkpoint is not known any more, and the stream is read from the start.
    Expired,
    Waited,
    Cancelled,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Call(Call),
    /// Write the page out.
    Deliver,
    Wait(Duration),
    End(Ending),
}

/// One attempt at one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) position: Position,
    /// The durable place of the call in the step.
    pub(crate) ordinal: u64,
    pub(crate) attempt: u32,
}

pub(crate) struct ReadMachine {
    call: Call,
    /// Where the last page said that a later read may begin.
    checkpoint: Option<String>,
    /// The page that is being delivered: its `next`, and the pause before it.
    delivering: Option<(Option<String>, Option<Duration>)>,
    seen: HashSet<[u8; 16]>,
    fallbacks: u32,
}

impl ReadMachine {
    /// Begins at the reader's position, or at the start.
    pub(crate) fn begin(next: Option<String>, checkpoint: Option<String>) -> (Self, Call) {
        let mut seen = HashSet::new();
        let position = match (next, &checkpoint) {
            (Some(next), _) => {
                seen.insert(hash(&next));
                Position::Next(next)
            }
            (None, Some(checkpoint)) => Position::Checkpoint(checkpoint.clone()),
            (None, None) => Position::Start,
        };
        let call = Call { position, ordinal: 0, attempt: 1 };
        (Self { call: call.clone(), checkpoint, delivering: None, seen, fallbacks: 0 }, call)
    }

    pub(crate) fn on(&mut self, event: Event<'_>, random: &dyn Random) -> Step {
        match event {
            Event::Page(page) => self.page(page),
            Event::Delivered => self.delivered(),
            Event::Failed(failure, doubt) => self.failed(failure, doubt, random),
            Event::Expired => self.begin_again(),
            Event::Waited => Step::Call(self.call.clone()),
            Event::Cancelled => Step::End(Ending::failed(Failure::cancelled())),
        }
    }

    fn page(&mut self, page: &Page) -> Step {
        let pause = page.again_after_ms.map(Duration::from_millis);
        // A report that is not ready yet comes back to the same place: that is waiting, not a loop.
        let polls = pause.is_some() && page.count == 0;
        if let Some(next) = &page.next {
            let fresh = self.seen.insert(hash(next));
            if !fresh && !polls {
                let message = "the connector gave a position that this read has seen before";
                return Step::End(Ending::failed(Failure::new("loop", message)));
            }
            if self.seen.len() > POSITIONS_MAX {
                let message = format!("the read has more than {POSITIONS_MAX} pages");
                return Step::End(Ending::failed(Failure::new("limit", message)));
            }
        }
        if page.checkpoint.is_some() {
            self.checkpoint.clone_from(&page.checkpoint);
        }
        let pause = if polls { pause.map(|pause| pause.max(POLL_WAIT_MIN)) } else { pause };
        self.delivering = Some((page.next.clone(), pause));
        Step::Deliver
    }

    fn delivered(&mut self) -> Step {
        let Some((next, pause)) = self.delivering.take() else {
            return Step::End(Ending::failed(Failure::new("host", "a page came from nowhere")));
        };
        let Some(next) = next else {
            return Step::End(Ending::well());
        };
        self.call = Call { position: Position::Next(next), ordinal: self.call.ordinal + 1, attempt: 1 };
        match pause {
            Some(pause) if pause > WAIT_MAX => {
                let message = "the connector asked to go on later";
                let failure = Failure::new("rate-limited", message);
                Step::End(Ending::later(failure, pause))
            }
            Some(pause) if !pause.is_zero() => Step::Wait(pause),
            _ => Step::Call(self.call.clone()),
        }
    }

    fn failed(&mut self, failure: Failure, doubt: Doubt, random: &dyn Random) -> Step {
        if failure.kind == "position-expired" {
            return match self.call.position {
                Position::Next(_) if self.fallbacks < FALLBACKS_MAX && !doubt.unproven => self.fall_back(),
                _ => Step::End(Ending::failed(failure)),
            };
        }
        match retry::verdict(&failure, self.call.attempt, doubt.harmless, random) {
            Verdict::Again(pause) => {
                self.call.attempt += 1;
                Step::Wait(pause)
            }
            Verdict::Later(pause) => Step::End(Ending::later(failure, pause)),
            Verdict::Over => Step::End(Ending::failed(failure)),
        }
    }

    /// At the start. What is read again from there is not a loop.
    fn begin_again(&mut self) -> Step {
        self.seen.clear();
        self.checkpoint = None;
        self.call = Call { position: Position::Start, ordinal: self.call.ordinal + 1, attempt: 1 };
        Step::Call(self.call.clone())
    }

    /// Back to where a later read would begin. What is read again from there is not a loop.
    fn fall_back(&mut self) -> Step {
        self.fallbacks += 1;
        self.seen.clear();
        let position = match &self.checkpoint {
            Some(checkpoint) => Position::Checkpoint(checkpoint.clone()),
            None => Position::Start,
        };
        self.call = Call { position, ordinal: self.call.ordinal + 1, attempt: 1 };
        Step::Call(self.call.clone())
    }
}

/// Half of a SHA-256: a million positions take 16 MB, and nobody finds two that agree by chance.
fn hash(position: &str) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(position.as_bytes())[..16]);
    half
}

#[cfg(test)]
mod tests;
