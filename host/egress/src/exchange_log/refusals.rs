//! Refusals of one call that have no row of their own, and the one row that stands for all of them.
//!
//! A refusal costs a guest next to nothing. Without a bound it would buy rows, and the work behind each, for as
//! long as the call lives: only the first of a run are listed singly, the rest is counted. What the guest is told
//! is then the id of the row that gives the number, so that every id that was told leads somewhere.
use super::{Began, blank};
use crate::{
    Exchange, Outcome,
    limits::REFUSAL_ROWS_MAX,
    service::Failure,
    state::{CallState, lock},
};
use std::sync::{Arc, Mutex};

/// How many there are, and the row that will tell so.
#[derive(Default)]
pub(crate) struct Unlisted(Mutex<Option<(Began, u64)>>);

/// Refuses with the least of work.
pub(crate) fn refuse(call: &CallState) -> Failure {
    let mut failure = Failure::denied("one of the refusals that are not listed singly", None);
    count(call, &mut failure);
    failure
}

/// One more that has no row of its own.
pub(super) fn count(call: &CallState, failure: &mut Failure) {
    let mut unlisted = lock(&call.unlisted.0);
    let (began, count) = unlisted.get_or_insert_with(|| (Began::now(call), 0));
    *count += 1;
    failure.recorded = true;
    if let crate::Error::Denied { exchange, .. } = &mut failure.error {
        exchange.clone_from(&began.exchange_id);
    }
}

/// Writes the row for those so far.
pub(crate) async fn close(call: &CallState) {
    if let Some(row) = row(call) {
        call.egress().sink.record(row).await;
    }
}

/// The same for a call that nobody closed.
pub(crate) fn dropped(call: &CallState) {
    let Some(row) = row(call) else { return };
    // Without a runtime the process is ending.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let egress = Arc::clone(&call.connection.egress);
    runtime.spawn(async move { egress.sink.record(row).await });
}

fn row(call: &CallState) -> Option<Exchange> {
    let (began, count) = lock(&call.unlisted.0).take()?;
    let reason = format!(
        "{count} more requests of this call were refused; the first {REFUSAL_ROWS_MAX} refusals of a run are listed \
         singly, and the first over the limit `requests`"
    );
    Some(Exchange {
        url: format!("({count} more requests)"),
        outcome: Outcome::Denied { reason, remedy: None },
        ..blank(call, &began)
    })
}

#[cfg(test)]
mod tests;
