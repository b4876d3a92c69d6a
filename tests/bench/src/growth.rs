//! Row 8: how the price grows with calls at once, rules, bodies and stored exchanges. Each curve is drawn, and named by the
//! slope of its logarithms: constant, sublinear or linear.

use crate::{
    measure::{self, Work},
    pipeline::Guest,
    plot::{Curve, draw},
    product::{Product, Way, exchange_row},
    server::Server,
};
use anyhow::{Context, ensure};
use portcullis_clock::RealClock;
use portcullis_egress::Request;
use portcullis_grants::{Attributes, Grants, ManifestRule, OperatorRules};
use portcullis_store::{DataLock, ExchangeFilter, ExchangeLog, ExchangeReader, Retention};
use serde_json::{Value, json};
use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;

/// Measures, prints, draws into `plots`, and returns what is kept.
pub async fn measure(
    product: &Arc<Product>,
    server: &Server,
    folder: &Path,
    plots: &Path,
) -> anyhow::Result<Value> {
    std::fs::create_dir_all(plots)?;
    println!("Growth: the slope of the logarithms, over the last half of the points");
    let curves =
        [calls(product, server).await?, rules()?, bodies(product, server).await?, exchanges(folder).await?];
    for curve in &curves {
        let ends = curve.points.first().zip(curve.points.last()).context("no points")?;
        println!(
            "{:>40} {:>8} → {:<8} {:10.2} → {:<10.2} {} slope {:+.2}: {}",
            curve.name,
            ends.0.0,
            ends.1.0,
            ends.0.1,
            ends.1.1,
            curve.unit,
            curve.slope(),
            curve.class(),
        );
        draw(curve, &plots.join(format!("{}.svg", curve.file)))?;
    }
    println!();
    Ok(curves.iter().map(|curve| json!({ "name": curve.name, "points": curve.points })).collect())
}

/// CPU of one request, the more of them at once.
async fn calls(product: &Arc<Product>, server: &Server) -> anyhow::Result<Curve> {
    let connection = product.connection(Way { logged: true, credential: true }, server.port)?;
    let guest = Guest { product: product.clone(), connection, url: server.url(true), n: 1 };
    let works: [(String, Arc<dyn Work>); 1] = [("guest".to_owned(), Arc::new(guest))];
    let mut points = Vec::new();
    for concurrency in [1, 2, 4, 8, 16, 32, 64] {
        let cells = measure::rounds(&works, concurrency, WINDOW, ROUNDS).await?;
        points.push((concurrency as f64, cells.first().map_or(f64::NAN, measure::Cell::cpu_us)));
    }
    Ok(Curve {
        file: "calls",
        name: "CPU a request by calls at once",
        across: "calls at once, server takes 5 ms",
        unit: "µs",
        points,
    })
}

/// Time to decide, the more rules there are; the one that matches is the last.
fn rules() -> anyhow::Result<Curve> {
    let mut points = Vec::new();
    for count in [1, 10, 100, 1_000, 10_000] {
        let rules = (0..count).map(|n| {
            Ok(ManifestRule {
                place: format!("http[0].allow[{n}]"),
                rule: format!("GET https://api{n}.vendor.example/v1/customers/**").parse()?,
                attributes: Attributes::default(),
                why: "the bench".to_owned(),
            })
        });
        let grants = Grants::new(rules.collect::<anyhow::Result<_>>()?, OperatorRules::Requested)?;
        let url = format!("https://api{}.vendor.example/v1/customers/cus_1", count - 1);
        let rounds = (200_000 / count).max(50);
        let times = (0..ROUNDS).map(|_| {
            let began = Instant::now();
            for _ in 0..rounds {
                black_box(grants.authorize_tersely("GET", black_box(&url), None, None).is_ok());
            }
            measure::micros(began.elapsed()) / rounds as f64
        });
        points.push((count as f64, measure::median(times.collect())));
    }
    Ok(Curve {
        file: "rules",
        name: "time to decide by rules",
        across: "rules of the connection",
        unit: "µs",
        points,
    })
}

/// CPU of one request by the size of its answer, credential looked for in all of it.
async fn bodies(product: &Arc<Product>, server: &Server) -> anyhow::Result<Curve> {
    let connection = product.connection(Way { logged: true, credential: true }, server.port)?;
    let mut points = Vec::new();
    for kib in [1_u64, 4, 16, 64, 256, 1_024, 4_096, 8_191] {
        let url = format!("{}{}", server.url(false).replace("/fast", "/bytes/"), kib << 10);
        let work = Body { product: product.clone(), connection: connection.clone(), url, bytes: kib << 10 };
        let works: [(String, Arc<dyn Work>); 1] = [("body".to_owned(), Arc::new(work))];
        let cells = measure::rounds(&works, 1, WINDOW, ROUNDS).await?;
        points.push((kib as f64, cells.first().map_or(f64::NAN, measure::Cell::cpu_us)));
    }
    Ok(Curve {
        file: "bodies",
        name: "CPU a request by body",
        across: "KiB of the answer",
        unit: "µs",
        points,
    })
}

struct Body {
    product: Arc<Product>,
    connection: Arc<portcullis_egress::Connection>,
    url: String,
    bytes: u64,
}

#[async_trait::async_trait]
impl Work for Body {
    async fn once(&self) -> anyhow::Result<()> {
        let call = self.connection.call(self.product.context());
        let request = Request { method: "GET".to_owned(), url: self.url.clone(), ..Request::default() };
        let response = call.send(request).await?;
        ensure!(response.body.len() as u64 == self.bytes, "{} bytes", response.body.len());
        Ok(())
    }

    async fn settle(&self) {
        self.product.exchanges.flush().await;
    }
}

/// What `logs` waits for: the newest 50 of one run, the more exchanges are stored.
async fn exchanges(folder: &Path) -> anyhow::Result<Curve> {
    let data = folder.join("growth");
    let lock = Arc::new(DataLock::acquire(&data, Duration::ZERO, &RealClock).await?);
    let log = ExchangeLog::open(
        lock,
        Arc::new(RealClock),
        Retention { age: Duration::MAX, ..Retention::EXCHANGES },
    )?;
    let (mut stored, mut points) = (0_u64, Vec::new());
    for count in [1_000_u64, 10_000, 100_000, 1_000_000] {
        while stored < count {
            // A run of a hundred requests, on one of ten connections: no connection keeps more than 200,000.
            log.record(exchange_row(stored, stored / 100, stored / 100 % 10)).await;
            stored += 1;
        }
        log.flush().await;
        let reader = ExchangeReader::open(&data)?.context("no exchanges")?;
        let run = stored / 200;
        let filter =
            ExchangeFilter { run_id: Some(format!("run_{run:020}")), limit: 50, ..ExchangeFilter::default() };
        let times = (0..21)
            .map(|_| {
                let began = Instant::now();
                let found = reader.exchanges(&filter)?.len();
                ensure!(found == 50, "{found} exchanges of run {run}");
                Ok(measure::micros(began.elapsed()))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        points.push((count as f64, measure::median(times)));
    }
    Ok(Curve {
        file: "exchanges",
        name: "50 exchanges of a run by stored ones",
        across: "exchanges stored",
        unit: "µs",
        points,
    })
}
