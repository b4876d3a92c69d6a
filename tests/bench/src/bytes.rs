//! Row 9: a large file down into the spool and up again as one part of a multipart body, by a guest, against `curl` to and
//! from a file and `sha256sum` of that file. `BYTES_MIB` says how large, 1,024 where nothing is said.

use crate::{
    measure::{cpu_time, cpu_time_of_children, median, micros},
    product::{Product, Way, done, invoke},
    server::{Kind, SECRET, Server},
};
use anyhow::{Context, ensure};
use portcullis_egress::CallContext;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

const ROUNDS: usize = 5;
const MIB: u64 = 1 << 20;
/// What memory is compared with.
const SMALL_MIB: u64 = 64;

/// Measures, prints, and returns what is kept.
pub async fn measure(product: &Arc<Product>, server: &Server, folder: &Path) -> anyhow::Result<Value> {
    let bytes = match std::env::var("BYTES_MIB") {
        Ok(mib) => mib.parse::<u64>().context("`BYTES_MIB` is no number")?,
        Err(_) => 1_024,
    } * MIB;
    let sides = Sides { product: product.clone(), port: server.port, file: folder.join("peer") };
    for program in ["curl", "sha256sum"] {
        ensure!(Command::new(program).arg("--version").output().is_ok(), "`{program}` is not installed");
    }
    println!(
        "{} MiB down into the spool, hashed and searched for the credential, and up as multipart; medians of {ROUNDS}",
        bytes / MIB
    );
    println!("{:>44} {:>9} {:>9}", "", "CPU s", "time s");
    let mut kept = Vec::new();
    for kind in Kind::ALL {
        kept.push(sides.turns(kind, bytes).await?);
    }
    let memory = sides.memory(bytes).await?;
    println!();
    Ok(json!({ "bytes": bytes, "kinds": kept, "peak_resident_bytes": memory }))
}

struct Sides {
    product: Arc<Product>,
    port: u16,
    file: PathBuf,
}

/// One piece of work: CPU time, and time.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

/// What was measured, each in every round.
const WORKS: [&str; 5] = ["product, down", "product, up", "curl, down", "curl, up", "sha256sum of the file"];

impl Sides {
    async fn turns(&self, kind: Kind, bytes: u64) -> anyhow::Result<Value> {
        let mut costs: [Vec<Cost>; WORKS.len()] = Default::default();
        for round in 0..ROUNDS {
            let (down, up, sha256) = self.guest(kind, bytes, round).await?;
            let (peer, peer_sha256) = self.peer(kind, bytes)?;
            ensure!(sha256 == peer_sha256, "the guest's file is another than the peer's");
            for (costs, cost) in costs.iter_mut().zip([down, up].into_iter().chain(peer)) {
                costs.push(cost);
            }
        }
        println!("{}", kind.name());
        let cpu = |work: usize| median(costs[work].iter().map(|cost| cost.cpu.as_secs_f64()).collect());
        for (work, name) in WORKS.iter().enumerate() {
            let wall = median(costs[work].iter().map(|cost| cost.wall.as_secs_f64()).collect());
            println!("{name:>44} {:9.2} {wall:9.2}", cpu(work));
        }
        let (down, up) = (cpu(0) / (cpu(2) + cpu(4)), cpu(1) / cpu(3));
        let both = (cpu(0) + cpu(1)) / (cpu(2) + cpu(3) + cpu(4));
        println!("{:>44} {down:9.2} × CPU", "down against curl and sha256sum");
        println!("{:>44} {up:9.2} × CPU", "up against curl");
        println!("{:>44} {both:9.2} × CPU   aim ≤ 1.3", "both against both");
        let raw = |costs: &Vec<Cost>| -> Value {
            costs
                .iter()
                .map(|cost| json!({ "cpu_us": micros(cost.cpu), "wall_us": micros(cost.wall) }))
                .collect()
        };
        let works: serde_json::Map<_, _> =
            WORKS.iter().zip(&costs).map(|(name, costs)| ((*name).to_owned(), raw(costs))).collect();
        Ok(json!({ "kind": kind.name(), "works": works }))
    }

