//! The demo's stage: a folder with config, secrets and registry, the vendor double, and one open host.
use super::{
    HOSTILE, STRIPE,
    double::{Double, Settings},
    folder::{self, Own},
};
use crate::{
    config::Config,
    exit::{Failure, Result},
    registry,
    wiring::Host,
};
use portcullis_clock::{Clock, Random, RealClock, RealRandom};
use portcullis_manifest::Component;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Customers that the double knows from the beginning: several pages.
pub const CUSTOMERS: usize = 25;

/// What the steps work with.
pub struct Stage {
    /// The folder.
    pub folder: PathBuf,
    /// The vendor.
    pub double: Double,
    /// The key that the vendor demands, made up for this run.
    pub key: String,
    /// The correlation id of the create step, for the last step.
    pub correlation_id: Option<String>,
    host: Option<Host>,
}

impl Stage {
    /// Writes everything an operator would have, and starts the vendor.
    pub async fn set(folder: &Path) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let key = made_up_key();
        let settings = Settings {
            names: vec!["api.stripe.com".to_owned()],
            key: key.clone(),
            customers: CUSTOMERS,
            clock,
        };
        let double = Double::start(settings).await;
        let double =
            double.map_err(|error| Failure::fault("the vendor double did not start").because(&error))?;
        let own = |path: &str, text: String, mode: u32| Own { path: path.into(), bytes: text.into(), mode };
        let mut files = vec![
            own("stripe.key", key.clone(), 0o600),
            own("ca.pem", double.ca_pem().to_owned(), 0o644),
            own("portcullis.toml", config(&double), 0o644),
        ];
        for bytes in [STRIPE, HOSTILE] {
            let component = Component::read(bytes);
            let component = component
                .map_err(|error| Failure::fault("an embedded connector is damaged").because(&error))?;
            let path = registry::place(Path::new("registry"), &component);
            files.push(Own { path, bytes: bytes.to_vec(), mode: 0o644 });
        }
        folder::write(folder, &files)?;
        Ok(Self { folder: folder.to_owned(), double, key, correlation_id: None, host: None })
    }

    /// The config file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("portcullis.toml")
    }

    /// The config, read as any command reads it.
    pub fn config(&self) -> Result<Config> {
        Config::read(&self.config_file())
    }

    /// The host, opened once: the sandbox must be set up before the process is closed to inspection.
    pub async fn host(&mut self) -> Result<&Host> {
        if self.host.is_none() {
            self.host = Some(Host::open(&self.config_file(), Duration::from_secs(10)).await?);
        }
        self.host.as_ref().ok_or_else(|| Failure::fault("no host"))
    }

    /// Ends the host: exchanges are stored, the lock on the data is free.
    pub async fn close_host(&mut self) {
        if let Some(host) = self.host.take() {
            host.close().await;
        }
    }

    /// Stops the vendor.
    pub async fn stop(self) {
        self.double.stop().await;
    }
}

/// The one config file of the demo; `demo --keep` leaves it for people to play with.
fn config(double: &Double) -> String {
    let port = double.address().port();
    format!(
        r#"# The demo's config. The vendor double answers as api.stripe.com, on loopback, with a CA of its own.
registry = "registry"
data = "data"

[credentials.stripe-demo]
scheme = "bearer"
secret = "file:stripe.key"
requests-per-second = 100

[connections.billing]
connector = "portcullis/stripe@^0.1"
credentials = {{ secret-key = "stripe-demo" }}
# Narrower than what the connector asks for: no refunds.
allow = [
    "GET https://api.stripe.com/v1/**",
    "POST https://api.stripe.com/v1/customers",
    "POST https://api.stripe.com/v1/customers/*",
]
config = {{ page-size = 10 }}
owner = "payments-team"

[connections.billing.network]
connect-to = {{ "api.stripe.com:443" = "127.0.0.1:{port}" }}
ca-file = "ca.pem"
addresses = ["127.0.0.1/32"]

# An incautious operator gave this one everything it asked for.
[connections.mallory]
connector = "mallory/hostile"
credentials = {{ secret-key = "stripe-demo" }}
allow = "requested"

[connections.mallory.limits]
cpu = "500ms"
memory = "16MiB"

[connections.mallory.network]
connect-to = {{ "api.stripe.com:443" = "127.0.0.1:{port}" }}
ca-file = "ca.pem"
addresses = ["127.0.0.1/32"]
"#
    )
}

/// No real key's form, so that no scanner of keys is alarmed.
fn made_up_key() -> String {
    let mut bytes = [0u8; 16];
    RealRandom.fill(&mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("demo-key-{hex}")
}
