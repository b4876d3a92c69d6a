//! `egress::ExchangeSink` over the store's exchange log.
use async_trait::async_trait;
use portcullis_egress::{Announced, Exchange, ExchangeSink, Outcome};
use portcullis_store::{AnnouncementRow, ExchangeLog, ExchangeRow};
use std::sync::Arc;

/// Hands exchanges to `exchanges.db`.
pub struct Sink {
    /// The log.
    pub log: Arc<ExchangeLog>,
    /// Who looks on. It gets what the log gets, masked as that is.
    pub beside: Option<Arc<dyn ExchangeSink>>,
}

#[async_trait]
impl ExchangeSink for Sink {
    async fn record(&self, exchange: Exchange) {
        if let Some(beside) = &self.beside {
            beside.record(exchange.clone()).await;
        }
        let mut exchange = exchange;
        if let Some(announced) = exchange.announced.take() {
            self.log.announce(announcement(&exchange, announced)).await;
        }
        self.log.record(row(exchange)).await;
    }

    fn whole_bytes_max(&self) -> Option<usize> {
        self.beside.as_ref()?.whole_bytes_max()
    }
}

fn announcement(exchange: &Exchange, announced: Announced) -> AnnouncementRow {
    let Announced { endpoint, rule, announcement } = announced;
    AnnouncementRow {
        connection_id: exchange.connection_id.clone(),
        connection: exchange.connection.clone(),
        method: exchange.method.clone(),
        endpoint,
        rule,
        deprecated: announcement.deprecated,
        deprecated_at: announcement.deprecated_at,
        sunset_at: announcement.sunset_at,
        link: announcement.link,
        first_seen: exchange.started_at,
        last_seen: exchange.started_at,
        exchange_id: exchange.exchange_id.clone(),
    }
}

fn row(exchange: Exchange) -> ExchangeRow {
    let (outcome, reason, detail, remedy) = match exchange.outcome {
        Outcome::Answered => ("answered", None, None, None),
        Outcome::Withheld => ("withheld", None, None, None),
        Outcome::Denied { reason, remedy } => ("denied", Some(reason), None, remedy),
        Outcome::Failed { kind, detail } => ("failed", Some(kind.to_owned()), Some(detail), None),
    };
    ExchangeRow {
        exchange_id: exchange.exchange_id,
        run_id: exchange.run_id,
        step: exchange.step,
        call: exchange.call,
        correlation_id: exchange.correlation_id,
        connection: exchange.connection,
        connection_id: exchange.connection_id,
        started_at: exchange.started_at,
        duration_us: exchange.duration_us,
        attempt: exchange.attempt,
        method: exchange.method,
        url: exchange.url,
        manifest_place: exchange.manifest_place,
        operator_place: exchange.operator_place,
        credential: exchange.credential,
        peer: exchange.peer,
        protocol: exchange.protocol,
        idempotency_key: exchange.idempotency_key,
        request_headers: exchange.request_headers,
        request_body: exchange.request_body,
        request_bytes: exchange.request_bytes,
        status: exchange.status,
        response_headers: exchange.response_headers,
        response_body: exchange.response_body,
        response_bytes: exchange.response_bytes,
        outcome: outcome.to_owned(),
        reason,
        detail,
        remedy,
        echoes: exchange.echoes,
        bodies_dropped: false,
    }
}
