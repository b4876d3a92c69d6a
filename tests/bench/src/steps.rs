//! What opening a step costs: the rows that are committed before and after its requests, by themselves.

use crate::{
    measure::{self, Work},
    product::{CREDENTIAL, Product, STEP, first_attempt, new_run},
    report::Report,
};
use portcullis_clock::{Clock, RealClock, RealRandom, new_id};
use portcullis_store::{IntentEnd, IntentKey, NewIntent, Outcome, RunEnd, Store};
use std::{sync::Arc, time::Duration};

const WINDOW: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;

/// Measures and prints.
pub async fn measure(product: &Arc<Product>, report: &mut Report) -> anyhow::Result<()> {
    for concurrency in [1, 64] {
        let step = |intent| -> Arc<dyn Work> { Arc::new(Step { store: product.store.clone(), intent }) };
        let works = [
            ("run, step, attempt and audit rows".to_owned(), step(false)),
            ("the same with one intent".to_owned(), step(true)),
        ];
        let cells = measure::rounds(&works, concurrency, WINDOW, ROUNDS).await?;
        report.steps(&cells);
    }
    Ok(())
}

struct Step {
    store: Arc<dyn Store>,
    intent: bool,
}

#[async_trait::async_trait]
impl Work for Step {
    async fn once(&self) -> anyhow::Result<()> {
        let run_id = new_id("run", &RealClock, &RealRandom);
        self.store.begin_run(new_run(&run_id), first_attempt(&run_id)).await?;
        self.store.record_secret_use(&run_id, STEP, CREDENTIAL, "http[0].allow[0]", RealClock.now()).await?;
        if self.intent {
            let key =
                IntentKey { run_id: run_id.clone(), step: STEP.to_owned(), call: "0".to_owned(), ordinal: 0 };
            let intent = NewIntent {
                key: key.clone(),
                method: "POST".to_owned(),
                url: "http://127.0.0.1/fast".to_owned(),
                request_hash: "0".repeat(64),
                idempotency_key: Some("0".repeat(64)),
                repeatable: true,
                started_at: RealClock.now(),
            };
            self.store.begin_intent(intent).await?;
            let end = IntentEnd { proven: true, refused: false, outcome: "status 200".to_owned() };
            self.store.end_intent(key, end, RealClock.now()).await?;
        }
        let end = RunEnd {
            outcome: Outcome::Succeeded,
            suspicious: false,
            reason: None,
            error_kind: None,
            detail: None,
            output: Some("{}".to_owned()),
            retry_at: None,
            requests: 1,
            delivery: None,
            ended_at: RealClock.now(),
        };
        self.store.end_run(&run_id, end).await?;
        Ok(())
    }
}
