//! A connection and its TLS handshake, and nothing more: what `doctor` asks of a host. No byte of a request leaves.
use super::tls;
use crate::limits::CONNECT_TIME_MAX;
use rustls::{ProtocolVersion, RootCertStore};
use rustls_pki_types::ServerName;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// With the first of these addresses that answers; each was judged before. `host` is the URL's, also where it is dialled
/// elsewhere; without roots it is a plain connection. The protocol that both agreed on.
pub(crate) async fn shake_hands(
    host: &str,
    addresses: &[IpAddr],
    port: u16,
    roots: Option<Arc<RootCertStore>>,
) -> io::Result<Option<&'static str>> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "it has no address");
    for address in addresses {
        let attempt = attempt(host, SocketAddr::new(*address, port), roots.clone());
        match timeout(CONNECT_TIME_MAX, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        {
            Ok(protocol) => return Ok(protocol),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[expect(clippy::disallowed_methods, reason = "the one home of sockets")]
async fn attempt(
    host: &str,
    address: SocketAddr,
    roots: Option<Arc<RootCertStore>>,
) -> io::Result<Option<&'static str>> {
    let stream = TcpStream::connect(address).await?;
    let Some(roots) = roots else { return Ok(None) };
    let config = tls::client_config(roots).map_err(io::Error::other)?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Some(match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS 1.3",
    }))
}
