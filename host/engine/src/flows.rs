//! Begins what schedules have come for, and goes on with runs of flows that wait and are due: of each flow a bounded number at a
//! time, those of one key in order. What waits is in the store alone.

use crate::{
    Engine, EngineError, Flow,
    limits::{DRAIN_TIME, FLOW_RUNS_AT_ONCE_MAX, REFUSED_WAIT, STORE_WAIT},
};
use portcullis_clock::{Clock, Timestamp};
use portcullis_store::{Store, StoreError};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

/// Looks for runs of flows that are due, and goes on with them.
pub struct FlowDispatcher {
    engine: watch::Receiver<Arc<Engine>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    woken: Arc<Notify>,
}

/// What one flow has under way.
#[derive(Default)]
struct Lane {
    under_way: HashSet<String>,
    /// Runs that broke off, and are to wait again.
    broken_off: Vec<String>,
}

/// How a run came back: false = something failed under it.
struct Back {
    flow: String,
    run_id: String,
    ended: bool,
}

impl FlowDispatcher {
    /// `woken` is told when a run was stored. The engine may change meanwhile: what is under way keeps its own.
    pub fn new(
        engine: watch::Receiver<Arc<Engine>>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        woken: Arc<Notify>,
    ) -> Self {
        Self { engine, store, clock, woken }
    }

    /// Goes on until `stop` turns true; then what is under way has `DRAIN_TIME`, and waits again.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
        let mut runs: JoinSet<Back> = JoinSet::new();
        let (cancel, cancelled) = watch::channel(false);
        let mut is_new = true;
        loop {
            let engine = self.engine.borrow_and_update().clone();
            let looked = self.look(&engine, is_new, &mut lanes, &mut runs, &cancelled).await;
            is_new = false;
            let pause = match looked {
                Ok(next) => next.map(|due| due.since(self.clock.now())),
                Err(error) => {
                    tracing::warn!(%error, "flows can't be looked at");
                    Some(STORE_WAIT)
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(joined) = runs.join_next() => back(joined, &mut lanes),
                () = self.woken.notified() => {}
                Ok(()) = self.engine.changed() => is_new = true,
                () = self.clock.sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
        tokio::select! {
            () = async { while runs.join_next().await.is_some() {} } => return,
            () = self.clock.sleep(DRAIN_TIME) => {}
        }
        cancel.send_replace(true);
        while runs.join_next().await.is_some() {}
    }

    /// Begins what there is to begin, and says when there will be more.
    async fn look(
        &self,
        engine: &Arc<Engine>,
        is_new: bool,
        lanes: &mut BTreeMap<String, Lane>,
        runs: &mut JoinSet<Back>,
        cancelled: &watch::Receiver<bool>,
    ) -> Result<Option<Timestamp>, StoreError> {
        if is_new {
            let scheduled = |flow: &&Flow| flow.triggers.schedule.is_some();
            let names: Vec<_> =
                engine.flows().values().filter(scheduled).map(|flow| flow.name.clone()).collect();
            self.store.retain_schedules(&names).await?;
        }
        for lane in lanes.values_mut() {
            while let Some(run_id) = lane.broken_off.last() {
                let due_at = self.clock.now().plus(REFUSED_WAIT);
                match self.store.put_flow_run_back(run_id, due_at, Some("a fault of the host")).await {
                    // It never was the process's, or was over already.
                    Ok(()) | Err(StoreError::Conflict { .. }) => lane.broken_off.pop(),
                    Err(error) => return Err(error),
                };
            }
        }
        let mut next: Option<Timestamp> = None;
        let mut earliest = |due: Option<Timestamp>| {
            next = [next, due].into_iter().flatten().min();
        };
        for flow in engine.flows().values() {
            earliest(engine.fire(flow).await?);
            let lane = lanes.entry(flow.name.clone()).or_default();
            self.fill(engine, flow, lane, runs, cancelled).await?;
            earliest(self.store.next_flow_run_due(&flow.name, self.clock.now()).await?);
        }
        Ok(next)
    }

    async fn fill(
        &self,
        engine: &Arc<Engine>,
        flow: &Flow,
        lane: &mut Lane,
        runs: &mut JoinSet<Back>,
        cancelled: &watch::Receiver<bool>,
    ) -> Result<(), StoreError> {
        let at_once = flow.concurrency as usize;
        if lane.under_way.len() >= at_once || runs.len() >= FLOW_RUNS_AT_ONCE_MAX {
            return Ok(());
        }
        // Those under way may be among them for a moment: they are not taken yet.
        let wanted = u32::try_from(at_once + lane.under_way.len()).unwrap_or(u32::MAX);
        for run_id in self.store.due_flow_runs(&flow.name, self.clock.now(), wanted).await? {
            if lane.under_way.len() >= at_once || runs.len() >= FLOW_RUNS_AT_ONCE_MAX {
                break;
            }
            if lane.under_way.insert(run_id.clone()) {
                runs.spawn(go_on(Arc::clone(engine), flow.name.clone(), run_id, cancelled.clone()));
            }
        }
        Ok(())
    }
}

async fn go_on(engine: Arc<Engine>, flow: String, run_id: String, cancelled: watch::Receiver<bool>) -> Back {
    let id = run_id.clone();
    // A task of its own: whatever becomes of it, its place is free again.
    let went = tokio::spawn(async move { engine.flow(&id, Some(&cancelled)).await });
    let ended = match went.await {
        // One of its key came before it, or it is somebody else's: it is looked for again.
        Ok(Ok(_) | Err(EngineError::Store(StoreError::Conflict { .. }))) => true,
        Ok(Err(error)) => {
            tracing::warn!(flow, run_id, %error, "a run of a flow broke off");
            false
        }
        Err(_) => {
            tracing::error!(flow, run_id, "a run of a flow broke off");
            false
        }
    };
    Back { flow, run_id, ended }
}

fn back(joined: Result<Back, tokio::task::JoinError>, lanes: &mut BTreeMap<String, Lane>) {
    let Ok(Back { flow, run_id, ended }) = joined else { return };
    let Some(lane) = lanes.get_mut(&flow) else { return };
    lane.under_way.remove(&run_id);
    if !ended {
        lane.broken_off.push(run_id);
    }
}

#[cfg(test)]
mod tests;
