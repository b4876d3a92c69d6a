//! What a request can end with. The guest sees the variant; the operator finds the detail under the exchange id.

/// Mirrors `http-error` of the WIT, with the internal detail that the guest never sees kept in the exchange log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Refused; the guest learns the exchange id only.
    #[error("denied; see exchange `{exchange}`")]
    Denied {
        /// `exch_…`
        exchange: String,
        /// For the operator: rule missed, and the TOML to paste.
        denial: Box<DenialDetail>,
    },
    /// Out of time.
    #[error("timed out")]
    Timeout,
    /// Resolve or connect failed. Text is fit for guests: no addresses.
    #[error("could not connect: {0}")]
    Connect(String),
    /// TLS failed. Fit for guests.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// Body, header or decoded size over the limit (bytes).
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// Not HTTP, wrong length, bad coding, a broken frame. (A header that a guest may not set is `Denied`.)
    #[error("malformed: {0}")]
    Malformed(String),
    /// Wait that long (milliseconds): more than the host waits itself.
    #[error("rate limited for {0} ms")]
    RateLimited(u64),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Not built yet.
    #[error("unsupported")]
    Unsupported,
    /// This is a dry run, and the request may have had an effect.
    #[error("withheld: this is a dry run")]
    Withheld,
    /// Not for the guest: its run's `requests` are used up and it goes on asking, so whoever runs the call ends it.
    #[error("over the limit `requests` of connection `{connection}`: {requests_max} requests a run")]
    Exhausted {
        /// Whose limit.
        connection: String,
        /// The limit.
        requests_max: u64,
    },
}

/// What the operator reads of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenialDetail {
    /// What was refused and which rule was missed.
    pub reason: String,
    /// TOML to paste.
    pub remedy: Option<String>,
}

/// A connection's settings can't work.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// What can't work: connect-to for another explicit port, a ca file without certificate, a bad header name.
    #[error("{0}")]
    Invalid(String),
}
