//! Row: a hundred good calls at once, alone and beside thirty guests that spin, grow, recurse, flood and wait. What the good
//! ones lose, how late the bad ones are ended, and what the process holds.

use crate::{
    idle::resident_bytes,
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
const ROUNDS: usize = 5;
const LIMITS: Limits = Limits {
    memory_bytes_max: 32 << 20,
    timeout: Duration::from_millis(1_000),
    cpu: Duration::from_millis(300),
    log_bytes_max: 16 << 10,
};

/// Measures, prints, and returns what is kept.
pub async fn measure(product: &Arc<Product>, server: &Server) -> anyhow::Result<Value> {
    println!("{GOOD} good calls at once, alone and beside {BAD} hostile guests; server takes 5 ms");
    let connection = product.connection(Way { logged: true, credential: true }, server.port)?;
    let good = Arc::new(Guest { product: product.clone(), connection, url: server.url(true), n: 1 });
    let (mut alone, mut beside, mut late, mut resident) = (Vec::new(), Vec::new(), Vec::new(), 0_f64);
    window(&good).await?;
    for _ in 0..ROUNDS {
        alone.extend(window(&good).await?);
        let hostile: Vec<_> = (0..BAD).map(|_| product.clone().with_limits(LIMITS)).collect();
        let bad: Vec<_> = hostile
            .iter()
            .enumerate()
            .map(|(n, hostile)| tokio::spawn(misbehave(hostile.clone(), n, Instant::now() + WINDOW)))
            .collect();
        beside.extend(window(&good).await?);
        resident = resident.max(resident_bytes()?);
        for bad in bad {
            late.extend(bad.await?);
        }
    }
    let (alone, beside) = (Spread::of(alone), Spread::of(beside));
    let late_max = late.iter().copied().fold(0.0, f64::max) / 1e3;
    println!("{:>40} {:>9} {:>9} {:>9}", "", "calls", "p50 ms", "p99 ms");
    for (name, spread) in [("alone", &alone), ("beside hostile guests", &beside)] {
        println!("{name:>40} {:9} {:9.1} {:9.1}", spread.count, spread.p50_us / 1e3, spread.p99_us / 1e3);
    }
    println!("{:>40} {:9.2}   aim ≤ 2", "p99, × alone", beside.p99_us / alone.p99_us);
    println!("{:>40} {late_max:9.1}   aim ≤ 100", format!("ended late at most, ms ({} calls)", late.len()));
    println!("{:>40} {:9.1} MiB\n", "resident at most", resident / 1_048_576.0);
    Ok(json!({
        "alone": alone.raw(), "beside": beside.raw(), "late_ms_max": late_max, "hostile_calls": late.len(),
        "resident_bytes": resident,
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
async fn misbehave(product: Arc<Product>, n: usize, end: Instant) -> Vec<f64> {
    const ACTS: [(&str, &str); 6] = [
        ("spin", "{}"),
        ("allocate", r#"{"bytes": 536870912}"#),
        ("recurse", "{}"),
        ("host-calls", r#"{"n": 900000}"#),
        ("log", r#"{"n": 100000, "size": 4000}"#),
        ("sleep", r#"{"ms": 60000}"#),
    ];
    let mut late = Vec::new();
    while Instant::now() < end {
        let (action, input) = ACTS[n % ACTS.len()];
        let input: Value = serde_json::from_str(input).unwrap_or_default();
        let began = Instant::now();
        // How it fails is the business of tests; here it only has to end.
        let _ended = product.call(None, invoke(action, &input)).await;
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

    fn raw(&self) -> Value {
        json!({ "calls": self.count, "p50_us": self.p50_us, "p99_us": self.p99_us })
    }
}
