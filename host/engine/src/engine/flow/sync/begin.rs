//! How a stream's sync begins, or is gone on with: both connections looked at, its run and generation stored, the stream described.

use super::{super::Bad, Described, Stopped, Syncing, Unit, Went};
use crate::{
    Answer, CallOptions, EngineError, Failure, Mode, Operation, StreamDescriptor, SyncStep,
    connections::{Deletes, is_operation},
    engine::{Engine, Run, attempt::Cancellation, judge, once::Called},
    limits::REFUSED_WAIT,
    run::{Doubt, Ending},
};
use portcullis_store::{
    FlowRun, NewPosition, NewSync, Parent, PositionKey, RunKind, StepRun, StoreError, SyncRow,
};
use serde_json::json;

/// Where `discover` stands among the calls of the run.
pub(super) const DISCOVER: &str = "discover";
const ONLY: &str = "0";

/// A sync whose run is not known yet.
pub(super) struct Drafted {
    source: Run,
    target: Run,
    work: SyncStep,
    validated: Option<crate::Schema>,
    variables: Vec<(String, String)>,
}

impl Engine {
    /// Both ends, where each is what the step says.
    pub(super) async fn sync_draft(
        &self,
        flow: &FlowRun,
        place: &str,
        work: &SyncStep,
        stream: &str,
        variables: Vec<(String, String)>,
        cancellation: &Cancellation,
    ) -> Result<Drafted, EngineError> {
        let cancelled = cancellation.receiver();
        let (from, to) = (
            self.ready(&work.source, Some(&cancelled)).await?,
            self.ready(&work.destination, Some(&cancelled)).await?,
        );
        let no_role =
            |connection: &str, role| EngineError::NoSuchRole { connection: connection.to_owned(), role };
        if !from.has_source {
            return Err(no_role(&work.source, "source"));
        }
        if !to.has_destination {
            return Err(no_role(&work.destination, "destination"));
        }
        let target = work.target(stream);
        let is_known = from.stream(stream).is_some();
        if !is_known || !is_operation(&target) {
            let (connection, known) = (work.source.clone(), from.streams.keys().cloned().collect());
            let stream = if is_known { target } else { stream.to_owned() };
            return Err(EngineError::NoSuchStream { connection, stream, known });
        }
        let options = || CallOptions {
            correlation_id: Some(flow.correlation_id.clone()),
            cancelled: Some(cancelled.clone()),
        };
        let parent = Parent { run_id: flow.run_id.clone(), flow: flow.flow.clone(), place: place.to_owned() };
        let source = self.draft(&from, RunKind::Sync, stream, options()).await?;
        let source = Run { parent: Some(parent), ..source };
        let target = self.draft(&to, RunKind::Sync, &target, options()).await?;
        let step = format!("write:{}", target.subject);
        let target = Run { run_id: source.run_id.clone(), step, ..target };
        let validated = from.streams.get(stream).map(|stream| stream.schema.clone());
        if let Some(schema) = validated.clone() {
            judge::compiled(&source, &format!("schema of the stream `{stream}`"), schema).await?;
        }
        Ok(Drafted { source, target, work: work.clone(), validated, variables })
    }

    /// With its run: a new one, or that of an earlier turn.
    pub(super) async fn sync_begun(
        &self,
        drafted: Drafted,
        found: Option<StepRun>,
    ) -> Result<Result<Syncing, Unit>, EngineError> {
        let facts = &drafted.source.facts;
        let flow = drafted.source.parent.as_ref().map_or("", |parent| parent.flow.as_str());
        let key = PositionKey {
            connection_id: facts.connection_id.clone(),
            reader: format!("flow:{flow}"),
            stream: drafted.source.subject.clone(),
            position_version: facts.position_version,
        };
        match found {
            None => self.new_sync(drafted, key).await,
            Some(found) => self.sync_again(drafted, key, &found.run_id).await,
        }
    }

