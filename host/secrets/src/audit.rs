//! The port through which the first use of a secret is recorded. It fails closed: without a durable row for its (step,
//! credential, rule), no secret is attached.

/// Why a use could not be recorded.
#[derive(Debug, thiserror::Error)]
#[error("the use of credential `{credential}` could not be recorded")]
pub struct AuditError {
    /// Its name.
    pub credential: String,
    /// What the store said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Where uses are recorded.
#[async_trait::async_trait]
pub trait Audit: Send + Sync {
    /// Returns once a row for this (step, credential, rule) is durable; called before its first use, and cheap after.
    async fn first_use(&self, step: &str, credential: &str, rule: &str) -> Result<(), AuditError>;
}
