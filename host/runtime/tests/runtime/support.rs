//! The probe, built once, and calls of it.

use portcullis_runtime::{
    CallError, CallSettings, Debt, Entry, Limits, LogLevel, Logs, Operation, Output, Prepared, Runtime,
    RuntimeSettings, State, StorageError, Usage,
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::sync::{OnceCell, watch};

/// The component, as `cargo` built it: without a manifest, so its bytes are its code.
pub fn probe_bytes() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let target = built().parent().unwrap().join("guests");
        std::fs::create_dir_all(&target).unwrap();
        let lock = std::fs::File::create(target.join("lock")).unwrap();
        lock.lock().unwrap();
        let ran = Command::new(env!("CARGO"))
            .args([
                "build",
                "--release",
                "--package",
                "probe",
                "--target",
                "wasm32-wasip2",
                "--manifest-path",
            ])
            .arg(checkout().join("tests/guests/Cargo.toml"))
            .env("CARGO_TARGET_DIR", &target)
            .output()
            .expect("cargo starts");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        std::fs::read(target.join("wasm32-wasip2/release/probe.wasm")).unwrap()
    })
}

pub fn digest(code: &[u8]) -> String {
    let hex: String = Sha256::digest(code).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// `target/debug`
pub fn built() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// A program of `examples`. `cargo test --test runtime` leaves an old one in its place: built here, once, but where
/// `tests/run` says that it did.
pub fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if std::env::var_os("PORTCULLIS_TESTS_BUILT").is_some_and(|value| value == "1") {
            return;
        }
        let ran = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "portcullis-runtime", "--examples", "--target-dir"])
            .arg(built().parent().unwrap())
            .current_dir(checkout())
            .status()
            .expect("cargo starts");
        assert!(ran.success(), "the examples do not build");
    });
    built().join("examples").join(name)
}

/// The compile child with these arguments.
pub fn child(arguments: &[&str]) -> (PathBuf, Vec<String>) {
    (example("compile_child"), arguments.iter().map(|argument| (*argument).to_owned()).collect())
}

pub fn settings(cache: &Path) -> RuntimeSettings {
    RuntimeSettings { cache: cache.to_owned(), instances_max: 16, compile_child: child(&[]) }
}

/// One runtime for all tests that need none of their own.
pub fn runtime() -> &'static Arc<Runtime> {
    static RUNTIME: OnceLock<(tempfile::TempDir, Arc<Runtime>)> = OnceLock::new();
    let (_folder, runtime) = RUNTIME.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new(settings(&folder.path().join("cache"))).unwrap();
        (folder, runtime)
    });
    runtime
}

pub async fn probe() -> &'static Arc<Prepared> {
    static PROBE: OnceCell<Arc<Prepared>> = OnceCell::const_new();
    PROBE
        .get_or_init(|| async {
            let bytes = probe_bytes();
            runtime().prepare(&digest(bytes), bytes).await.expect("the probe compiles")
        })
        .await
}

/// State in memory. One key panics, one waits: what hosts do on bad days.
#[derive(Default)]
pub struct Memory(pub Mutex<BTreeMap<String, Entry>>);

pub const PANICS: &str = "panics";
pub const WAITS: &str = "waits";

#[async_trait::async_trait]
impl State for Memory {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StorageError> {
        assert_ne!(key, PANICS, "as the test wants");
        if key == WAITS {
            std::future::pending::<()>().await;
        }
        if let Some(ms) = key.strip_prefix("slow-") {
            tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await;
        }
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn set(&self, key: &str, value: Vec<u8>, expected: Option<u64>) -> Result<u64, StorageError> {
        let mut map = self.0.lock().unwrap();
        let now = map.get(key).map_or(0, |entry| entry.version);
        if expected.is_some_and(|expected| expected != now) {
            return Err(StorageError::Conflict(now));
        }
        map.insert(key.to_owned(), Entry { value, version: now + 1 });
        Ok(now + 1)
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.0.lock().unwrap().remove(key).map(|_| ()).ok_or(StorageError::NotFound)
    }

    async fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, StorageError> {
        let map = self.0.lock().unwrap();
        let keys = map
            .keys()
            .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(keys.take(max as usize).cloned().collect())
    }
}

type Line = (LogLevel, String, Vec<(String, String)>);

#[derive(Default)]
pub struct Seen(pub Mutex<Vec<Line>>);

impl Logs for Seen {
    fn log(&self, level: LogLevel, message: &str, fields: &[(String, String)]) {
        self.0.lock().unwrap().push((level, message.to_owned(), fields.to_vec()));
    }
}

impl Seen {
    pub fn lines(&self) -> Vec<(LogLevel, String)> {
        self.0.lock().unwrap().iter().map(|(level, message, _)| (*level, message.clone())).collect()
    }
}

/// One call with its surroundings, which the test may change.
pub struct Setting {
    pub limits: Limits,
    pub egress: Option<Arc<portcullis_egress::Call>>,
    pub state: Arc<Memory>,
    pub logs: Arc<Seen>,
    pub assets: BTreeMap<String, Vec<u8>>,
    pub seed: [u8; 32],
    pub cancel: watch::Sender<bool>,
    pub debt: Arc<Debt>,
    pub folder: tempfile::TempDir,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            limits: Limits {
                memory_bytes_max: 64 << 20,
                timeout: Duration::from_secs(60),
                cpu: Duration::from_secs(30),
                log_bytes_max: 1 << 20,
            },
            egress: None,
            state: Arc::default(),
            logs: Arc::default(),
            assets: BTreeMap::new(),
            seed: [7; 32],
            cancel: watch::channel(false).0,
            debt: Arc::default(),
            folder: tempfile::tempdir().unwrap(),
        }
    }
}

impl Setting {
    pub fn settings(&self) -> CallSettings {
        CallSettings {
            limits: self.limits.clone(),
            egress: self.egress.clone(),
            state: Arc::clone(&self.state) as Arc<dyn State>,
            spool: portcullis_runtime::Spool::new(
                self.folder.path().join("spool"),
                1 << 20,
                Arc::new(portcullis_clock::RealRandom),
            ),
            logs: Arc::clone(&self.logs) as Arc<dyn Logs>,
            assets: Arc::new(self.assets.clone()),
            folders: Arc::default(),
            seed: self.seed,
            clock: Arc::new(portcullis_clock::RealClock),
            debt: Arc::clone(&self.debt),
            cancelled: self.cancel.subscribe(),
        }
    }

    pub async fn call(&self, operation: Operation) -> (Result<Output, CallError>, Usage) {
        runtime().call(probe().await, self.settings(), operation).await
    }

    pub async fn act(&self, action: &str, input: &str) -> Result<Output, CallError> {
        self.call(invoke(action, input)).await.0
    }

    /// The output of an action that is done.
    pub async fn done(&self, action: &str, input: &str) -> serde_json::Value {
        match self.act(action, input).await {
            Ok(Output::Done(json)) => serde_json::from_str(&json).unwrap(),
            other => panic!("{action}: {other:?}"),
        }
    }

    pub async fn error(&self, action: &str, input: &str) -> CallError {
        self.act(action, input).await.expect_err(action)
    }
}

pub fn invoke(action: &str, input: &str) -> Operation {
    Operation::Invoke {
        config: "{}".to_owned(),
        action: action.to_owned(),
        input: input.to_owned(),
        resume: None,
    }
}
