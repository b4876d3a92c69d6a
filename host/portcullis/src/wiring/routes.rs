//! Where vendors deliver to: the config's routes, joined with how each connection's vendor signs and with the operator's secrets.
use super::Host;
use crate::{
    config::{Config, Webhook},
    exit::{Failure, Result, at_file},
    files,
};
use portcullis_ingress::{Check, Handshake, Route, Routes};
use portcullis_manifest::signing::{Handshake as Asked, Proof, Signing};
use portcullis_secrets::webhook::Verifier;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::{collections::BTreeSet, sync::Arc};

/// A certificate chain.
const CHAIN_BYTES_MAX: u64 = 1024 * 1024;

/// Routes, and whose deliveries are handed over.
pub struct Found {
    /// What is accepted.
    pub routes: Routes,
    /// Each once.
    pub connections: Vec<String>,
}

/// All routes of a config. One whose connection can't run now takes nothing: its vendor is told to come again.
pub async fn found(config: &Config, host: &Host) -> Result<Found> {
    let (mut routes, mut connections) = (Vec::new(), BTreeSet::new());
    for webhook in config.webhooks.values() {
        connections.insert(webhook.connection.clone());
        let (check, handshake) = match check(config, host, webhook).await {
            Ok(found) => found,
            Err(failure) => {
                let (route, why) = (&webhook.name, failure.line());
                tracing::warn!(route, why, "the route takes nothing until that is mended");
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
    Ok(Found { routes, connections: connections.into_iter().collect() })
}

async fn check(config: &Config, host: &Host, webhook: &Webhook) -> Result<(Check, Option<Handshake>)> {
    let declared = host.webhook(&webhook.connection).await?;
    let asked = declared.as_ref().and_then(|declared| declared.handshake);
    let handshake = match asked {
        Some(asked) => Some(handshake(config, webhook, asked).await?),
        None => None,
    };
    if webhook.secrets.is_empty() {
        return Ok((Check::Unsigned, handshake));
    }
    let signing = declared.map(|declared| declared.signing).ok_or_else(|| {
        let message = format!("the connector of `{}` does not say how its vendor signs", webhook.connection);
        Failure::fault(message).with_help("`[webhook] signing` in its connector.toml")
    })?;
    let mut secrets = Vec::new();
    for reference in &webhook.secrets {
        let secret = config.providers.fetch(reference).await;
        secrets.push(secret.map_err(|error| Failure::fault("its secret can't be read").because(&error))?);
    }
    let scheme = Signing::scheme(&signing);
    let verifier = Verifier::new(scheme, &secrets)
        .map_err(|error| Failure::fault("its secret does not fit the scheme").because(&error))?;
    let secret_header = matches!(scheme.proof, Proof::Secret(_)).then(|| scheme.header.clone());
    Ok((Check::Signed { verifier: Box::new(verifier), secret_header }, handshake))
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
