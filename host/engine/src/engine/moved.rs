//! What an older `position-version` left, moved by the connector's role `migration` before the first run that could use it: the
//! state of a connection, all of it or nothing, and the position of a reader. The older one stays as it is, for a rollback. Where
//! moving fails nothing is run, and the refusal says how to go on. What a newer version left is nothing for an older one.

use super::{Engine, Run};
use crate::{Answer, CallReport, EngineError, Failure, Operation, RunKind, limits::MOVE_TIME_MAX};
use portcullis_store::{
    MovedState, Position, PositionKey, StateSpace, StoreError,
    limits::{STATE_BYTES_MAX, STATE_LIST_KEYS_MAX, STATE_VALUE_BYTES_MAX},
};

/// What is to be moved, in words, and what to type where that fails.
struct Left {
    what: String,
    from: u32,
    instead: String,
}

impl Engine {
    /// The state of the newest older version becomes this one's, once: where this one has values, or had its turn, it is left
    /// alone. No version after it is looked at: its values mean nothing here.
    pub(super) async fn move_state(&self, run: &Run) -> Result<(), EngineError> {
        let facts = &run.facts;
        if !facts.migrates {
            return Ok(());
        }
        let (wanted, found) =
            (facts.position_version, self.store.state_versions(&facts.connection_id).await?);
        let older = found.iter().rev().copied().find(|version| *version < wanted);
        let Some(from) = older.filter(|_| !found.contains(&wanted)) else { return Ok(()) };
        let name = &facts.name;
        if run.kind == RunKind::DryRun {
            return Err(EngineError::Refused {
                message: format!(
                    "the state of `{name}` is of `position-version` {from}, and a dry run moves nothing to {wanted}"
                ),
                help: Some(format!("`portcullis check {name}` moves it, and keeps the old one; then again")),
            });
        }
        let left = Left {
            what: format!("state of `{name}`"),
            from,
            instead: format!(
                "`portcullis connections forget {name}` lets it begin anew, without any position"
            ),
        };
        let values = self.moved_values(run, &left).await;
        self.caller.ended(&run.run_id);
        let values = values?;
        let count = values.len();
        let space = StateSpace { connection_id: facts.connection_id.clone(), position_version: wanted };
        match self.store.take_state_over(MovedState { space, from_version: from, values }).await {
            Err(error @ StoreError::TooLarge { .. }) => Err(left.not_moved(run, &error.to_string())),
            Err(error) => Err(error.into()),
            Ok(()) => {
                tracing::info!(connection = name, from, to = wanted, values = count, "state was moved");
                Ok(())
            }
        }
    }

    async fn moved_values(&self, run: &Run, left: &Left) -> Result<Vec<(String, Vec<u8>)>, EngineError> {
        let (connection_id, position_version) = (run.facts.connection_id.clone(), left.from);
        let space = StateSpace { connection_id, position_version };
        let end = self.clock.monotonic().saturating_add(MOVE_TIME_MAX);
        let (mut values, mut bytes, mut after) = (Vec::new(), 0, None::<String>);
        loop {
            let keys = self.store.state_list(&space, "", after.as_deref(), STATE_LIST_KEYS_MAX).await?;
            let Some(last) = keys.last() else { return Ok(values) };
            after = Some(last.clone());
            for key in keys {
                let Some(entry) = self.store.state_get(&space, &key).await? else { continue };
                if self.clock.monotonic() > end {
                    let why = format!("all values together take longer than {} s", MOVE_TIME_MAX.as_secs());
                    return Err(left.not_moved(run, &why));
                }
                let operation =
                    Operation::MoveState { key: key.clone(), from_version: left.from, value: entry.value };
                let value = match self.moved(run, left, operation).await? {
                    Answer::Value(Some(value)) => value,
                    Answer::Value(None) => continue,
                    _ => return Err(left.not_moved(run, "the answer does not belong to the call")),
                };
                bytes += (key.len() + value.len()) as u64;
                // As they come: what nobody can store is not collected.
                if value.len() > STATE_VALUE_BYTES_MAX || bytes > STATE_BYTES_MAX {
                    let why = format!(
                        "a value may have {STATE_VALUE_BYTES_MAX} bytes, and all of them {STATE_BYTES_MAX}: `{key}` is beyond"
                    );
                    return Err(left.not_moved(run, &why));
                }
                values.push((key, value));
            }
        }
    }

