//! How a call ends when it does not end well.

/// `error-kind` of the WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ErrorKind {
    InvalidInput,
    InvalidConfig,
    Unauthorized,
    Forbidden,
    NotFound,
    Conflict,
    RateLimited,
    Unavailable,
    Timeout,
    ContractDrift,
    Denied,
    PositionExpired,
    Cancelled,
    Unsupported,
    Internal,
}

impl ErrorKind {
    /// All of them, in the order of the WIT.
    pub const ALL: [Self; 15] = [
        Self::InvalidInput,
        Self::InvalidConfig,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::RateLimited,
        Self::Unavailable,
        Self::Timeout,
        Self::ContractDrift,
        Self::Denied,
        Self::PositionExpired,
        Self::Cancelled,
        Self::Unsupported,
        Self::Internal,
    ];

    /// `invalid-input` …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid-input",
            Self::InvalidConfig => "invalid-config",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::ContractDrift => "contract-drift",
            Self::Denied => "denied",
            Self::PositionExpired => "position-expired",
            Self::Cancelled => "cancelled",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

/// What the connector itself answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.as_str())]
pub struct ConnectorError {
    /// Kind.
    pub kind: ErrorKind,
    /// Message (bounded, controls escaped).
    pub message: String,
    /// Vendor asked for a pause.
    pub retry_after_ms: Option<u64>,
    /// JSON.
    pub details: Option<String>,
}

/// Each kind of guest failure is its own readable error.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connector answered an error.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// Panic or `unreachable`; the last of stderr.
    #[error("the connector panicked: {0}")]
    Panicked(String),
    /// CPU budget spent (milliseconds).
    #[error("the connector used up its CPU budget of {0} ms")]
    CpuBudget(u64),
    /// Wall time over (milliseconds).
    #[error("the connector did not end within {0} ms")]
    Timeout(u64),
    /// Memory limit (bytes).
    #[error("the connector asked for more than its {0} bytes of memory")]
    Memory(u64),
    /// Deep recursion.
    #[error("the connector overflowed its stack")]
    StackOverflow,
    /// Other traps, by name.
    #[error("the connector trapped: {0}")]
    Trapped(String),
    /// `exit(n)`.
    #[error("the connector called exit({0})")]
    Exited(i32),
    /// A cap on host calls, handles, table elements, page size, log … with its name and bound.
    #[error("the connector went over the limit `{limit}` of {bound}")]
    Limit {
        /// Key.
        limit: &'static str,
        /// Bound.
        bound: u64,
    },
    /// The run's `requests` were used up, and the connector took no denial for an answer.
    #[error(
        "the connector went on asking over the limit `requests` of {requests_max} a run; to allow more, raise `requests` in `[connections.{connection}.limits]`"
    )]
    Requests {
        /// Whose limit.
        connection: String,
        /// The limit.
        requests_max: u64,
    },
    /// The host has no free instance.
    #[error("at capacity: {0} instances are running")]
    AtCapacity(u32),
    /// Cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The role is not exported.
    #[error("the connector does not play the role `{0}`")]
    NoSuchRole(&'static str),
    /// The answer breaks the contract of the WIT (not JSON, record not an object …).
    #[error("the connector's answer is invalid: {0}")]
    InvalidAnswer(String),
    /// A fault of the host, contained.
    #[error("the host failed: {0}")]
    Host(String),
}

/// A component can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Truncated, a core module, or what the validator refuses.
    #[error("the component is invalid: {0}")]
    Invalid(String),
    /// It imports or exports what the connector world has not; by name.
    #[error("the component {0}")]
    Foreign(portcullis_manifest::EmbeddedError),
    /// A function, a type section, the whole …
    #[error("the component goes over the limit `{limit}` of {bound}")]
    TooLarge {
        /// Key.
        limit: &'static str,
        /// Bound.
        bound: u64,
    },
    /// The compile child ran into the limit on its CPU, wall time or memory, or crashed.
    #[error("compiling was stopped: {0}")]
    Stopped(String),
    /// The compile child could not be run.
    #[error("the compile child `{program}` failed")]
    Child {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The code is not what the digest says.
    #[error("the code is not what its digest `{0}` says")]
    Digest(String),
    /// The cache folder is not ours alone, or can't be used.
    #[error("the compile cache `{folder}` {fault}")]
    Cache {
        /// Which.
        folder: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The engine could not be made.
    #[error("the WebAssembly engine could not be made: {0}")]
    Engine(String),
}
