//! Row 1: guest → host → loopback server through the whole pipeline, against the same loop in native reqwest.

use crate::{
    measure::{self, Work},
    native::Native,
    pipeline::{Guest, MANY, Pipeline},
    product::{Product, Way},
    report::Report,
    server::Server,
};
use std::{sync::Arc, time::Duration};

/// Tasks at once, and whether the server takes its time.
const SETTINGS: [(usize, bool); 4] = [(1, false), (8, false), (64, false), (64, true)];
const ROUNDS: usize = 5;

/// Measures and prints.
pub async fn measure(product: &Arc<Product>, server: &Server, report: &mut Report) -> anyhow::Result<()> {
    report.requests_title();
    for (concurrency, slow) in SETTINGS {
        let url = server.url(slow);
        let connection = product.connection(Way { logged: true, credential: true }, server.port)?;
        let guest = |n| {
            let (product, connection, url) = (product.clone(), connection.clone(), url.clone());
            Arc::new(Guest { product, connection, url, n })
        };
        let pipeline =
            Pipeline { product: product.clone(), connection: connection.clone(), url: url.clone() };
        let works: [(String, Arc<dyn Work>); 4] = [
            ("native reqwest".to_owned(), Arc::new(Native::new(url.clone())?)),
            ("egress, no guest".to_owned(), Arc::new(pipeline)),
            ("guest, 100 requests an instance".to_owned(), guest(MANY)),
            ("guest, a fresh instance each".to_owned(), guest(1)),
        ];
        // Long enough for a call of 100 slow requests to be a part of the window.
        let window = Duration::from_millis(if slow { 1_000 } else { 500 });
        let cells = measure::rounds(&works, concurrency, window, ROUNDS).await?;
        report.requests(concurrency, slow, &cells);
    }
    report.aims();
    Ok(())
}