    /// What the reader goes on from, of the newest older version that it ever read with; none where there is no such.
    pub(super) async fn move_position(
        &self,
        run: &Run,
        key: &PositionKey,
        others: &[u32],
    ) -> Result<Option<Position>, EngineError> {
        let wanted = key.position_version;
        for from in others.iter().rev().copied().filter(|version| *version < wanted) {
            let Some(position) = self.used(key, from).await? else { continue };
            let left = Left {
                what: format!("position of the reader `{}` in `{}`", key.reader, key.stream),
                from,
                instead: begins_anew(key).to_owned(),
            };
            let moved = self.moved_marks(run, key, &left, position).await;
            self.caller.ended(&run.run_id);
            return moved.map(Some);
        }
        for newer in others.iter().rev().copied().filter(|version| *version > wanted) {
            if self.used(key, newer).await?.is_some() {
                return Err(EngineError::Refused {
                    message: format!(
                        "the reader `{}` has a position of `position-version` {newer}, and {} {} reads those up to {wanted}",
                        key.reader, run.facts.connector, run.facts.version
                    ),
                    help: Some(format!("approve the version that wrote it; {}", begins_anew(key))),
                });
            }
        }
        Ok(None)
    }

    /// The reader's position of a version; none where it never read a page with it.
    async fn used(&self, key: &PositionKey, version: u32) -> Result<Option<Position>, EngineError> {
        let position = self.store.place(&PositionKey { position_version: version, ..key.clone() }).await?;
        Ok(position.position.filter(|position| position.read))
    }

    async fn moved_marks(
        &self,
        run: &Run,
        key: &PositionKey,
        left: &Left,
        mut position: Position,
    ) -> Result<Position, EngineError> {
        for mark in [&mut position.next, &mut position.checkpoint] {
            let Some(position) = mark.take() else { continue };
            let (stream, from_version) = (key.stream.clone(), left.from);
            match self.moved(run, left, Operation::MovePosition { stream, from_version, position }).await? {
                Answer::Position(position) => *mark = Some(position),
                _ => return Err(left.not_moved(run, "the answer does not belong to the call")),
            }
        }
        Ok(position)
    }

    /// One call of `migration`: it sends nothing, and what failed once would fail again.
    async fn moved(&self, run: &Run, left: &Left, operation: Operation) -> Result<Answer, EngineError> {
        let report = match run.cancellation.is_set() {
            true => CallReport::stopped(),
            false => self.attempt(run.request(operation, 0, 1), &run.cancellation).await,
        };
        report.result.map_err(|Failure { kind, message, .. }| match kind.as_str() {
            "cancelled" => EngineError::Cancelled(format!("{} was moved", left.what)),
            _ => left.not_moved(run, &format!("the connector failed at it as `{kind}`: {message}")),
        })
    }
}

/// How a reader comes to begin at the start.
fn begins_anew(key: &PositionKey) -> &'static str {
    match key.reader.starts_with("flow:") {
        true => "a flow of another name begins anew",
        false => "another name behind `--resume` begins anew",
    }
}

impl Left {
    fn not_moved(&self, run: &Run, why: &str) -> EngineError {
        let Left { what, from, instead } = self;
        let facts = &run.facts;
        let (name, connector, version) = (&facts.name, &facts.connector, &facts.version);
        EngineError::Refused {
            message: format!(
                "the {what} can't be moved from `position-version` {from} to {}: {why}",
                facts.position_version
            ),
            help: Some(format!(
                "nothing was run, and what is stored is as it was. `connector = \"{connector}@<{version}\"` and `portcullis \
                 approve {name}` go back to the version before {version}; {instead}"
            )),
        }
    }
}
