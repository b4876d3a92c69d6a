//! Hands over what waits: each connection's stored deliveries in the order in which they came, a bounded number at a time, without
//! holding any in memory that has no run. One connection that can't run, or is slow, holds up no other one.

use crate::{
    CallOptions, Engine, EngineError,
    limits::{DELIVERIES_AT_ONCE_MAX, DRAIN_TIME, REFUSED_WAIT, STORE_WAIT},
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

/// Looks for deliveries that wait, and has them handed over.
pub struct Dispatcher {
    engine: watch::Receiver<Arc<Engine>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    woken: Arc<Notify>,
}

/// What one connection has under way.
#[derive(Default)]
struct Lane {
    under_way: HashSet<String>,
    /// It could not run: it is left alone until then.
    refused_until: Option<Timestamp>,
    /// Deliveries whose run broke off, and is to be closed.
    broken_off: Vec<String>,
}

/// How a delivery came back: none = by a panic.
struct Back {
    connection: String,
    delivery_id: String,
    ended: Option<Result<(), EngineError>>,
}

impl Dispatcher {
    /// `woken` is told when a delivery was stored. The engine may change meanwhile: what is under way keeps its own.
    pub fn new(
        engine: watch::Receiver<Arc<Engine>>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        woken: Arc<Notify>,
    ) -> Self {
        Self { engine, store, clock, woken }
    }

    /// Goes on until `stop` turns true; then what is under way has `DRAIN_TIME`, and is cancelled and waits again. `connections` may
    /// change meanwhile: whose deliveries are handed over.
    pub async fn run(&self, mut connections: watch::Receiver<Vec<String>>, mut stop: watch::Receiver<bool>) {
        let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
        let mut runs: JoinSet<Back> = JoinSet::new();
        let (cancel, cancelled) = watch::channel(false);
        loop {
            let names = connections.borrow_and_update().clone();
            let pause = match self.fill(&names, &mut lanes, &mut runs, &cancelled).await {
                Ok(next) => next.map(|due| due.since(self.clock.now())),
                Err(error) => {
                    tracing::warn!(%error, "what waits can't be looked at");
                    Some(STORE_WAIT)
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(joined) = runs.join_next() => self.back(joined, &mut lanes),
                () = self.woken.notified() => {}
                Ok(()) = connections.changed() => {}
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

    /// Begins runs where there is room, and says when there will be something to begin that is not due yet.
    async fn fill(
        &self,
        connections: &[String],
        lanes: &mut BTreeMap<String, Lane>,
        runs: &mut JoinSet<Back>,
        cancelled: &watch::Receiver<bool>,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut next: Option<Timestamp> = None;
        for connection in connections {
            let lane = lanes.entry(connection.clone()).or_default();
            let now = self.clock.now();
            while let Some(delivery_id) = lane.broken_off.last() {
                self.store.close_broken_off(delivery_id, now).await?;
                lane.broken_off.pop();
            }
            if let Some(until) = lane.refused_until.filter(|until| *until > now) {
                next = Some(next.map_or(until, |next| next.min(until)));
                continue;
            }
            if lane.under_way.len() >= DELIVERIES_AT_ONCE_MAX {
                continue;
            }
            // Those under way may be among them for a moment: their runs are not stored yet.
            let wanted = u32::try_from(DELIVERIES_AT_ONCE_MAX + lane.under_way.len()).unwrap_or(u32::MAX);
            for delivery_id in self.store.due_deliveries(connection, now, wanted).await? {
                if lane.under_way.len() >= DELIVERIES_AT_ONCE_MAX {
                    break;
                }
                if lane.under_way.insert(delivery_id.clone()) {
                    runs.spawn(self.hand_over(connection.clone(), delivery_id, cancelled.clone()));
                }
            }
            // What is due already, and was not begun, is looked for again when one of those under way comes back.
            let later = self.store.next_delivery_due(connection).await?.filter(|due| *due > now);
            if let Some(due) = later {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        Ok(next)
    }

    fn hand_over(
        &self,
        connection: String,
        delivery_id: String,
        cancelled: watch::Receiver<bool>,
    ) -> impl Future<Output = Back> + Send + 'static {
        let engine = Arc::clone(&self.engine.borrow());
        async move {
            let options = CallOptions { cancelled: Some(cancelled), ..CallOptions::default() };
            let id = delivery_id.clone();
            // A task of its own: whatever becomes of it, its place is free again.
            let handed = tokio::spawn(async move { engine.hand_over(&id, options).await.map(drop) });
            Back { connection, delivery_id, ended: handed.await.ok() }
        }
    }

    /// A delivery that could not be handed over at all waits where it is, and so do its connection's others for a while.
    fn back(&self, joined: Result<Back, tokio::task::JoinError>, lanes: &mut BTreeMap<String, Lane>) {
        let Ok(Back { connection, delivery_id, ended }) = joined else { return };
        let Some(lane) = lanes.get_mut(&connection) else { return };
        lane.under_way.remove(&delivery_id);
        let broke_off = match ended {
            Some(Ok(()) | Err(EngineError::Cancelled(_))) => {
                lane.refused_until = None;
                return;
            }
            Some(Err(error)) => {
                tracing::warn!(connection, delivery_id, %error, "a delivery could not be handed over");
                // Of a commit whose answer was lost nobody knows whether it happened.
                matches!(error, EngineError::LeftOpen { .. } | EngineError::Store(_))
            }
            None => {
                tracing::error!(connection, delivery_id, "a delivery's run broke off");
                true
            }
        };
        if broke_off {
            lane.broken_off.push(delivery_id);
        }
        lane.refused_until = Some(self.clock.now().plus(REFUSED_WAIT));
    }
}

#[cfg(test)]
mod tests;
