//! What the host functions need from above.

/// Mirrors `storage-error` of the WIT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No such thing, or another's.
    #[error("not found")]
    NotFound,
    /// Version there is now.
    #[error("conflict with version {0}")]
    Conflict(u64),
    /// Bound in bytes.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// Bound.
    #[error("over the quota of {0}")]
    Quota(u64),
    /// Why.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Why.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Not built yet.
    #[error("unsupported")]
    Unsupported,
}

/// One state value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Bytes.
    pub value: Vec<u8>,
    /// Grows with each write.
    pub version: u64,
}

/// State of ONE connection: the implementer holds the connection id, the guest never names it.
#[async_trait::async_trait]
pub trait State: Send + Sync {
    /// `state.get`
    async fn get(&self, key: &str) -> Result<Option<Entry>, StorageError>;
    /// `state.set`: `expected` 0 = must not exist.
    async fn set(&self, key: &str, value: Vec<u8>, expected: Option<u64>) -> Result<u64, StorageError>;
    /// `state.delete`
    async fn delete(&self, key: &str) -> Result<(), StorageError>;
    /// `state.list-keys`
    async fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, StorageError>;
}

/// Levels of `log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// debug
    Debug,
    /// info
    Info,
    /// warn
    Warn,
    /// error
    Error,
}

/// Log lines of ONE call, bounded by the runtime before they arrive here; controls are still raw.
pub trait Logs: Send + Sync {
    /// A line of `log`, stdout (Info) or stderr (Warn).
    fn log(&self, level: LogLevel, message: &str, fields: &[(String, String)]);
}
