//! What is printed, and what is kept. Every figure stands beside the peer's of the same run.

use crate::measure::Cell;
use portcullis_clock::{Clock, RealClock};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The report of one run.
pub struct Report {
    kept: Map<String, Value>,
    settings: Vec<Setting>,
}

/// One setting of row 1: native first, then 100 requests an instance, then one.
struct Setting {
    concurrency: usize,
    slow: bool,
    cells: Vec<Cell>,
}

const NATIVE: usize = 0;
const MANY: usize = 2;
const FRESH: usize = 3;

impl Report {
    /// Prints what the figures are and are not.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let (kernel, load) = (kernel.trim(), load.split(' ').next().unwrap_or_default());
        println!("portcullis bench: {cores} cores, Linux {kernel}, load {load} at the start");
        println!(
            "Medians of windows that took turns. CPU time is this process's: the server is another one.\n"
        );
        let mut kept = Map::new();
        kept.insert("at".to_owned(), json!(RealClock.now().to_string()));
        kept.insert("machine".to_owned(), json!({ "cores": cores, "kernel": kernel, "load": load }));
        kept.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        Self { kept, settings: Vec::new() }
    }

    /// Row 2.
    pub fn instances(&mut self, cells: &[Cell], scan: bool) {
        let available = if scan { "available" } else { "not available" };
        println!("Instantiate + call + drop, one after another; pagemap scan: {available}");
        println!("{:>40} {:>9} {:>9} {:>9}", "", "p50 µs", "CPU µs", "× bare");
        let bare = cells.first().map_or(f64::NAN, Cell::p50_us);
        for cell in cells {
            println!(
                "{:>40} {:9.1} {:9.1} {:9.2}",
                cell.name,
                cell.p50_us(),
                cell.cpu_us(),
                cell.p50_us() / bare
            );
        }
        println!("{:>40} {:>9} {:>9} {:>9}", "aim", if scan { "≤ 10" } else { "" }, "", "≤ 1.20");
        println!(
            "The peer has no limits and keeps no time: the second row shows what any host of foreign code pays.\n"
        );
        self.keep_cells("instances", cells);
        self.kept.insert("pagemap_scan".to_owned(), json!(scan));
    }

    /// Row 3: each second row against the one before it.
    pub fn records(&mut self, cells: &[Cell], record_bytes: usize) {
        println!("Records of {record_bytes} bytes: parsed into types, written as lines, checked and counted");
        println!("{:>40} {:>20} {:>9}", "", "records/CPU-second", "share");
        let mut native = f64::NAN;
        for (at, cell) in cells.iter().enumerate() {
            let rate = 1e6 / cell.cpu_us();
            if at % 2 == 0 {
                native = rate;
            }
            println!("{:>40} {rate:20.0} {:8.0}%", cell.name, 100.0 * rate / native);
        }
        println!("{:>40} {:>20}\n", "aim, typed; validated", "≥ 400000; ≥ 250000");
        self.keep_cells("records", cells);
    }

    /// Row 1, before its settings.
    pub fn requests_title(&self) {
        println!(
            "Guest → host → loopback server, 1 KiB answers: credential, echo scan, exchange log; peer: native reqwest"
        );
        println!("The peer is a floor and no equal: it decides nothing, scans nothing and keeps no record.");
        println!("Rows of 100 requests (and egress alone) show p50 as the median of the calls' means.");
        println!(
            "{:>40} {:>11} {:>8} {:>8} {:>9} {:>9} {:>7}",
            "", "requests/s", "p50 µs", "CPU µs", "Δp50 µs", "ΔCPU µs", "× time"
        );
    }

    /// Row 1, one setting.
    pub fn requests(&mut self, concurrency: usize, slow: bool, cells: &[Cell]) {
        println!("concurrency {concurrency}, server answers {}", if slow { "after 5 ms" } else { "at once" });
        let Some(native) = cells.first() else { return };
        for cell in cells {
            println!(
                "{:>40} {:11.0} {:8.1} {:8.1} {:+9.1} {:+9.1} {:7.2}",
                cell.name,
                cell.rate(),
                cell.p50_us(),
                cell.cpu_us(),
                cell.p50_us() - native.p50_us(),
                cell.cpu_us() - native.cpu_us(),
                native.rate() / cell.rate(),
            );
        }
        self.keep_cells(&format!("requests-{concurrency}{}", if slow { "-slow" } else { "" }), cells);
        self.settings.push(Setting { concurrency, slow, cells: cells.to_vec() });
    }

    /// Row 1 against its aims, which bind later.
    pub fn aims(&mut self) {
        println!("Against the aims");
        for setting in &self.settings {
            let [native, many, fresh] = [NATIVE, MANY, FRESH].map(|at| &setting.cells[at]);
            let (at, slow) = (setting.concurrency, if setting.slow { ", 5 ms" } else { "" });
            if !setting.slow {
                aim(&format!("CPU, 100 an instance, at {at}"), many.cpu_us() - native.cpu_us(), "≤ +12 µs");
                aim(&format!("CPU, fresh instance, at {at}"), fresh.cpu_us() - native.cpu_us(), "≤ +25 µs");
            }
            if at == 1 {
                aim("p50, 100 an instance, at 1", many.p50_us() - native.p50_us(), "≤ +40 µs");
                aim("p50, fresh instance, at 1", fresh.p50_us() - native.p50_us(), "≤ +40 µs");
            }
            if setting.slow {
                aim(
                    &format!("× time, 100 an instance, at {at}{slow}"),
                    native.rate() / many.rate(),
                    "≤ 1.15",
                );
                aim(
                    &format!("× time, fresh instance, at {at}{slow}"),
                    native.rate() / fresh.rate(),
                    "≤ 1.15",
                );
            }
        }
        println!();
    }

    /// What dominates.
    pub fn layers(&mut self, stack: &[Cell], pieces: &[Cell]) {
        let concurrency = stack.first().map_or(0, |cell| cell.concurrency);
        println!("What dominates: CPU of one request, one layer more each time, concurrency {concurrency}");
        println!("{:>54} {:>8} {:>8} {:>6}", "", "CPU µs", "more", "share");
        let (first, last) = (stack.first(), stack.last());
        let whole = last.map_or(f64::NAN, Cell::cpu_us) - first.map_or(f64::NAN, Cell::cpu_us);
        let mut before = None;
        for cell in stack {
            let (now, more) = (cell.cpu_us(), cell.cpu_us() - before.unwrap_or(cell.cpu_us()));
            match before {
                None => println!("{:>54} {now:8.1}", cell.name),
                Some(_) => {
                    println!("{:>54} {now:8.1} {more:+8.1} {:5.0}%", cell.name, 100.0 * more / whole);
                }
            }
            before = Some(now);
        }
        println!("Single pieces, each alone");
        for cell in pieces {
            println!("{:>54} {:8.2}", cell.name, cell.cpu_us());
        }
        println!();
        self.keep_cells("layers", stack);
        self.keep_cells("pieces", pieces);
    }

    /// The cost of opening a step, at one concurrency.
    pub fn steps(&mut self, cells: &[Cell]) {
        let concurrency = cells.first().map_or(0, |cell| cell.concurrency);
        println!("Opening and closing a step, rows committed, {concurrency} at once");
        for cell in cells {
            println!(
                "{:>54} {:8.0} µs p50 {:8.1} µs CPU {:8.0} /s",
                cell.name,
                cell.p50_us(),
                cell.cpu_us(),
                cell.rate()
            );
        }
        self.keep_cells(&format!("steps-{concurrency}"), cells);
    }

    /// What the server saw.
    pub fn server(&mut self, counts: Value) {
        println!(
            "The server saw {} requests over {} connections, {} without the credential.\n",
            counts["requests"], counts["connections"], counts["without_credential"]
        );
        self.kept.insert("server".to_owned(), counts);
    }

    /// Writes everything that was measured.
    pub fn keep(self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, format!("{:#}\n", Value::Object(self.kept)))?;
        println!("Raw figures: {}", file.display());
        Ok(())
    }

    /// Keeps what a row printed by itself.
    pub fn keep_value(&mut self, name: &str, value: Value) {
        self.kept.insert(name.to_owned(), value);
    }

    fn keep_cells(&mut self, name: &str, cells: &[Cell]) {
        self.kept.insert(name.to_owned(), cells.iter().map(Cell::raw).collect());
    }
}

fn aim(what: &str, found: f64, aim: &str) {
    println!("{what:>40} {found:9.2}   aim {aim}");
}
