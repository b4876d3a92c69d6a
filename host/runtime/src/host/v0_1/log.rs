//! `log`: one line with fields, under the call's quota.

use super::imports::log::{Host, Level};
use crate::{LogLevel, instance::CallState};

impl Host for CallState {
    async fn log(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let output = self.output.clone();
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.enter(async move { output.log(level, &message, &fields) }).await
    }
}
