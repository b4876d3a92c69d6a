//! Reads: one run, page after page. A page's position is committed after its records are durable where they go,
//! so that a crash between the two repeats the page and loses none.

use super::{Engine, Fruit, Run, judge};
use crate::{
    Answer, CallOptions, EngineError, Failure, Operation, Page, PageSink, Progress, ReadOptions, RunReport,
    Schema, SchemaError, StreamFacts,
    limits::READ_TIME_MAX,
    read::{Call, Event, ReadMachine, Step},
    run::{Doubt, Ending},
};
use portcullis_contract::Stop;
use portcullis_store::{
    AttemptEnd, FileMark, NewMark, NewPosition, PageCommit, Place, Position as Stored, PositionKey, RunKind,
};
use std::{sync::Arc, time::Duration};

/// What stays the same through a read.
struct Plan {
    stream: String,
    /// What its records are, where they are to be looked at.
    validated: Option<Schema>,
    max_records: Option<u32>,
    reader: Option<PositionKey>,
    /// When the read must be over, in monotonic time.
    end: Duration,
    options: ReadOptions,
}

/// A reader's place and output as they were found.
struct Opened {
    stored: Option<Stored>,
    mark: Option<FileMark>,
}

impl Engine {
    /// Reads a stream into `sink`, page by page.
    pub async fn read(
        &self,
        connection: &str,
        stream: &str,
        options: ReadOptions,
        sink: &mut dyn PageSink,
    ) -> Result<RunReport, EngineError> {
        let facts = self.ready(connection, options.cancelled.as_ref()).await?;
        if !facts.has_source {
            return Err(EngineError::NoSuchRole { connection: connection.to_owned(), role: "source" });
        }
        let Some(StreamFacts { schema, .. }) = facts.stream(stream) else {
            return Err(EngineError::NoSuchStream {
                connection: connection.to_owned(),
                stream: stream.to_owned(),
                known: facts.streams.keys().cloned().collect(),
            });
        };
        if options.validate {
            // What the manifest says of every stream says nothing of this one.
            if !facts.streams.contains_key(stream) {
                return Err(EngineError::Refused {
                    message: format!(
                        "the manifest of `{connection}` has no schema of the stream `{stream}`: the config names it"
                    ),
                    help: Some("read it without `--validate`".to_owned()),
                });
            }
        }
        let reader = options.resume.clone().map(|reader| PositionKey {
            connection_id: facts.connection_id.clone(),
            reader,
            stream: stream.to_owned(),
            position_version: facts.position_version,
        });
        let time_max = options.time_max.unwrap_or(READ_TIME_MAX);
        let plan = Plan {
            stream: stream.to_owned(),
            validated: options.validate.then(|| schema.clone()),
            max_records: options.max_records,
            reader,
            end: self.clock.monotonic().saturating_add(time_max),
            options,
        };
        let run_options = CallOptions {
            correlation_id: plan.options.correlation_id.clone(),
            cancelled: plan.options.cancelled.clone(),
        };
        let mut run = self.draft(&facts, RunKind::Read, stream, run_options).await?;
        if let Some(schema) = plan.validated.clone() {
            judge::compiled(&run, &format!("schema of the stream `{stream}`"), schema).await?;
        }
        let (place, moved) = match &plan.reader {
            Some(key) => self.place(&run, key).await?,
            None => Default::default(),
        };
        let opened = self.open_sink(&plan, place, moved, sink).await?;
        let ended = match self.begin(&run, None).await {
            Ok(()) => match self.pages(&mut run, &plan, opened, sink).await {
                Ok(report) => Ok(report),
                Err(failed) => Err(self.left_open(&run, failed).await),
            },
            Err(failed) => Err(failed),
        };
        self.caller.ended(&run.run_id);
        if ended.is_err() {
            sink.discard().await;
        }
        ended
    }

    /// Where the reader is. Another version's position is none of this one's: the connector moves it, where it says that
    /// it can, and else this one begins empty. What was moved is not stored yet. What was moved before, and never brought a
    /// page, is moved anew: the connector may have been mended.
    pub(super) async fn place(
        &self,
        run: &Run,
        key: &PositionKey,
    ) -> Result<(Place, Option<Stored>), EngineError> {
        let mut place = self.store.place(key).await?;
        let is_read = place.position.as_ref().is_some_and(|position| position.read);
        if is_read || !run.facts.migrates {
            return Ok((place, None));
        }
        let moved = self.move_position(run, key, &place.other_versions).await?;
        if moved.is_some() {
            place.position = None;
        }
        Ok((place, moved))
    }

