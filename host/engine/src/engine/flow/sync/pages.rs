//! Page after page of a sync: read, made ready, written, committed.

use super::{Stopped, Syncing, Went, page::Ready};
use crate::{
    Answer, Batch, EngineError, Failure, Mode, Operation,
    engine::{Engine, once::Called, write::batch_id},
    limits::{READ_TIME_MAX, REJECTED_MAX},
    read::{Call, Event, ReadMachine, Step},
    run::Doubt,
};
use portcullis_store::{AttemptEnd, NewMark, NewRejected, PageCommit, SyncPage};

/// What became of a page's records.
#[derive(Default)]
struct Wrote {
    /// Of its batches, in order.
    attempts: Vec<AttemptEnd>,
    written: u64,
    living: u64,
    rejected: Vec<NewRejected>,
}

impl Engine {
    /// Until there is no next page.
    pub(super) async fn pages_of_sync(&self, syncing: &mut Syncing) -> Went<()> {
        if syncing.row.is_read {
            return Ok(Ok(()));
        }
        let position = self.store.place(&syncing.key).await?.position;
        let (next, checkpoint) = position.map(|found| (found.next, found.checkpoint)).unwrap_or_default();
        let checkpoint = checkpoint.filter(|_| syncing.work.mode != Mode::Replace);
        let (mut machine, first) = ReadMachine::begin(next, checkpoint);
        // Pages of earlier turns have the numbers before.
        let base = syncing.row.pages;
        let mut call =
            match self.onward(syncing, &mut machine, Step::Call(first), base, (None, false)).await? {
                Ok(Some(call)) => call,
                Ok(None) => return Ok(Ok(())),
                Err(stopped) => return Ok(Err(stopped)),
            };
        loop {
            let (step, last, begun) = match self.one_page(syncing, &mut machine, &call, base).await? {
                Ok(committed) => committed,
                Err(stopped) => return Ok(Err(stopped)),
            };
            call = match self.onward(syncing, &mut machine, step, base, (last, begun)).await? {
                Ok(Some(call)) => call,
                Ok(None) => return Ok(Ok(())),
                Err(stopped) => return Ok(Err(stopped)),
            };
        }
    }

    /// One attempt at a page, whose beginning is stored; a page that came is committed. What follows, the attempt's end where it is not
    /// stored yet, and whether the beginning of the next one is.
    async fn one_page(
        &self,
        syncing: &mut Syncing,
        machine: &mut ReadMachine,
        call: &Call,
        base: u64,
    ) -> Went<(Step, Option<AttemptEnd>, bool)> {
        let stream = syncing.source.subject.clone();
        let (result, last) = self.page(&mut syncing.source, &stream, None, call).await;
        syncing.calls.push((syncing.source.step.clone(), call.ordinal.to_string()));
        let mut page = match result {
            Ok(page) => page,
            Err(failure) if self.restarts(syncing, call, &failure) => {
                self.store.reset_position(&syncing.key).await?;
                let expired = machine.on(Event::Expired, &*self.random);
                return Ok(Ok((expired, Some(last), false)));
            }
            // Begun anew within the run its records would be counted twice, and more might be removed than may.
            Err(failure) if syncing.work.mode == Mode::Replace && failure.kind == "position-expired" => {
                return Ok(Err(Stopped::new(failure, [last])));
            }
            Err(failure) => {
                let doubt = Doubt::new(self.effects(&syncing.source).await?, false);
                let step = machine.on(Event::Failed(failure, doubt), &*self.random);
                return Ok(Ok((step, Some(last), false)));
            }
        };
        if syncing.work.mode == Mode::Replace {
            // All of it is read, or it is not complete: an earlier place would leave some of it out.
            page.checkpoint = None;
        }
        match machine.on(Event::Page(&page), &*self.random) {
            Step::Deliver => {}
            Step::End(ending) => return Ok(Err(Stopped { ending, open: vec![last] })),
            Step::Call(_) | Step::Wait(_) => return Err(EngineError::Host("a page was not delivered")),
        }
        let ready = match self.made_ready(syncing, std::mem::take(&mut page.records)).await {
            Ok(ready) => ready,
            Err(failure) => return Ok(Err(Stopped::new(failure, [last]))),
        };
        let dropped = ready.dropped;
        let wrote = match self.written(syncing, ready).await? {
            Ok(wrote) => wrote,
            Err(mut stopped) => {
                stopped.open.push(last);
                return Ok(Err(stopped));
            }
        };
        if syncing.row.rejected.saturating_add(wrote.rejected.len() as u64) > REJECTED_MAX {
            let message = format!("more than {REJECTED_MAX} records of this run were refused");
            let failure = Failure::new("rejected-lines", message);
            return Ok(Err(Stopped::new(failure, wrote.attempts.into_iter().chain([last]))));
        }
        let step = machine.on(Event::Delivered, &*self.random);
        let mark = NewMark { next: page.next, checkpoint: page.checkpoint, file: None };
        let counts = (page.count, dropped);
        let begun = self.committed(syncing, counts, mark, (last, wrote), &step, base).await?;
        Ok(Ok((step, None, begun)))
    }

