//! `runtime::Logs`: a connector's lines become trace events, one escaped JSON record each.
use portcullis_runtime::{LogLevel, Logs};

/// The lines of one call.
pub struct CallLogs {
    /// Connection's name.
    pub connection: String,
    /// Run.
    pub run_id: String,
}

impl Logs for CallLogs {
    fn log(&self, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let (connection, run) = (self.connection.as_str(), self.run_id.as_str());
        let fields = serde_json::to_string(fields).unwrap_or_default();
        match level {
            LogLevel::Debug => tracing::debug!(target: "connector", connection, run, fields, "{message}"),
            LogLevel::Info => tracing::info!(target: "connector", connection, run, fields, "{message}"),
            LogLevel::Warn => tracing::warn!(target: "connector", connection, run, fields, "{message}"),
            LogLevel::Error => tracing::error!(target: "connector", connection, run, fields, "{message}"),
        }
    }
}
