//! A sample delivery at each change: made of a file or of nothing, signed as the connector's manifest says that its vendor signs, and
//! verified by what verifies every delivery, before it is handed over. The secrets are made up, once for all rounds, and so is
//! the moment: what differs from round to round is the connector's work.
use super::{plays, shown};
use crate::{
    cassette::{Called, Cassette, Expected},
    cli::{Arguments, Dev},
    command::{
        build,
        test::{Replayed, Sandbox, replayed},
    },
    delivery::{self, DOCUMENT_BYTES_MAX},
    exit::{Exit, Failure, Result},
    files, output,
};
use portcullis_clock::{Clock, Random, RealClock, RealRandom, Timestamp};
use portcullis_engine::Delivery;
use portcullis_manifest::{
    Connector, Role, json,
    signing::{NAMES, Signing},
};
use portcullis_secrets::webhook::{Sample, Signer, Verifier, WebhookError};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf};
use tokio::sync::watch;

/// Where a vendor is told to deliver to.
const ORIGIN: &str = "https://hooks.example.com";
/// What is delivered where no file is named: what most vendors' events have in common.
const SAMPLE: &[u8] = br#"{"id":"sample","type":"sample"}"#;

/// What is delivered, and what came of it last.
pub struct Samples<'a> {
    arguments: &'a Arguments,
    options: &'a Dev,
    now: Timestamp,
    /// The connector's vendor's, and a forger's.
    seeds: [[u8; 32]; 2],
    former: Option<Value>,
}

impl<'a> Samples<'a> {
    /// Nothing was delivered yet.
    pub fn new(arguments: &'a Arguments, options: &'a Dev) -> Self {
        let mut seeds = [[0; 32]; 2];
        seeds.iter_mut().for_each(|seed| RealRandom.fill(seed));
        Self { arguments, options, now: RealClock.now(), seeds, former: None }
    }

    fn file(&self) -> Option<&PathBuf> {
        self.options.deliver.as_ref()?.as_ref()
    }

    /// What is delivered.
    pub fn files(&self) -> Vec<PathBuf> {
        self.file().into_iter().cloned().collect()
    }

    /// Builds, and hands it over once.
    pub async fn round(&mut self, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let dir = &self.options.dir;
        let Some(built) = build::built_until(dir, stop).await? else { return Ok(()) };
        let mut package = built.package(dir)?;
        let Some(delivery) = self.verified(&package.component.manifest)? else { return Ok(()) };
        let id = delivery.id.clone();
        // No vendor stands behind a sample, and nothing leaves this machine.
        package.component.manifest.rules.clear();
        package.component.manifest.from_response.clear();
        let sandbox = Sandbox::new(package).await?;
        let Replayed { came, words, exchanges, .. } = replayed(&sandbox, &cassette(delivery)).await?;
        let asked = exchanges.first().map(|exchange| format!("{} {}", exchange.method, exchange.url));
        if let Some(asked) = asked {
            output::note(&format!(
                "  it asked for {asked}: nothing is sent from here; `--connection CONNECTION` runs it with its vendor"
            ));
        }
        let is = plays::value(&came, &words);
        shown::result(&id, &is, self.former.as_ref(), self.arguments.json);
        self.former = Some(is);
        Ok(())
    }

    /// The delivery, signed, where it is what a server would hand over; shown in any case.
    pub fn verified(&self, manifest: &Connector) -> Result<Option<Delivery>> {
        let signing = signing(manifest)?;
        let [vendor, forger] = self.seeds.map(|seed| Signer::made_up(signing.scheme(), seed));
        let no_key = |error| Failure::fault("no key can be made up for this scheme").because(&error);
        let (vendor, forger) = (vendor.map_err(no_key)?, forger.map_err(no_key)?);
        let mut delivery = self.delivery(manifest)?;
        let before = delivery.headers.clone();
        let mut sample = unsigned(&delivery);
        let signer = if self.options.forged { &forger } else { &vendor };
        signer.sign(&mut sample, self.now).map_err(|error| {
            Failure::fault("the delivery can't be signed as the vendor would").because(&error)
        })?;
        let verifier =
            Verifier::new(signing.scheme(), std::slice::from_ref(vendor.secret())).map_err(no_key)?;
        let verdict = verifier.verify(&sample.delivered(), self.now);
        delivery.query = sample.url.split_once('?').map_or_else(String::new, |(_, query)| query.to_owned());
        (delivery.headers, delivery.body) = (sample.headers, sample.body);
        self.show(&delivery, &before, signing, verdict.as_ref().err());
        Ok(verdict.is_ok().then_some(delivery))
    }