    async fn new_sync(
        &self,
        mut drafted: Drafted,
        key: PositionKey,
    ) -> Result<Result<Syncing, Unit>, EngineError> {
        let anew = drafted.work.mode == Mode::Replace;
        let is_new = match self.positioned(&drafted.source, &key).await? {
            Ok(is_new) => is_new,
            Err(unit) => return Ok(Err(unit)),
        };
        let (work, target) = (&drafted.work, &drafted.target);
        let input = json!({
            "destination": work.destination, "stream": target.subject, "mode": work.mode.as_str(),
        });
        let run = self.new_run(&drafted.source, Some(input.to_string()));
        let read = std::mem::replace(&mut drafted.source.step, DISCOVER.to_owned());
        let sync = NewSync {
            run,
            first: self.new_attempt(&drafted.source, ONLY, 1),
            key: key.clone(),
            anew,
            from_start: anew || is_new,
            destination: work.destination.clone(),
            destination_id: target.facts.connection_id.clone(),
            target: target.subject.clone(),
            mode: work.mode.as_str(),
        };
        drafted.source.step = read;
        match self.store.begin_sync(sync).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => {
                let why = "another run of the flow reads this stream: it waits, or a person decides about it";
                return Ok(Err(Unit::Waits(self.clock.now().plus(REFUSED_WAIT), Some(why.to_owned()))));
            }
            Err(error) => return Err(error.into()),
        }
        let row = self.stored_sync(&drafted.source.run_id).await?;
        Ok(Ok(drafted.under_way(key, row, false)))
    }

    /// The position is there, also where it is an older version's, moved; true = it is at the start.
    async fn positioned(&self, run: &Run, key: &PositionKey) -> Result<Result<bool, Unit>, EngineError> {
        let (place, moved) = match self.place(run, key).await {
            Ok(found) => found,
            Err(error) => return self.not_begun(error).map(Err),
        };
        if place.position.is_none() {
            let (key, moved, at) = (key.clone(), moved.clone(), self.clock.now());
            self.store.begin_position(NewPosition { key, file: None, moved, at }).await?;
        }
        let position = place.position.or(moved);
        Ok(Ok(position.is_none_or(|found| found.next.is_none() && found.checkpoint.is_none())))
    }

    async fn sync_again(
        &self,
        mut drafted: Drafted,
        key: PositionKey,
        run_id: &str,
    ) -> Result<Result<Syncing, Unit>, EngineError> {
        run_id.clone_into(&mut drafted.source.run_id);
        run_id.clone_into(&mut drafted.target.run_id);
        let row = self.stored_sync(run_id).await?;
        let (work, target) = (&drafted.work, &drafted.target);
        let is_same = row.source_id == key.connection_id
            && row.destination_id == target.facts.connection_id
            && row.target == target.subject
            && row.mode == work.mode.as_str();
        if !is_same {
            return Ok(Err(Unit::Bad(Bad::new(&changed(run_id)))));
        }
        // Another version of the connector may be approved since.
        if let Err(unit) = self.positioned(&drafted.source, &key).await? {
            return Ok(Err(unit));
        }
        let resumed = self.store.resume_run(run_id, DISCOVER, ONLY, self.clock.now()).await?;
        drafted.source.tally.requests = resumed.requests;
        // What a page that was not committed sent, and may not be sent again, is a person's.
        let doubt = Doubt::new(self.effects(&drafted.source).await?, true);
        if !doubt.harmless {
            let failure = Failure::new("interrupted", "the process ended before the page was committed");
            return Ok(Err(self.over_badly(&mut drafted.source, Ending::failed(failure)).await?));
        }
        let read = std::mem::replace(&mut drafted.source.step, DISCOVER.to_owned());
        drafted.source.tried = resumed.tried;
        self.store.begin_attempt(self.new_attempt(&drafted.source, ONLY, 1)).await?;
        drafted.source.step = read;
        Ok(Ok(drafted.under_way(key, row, true)))
    }

    async fn stored_sync(&self, run_id: &str) -> Result<SyncRow, EngineError> {
        self.store.sync(run_id).await?.ok_or(EngineError::Host("a sync has no row"))
    }

    /// What the source says of the stream: what marks a deletion, and whether a read of it is complete. Its attempt is open.
    pub(super) async fn discovered(&self, syncing: &mut Syncing) -> Went<()> {
        let read = std::mem::replace(&mut syncing.source.step, DISCOVER.to_owned());
        let called = self.attempts(&mut syncing.source, &Operation::Discover, ONLY, false).await;
        syncing.source.step = read;
        let Called { answer, ending, last } = called?;
        syncing.calls.push((DISCOVER.to_owned(), ONLY.to_owned()));
        syncing.source.tally.unproven_before |= syncing.source.tally.unproven;
        let streams = match answer {
            Ok(Answer::Streams(streams)) => streams,
            _ => return Ok(Err(Stopped { ending, open: last.into_iter().collect() })),
        };
        let described = match syncing.described_by(streams) {
            Ok(described) => described,
            Err(failure) => return Ok(Err(Stopped::new(failure, last))),
        };
        if let Some(last) = last {
            self.store.end_attempt(last).await?;
        }
        syncing.described = described;
        Ok(Ok(()))
    }
}

