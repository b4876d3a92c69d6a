//! Where vendors deliver to: the config's routes, joined with how each connection's vendor signs and with the operator's secrets.
use super::Host;
use crate::{
    config::{Config, Webhook},
    exit::{Exit, Failure, Result, at_file},
    files,
};
use portcullis_ingress::{Check, Handshake, Route, Routes};
use portcullis_manifest::{
    connector::Webhook as Declared,
    signing::{Handshake as Asked, Proof, Scheme, Signing},
};
use portcullis_secrets::webhook::Verifier;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

/// A certificate chain.
const CHAIN_BYTES_MAX: u64 = 1024 * 1024;

/// Routes, and whose deliveries are handed over.
pub struct Found {
    /// What is accepted.
    pub routes: Routes,
    /// Each once.
    pub connections: Vec<String>,
    /// Routes that can't take anything as it is.
    pub not_ready: BTreeMap<String, NotReady>,
}

/// Why a route can't take anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// In words.
    pub why: String,
    /// Nobody decided that: its secrets are not there, or something could not be read. It goes on with what it has.
    pub may_pass: bool,
}

impl Found {
    /// Says what is the matter, where that was not said before.
    pub fn warn(&self, before: &BTreeMap<String, NotReady>, kept: &BTreeSet<String>) {
        for (route, now) in self.not_ready.iter().filter(|(route, now)| before.get(*route) != Some(*now)) {
            let becomes = match kept.contains(route) {
                true => "goes on with what was read before",
                false => "takes nothing until that is mended",
            };
            let why = crate::output::shown_line(&now.why);
            crate::output::note(&format!("warning: the route `{route}` {becomes}: {why}"));
        }
        for route in before.keys().filter(|route| !self.not_ready.contains_key(*route)) {
            crate::output::note(&format!("the route `{route}` is whole again"));
        }
    }

    /// Those of which nobody decided that they take nothing.
    pub fn lost(&self) -> BTreeSet<String> {
        let lost = self.not_ready.iter().filter(|(_, not)| not.may_pass);
        lost.map(|(route, _)| route.clone()).collect()
    }
}

/// All routes of a config. One whose connection can't run now takes nothing: its vendor is told to come again.
pub async fn found(config: &Config, host: &Host) -> Result<Found> {
    let (mut routes, mut connections, mut not_ready) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    for webhook in config.webhooks.values() {
        connections.insert(webhook.connection.clone());
        let (check, handshake) = match check(config, host, webhook).await {
            Ok(found) => found,
            Err(not) => {
                not_ready.insert(webhook.name.clone(), not);
                (Check::NotReady, None)
            }
        };
        let Webhook { name, connection, path, body_bytes_max, requests_per_second, .. } = webhook;
        let route = Route::new(name, connection, check, *body_bytes_max, *requests_per_second)
            .with_handshake(handshake);
        routes.push((path.clone(), route));
    }
    let serve = &config.serve;
    let public_url = serve.public_url.clone().unwrap_or_default();
    let routes = Routes::new(&public_url, serve.trusted_proxies.clone(), routes)
        .map_err(|error| Failure::fault("the routes can't be").because(&error))?;
    Ok(Found { routes, connections: connections.into_iter().collect(), not_ready })
}

async fn check(
    config: &Config,
    host: &Host,
    webhook: &Webhook,
) -> std::result::Result<(Check, Option<Handshake>), NotReady> {
    let declared = host.webhook(&webhook.connection).await;
    let declared = declared
        .map_err(|failure| NotReady { why: failure.line(), may_pass: failure.exit != Exit::NotApproved })?;
    judged(config, webhook, declared).await
}

/// How a route's deliveries are told from anybody's, as its connector declares it.
pub async fn judged(
    config: &Config,
    webhook: &Webhook,
    declared: Option<Declared>,
) -> std::result::Result<(Check, Option<Handshake>), NotReady> {
    let not = |may_pass| move |failure: Failure| NotReady { why: failure.line(), may_pass };
    let asked = declared.as_ref().and_then(|declared| declared.handshake);
    let handshake = match asked {
        Some(asked) => Some(handshake(config, webhook, asked).await.map_err(not(true))?),
        None => None,
    };
    if webhook.secrets.is_empty() {
        return Ok((Check::Unsigned, handshake));
    }
    let signing = declared.map(|declared| declared.signing).ok_or_else(|| {
        let message = format!("the connector of `{}` does not say how its vendor signs", webhook.connection);
        not(false)(Failure::fault(message))
    })?;
    Ok((signed(config, webhook, Signing::scheme(&signing)).await.map_err(not(true))?, handshake))
}

async fn signed(config: &Config, webhook: &Webhook, scheme: &Scheme) -> Result<Check> {
    let mut secrets = Vec::new();
    for reference in &webhook.secrets {
        let secret = config.providers.fetch(reference).await;
        secrets.push(secret.map_err(|error| Failure::fault("its secret can't be read").because(&error))?);
    }
    let verifier = Verifier::new(scheme, &secrets)
        .map_err(|error| Failure::fault("its secret does not fit the scheme").because(&error))?;
    let secret_header = matches!(scheme.proof, Proof::Secret(_)).then(|| scheme.header.clone());
    Ok(Check::Signed { verifier: Box::new(verifier), secret_header })
}

async fn handshake(config: &Config, webhook: &Webhook, asked: Asked) -> Result<Handshake> {
    Ok(match asked {
        Asked::Slack => Handshake::Slack,
        Asked::Zoom => Handshake::Zoom,
        Asked::Graph => Handshake::Graph,
        Asked::Meta => {
            let reference = webhook.verify_token.as_ref().ok_or_else(|| {
                Failure::fault("its vendor shows a token when it first asks, and the route has none")
                    .with_help(
                        "`verify-token = \"file:…\"`: the token that you type where the webhook is set up",
                    )
            })?;
            let token = config.providers.fetch(reference).await;
            Handshake::Meta(
                token.map_err(|error| Failure::fault("its `verify-token` can't be read").because(&error))?,
            )
        }
    })
}

/// What `ingress` is shaken hands with; none = plain HTTP.
pub async fn certificate(config: &Config) -> Result<Option<Arc<ServerConfig>>> {
    let Some(certificate) = &config.serve.certificate else { return Ok(None) };
    let pem = files::read_regular(&certificate.chain, CHAIN_BYTES_MAX)?;
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| {
        at_file("read a certificate from", &certificate.chain)(std::io::Error::other(error.to_string()))
    })?;
    let key = config.providers.fetch(&certificate.private_key).await;
    let key = key.map_err(|error| Failure::fault("`serve.private-key` can't be read").because(&error))?;
    let key =
        key.private_key().ok_or_else(|| Failure::fault("`serve.private-key` is no private key in PEM"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut made = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| Failure::fault("`serve.certificate` can't be used").because(&error))?;
    made.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(made)))
}

/// What `serve` reads beside the config: whoever saves one of these wants it taken.
pub fn files(config: &Config) -> Vec<PathBuf> {
    let certificate = config.serve.certificate.as_ref();
    let private = certificate.map(|certificate| &certificate.private_key);
    let routes = config.webhooks.values();
    let secrets = routes.flat_map(|webhook| webhook.secrets.iter().chain(&webhook.verify_token));
    let mut files = config.secret_files(secrets.chain(private));
    files.extend(certificate.map(|certificate| certificate.chain.clone()));
    files
}
