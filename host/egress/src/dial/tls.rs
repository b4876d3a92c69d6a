//! TLS 1.2 and 1.3 through rustls with ring, roots from one of three places (RFC 8446, RFC 5246, RFC 7301).
//!
//! Refuses a file without a usable certificate. The environment (`SSL_CERT_*`, `SSLKEYLOGFILE`) is never read.
use crate::{NetworkSettings, Roots, SettingsError};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, version};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::sync::{Arc, OnceLock};

/// Where distributions keep their bundle; the first that exists is taken.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS sessions one client remembers.
const SESSIONS_MAX: usize = 64;

/// The root stores that connections share.
#[derive(Default)]
pub(crate) struct RootStores {
    bundled: OnceLock<Arc<RootCertStore>>,
    system: OnceLock<Arc<RootCertStore>>,
}

impl RootStores {
    /// The store of one connection.
    pub fn of(&self, network: &NetworkSettings) -> Result<Arc<RootCertStore>, SettingsError> {
        if let Some(pem) = &network.ca_pem {
            return store_of(pem, "the `ca-file`").map(Arc::new);
        }
        match network.roots {
            Roots::Bundled => {
                Ok(Arc::clone(self.bundled.get_or_init(|| {
                    Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
                })))
            }
            Roots::System => {
                if let Some(store) = self.system.get() {
                    return Ok(Arc::clone(store));
                }
                let store = Arc::new(system()?);
                Ok(Arc::clone(self.system.get_or_init(|| store)))
            }
        }
    }
}

fn system() -> Result<RootCertStore, SettingsError> {
    for path in SYSTEM_BUNDLES {
        if let Ok(pem) = std::fs::read(path) {
            return store_of(&pem, path);
        }
    }
    Err(SettingsError::Invalid(format!(
        "roots = \"system\", but none of {} can be read",
        SYSTEM_BUNDLES.join(", ")
    )))
}

fn store_of(pem: &[u8], place: &str) -> Result<RootCertStore, SettingsError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| SettingsError::Invalid(format!("{place}: {error}")))?;
        // A bundle may hold one that webpki can't read; the others are no worse for it.
        let _ = store.add(certificate);
    }
    if store.is_empty() {
        return Err(SettingsError::Invalid(format!("{place} holds no usable certificate in PEM")));
    }
    Ok(store)
}

/// A configuration of its own for every client: session tickets must not cross from one to another.
pub(crate) fn client_config(roots: Arc<RootCertStore>) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Defaults too are written out where security hangs on them.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    config.enable_sni = true;
    config.enable_early_data = false;
    config.key_log = Arc::new(rustls::NoKeyLog {});
    Ok(config)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        for pem in [&b""[..], b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let network = NetworkSettings { ca_pem: Some(pem.to_vec()), ..NetworkSettings::default() };
            assert!(RootStores::default().of(&network).is_err(), "{:?}", String::from_utf8_lossy(pem));
        }
    }

    #[test]
    fn the_bundled_store_is_shared() {
        let (stores, network) = (RootStores::default(), NetworkSettings::default());
        let (a, b) = (stores.of(&network).unwrap(), stores.of(&network).unwrap());
        assert!(Arc::ptr_eq(&a, &b));
        assert!(a.len() > 50);
    }
}
