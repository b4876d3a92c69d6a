//! `runtime::Logs`: a connector's lines become trace events, one escaped JSON record each.
use portcullis_runtime::{LogLevel, Logs};
use std::sync::Arc;

/// The lines of one call.
pub struct CallLogs {
    /// Connection's name.
    pub connection: String,
    /// Run.
    pub run_id: String,
    /// What a person gave the connector may be a secret of the connection: no line has it. None = there is no connection.
    pub way_out: Option<Arc<portcullis_egress::Connection>>,
}

impl CallLogs {
    fn masked(&self, text: &str) -> String {
        self.way_out.as_ref().map_or_else(|| text.to_owned(), |way_out| way_out.masked_now(text))
    }
}

impl Logs for CallLogs {
    fn log(&self, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let (connection, run) = (self.connection.as_str(), self.run_id.as_str());
        let message = self.masked(message);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name, self.masked(value))).collect();
        let fields = serde_json::to_string(&fields).unwrap_or_default();
        match level {
            LogLevel::Debug => tracing::debug!(target: "connector", connection, run, fields, "{message}"),
            LogLevel::Info => tracing::info!(target: "connector", connection, run, fields, "{message}"),
            LogLevel::Warn => tracing::warn!(target: "connector", connection, run, fields, "{message}"),
            LogLevel::Error => tracing::error!(target: "connector", connection, run, fields, "{message}"),
        }
    }
}
