//! What one run may ask for, send and be refused: `requests` and `bytes-out` of the connection's limits, the rows of
//! refusals, and the URLs that its answers named.
use crate::{
    Error,
    exchange_log::refusals,
    limits::{OVER_REQUESTS_MAX, REFUSAL_ROWS_MAX, RUNS_MAX},
    service::Failure,
    state::{CallState, lock},
};
use portcullis_grants::NamedUrls;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// What one run has used, over all its calls in this process.
#[derive(Debug, Default)]
pub(crate) struct RunBudget {
    requests: AtomicU64,
    bytes: AtomicU64,
    refusals: AtomicU64,
    /// What its answers named. Nobody holds the lock while waiting.
    pub named: Mutex<NamedUrls>,
}

impl RunBudget {
    /// One more request was asked for; by how much that is over. Refused ones count: a guest must not probe without end.
    fn ask(&self, requests_max: u64) -> Option<u64> {
        let asked = self.requests.fetch_add(1, Ordering::Relaxed);
        asked.checked_sub(requests_max).map(|over| over + 1)
    }

    /// One that was asked for is asked for again: it counts once.
    pub fn take_back(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// One more request was refused: whether it has a row of its own.
    pub fn list_refusal(&self) -> bool {
        let more = |listed| (listed < REFUSAL_ROWS_MAX).then_some(listed + 1);
        self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// The next refused one has a row of its own, however many had one before.
    fn list_one_more(&self) {
        let less = |listed: u64| listed.checked_sub(1);
        let _ = self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Whether the next refused one will have a row of its own.
    pub fn lists_refusals(&self) -> bool {
        self.refusals.load(Ordering::Relaxed) < REFUSAL_ROWS_MAX
    }

    /// One more attempt is about to send that many bytes. What would go over is not sent and not counted.
    pub fn spend(&self, connection: &str, bytes: u64, bytes_out_max: u64) -> Result<(), Failure> {
        let spent = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
            spent.checked_add(bytes).filter(|total| *total <= bytes_out_max)
        });
        spent.map(|_| ()).map_err(|_| {
            let raised = format!("\"{}MiB\"", (bytes_out_max.saturating_mul(2) >> 20).max(1));
            over(connection, "bytes-out", &raised, &format!("{bytes_out_max} bytes sent in a run"))
        })
    }
}

/// One more request of this call was asked for. The first over the limit is told in full, a few more are counted, and
/// a guest that takes no denial for an answer has its call ended.
pub(crate) fn ask(call: &CallState) -> Result<(), Failure> {
    let settings = &call.connection.settings;
    let (connection, requests_max) = (&settings.name, settings.requests_max);
    match call.budget.ask(requests_max) {
        None => Ok(()),
        Some(1) => {
            call.budget.list_one_more();
            let raised = requests_max.saturating_mul(2).to_string();
            Err(over(connection, "requests", &raised, &format!("{requests_max} requests a run")))
        }
        Some(over) if over <= OVER_REQUESTS_MAX => Err(refusals::refuse(call)),
        Some(_) => {
            let error = Error::Exhausted { connection: connection.clone(), requests_max };
            Err(Failure { error, ..refusals::refuse(call) })
        }
    }
}

fn over(connection: &str, key: &str, raised: &str, limit: &str) -> Failure {
    Failure::denied(
        format!("over the limit `{key}` of connection `{connection}`: {limit}"),
        Some(format!("[connections.{connection}.limits]\n{key} = {raised}")),
    )
}

/// The budgets of the runs of one connection.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: Mutex<Known>,
}

/// The last turn, and by run the turn of its last use and its budget.
type Known = (u64, HashMap<String, (u64, Arc<RunBudget>)>);

impl Runs {
    /// The budget of a run: the same one for each of its calls.
    pub fn of(&self, run_id: &str) -> Arc<RunBudget> {
        let mut guard = lock(&self.runs);
        let (turn, runs) = &mut *guard;
        *turn += 1;
        if let Some((used, budget)) = runs.get_mut(run_id) {
            *used = *turn;
            return Arc::clone(budget);
        }
        if runs.len() >= RUNS_MAX {
            // A run that has a call in flight is forgotten only where all of them have.
            let oldest = runs.iter().min_by_key(|(_, (used, budget))| (Arc::strong_count(budget) > 1, *used));
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                runs.remove(&oldest);
            }
        }
        let budget = Arc::new(RunBudget::default());
        runs.insert(run_id.to_owned(), (*turn, Arc::clone(&budget)));
        budget
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn requests_end_at_the_limit() {
        let budget = RunBudget::default();
        assert_eq!(
            [budget.ask(2), budget.ask(2), budget.ask(2), budget.ask(2)],
            [None, None, Some(1), Some(2)]
        );
        assert_eq!(RunBudget::default().ask(0), Some(1));
    }

    #[test]
    fn the_first_refusals_of_a_run_are_listed() {
        let budget = RunBudget::default();
        assert_eq!(
            (0..2 * REFUSAL_ROWS_MAX).filter(|_| budget.list_refusal()).count() as u64,
            REFUSAL_ROWS_MAX
        );
    }

    #[test]
    fn bytes_that_would_go_over_are_not_counted() {
        let budget = RunBudget::default();
        assert!(budget.spend("billing", 8, 10).is_ok());
        assert!(budget.spend("billing", 3, 10).is_err());
        assert!(budget.spend("billing", u64::MAX, 10).is_err());
        assert!(budget.spend("billing", 2, 10).is_ok());
    }

    #[test]
    fn a_run_keeps_its_budget_over_its_calls() {
        let runs = Runs::default();
        let living = runs.of("run_a");
        assert_eq!(living.ask(9), None);
        for other in 0..2 * RUNS_MAX {
            runs.of(&format!("run_{other}"));
        }
        assert!(Arc::ptr_eq(&living, &runs.of("run_a")));
        assert!(lock(&runs.runs).1.len() <= RUNS_MAX);
    }
}