    /// The vendor does not know any more where an earlier read came to, and the operator said what then.
    fn restarts(&self, syncing: &Syncing, call: &Call, failure: &Failure) -> bool {
        failure.kind == "position-expired"
            && matches!(call.position, crate::Position::Checkpoint(_))
            && syncing.source.facts.restarts
    }

    /// Every batch of a page, one behind the other.
    async fn written(&self, syncing: &mut Syncing, ready: Ready) -> Went<Wrote> {
        let mut wrote = Wrote { rejected: ready.rejected, ..Wrote::default() };
        let mut before = 0_usize;
        for (ordinal, range) in (syncing.row.batches..).zip(ready.batches) {
            let records = ready.records.get(range).unwrap_or_default();
            let lines: Vec<&[u8]> = page_lines(records).collect();
            let target = &syncing.target.subject;
            let id = batch_id(&syncing.source.run_id, target, ordinal, records);
            let rejected = match self.write_batch(syncing, &id, records.to_vec()).await? {
                Ok((rejected, last)) => {
                    wrote.attempts.extend(last);
                    rejected
                }
                Err(mut stopped) => {
                    stopped.open.append(&mut wrote.attempts);
                    return Ok(Err(stopped));
                }
            };
            let refused: Vec<usize> = rejected.iter().map(|rejected| rejected.line as usize).collect();
            let has = |line: usize| refused.binary_search(&line).is_err();
            wrote.written += (0..lines.len()).filter(|line| has(*line)).count() as u64;
            let living = |line: &usize| has(*line) && !ready.deleted.contains(&(before + line));
            wrote.living += (0..lines.len()).filter(living).count() as u64;
            for rejected in rejected {
                let line = lines.get(rejected.line as usize).copied().unwrap_or_default();
                wrote.rejected.push(NewRejected {
                    by: "destination",
                    line: Some((id.clone(), u64::from(rejected.line) + 1)),
                    kind: rejected.error.kind,
                    message: rejected.error.message,
                    record: String::from_utf8_lossy(line).into_owned(),
                });
            }
            before += lines.len();
        }
        Ok(Ok(wrote))
    }

    /// One batch: what was refused of it, and the end of the attempt that wrote it.
    async fn write_batch(
        &self,
        syncing: &mut Syncing,
        id: &str,
        records: Vec<u8>,
    ) -> Went<(Vec<crate::Rejected>, Option<AttemptEnd>)> {
        let Some(stream) = syncing.described.told.clone() else {
            return Err(EngineError::Host("a stream was not described"));
        };
        let (mode, generation) = (syncing.work.mode, syncing.row.generation);
        let batch = Batch { id: id.to_owned(), stream, mode, generation, records };
        syncing.target.tried = self.tried_before(syncing, &syncing.target.step, id).await?;
        self.store.begin_attempt(self.new_attempt(&syncing.target, id, 1)).await?;
        syncing.calls.push((syncing.target.step.clone(), id.to_owned()));
        // The id is the key: what comes again is known by it.
        let called = self.attempts(&mut syncing.target, &Operation::Write(batch), id, true).await?;
        let Called { answer, ending, last } = called;
        syncing.target.tally.unproven_before |= syncing.target.tally.unproven;
        match answer {
            Ok(Answer::Rejected(rejected)) => Ok(Ok((rejected, last))),
            _ => Ok(Err(Stopped { ending, open: last.into_iter().collect() })),
        }
    }