impl Drafted {
    fn under_way(self, key: PositionKey, row: SyncRow, resumed: bool) -> Syncing {
        let Self { source, target, work, validated, variables } = self;
        let (described, calls) = (Described::default(), Vec::new());
        Syncing { source, target, work, key, row, resumed, described, validated, variables, calls }
    }
}

impl Syncing {
    fn described_by(&self, streams: Vec<StreamDescriptor>) -> Result<Described, Failure> {
        let name = &self.source.subject;
        let known = self.source.facts.streams.get(name);
        let found = streams.into_iter().find(|stream| stream.name == *name);
        if found.is_none() && known.is_none() {
            let message =
                format!("`{}` has no stream `{name}`: `discover` does not name it", self.work.source);
            return Err(Failure::new("not-found", message));
        }
        let mut told = found.unwrap_or_else(|| StreamDescriptor {
            name: name.clone(),
            schema: known.map_or("{}", |known| known.schema.text()).to_owned(),
            primary_key: Vec::new(),
            cursor_field: known.and_then(|known| known.cursor_field.clone()),
            deleted_field: None,
            complete_reads: false,
        });
        if told.primary_key.is_empty() {
            told.primary_key = known.map(|known| known.primary_key.clone()).unwrap_or_default();
        }
        if told.primary_key.is_empty() && self.work.mode != Mode::Append {
            let mode = self.work.mode.as_str();
            let message = format!("`{mode}` of `{name}` needs a primary key, and its connector names none");
            return Err(Failure::new("no-primary-key", message));
        }
        let (deleted_field, complete_reads) = (told.deleted_field.take(), told.complete_reads);
        told.name.clone_from(&self.target.subject);
        // What `map` leaves is what it leaves.
        if self.work.map.is_some() {
            told.schema = "{}".to_owned();
        }
        if self.removes() {
            told.deleted_field.clone_from(&deleted_field);
        }
        Ok(Described { deleted_field, complete_reads, told: Some(told) })
    }

    /// Whether the destination is to remove what a record says was deleted. What is only added to has nothing to remove by.
    pub(super) fn removes(&self) -> bool {
        self.target.facts.deletes == Deletes::Hard && self.work.mode != Mode::Append
    }
}

/// The flow, or a connection, is another one since: what was written must not pass for it.
pub(super) fn changed(run_id: &str) -> Failure {
    let message = format!(
        "`{run_id}` copied here something else than the flow says now, or from or to another connection: `portcullis runs discard` \
         gives it up, and a new run begins"
    );
    Failure::new("flow-changed", message)
}
