//! `egress::Intents` over the store: what is about to leave is durable before it leaves.
use async_trait::async_trait;
use portcullis_clock::Clock;
use portcullis_egress::{Intent, IntentEnd, IntentError, Intents, Prior};
use portcullis_store::{IntentKey, NewIntent, PriorIntent, Store, StoreError};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Intents whose first moment is remembered; the oldest are forgotten, and have their age by the wall clock then.
const FIRST_MOMENTS_MAX: usize = 4096;

/// Intents and audit rows in `state.db`.
pub struct StoredIntents {
    store: Arc<dyn Store>,
    /// Stamps the rows.
    clock: Arc<dyn Clock>,
    /// When this process first stored an intent, in monotonic time: a wall clock that is set back makes no key younger.
    first: Mutex<VecDeque<(IntentKey, Duration)>>,
}

impl StoredIntents {
    /// Over this store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, first: Mutex::default() }
    }

    fn remember(&self, key: IntentKey, at: Duration) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.len() >= FIRST_MOMENTS_MAX {
            first.pop_front();
        }
        first.push_back((key, at));
    }

    /// How long ago this process first stored it; zero where another one did.
    fn age_here(&self, key: &IntentKey) -> Duration {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = first.iter().rev().find(|(known, _)| known == key);
        stored.map_or(Duration::ZERO, |(_, at)| self.clock.monotonic().saturating_sub(*at))
    }
}

#[async_trait]
impl Intents for StoredIntents {
    async fn begin(&self, intent: Intent) -> Result<Prior, IntentError> {
        let key = IntentKey {
            run_id: intent.run_id,
            step: intent.step,
            call: intent.call,
            ordinal: intent.ordinal,
        };
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        let new = NewIntent {
            key: key.clone(),
            method: intent.method,
            url: intent.url,
            request_hash: intent.request_hash,
            idempotency_key: intent.key,
            repeatable: intent.repeatable,
            started_at: now,
        };
        match self.store.begin_intent(new).await.map_err(not_stored)? {
            PriorIntent::New => {
                self.remember(key, at);
                Ok(Prior::New)
            }
            PriorIntent::Same { idempotency_key, started_at, refused } => {
                let age = now.since(started_at).max(self.age_here(&key));
                Ok(Prior::Same { key: idempotency_key, age, refused })
            }
            PriorIntent::Different => Ok(Prior::Different),
        }
    }

    async fn end(
        &self,
        run_id: &str,
        step: &str,
        call: &str,
        ordinal: u32,
        end: IntentEnd,
    ) -> Result<(), IntentError> {
        let key =
            IntentKey { run_id: run_id.to_owned(), step: step.to_owned(), call: call.to_owned(), ordinal };
        let IntentEnd { proven, refused, outcome } = end;
        let end = portcullis_store::IntentEnd { proven, refused, outcome };
        self.store.end_intent(key, end, self.clock.now()).await.map_err(not_stored)
    }

    async fn secret_use(
        &self,
        run_id: &str,
        step: &str,
        credential: &str,
        rule: &str,
    ) -> Result<(), IntentError> {
        self.store
            .record_secret_use(run_id, step, credential, rule, self.clock.now())
            .await
            .map_err(not_stored)
    }
}

fn not_stored(error: StoreError) -> IntentError {
    IntentError(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use portcullis_clock::{SeededClock, SeededRandom, Timestamp};
    use portcullis_store::{DataLock, NewAttempt, NewRun, RunKind, SqliteStore};

    fn intent() -> Intent {
        Intent {
            run_id: "run_1".to_owned(),
            step: "s".to_owned(),
            call: "0".to_owned(),
            ordinal: 0,
            method: "POST".to_owned(),
            url: "https://api.example/v1/things".to_owned(),
            request_hash: "h".to_owned(),
            key: Some("k".to_owned()),
            repeatable: true,
        }
    }

    async fn begin_run(store: &dyn Store) {
        let text = || "x".to_owned();
        let at = Timestamp::from_millis(1);
        let run = NewRun {
            run_id: "run_1".to_owned(),
            kind: RunKind::Call,
            connection: text(),
            connection_id: text(),
            connector: text(),
            version: text(),
            digest: text(),
            correlation_id: text(),
            subject: text(),
            input: None,
            parent: None,
            started_at: at,
        };
        let (run_id, step, call) = ("run_1".to_owned(), "s".to_owned(), "0".to_owned());
        store.begin_run(run, NewAttempt { run_id, step, call, attempt: 1, started_at: at }).await.unwrap();
    }

    async fn age(intents: &StoredIntents) -> Duration {
        let prior = intents.begin(intent()).await.unwrap();
        let Prior::Same { age, refused: false, .. } = prior else { panic!("{prior:?}") };
        age
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_intent_is_as_old_as_its_first_time_whatever_the_wall_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let clock = SeededClock::default();
        let lock = Arc::new(DataLock::acquire(folder.path(), Duration::ZERO, &clock).await.unwrap());
        let ticking: Arc<dyn Clock> = Arc::new(clock.clone());
        let store = SqliteStore::open(lock, ticking.clone(), Arc::new(SeededRandom::new(1))).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        begin_run(&*store).await;
        let intents = StoredIntents::new(store.clone(), ticking.clone());
        let start = clock.now();
        assert_eq!(intents.begin(intent()).await.unwrap(), Prior::New);
        clock.advance(Duration::from_secs(60));
        assert_eq!(age(&intents).await, Duration::from_secs(60));
        clock.advance(Duration::from_secs(60));
        clock.set_wall(start);
        assert_eq!(
            age(&intents).await,
            Duration::from_secs(120),
            "not from the second time, not by the wall"
        );
        // After a restart the wall clock alone is left to ask.
        clock.set_wall(start.plus(Duration::from_secs(3600)));
        assert_eq!(age(&StoredIntents::new(store, ticking)).await, Duration::from_secs(3600));
    }
}