    /// All that a page left, in one transaction: only now its position is behind it.
    async fn committed(
        &self,
        syncing: &mut Syncing,
        (records, dropped): (u64, u64),
        mark: NewMark,
        (attempt, wrote): (AttemptEnd, Wrote),
        step: &Step,
        base: u64,
    ) -> Result<bool, EngineError> {
        let next_attempt = match step {
            Step::Call(next) if !self.takes_too_long(syncing) => {
                let next = numbered(next.clone(), base);
                self.count_on(syncing, &next).await?;
                Some(self.new_attempt(&syncing.source, next.ordinal, next.attempt))
            }
            _ => None,
        };
        let (is_read, begun) = (mark.next.is_none(), next_attempt.is_some());
        let (batches, rejected) = (wrote.attempts.len() as u64, wrote.rejected.len() as u64);
        let sync = SyncPage {
            batches_before: syncing.row.batches,
            written_by: wrote.attempts,
            settled: syncing.calls.clone(),
            written: wrote.written,
            living: wrote.living,
            dropped,
            rejected: wrote.rejected,
        };
        let position = Some((syncing.key.clone(), mark));
        let commit = PageCommit { attempt, next_attempt, records, position, sync: Some(sync) };
        self.store.commit_page(commit).await?;
        syncing.settle();
        let (row, tally) = (&mut syncing.row, &mut syncing.source.tally);
        (row.rounds, row.is_read) = (0, is_read);
        row.pages += 1;
        row.batches += batches;
        row.records = row.records.saturating_add(records);
        row.written = row.written.saturating_add(wrote.written);
        row.living = row.living.saturating_add(wrote.living);
        row.rejected = row.rejected.saturating_add(rejected);
        row.dropped = row.dropped.saturating_add(dropped);
        tally.pages += 1;
        tally.records = tally.records.saturating_add(records);
        Ok(begun)
    }

    /// Does what the machine said until there is a call to make, whose beginning is stored, or the read is over. `last` = the attempt
    /// that failed and is still open; `begun` = the page's commit has begun the next one.
    async fn onward(
        &self,
        syncing: &mut Syncing,
        machine: &mut ReadMachine,
        step: Step,
        base: u64,
        (mut last, mut begun): (Option<AttemptEnd>, bool),
    ) -> Went<Option<Call>> {
        let mut step = step;
        loop {
            match step {
                Step::Call(_) if self.takes_too_long(syncing) => {
                    let message = format!("the sync took longer than {} h", READ_TIME_MAX.as_secs() / 3600);
                    return Ok(Err(Stopped::new(Failure::new("limit", message), last)));
                }
                Step::Call(call) => {
                    if let Some(last) = last.take() {
                        self.store.end_attempt(last).await?;
                    }
                    let call = numbered(call, base);
                    if !std::mem::replace(&mut begun, true) {
                        if call.attempt == 1 {
                            self.count_on(syncing, &call).await?;
                        }
                        let attempt = self.new_attempt(&syncing.source, call.ordinal, call.attempt);
                        self.store.begin_attempt(attempt).await?;
                    }
                    return Ok(Ok(Some(call)));
                }
                Step::Wait(pause) => {
                    if let Some(last) = last.take() {
                        self.store.end_attempt(last).await?;
                    }
                    let waited = self.pause(pause, &syncing.source.cancellation).await;
                    step = machine.on(if waited { Event::Waited } else { Event::Cancelled }, &*self.random);
                }
                Step::End(ending) if ending.failure.is_none() => return Ok(Ok(None)),
                Step::End(ending) => {
                    return Ok(Err(Stopped { ending, open: last.into_iter().collect() }));
                }
                Step::Deliver => return Err(EngineError::Host("there is no page to deliver")),
            }
        }
    }

    /// Attempts of an earlier turn at this page are counted on.
    async fn count_on(&self, syncing: &mut Syncing, call: &Call) -> Result<(), EngineError> {
        let step = syncing.source.step.clone();
        syncing.source.tried = self.tried_before(syncing, &step, &call.ordinal.to_string()).await?;
        Ok(())
    }

    /// By the wall clock: the time between its turns counts.
    fn takes_too_long(&self, syncing: &Syncing) -> bool {
        self.clock.now().since(syncing.row.started_at) > READ_TIME_MAX
    }
}

/// The lines of NDJSON, without those that are empty.
pub(super) fn page_lines(records: &[u8]) -> impl Iterator<Item = &[u8]> {
    records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// By its place in the run, and not in the turn.
fn numbered(call: Call, base: u64) -> Call {
    Call { ordinal: base.saturating_add(call.ordinal), ..call }
}
