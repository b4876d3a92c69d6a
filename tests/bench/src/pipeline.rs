//! The product's side of a request: through egress alone, and through a guest.

use crate::{
    measure::Work,
    product::{Product, done, invoke},
};
use anyhow::ensure;
use portcullis_egress::{Connection, Request};
use serde_json::json;
use std::sync::Arc;

/// Requests of one call where a call makes many.
pub const MANY: u64 = 100;

/// Egress without a guest: what the pipeline alone costs.
pub struct Pipeline {
    /// The crates.
    pub product: Arc<Product>,
    /// The way out.
    pub connection: Arc<Connection>,
    /// Where to.
    pub url: String,
}

#[async_trait::async_trait]
impl Work for Pipeline {
    fn units(&self) -> u64 {
        MANY
    }

    async fn once(&self) -> anyhow::Result<()> {
        let call = self.connection.call(self.product.context());
        for _ in 0..MANY {
            let request = Request { method: "GET".to_owned(), url: self.url.clone(), ..Request::default() };
            let response = call.send(request).await?;
            ensure!(response.status == 200, "status {}", response.status);
            ensure!(response.body.len() == 1 << 10, "another body");
        }
        Ok(())
    }

    async fn settle(&self) {
        self.product.exchanges.flush().await;
    }
}

/// The whole: `n` requests of one fresh instance.
pub struct Guest {
    /// The crates.
    pub product: Arc<Product>,
    /// The way out.
    pub connection: Arc<Connection>,
    /// Where to.
    pub url: String,
    /// Requests of one instance.
    pub n: u64,
}

#[async_trait::async_trait]
impl Work for Guest {
    fn units(&self) -> u64 {
        self.n
    }

    async fn once(&self) -> anyhow::Result<()> {
        let call = self.connection.call(self.product.context());
        let operation = invoke("send-many", &json!({ "n": self.n, "url": self.url }));
        let output = done(self.product.call(Some(call), operation).await?)?;
        ensure!(output["ok"] == self.n, "{output}");
        Ok(())
    }

    async fn settle(&self) {
        self.product.exchanges.flush().await;
    }
}

/// A guest that calls a host function which does nothing: the boundary alone.
pub struct HostCalls(pub Arc<Product>);

#[async_trait::async_trait]
impl Work for HostCalls {
    fn units(&self) -> u64 {
        10_000
    }

    async fn once(&self) -> anyhow::Result<()> {
        let operation = invoke("host-calls", &json!({ "n": self.units() }));
        self.0.call(None, operation).await.map(drop)
    }
}

/// A fresh instance with an order to read, and no request.
pub struct Idle(pub Arc<Product>);

#[async_trait::async_trait]
impl Work for Idle {
    async fn once(&self) -> anyhow::Result<()> {
        let operation = invoke("send-many", &json!({ "n": 0, "url": "http://127.0.0.1:65535/fast" }));
        done(self.0.call(None, operation).await?).map(drop)
    }
}