    /// Opens the output where the reader's file ends, and stores a first position for a new one: from then on what
    /// is in the file beyond its mark is known to be a page that was not committed. The file is one for all versions.
    async fn open_sink(
        &self,
        plan: &Plan,
        place: Place,
        moved: Option<Stored>,
        sink: &mut dyn PageSink,
    ) -> Result<Opened, EngineError> {
        let (stored, before) = (place.position, place.file.as_ref());
        let mark = sink.open(before).await.map_err(EngineError::Sink)?;
        if let Some(key) = &plan.reader {
            if let (Some(before), None) = (before, &mark) {
                sink.discard().await;
                return Err(EngineError::ReaderHasFile {
                    reader: key.reader.clone(),
                    path: before.path.clone(),
                });
            }
            if stored.is_none() {
                let (file, moved, at) = (mark.clone(), moved.clone(), self.clock.now());
                self.store.begin_position(NewPosition { key: key.clone(), file, moved, at }).await?;
            }
        }
        Ok(Opened { stored: stored.or(moved), mark })
    }

    async fn pages(
        &self,
        run: &mut Run,
        plan: &Plan,
        opened: Opened,
        sink: &mut dyn PageSink,
    ) -> Result<RunReport, EngineError> {
        let (next, checkpoint) =
            opened.stored.map(|stored| (stored.next, stored.checkpoint)).unwrap_or_default();
        let mut mark = opened.mark;
        let (mut machine, mut call) = ReadMachine::begin(next, checkpoint);
        loop {
            let (page, last) = match self.page(run, &plan.stream, plan.max_records, &call).await {
                (Ok(page), last) => (page, last),
                (Err(failure), last) => {
                    let doubt = Doubt::new(self.effects(run).await?, false);
                    let step = machine.on(Event::Failed(failure, doubt), &*self.random);
                    match self.go_on(run, plan, &mut machine, step, Some(last)).await? {
                        Onward::Call(next) => call = next,
                        Onward::End(end) => return self.close(run, end.0, end.1, sink).await,
                    }
                    continue;
                }
            };
            match machine.on(Event::Page(&page), &*self.random) {
                Step::Deliver => {}
                Step::End(ending) => return self.close(run, ending, Some(last), sink).await,
                Step::Call(_) | Step::Wait(_) => return Err(EngineError::Host("a page was not delivered")),
            }
            let Page { records, count, next, checkpoint, .. } = page;
            let records = match self.validated(run, plan, records).await {
                Ok(records) => records,
                Err(failure) => return self.close(run, Ending::failed(failure), Some(last), sink).await,
            };
            match sink.write(records).await {
                Ok(now) => mark = now.or(mark),
                Err(error) => {
                    let failure = Failure::new("sink", format!("the output can't be written: {error}"));
                    return self.close(run, Ending::failed(failure), Some(last), sink).await;
                }
            }
            let step = machine.on(Event::Delivered, &*self.random);
            let new = NewMark { next, checkpoint, file: mark.clone() };
            self.commit(run, plan, last, count, new, &step).await?;
            match self.go_on(run, plan, &mut machine, step, None).await? {
                Onward::Call(next) => call = next,
                Onward::End(end) => return self.close(run, end.0, end.1, sink).await,
            }
        }
    }

    /// One attempt at one page, and its end as it will be stored.
    pub(super) async fn page(
        &self,
        run: &mut Run,
        stream: &str,
        max_records: Option<u32>,
        call: &Call,
    ) -> (Result<Page, Failure>, AttemptEnd) {
        let (stream, position) = (stream.to_owned(), call.position.clone());
        let operation = Operation::Read { stream, position, max_records };
        let request = run.request(operation, call.ordinal, call.attempt);
        let mut report = if run.cancellation.is_set() {
            crate::CallReport::stopped()
        } else {
            self.attempt(request, &run.cancellation).await
        };
        run.tally.add(&mut report);
        let result = match report.result {
            Ok(Answer::Page(page)) => {
                run.tally.unproven_before |= report.unproven_effect;
                Ok(page)
            }
            Ok(_) => Err(Failure::new("internal", "the answer does not belong to the call")),
            Err(failure) => Err(failure),
        };
        let failure = result.as_ref().err();
        let last = self.attempt_end(run, call.ordinal, call.attempt, report.requests, failure);
        (result, last)
    }