    fn show(
        &self,
        delivery: &Delivery,
        before: &[(String, Vec<u8>)],
        signing: &Signing,
        refused: Option<&WebhookError>,
    ) {
        let signed = delivery.headers.iter().filter(|header| !before.contains(header));
        let signed: Vec<(&str, String)> = signed
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        let Delivery { id, method, path, query, .. } = delivery;
        let question = if query.is_empty() { "" } else { "?" };
        let target = format!("{path}{question}{query}");
        if self.arguments.json {
            output::json_line(&json!({
                "event": "delivery", "id": id, "method": method, "target": target, "headers": signed,
                "signing": signing.name(), "forged": self.options.forged,
                "refused": refused.map(ToString::to_string),
            }));
            return;
        }
        let how = signing.name().map_or("its manifest says".to_owned(), |name| format!("`{name}` signs"));
        let by = if self.options.forged { "with another secret" } else { "with a made-up secret" };
        output::line(&format!("delivery {id}: {method} {target}, signed as {how}, {by}"));
        for (name, value) in signed {
            output::line(&format!("  {name}: {}", output::shown_line(&value)));
        }
        output::line(&match refused {
            None => "  verified, and handed to the connector".to_owned(),
            Some(error) => format!("  refused: {error}; the connector is not called"),
        });
    }

    /// What is to be signed.
    fn delivery(&self, manifest: &Connector) -> Result<Delivery> {
        let body = match self.file() {
            Some(file) if file.is_dir() => {
                let shown = file.display();
                let message = format!("`{shown}` is a folder, and `--deliver` takes a file");
                return Err(Failure::new(Exit::Usage, message).with_help(format!(
                    "the connector's folder comes first: portcullis dev {shown} --deliver"
                )));
            }
            Some(file) => files::read_regular(file, DOCUMENT_BYTES_MAX as u64)?,
            None => SAMPLE.to_vec(),
        };
        let document = json::parse(&body, DOCUMENT_BYTES_MAX).ok();
        let has = |key: &str| document.as_ref().is_some_and(|document| document.get(key).is_some());
        let shown =
            self.file().map_or_else(|| "the sample".to_owned(), |file| format!("`{}`", file.display()));
        let no_delivery = |error: delivery::DeliveryError| {
            let failure = Failure::new(Exit::Usage, format!("{shown} is no delivery")).because(&error);
            failure.with_help(error.help().unwrap_or("`portcullis deliver --help` shows one"))
        };
        if has("method") && has("path") {
            return delivery::parse(&body).map_err(no_delivery);
        }
        let kind = if document.is_some() { "application/json" } else { "application/x-www-form-urlencoded" };
        let made = Delivery {
            id: "sample".to_owned(),
            method: "POST".to_owned(),
            path: format!("/{}", manifest.name.name),
            query: String::new(),
            headers: vec![("content-type".to_owned(), kind.as_bytes().to_vec())],
            body,
        };
        delivery::checked(made).map_err(no_delivery)
    }
}

fn unsigned(delivery: &Delivery) -> Sample {
    let Delivery { method, path, query, headers, body, .. } = delivery;
    let question = if query.is_empty() { "" } else { "?" };
    let url = format!("{ORIGIN}{path}{question}{query}");
    Sample { method: method.clone(), url, headers: headers.clone(), body: body.clone() }
}

/// What the manifest says of it.
fn signing(manifest: &Connector) -> Result<&Signing> {
    let name = &manifest.name;
    if !manifest.roles.contains(&Role::Webhook) {
        return Err(Failure::fault(format!("`{name}` takes no deliveries: it has no role `webhook`"))
            .with_help(
                "`roles = [\"webhook\"]` in connector.toml, and `connector!(TYPE: webhook);` in the code",
            ));
    }
    manifest.webhook.as_ref().map(|webhook| &webhook.signing).ok_or_else(|| {
        Failure::fault(format!("`{name}` does not say how its vendor signs what it delivers")).with_help(format!(
            "in connector.toml, with the vendor's scheme:\n\n[webhook]\nsigning = \"standard-webhooks\"\n\nthere are: {}; \
             another one is described: {{ algorithm = \"hmac-sha256\", header = \"x-signature\", encoding = \"hex\", signed = \"{{body}}\" }}",
            NAMES.join(", ")
        ))
    })
}

/// A call like any that is played, without a vendor.
fn cassette(delivery: Delivery) -> Cassette {
    Cassette {
        name: delivery.id.clone(),
        file: PathBuf::from("the sample"),
        call: Called::Delivery(delivery),
        config: json!({}),
        origins: BTreeMap::new(),
        max_records: None,
        lookback: false,
        expected: Expected::Handled { events: Vec::new(), reply: None },
        statuses: BTreeMap::new(),
        exchanges: Vec::new(),
    }
}