    /// Down, and up what came down; with the hash that the guest was told. That the blob goes is a part of it.
    async fn guest(&self, kind: Kind, bytes: u64, round: usize) -> anyhow::Result<(Cost, Cost, String)> {
        let connection = self.product.connection(Way { logged: true, credential: true }, self.port)?;
        let spool = self.product.spool(u64::MAX);
        let call = |name: &str| {
            let call = format!("{}-{round}-{name}", kind.name());
            connection.call(CallContext { call, ..self.product.context() })
        };
        let began = Began::now()?;
        let order = invoke("download", &json!({ "url": self.url(kind, bytes) }));
        let kept = done(self.product.call_with(Some(call("down")), spool.clone(), order).await?)?;
        self.product.exchanges.flush().await;
        let down = began.ended()?;
        ensure!(kept["status"] == 200 && kept["size"] == bytes, "{kept}");
        let began = Began::now()?;
        let order = json!({ "method": "POST", "url": self.form(), "form": kept["blob"] });
        let sent = done(self.product.call_with(Some(call("up")), spool, invoke("send", &order)).await?)?;
        self.product.exchanges.flush().await;
        let up = began.ended()?;
        ensure!(sent["status"] == 200, "{sent}");
        Ok((down, up, kept["sha256"].as_str().unwrap_or_default().to_owned()))
    }

    /// Down, up, hash. That the file goes is a part of it, as it is for the guest.
    fn peer(&self, kind: Kind, bytes: u64) -> anyhow::Result<([Cost; 3], String)> {
        let authorization = format!("Authorization: Bearer {SECRET}");
        let curl = |arguments: &[&str]| {
            let fixed = ["--silent", "--show-error", "--fail", "--header", &authorization];
            run(Command::new("curl").args(fixed).args(arguments))
        };
        let file = self.file.to_str().context("the folder's name is not UTF-8")?;
        let began = Began::now()?;
        curl(&["--output", file, &self.url(kind, bytes)])?;
        let down = began.ended()?;
        let began = Began::now()?;
        let hashed = run(Command::new("sha256sum").arg(file))?;
        let hash = began.ended()?;
        let began = Began::now()?;
        // Without it, curl waits for a word of the server's that this one does not give.
        curl(&["--header", "Expect:", "--form", &format!("file=@{file}"), &self.form()])?;
        std::fs::remove_file(file)?;
        let up = began.ended()?;
        Ok(([down, up, hash], hashed.split(' ').next().unwrap_or_default().to_owned()))
    }

    /// The most that was resident while a small file went down and up, and a large one.
    async fn memory(&self, bytes: u64) -> anyhow::Result<Value> {
        let mut peaks = Vec::new();
        for bytes in [SMALL_MIB * MIB, bytes] {
            // `proc(5)`, `clear_refs`: the peak begins anew.
            std::fs::write("/proc/self/clear_refs", "5").context("the peak can't be reset")?;
            self.guest(Kind::Random, bytes, ROUNDS + peaks.len()).await?;
            let peak = peak_resident_kib()?;
            println!(
                "{:>44} {:9.1} MiB resident at most",
                format!("{} MiB, product", bytes / MIB),
                peak / 1024.0
            );
            peaks.push(json!({ "file_bytes": bytes, "resident_bytes": peak * 1024.0 }));
        }
        Ok(Value::Array(peaks))
    }

    fn url(&self, kind: Kind, bytes: u64) -> String {
        format!("http://127.0.0.1:{}/file/{}/{bytes}", self.port, kind.name())
    }

    fn form(&self) -> String {
        format!("http://127.0.0.1:{}/form", self.port)
    }
}

struct Began {
    cpu: Duration,
    at: Instant,
}

impl Began {
    fn now() -> anyhow::Result<Self> {
        Ok(Self { cpu: both()?, at: Instant::now() })
    }

    fn ended(self) -> anyhow::Result<Cost> {
        Ok(Cost { wall: self.at.elapsed(), cpu: both()?.saturating_sub(self.cpu) })
    }
}

/// This process and its children: the server, which lives, does not count.
fn both() -> anyhow::Result<Duration> {
    Ok(cpu_time()? + cpu_time_of_children()?)
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let ran = command.output().context("it does not start")?;
    ensure!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(String::from_utf8(ran.stdout)?)
}

fn peak_resident_kib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no `VmHWM`")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
