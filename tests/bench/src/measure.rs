//! A closed loop under a clock: so many tasks, each doing one unit of work after another until the window ends.

use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One unit of work.
#[async_trait::async_trait]
pub trait Work: Send + Sync + 'static {
    /// Requests (or whatever is counted) that one unit makes.
    fn units(&self) -> u64 {
        1
    }
    /// Does it.
    async fn once(&self) -> anyhow::Result<()>;
    /// Finishes what was put off, inside the CPU time that is measured and outside the wall time.
    async fn settle(&self) {}
}

/// One window.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Units a second.
    pub rate: f64,
    /// Median time of a unit; where one piece of work makes many, the median of their means.
    pub p50_us: f64,
    /// CPU time of this process for one unit.
    pub cpu_us: f64,
    /// How many.
    pub units: u64,
}

/// The same work in several windows.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What was measured.
    pub name: String,
    /// Tasks at once.
    pub concurrency: usize,
    samples: Vec<Sample>,
}

impl Cell {
    /// Nothing measured yet.
    pub fn new(name: impl Into<String>, concurrency: usize) -> Self {
        Self { name: name.into(), concurrency, samples: Vec::new() }
    }

    /// One more window.
    pub fn push(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Median over the windows.
    pub fn rate(&self) -> f64 {
        self.median(|sample| sample.rate)
    }

    /// Median over the windows.
    pub fn p50_us(&self) -> f64 {
        self.median(|sample| sample.p50_us)
    }

    /// Median over the windows.
    pub fn cpu_us(&self) -> f64 {
        self.median(|sample| sample.cpu_us)
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }

    /// Every window.
    pub fn raw(&self) -> Value {
        let samples = self.samples.iter().map(|sample| {
            json!({ "rate": sample.rate, "p50_us": sample.p50_us, "cpu_us": sample.cpu_us, "units": sample.units })
        });
        json!({ "name": self.name, "concurrency": self.concurrency, "windows": samples.collect::<Vec<_>>() })
    }
}

/// The middle one; of an even number the upper.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs `work` in `concurrency` tasks for `window`; what began within it is finished.
pub async fn window(work: &Arc<dyn Work>, concurrency: usize, window: Duration) -> anyhow::Result<Sample> {
    let (cpu, began) = (cpu_time()?, Instant::now());
    let end = began + window;
    let tasks: Vec<_> = (0..concurrency).map(|_| tokio::spawn(task(Arc::clone(work), end))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let wall = began.elapsed();
    work.settle().await;
    let cpu = cpu_time()?.saturating_sub(cpu);
    let units = times.len() as u64 * work.units();
    let times = times.iter().map(|time| micros(*time) / work.units() as f64).collect();
    Ok(Sample {
        rate: units as f64 / wall.as_secs_f64(),
        p50_us: median(times),
        cpu_us: micros(cpu) / units as f64,
        units,
    })
}

async fn task(work: Arc<dyn Work>, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(1 << 14);
    loop {
        let began = Instant::now();
        if began >= end && !times.is_empty() {
            return Ok(times);
        }
        work.once().await?;
        times.push(began.elapsed());
    }
}

/// Measures every work in turn, `rounds` times over, so that what else the machine does meets all of them alike.
pub async fn rounds(
    works: &[(String, Arc<dyn Work>)],
    concurrency: usize,
    each: Duration,
    rounds: usize,
) -> anyhow::Result<Vec<Cell>> {
    let mut cells: Vec<Cell> = works.iter().map(|(name, _)| Cell::new(name, concurrency)).collect();
    for (_, work) in works {
        window(work, concurrency, each / 4).await?;
    }
    for _ in 0..rounds {
        for (cell, (_, work)) in cells.iter_mut().zip(works) {
            cell.push(window(work, concurrency, each).await?);
        }
    }
    Ok(cells)
}

/// A duration in microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// User and system time of this process; children count nothing while they live.
pub fn cpu_time() -> anyhow::Result<Duration> {
    used_by(libc::RUSAGE_SELF)
}

/// User and system time of children that ended and were waited for.
pub fn cpu_time_of_children() -> anyhow::Result<Duration> {
    used_by(libc::RUSAGE_CHILDREN)
}

fn used_by(who: libc::c_int) -> anyhow::Result<Duration> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    #[expect(
        unsafe_code,
        reason = "the one call that tells the CPU time; it fills the structure it is given"
    )]
    let usage = unsafe {
        if libc::getrusage(who, usage.as_mut_ptr()) != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        usage.assume_init()
    };
    let time = |time: libc::timeval| {
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    Ok(time(usage.ru_utime) + time(usage.ru_stime))
}
