//! What a guest that is refused again and again leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use crate::{
    Call, Error, Exchange, Outcome,
    limits::{
        DENIAL_REASON_BYTES_MAX, DENIAL_REMEDY_BYTES_MAX, OVER_REQUESTS_MAX, REFUSAL_ROWS_MAX,
        REFUSED_URL_BYTES_MAX, URL_BYTES_MAX,
    },
    testing::{Kit, SECRET, Server, reply, request, slot},
};
use portcullis_grants::Attributes;

fn kit(requests_max: u64) -> Kit {
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/**", Attributes::default())]);
    kit.settings.requests_max = requests_max;
    kit
}

/// A URL of so many bytes that no rule allows.
fn url(bytes: usize) -> String {
    let start = "https://other.test/";
    format!("{start}{}", "x".repeat(bytes - start.len()))
}

/// Asks `times` times, and gives the exchanges that the guest was told.
async fn refused(call: &Call, times: u64, url: &str) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..times {
        match call.send(request("GET", url)).await {
            Err(Error::Denied { exchange, .. }) => told.push(exchange),
            other => panic!("not denied: {other:?}"),
        }
    }
    told
}

fn reason(row: &Exchange) -> &str {
    let Outcome::Denied { reason, .. } = &row.outcome else { panic!("not denied: {row:?}") };
    reason
}

#[tokio::test]
async fn the_first_refusals_are_listed_and_one_row_tells_of_the_rest() {
    let kit = kit(100_000);
    let call = kit.call();
    let told = refused(&call, REFUSAL_ROWS_MAX + 40, &url(8_000)).await;
    assert_eq!(kit.rows().len() as u64, REFUSAL_ROWS_MAX);
    call.close().await;
    call.close().await;
    let rows = kit.rows();
    assert_eq!(rows.len() as u64, REFUSAL_ROWS_MAX + 1);
    assert!(reason(rows.last().unwrap()).starts_with("40 more requests"), "{:?}", rows.last());
    for exchange in told {
        assert!(rows.iter().any(|row| row.exchange_id == exchange), "an id that leads nowhere: {exchange}");
    }
}

#[tokio::test]
async fn a_run_has_one_list_for_all_its_calls() {
    let kit = kit(100_000);
    let connection = kit.egress.connection(kit.connection_settings()).unwrap();
    let (one, other) = (connection.call(kit.context()), connection.call(kit.context()));
    refused(&one, REFUSAL_ROWS_MAX, &url(100)).await;
    refused(&other, 3, &url(100)).await;
    one.close().await;
    assert_eq!(kit.rows().len() as u64, REFUSAL_ROWS_MAX);
    // Nobody closed the other: its row comes all the same.
    drop(other);
    tokio::task::yield_now().await;
    assert!(reason(kit.rows().last().unwrap()).starts_with("3 more requests"));
    // The twin: a call of another run is listed again.
    let next = connection.call(crate::CallContext { run_id: "run_2".to_owned(), ..kit.context() });
    refused(&next, 2, &url(100)).await;
    assert_eq!(kit.rows().len() as u64, REFUSAL_ROWS_MAX + 3);
}

#[tokio::test]
async fn what_a_guest_wrote_takes_little_of_a_row() {
    let kit = kit(100);
    let call = kit.call();
    for url in [url(100), url(8_000), url(URL_BYTES_MAX), url(1 << 20)] {
        refused(&call, 1, &url).await;
    }
    let rows = kit.rows();
    assert_eq!(rows[0].url, url(100));
    assert!(rows[1].url.starts_with("https://other.test/xx") && rows[1].url.ends_with('…'));
    for (row, (_, denial)) in rows.iter().zip(call.denials()) {
        let Outcome::Denied { reason, remedy } = &row.outcome else { panic!("not denied: {row:?}") };
        assert!(row.url.len() <= REFUSED_URL_BYTES_MAX && reason.len() <= DENIAL_REASON_BYTES_MAX);
        assert!(remedy.as_ref().is_none_or(|remedy| remedy.len() <= DENIAL_REMEDY_BYTES_MAX));
        assert_eq!((reason, remedy), (&denial.reason, &denial.remedy));
    }
}

#[tokio::test]
async fn what_is_shortened_was_masked_before() {
    let server = Server::tls("api.vendor.test", |_, _| reply(200, &[], "{}")).await;
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/**", slot("key"))]);
    kit.bearer("key", None);
    kit.reach("api.vendor.test", 443, &server);
    let call = kit.call();
    call.send(request("GET", "https://api.vendor.test/")).await.unwrap();
    // A vendor that got its key past the echo scan could have told the guest: wherever the cut falls, no part is shown.
    for bytes in (REFUSED_URL_BYTES_MAX - 60)..REFUSED_URL_BYTES_MAX {
        refused(&call, 1, &format!("{}{SECRET}/{}", url(bytes), "y".repeat(4_000))).await;
    }
    for row in &kit.rows()[1..] {
        assert!(!format!("{row:?}").contains(&SECRET[..8]), "{row:?}");
    }
    assert!(!format!("{:?}", call.denials()).contains(&SECRET[..8]));
}

#[tokio::test]
async fn a_guest_that_asks_on_over_its_limit_is_ended() {
    let kit = kit(2);
    let call = kit.call();
    refused(&call, 2, &url(100)).await;
    let first = refused(&call, 1, &url(16_000)).await;
    let (_, denial) = call.denials().pop().unwrap();
    assert!(denial.reason.contains("`requests`"), "{denial:?}");
    assert_eq!(denial.remedy.as_deref(), Some("[connections.billing.limits]\nrequests = 4"));
    refused(&call, OVER_REQUESTS_MAX - 1, &url(16_000)).await;
    assert_eq!(kit.rows().len(), 3);
    assert_eq!(kit.rows()[2].exchange_id, first[0]);
    for _ in 0..2 {
        let ended = call.send(request("GET", &url(16_000))).await;
        assert!(
            matches!(&ended, Err(Error::Exhausted { connection, requests_max: 2 }) if connection == "billing")
        );
    }
    call.close().await;
    assert_eq!(kit.rows().len(), 4);
    let expected = format!("{} more requests", OVER_REQUESTS_MAX + 1);
    assert!(reason(&kit.rows()[3]).starts_with(&expected), "{:?}", kit.rows()[3]);
}

#[tokio::test]
async fn the_first_over_the_limit_is_listed_however_many_were_refused_before() {
    let kit = kit(REFUSAL_ROWS_MAX + 5);
    let call = kit.call();
    refused(&call, REFUSAL_ROWS_MAX + 5, &url(100)).await;
    let first = refused(&call, 1, &url(100)).await;
    let row = kit.rows().pop().unwrap();
    assert_eq!(row.exchange_id, first[0]);
    assert!(reason(&row).contains("over the limit `requests`"), "{row:?}");
}
