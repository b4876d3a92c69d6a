//! Many guests that grow to their limit at once, as a program whose memory a test can measure: `crowd GUESTS MIB MIB …` compiles
//! the component on stdin, then, for each limit, runs so many calls that grow almost to it, wait until all have, and grow on.
//! Prints a line for each: the most that the process held until then, the most after, and how many calls ended as over their
//! memory.

use portcullis_runtime as runtime;
use portcullis_runtime::{
    CallError, CallSettings, Entry, LogLevel, Logs, Operation, Output, Prepared, Runtime, RuntimeSettings,
    State, StorageError,
};
use sha2::{Digest, Sha256};
use std::{
    io::{Read, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::sync::Barrier;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("compile-child") {
        return Ok(ExitCode::from(u8::try_from(runtime::compile_child_main())?));
    }
    let [_, guests, limits @ ..] = &arguments[..] else { return Err("crowd GUESTS MIB …".into()) };
    let guests: u32 = guests.parse()?;
    let limits = limits.iter().map(|mib| mib.parse()).collect::<Result<Vec<u64>, _>>()?;
    let mut component = Vec::new();
    std::io::stdin().read_to_end(&mut component)?;
    tokio::runtime::Runtime::new()?.block_on(crowds(guests, &limits, &component))?;
    Ok(ExitCode::SUCCESS)
}

async fn crowds(guests: u32, limits: &[u64], component: &[u8]) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let made = Runtime::new(RuntimeSettings {
        cache: folder.path().join("cache"),
        instances_max: guests,
        compile_child: ("/proc/self/exe".into(), vec!["compile-child".to_owned()]),
    })?;
    let hex: String = Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect();
    let prepared = made.prepare(&format!("sha256:{hex}"), component).await?;
    let all = Arc::new(All(Barrier::new(guests as usize)));
    for mib in limits {
        good(&made, &prepared, *mib, &all).await?;
        let before = peak_kib()?;
        let over = crowd(&made, &prepared, guests, *mib, &all).await?;
        writeln!(std::io::stdout(), "before={before} most={} over={over}", peak_kib()?)?;
        good(&made, &prepared, *mib, &all).await?;
    }
    Ok(())
}

/// How many ended as over their memory.
async fn crowd(
    made: &Arc<Runtime>,
    prepared: &Arc<Prepared>,
    guests: u32,
    mib: u64,
    all: &Arc<All>,
) -> Result<u32, Failure> {
    let calls: Vec<_> = (0..guests)
        .map(|_| {
            let (made, prepared, settings) = (made.clone(), prepared.clone(), settings(mib, all));
            let input = format!(r#"{{"bytes": 1073741824, "wait-at": {}, "key": "all"}}"#, (mib - 2) << 20);
            tokio::spawn(async move { made.call(&prepared, settings, invoke("allocate", input)).await.0 })
        })
        .collect();
    let mut over = 0;
    for call in calls {
        over += u32::from(matches!(call.await?, Err(CallError::Memory(_))));
    }
    Ok(over)
}

async fn good(made: &Runtime, prepared: &Arc<Prepared>, mib: u64, all: &Arc<All>) -> Result<(), Failure> {
    match made.call(prepared, settings(mib, all), invoke("echo", "1".to_owned())).await.0? {
        Output::Done(one) if one == "1" => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn invoke(action: &str, input: String) -> Operation {
    Operation::Invoke { config: "{}".to_owned(), action: action.to_owned(), input, resume: None }
}

fn settings(mib: u64, all: &Arc<All>) -> CallSettings {
    CallSettings {
        limits: runtime::Limits {
            memory_bytes_max: mib << 20,
            timeout: Duration::from_secs(120),
            cpu: Duration::from_secs(60),
            log_bytes_max: 0,
        },
        egress: None,
        state: all.clone(),
        spool: runtime::Spool::new(
            std::env::temp_dir().join(format!("portcullis-spool-{}", std::process::id())),
            1 << 20,
            Arc::new(portcullis_clock::RealRandom),
        ),
        logs: all.clone(),
        assets: Arc::default(),
        folders: Arc::default(),
        seed: [0; 32],
        clock: Arc::new(portcullis_clock::RealClock),
        debt: Arc::default(),
        cancelled: tokio::sync::watch::channel(false).1,
    }
}

/// `VmHWM`: what the process held at most so far.
fn peak_kib() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// A read of its state waits until all guests do.
struct All(Barrier);

impl Logs for All {
    fn log(&self, _: LogLevel, _: &str, _: &[(String, String)]) {}
}

#[async_trait::async_trait]
impl State for All {
    async fn get(&self, _: &str) -> Result<Option<Entry>, StorageError> {
        self.0.wait().await;
        Ok(None)
    }
    async fn set(&self, _: &str, _: Vec<u8>, _: Option<u64>) -> Result<u64, StorageError> {
        Err(StorageError::Unsupported)
    }
    async fn delete(&self, _: &str) -> Result<(), StorageError> {
        Err(StorageError::NotFound)
    }
    async fn list_keys(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
}
