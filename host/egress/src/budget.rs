//! What one run may ask for and send: `requests` and `bytes-out` of the connection's limits.
use crate::{limits::RUNS_MAX, service::Failure, state::lock};
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
}

impl RunBudget {
    /// One more request was asked for. Refused ones count: a guest must not probe without end.
    pub fn ask(&self, connection: &str, requests_max: u64) -> Result<(), Failure> {
        if self.requests.fetch_add(1, Ordering::Relaxed) < requests_max {
            return Ok(());
        }
        let raised = requests_max.saturating_mul(2).to_string();
        Err(over(connection, "requests", &raised, &format!("{requests_max} requests a run")))
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
    use crate::Error;

    #[test]
    fn requests_end_at_the_limit_and_name_its_key() {
        let budget = RunBudget::default();
        assert!(budget.ask("billing", 2).is_ok());
        assert!(budget.ask("billing", 2).is_ok());
        let Error::Denied { denial, .. } = budget.ask("billing", 2).unwrap_err().error else {
            panic!("not denied")
        };
        assert!(denial.reason.contains("`requests`"), "{denial:?}");
        assert_eq!(denial.remedy.as_deref(), Some("[connections.billing.limits]\nrequests = 4"));
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
        living.ask("c", 9).unwrap();
        for other in 0..2 * RUNS_MAX {
            runs.of(&format!("run_{other}"));
        }
        assert!(Arc::ptr_eq(&living, &runs.of("run_a")));
        assert!(lock(&runs.runs).1.len() <= RUNS_MAX);
    }
}
