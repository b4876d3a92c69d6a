//! The peer: the same loop in native reqwest, with the same header, the same connection reuse and the whole body read.

use crate::{measure::Work, server::SECRET};
use anyhow::ensure;

/// One client, as a careful program would have it.
pub struct Native {
    client: reqwest::Client,
    url: String,
}

impl Native {
    /// Makes the client.
    pub fn new(url: String) -> anyhow::Result<Self> {
        // Plain HTTP alone is sent, but the builder wants a TLS provider all the same.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .pool_max_idle_per_host(64)
            .build()?;
        Ok(Self { client, url })
    }
}

#[async_trait::async_trait]
impl Work for Native {
    async fn once(&self) -> anyhow::Result<()> {
        let request = self.client.get(&self.url).bearer_auth(SECRET);
        let response = request.send().await?;
        ensure!(response.status() == 200, "status {}", response.status());
        ensure!(response.bytes().await?.len() == 1 << 10, "another body");
        Ok(())
    }
}
