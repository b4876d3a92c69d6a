//! `egress::Intents` over the store: what is about to leave is durable before it leaves.
use async_trait::async_trait;
use portcullis_clock::Clock;
use portcullis_egress::{Intent, IntentError, Intents, Prior};
use portcullis_store::{IntentKey, NewIntent, PriorIntent, Store, StoreError};
use std::sync::Arc;

/// Intents and audit rows in `state.db`.
pub struct StoredIntents {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Stamps the rows.
    pub clock: Arc<dyn Clock>,
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
        let new = NewIntent {
            key,
            method: intent.method,
            url: intent.url,
            request_hash: intent.request_hash,
            idempotency_key: intent.key,
            repeatable: intent.repeatable,
            started_at: self.clock.now(),
        };
        match self.store.begin_intent(new).await.map_err(not_stored)? {
            PriorIntent::New => Ok(Prior::New),
            PriorIntent::Same { idempotency_key } => Ok(Prior::Same { key: idempotency_key }),
            PriorIntent::Different => Ok(Prior::Different),
        }
    }

    async fn end(
        &self,
        run_id: &str,
        step: &str,
        call: &str,
        ordinal: u32,
        proven: bool,
        outcome: &str,
    ) -> Result<(), IntentError> {
        let key =
            IntentKey { run_id: run_id.to_owned(), step: step.to_owned(), call: call.to_owned(), ordinal };
        self.store.end_intent(key, proven, outcome, self.clock.now()).await.map_err(not_stored)
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