    /// The records, or why not: the first that is none of its stream, a cancel, the read's end.
    async fn validated(&self, run: &Run, plan: &Plan, records: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let Some(schema) = plan.validated.clone() else { return Ok(records) };
        let (clock, end) = (Arc::clone(&self.clock), plan.end);
        let work = move |stop: &Stop| {
            let over = || clock.monotonic() > end;
            (schema.validate_lines(&records, over, stop), records)
        };
        let (found, records) = judge::judged(&run.facts.schema_work, &run.cancellation, work).await?;
        if self.clock.monotonic() > plan.end {
            return Err(Failure::new("timeout", "the read took longer than it may"));
        }
        let drift = |message: String| Err(Failure::new("contract-drift", message));
        let stream = &plan.stream;
        let (line, faults) = match found {
            Ok(None) => return Ok(records),
            Ok(Some(found)) => found,
            Err(error) => {
                let what = "the page could not be held against the schema of";
                let message = format!("{what} `{stream}`: {}", error.words());
                return match error {
                    // What this machine lacks is no fault of the vendor's.
                    SchemaError::Here(_) => Err(Failure::new("host", message)),
                    SchemaError::Unusable(_) => drift(message),
                };
            }
        };
        let places: Vec<_> =
            faults.iter().map(|fault| format!("`{}`: {}", fault.place(), fault.message)).collect();
        drift(format!(
            "record {line} of the page is not what the schema of `{stream}` says: {}",
            places.join("; ")
        ))
    }

    async fn commit(
        &self,
        run: &mut Run,
        plan: &Plan,
        attempt: AttemptEnd,
        records: u64,
        new: NewMark,
        step: &Step,
    ) -> Result<(), EngineError> {
        let next_attempt = match step {
            Step::Call(call) => Some(self.new_attempt(run, call.ordinal, call.attempt)),
            _ => None,
        };
        let position = plan.reader.clone().map(|key| (key, new));
        self.store.commit_page(PageCommit { attempt, next_attempt, records, position, sync: None }).await?;
        run.tally.pages += 1;
        run.tally.records = run.tally.records.saturating_add(records);
        self.tell(run, plan, None);
        Ok(())
    }

    /// Does what the machine said until there is a call to make or the run is over. `last` = the attempt that
    /// failed and is still open; without one, the page's commit has closed its attempt and opened the next.
    async fn go_on(
        &self,
        run: &mut Run,
        plan: &Plan,
        machine: &mut ReadMachine,
        step: Step,
        mut last: Option<AttemptEnd>,
    ) -> Result<Onward, EngineError> {
        let mut begun = last.is_none() && matches!(step, Step::Call(_));
        let mut step = step;
        loop {
            match step {
                Step::Call(_) if self.clock.monotonic() > plan.end => {
                    let failure = Failure::new("timeout", "the read took longer than it may");
                    return Ok(Onward::End(Box::new((Ending::failed(failure), last))));
                }
                Step::Call(call) => {
                    if let Some(last) = last.take() {
                        self.store.end_attempt(last).await?;
                    }
                    if !std::mem::replace(&mut begun, true) {
                        self.store.begin_attempt(self.new_attempt(run, call.ordinal, call.attempt)).await?;
                    }
                    return Ok(Onward::Call(call));
                }
                Step::Wait(pause) => {
                    if let Some(last) = last.take() {
                        self.store.end_attempt(last).await?;
                    }
                    self.tell(run, plan, Some(pause));
                    let waited = self.pause(pause, &run.cancellation).await;
                    let event = if waited { Event::Waited } else { Event::Cancelled };
                    step = machine.on(event, &*self.random);
                }
                Step::End(ending) => return Ok(Onward::End(Box::new((ending, last)))),
                Step::Deliver => return Err(EngineError::Host("there is no page to deliver")),
            }
        }
    }

    /// Ends output and run. An output that can't be finished makes a failure of a success.
    async fn close(
        &self,
        run: &mut Run,
        mut ending: Ending,
        last: Option<AttemptEnd>,
        sink: &mut dyn PageSink,
    ) -> Result<RunReport, EngineError> {
        if ending.failure.is_some() {
            sink.discard().await;
        } else if let Err(error) = sink.finish().await {
            let failure = Failure::new("sink", format!("the output can't be finished: {error}"));
            ending = Ending::failed(failure);
            sink.discard().await;
        }
        self.finish(run, ending, Fruit::default(), last).await
    }

    fn tell(&self, run: &Run, plan: &Plan, waiting: Option<Duration>) {
        if let Some(progress) = &plan.options.progress {
            let (pages, records) = (run.tally.pages, run.tally.records);
            progress(Progress { run_id: run.run_id.clone(), pages, records, waiting });
        }
    }
}

enum Onward {
    Call(Call),
    End(Box<(Ending, Option<AttemptEnd>)>),
}
