//! Row: a hundred good calls at once, alone, beside thirty guests of all hostile kinds, and beside thirty of each kind. What the
//! good ones lose, how late the bad ones are ended, and what the process holds at most.

use crate::{
    idle::{forget_peak, peak_bytes},
    measure::{Work, micros},
    pipeline::Guest,
    product::{Product, Way, invoke},
    server::Server,
};
use portcullis_runtime::Limits;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

const GOOD: usize = 100;
const BAD: usize = 30;
const WINDOW: Duration = Duration::from_secs(3);
/// With all kinds at once.
const ROUNDS: usize = 5;
/// With one kind alone.
const ROUNDS_OF_A_KIND: usize = 2;
const LIMITS: Limits = Limits {
    memory_bytes_max: 32 << 20,
    timeout: Duration::from_millis(1_000),
    cpu: Duration::from_millis(300),
    log_bytes_max: 16 << 10,
};
/// Action and input of each kind.
const KINDS: [(&str, &str); 6] = [
    ("spin", "{}"),
    ("allocate", r#"{"bytes": 536870912}"#),
    ("recurse", "{}"),
    ("host-calls", r#"{"n": 900000}"#),
    ("log", r#"{"n": 100000, "size": 4000}"#),
    ("sleep", r#"{"ms": 60000}"#),
];

/// Measures, prints, and returns what is kept.
pub async fn measure(product: &Arc<Product>, server: &Server) -> anyhow::Result<Value> {
    println!("{GOOD} good calls at once, alone and beside {BAD} hostile guests; server takes 5 ms");
    let connection = product.connection(Way { logged: true, credential: true }, server.port)?;
    let good = Arc::new(Guest { product: product.clone(), connection, url: server.url(true), n: 1 });
    let held = (BAD as u64 * LIMITS.memory_bytes_max) >> 20;
    println!(
        "{:>20} {:>7} {:>7} {:>7} {:>9} {:>8} {:>6} {:>8}",
        "", "calls", "p50 ms", "p99 ms", "peak MiB", "x alone", "ends", "late ms"
    );
    window(&good).await?;
    let mut kept = vec![of_kinds("all kinds", &KINDS, ROUNDS, product, &good).await?];
    for kind in KINDS {
        kept.push(of_kinds(kind.0, &[kind], ROUNDS_OF_A_KIND, product, &good).await?);
    }
    println!(
        "aim: 2 x alone, 100 ms late, and {held} MiB ({BAD} limits) + 10 % more than alone, each at most\n"
    );
    Ok(Value::Array(kept))
}

/// Windows with and without thirty guests of these kinds, by turns.
async fn of_kinds(
    name: &str,
    kinds: &[(&'static str, &'static str)],
    rounds: usize,
    product: &Arc<Product>,
    good: &Arc<Guest>,
) -> anyhow::Result<Value> {
    let (mut alone, mut beside, mut late) = (Vec::new(), Vec::new(), Vec::new());
    let (mut alone_peak, mut beside_peak) = (0_f64, 0_f64);
    for _ in 0..rounds {
        forget_peak()?;
        alone.extend(window(good).await?);
        alone_peak = alone_peak.max(peak_bytes()?);
        forget_peak()?;
        let end = Instant::now() + WINDOW;
        let bad: Vec<_> = kinds
            .iter()
            .cycle()
            .take(BAD)
            .map(|kind| tokio::spawn(misbehave(product.clone().with_limits(LIMITS), *kind, end)))
            .collect();
        beside.extend(window(good).await?);
        for bad in bad {
            late.extend(bad.await?);
        }
        beside_peak = beside_peak.max(peak_bytes()?);
    }
    let (alone, beside) = (Spread::of(alone), Spread::of(beside));
    let late_max = late.iter().copied().fold(0.0, f64::max) / 1e3;
    let times = beside.p99_us / alone.p99_us;
    println!("{}", alone.row("alone", alone_peak));
    println!("{} {times:8.2} {:6} {late_max:8.1}", beside.row(name, beside_peak), late.len());
    Ok(json!({
        "kinds": name, "alone": alone.raw(), "beside": beside.raw(), "late_ms_max": late_max, "ends": late.len(),
        "alone_peak_bytes": alone_peak, "beside_peak_bytes": beside_peak,
    }))
}

/// Times of all good calls that began within the window.
async fn window(good: &Arc<Guest>) -> anyhow::Result<Vec<f64>> {
    let end = Instant::now() + WINDOW;
    let tasks: Vec<JoinHandle<anyhow::Result<Vec<f64>>>> = (0..GOOD)
        .map(|_| {
            let good = good.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let began = Instant::now();
                    good.once().await?;
                    times.push(micros(began.elapsed()));
                }
                Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(times)
}

/// One hostile call after another; how long after its deadline each ended.
async fn misbehave(product: Arc<Product>, kind: (&'static str, &'static str), end: Instant) -> Vec<f64> {
    let input: Value = serde_json::from_str(kind.1).unwrap_or_default();
    let mut late = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        // How it fails is the business of tests; here it only has to end.
        let _ended = product.call(None, invoke(kind.0, &input)).await;
        late.push(micros(began.elapsed().saturating_sub(LIMITS.timeout)));
    }
    late
}

struct Spread {
    count: usize,
    p50_us: f64,
    p99_us: f64,
}

impl Spread {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        Self { count: times.len(), p50_us: at(0.5), p99_us: at(0.99) }
    }

    fn row(&self, name: &str, peak_bytes: f64) -> String {
        let (p50, p99, peak) = (self.p50_us / 1e3, self.p99_us / 1e3, peak_bytes / 1_048_576.0);
        format!("{name:>20} {:7} {p50:7.1} {p99:7.1} {peak:9.1}", self.count)
    }

    fn raw(&self) -> Value {
        json!({ "calls": self.count, "p50_us": self.p50_us, "p99_us": self.p99_us })
    }
}
