//! The end of a stream's sync: what is gone at the source is removed, where nothing speaks against it, and the run is over.

use super::{Stopped, Syncing, Unit, Went};
use crate::{
    Answer, EngineError, Mode, Operation,
    connections::Deletes,
    engine::{Engine, Fruit, once::Called},
    run::Ending,
};
use portcullis_store::Outcome;
use serde_json::json;

/// Where `complete` stands among the calls of its step.
const COMPLETE: &str = "complete";
/// A share is in millionths.
const WHOLE: u128 = 1_000_000;

impl Engine {
    /// Has the destination remove what is gone, where all of the stream was read and written; done once.
    pub(super) async fn completed(&self, syncing: &mut Syncing) -> Went<()> {
        let is_done = syncing.row.removed.is_some();
        if is_done || syncing.work.mode != Mode::Replace || syncing.not_complete().is_some() {
            return Ok(Ok(()));
        }
        let row = &syncing.row;
        let of = row.completed_records.unwrap_or(row.living);
        let removed_max = share(of, syncing.target.facts.removed_share_max);
        let operation = Operation::Complete {
            stream: syncing.target.subject.clone(),
            generation: row.generation,
            removed_max: Some(removed_max),
        };
        let step = syncing.target.step.clone();
        syncing.target.tried = self.tried_before(syncing, &step, COMPLETE).await?;
        self.store.begin_attempt(self.new_attempt(&syncing.target, COMPLETE, 1)).await?;
        let Called { answer, mut ending, last } =
            self.attempts(&mut syncing.target, &operation, COMPLETE, true).await?;
        syncing.target.tally.unproven_before |= syncing.target.tally.unproven;
        let Ok(Answer::Removed(removed)) = answer else {
            if let Some(failure) = ending.failure.as_mut().filter(|failure| failure.kind == "conflict") {
                failure.message = syncing.too_many_gone(removed_max, of, &failure.message);
            }
            return Ok(Err(Stopped { ending, open: last.into_iter().collect() }));
        };
        if let Some(last) = last {
            self.store.end_attempt(last).await?;
        }
        self.store.complete_sync(&syncing.source.run_id, removed, &step, COMPLETE).await?;
        syncing.settle();
        syncing.row.removed = Some(removed);
        Ok(Ok(()))
    }

    /// The run is over, and well.
    pub(super) async fn synced(&self, syncing: &mut Syncing) -> Result<Unit, EngineError> {
        syncing.merge();
        let row = &syncing.row;
        let not_complete = match (syncing.work.mode, row.removed) {
            (Mode::Replace, None) => syncing.not_complete(),
            _ => None,
        };
        let mut output = json!({
            "records": row.records, "written": row.written, "rejected": row.rejected, "removed": row.removed,
            "dropped": row.dropped,
        });
        if let Some(why) = &not_complete {
            output["not_removed"] = format!("nothing was removed: {why}").into();
        }
        let refused =
            (row.rejected > 0).then(|| format!("{} of {} records were refused", row.rejected, row.records));
        let kept = not_complete.map(|why| format!("nothing was removed: {why}"));
        let remark = if row.rejected > 0 { "rejected-lines" } else { "not-completed" };
        let words: Vec<_> = [refused, kept].into_iter().flatten().collect();
        let remark = (!words.is_empty()).then(|| (remark, words.join("; ")));
        let output = output.to_string();
        let fruit = Fruit { output: Some(output.clone()), remark, ..Fruit::default() };
        let report = self.finish(&mut syncing.source, Ending::well(), fruit, None).await?;
        match report.outcome {
            Outcome::Succeeded => Ok(Unit::Done(output)),
            outcome => {
                let kind = report.reason.unwrap_or_default();
                let message = "it came to its end, and what it sent before is not proven".to_owned();
                Ok(Unit::Bad(super::Bad { outcome, kind, message }))
            }
        }
    }
}

impl Syncing {
    /// Why nothing is removed for not having come; none = `complete` is called.
    fn not_complete(&self) -> Option<String> {
        let (row, deletes) = (&self.row, self.target.facts.deletes);
        if deletes != Deletes::Hard {
            let destination = &self.work.destination;
            return Some(format!("`deletes` of `{destination}` is `{}`", deletes.as_str()));
        }
        if !self.described.complete_reads {
            return Some(
                "a read from the start need not have every living record, by its connector".to_owned(),
            );
        }
        if !row.from_start {
            return Some("it did not read from the start".to_owned());
        }
        let came_not = |count: u64, what: &str| match count {
            0 => None,
            1 => Some(format!("1 record was {what}, and would count as gone")),
            count => Some(format!("{count} records were {what}, and would count as gone")),
        };
        came_not(row.rejected, "refused").or_else(|| came_not(row.dropped, "dropped"))
    }

    /// What a person is told of a `conflict`.
    fn too_many_gone(&self, removed_max: u64, of: u64, said: &str) -> String {
        let (name, destination) = (&self.target.subject, &self.work.destination);
        let percent = f64::from(self.target.facts.removed_share_max) / 10_000.0;
        format!(
            "more than {removed_max} records of `{name}` in `{destination}` did not come in this read, and at most {percent} % of {of} may \
             go: nothing was removed ({said}). Where they are really gone, raise `removed-share-max` of `{destination}` and replay the run"
        )
    }
}

/// Never more than the share.
fn share(of: u64, millionths: u32) -> u64 {
    u64::try_from(u128::from(of) * u128::from(millionths) / WHOLE).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_more() {
        for (of, millionths, expected) in [
            (0, 100_000, 0),
            (9, 100_000, 0),
            (10, 100_000, 1),
            (1_999, 1_000, 1),
            (7, 1_000_000, 7),
            (7, 0, 0),
            (u64::MAX, 1_000_000, u64::MAX),
        ] {
            assert_eq!(share(of, millionths), expected, "{of} {millionths}");
        }
    }
}
