//! What the product's binary does first, as a program that a test can run as another user: makes the runtime, hardens the
//! process, then compiles the component on stdin in a child (itself) and calls it. Prints one line of facts. With `too-early`
//! it hardens first, which is wrong.

use portcullis_runtime as runtime;
use portcullis_runtime::{
    CallSettings, Entry, LogLevel, Logs, Operation, Runtime, RuntimeSettings, State, StorageError,
};
use sha2::{Digest, Sha256};
use std::{
    io::{Read, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() == Some("compile-child") {
        return Ok(ExitCode::from(u8::try_from(runtime::compile_child_main())?));
    }
    if std::env::args().nth(1).as_deref() == Some("too-early") {
        runtime::harden_process()?;
    }
    let folder = tempfile::tempdir()?;
    let made = Runtime::new(RuntimeSettings {
        cache: folder.path().join("cache"),
        instances_max: 2,
        compile_child: ("/proc/self/exe".into(), vec!["compile-child".to_owned()]),
    })?;
    runtime::harden_process()?;
    let scan = runtime::pagemap_scan_available();
    let mut component = Vec::new();
    std::io::stdin().read_to_end(&mut component)?;
    let answer = tokio::runtime::Runtime::new()?.block_on(call(&made, &component))?;
    let dumpable = rustix::process::dumpable_behavior()?;
    let core = rustix::process::getrlimit(rustix::process::Resource::Core).maximum;
    let user = rustix::process::geteuid().as_raw();
    writeln!(
        std::io::stdout(),
        "user={} scan={scan} dumpable={dumpable:?} core={core:?} answer={answer}",
        if user == 0 { "root" } else { "ordinary" },
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn call(made: &Runtime, component: &[u8]) -> Result<String, Box<dyn std::error::Error>> {
    let hex: String = Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect();
    let prepared = made.prepare(&format!("sha256:{hex}"), component).await?;
    let (_keep, cancelled) = tokio::sync::watch::channel(false);
    let settings = CallSettings {
        limits: runtime::Limits {
            memory_bytes_max: 64 << 20,
            timeout: Duration::from_secs(30),
            cpu: Duration::from_secs(10),
            log_bytes_max: 0,
        },
        egress: None,
        state: Arc::new(Nothing),
        spool: portcullis_runtime::Spool::new(
            std::env::temp_dir().join(format!("portcullis-spool-{}", std::process::id())),
            1 << 20,
            Arc::new(portcullis_clock::RealRandom),
        ),
        logs: Arc::new(Nothing),
        assets: Arc::default(),
        folders: Arc::default(),
        seed: [0; 32],
        clock: Arc::new(portcullis_clock::RealClock),
        debt: Arc::default(),
        cancelled,
    };
    let operation = Operation::Invoke {
        config: "{}".to_owned(),
        action: "echo".to_owned(),
        input: "1".to_owned(),
        resume: None,
    };
    Ok(format!("{:?}", made.call(&prepared, settings, operation).await.0?))
}

struct Nothing;

impl Logs for Nothing {
    fn log(&self, _: LogLevel, _: &str, _: &[(String, String)]) {}
}

#[async_trait::async_trait]
impl State for Nothing {
    async fn get(&self, _: &str) -> Result<Option<Entry>, StorageError> {
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
