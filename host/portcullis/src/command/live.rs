//! One call or read of an approved connection while somebody looks on: what `test --record` and `dev` run. It is a run like any
//! other, with its rows, intents and audit; what is not approved does not run.
use super::report;
use crate::{
    cassette::{Called, FILE_BYTES_MAX},
    cli::{Arguments, OneRun},
    exit::{Exit, Failure, Result},
    files,
    wiring::Host,
};
use async_trait::async_trait;
use portcullis_egress::{Connection, ExchangeSink};
use portcullis_engine::{CallOptions, FileMark, PageSink, ReadOptions, RunReport};
use serde_json::value::RawValue;
use std::{io, path::Path, sync::Arc};
use tokio::sync::watch;

/// Largest input.
const INPUT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What is run.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The call.
    pub call: Called,
    /// Records asked for in a page.
    pub max_records: Option<u32>,
}

impl Wanted {
    /// As typed; none where nothing of it was.
    pub fn of(options: &OneRun) -> Result<Option<Self>> {
        let call = match (&options.action, &options.stream) {
            (Some(name), _) => Called::Action { name: name.clone(), input: input(options.input.as_deref())? },
            (None, Some(name)) => Called::Stream(name.clone()),
            (None, None) if options.check => Called::Check,
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { call, max_records: options.max_records }))
    }
}

/// JSON as it is, else the file of that name.
fn input(given: Option<&str>) -> Result<String> {
    let Some(given) = given else { return Ok("{}".to_owned()) };
    match serde_json::from_str::<&RawValue>(given) {
        Ok(_) => Ok(given.to_owned()),
        Err(error) if given.trim_start().starts_with(['{', '[', '"']) => {
            Err(Failure::new(Exit::Usage, "`--input` is no JSON").because(&error))
        }
        Err(_) => {
            let bytes = files::read_regular(Path::new(given), INPUT_BYTES_MAX)?;
            String::from_utf8(bytes)
                .map_err(|_| Failure::new(Exit::Usage, format!("the input `{given}` is not UTF-8")))
        }
    }
}

/// What came of it.
pub struct Live {
    /// As of any run.
    pub report: RunReport,
    /// NDJSON, of a read.
    pub records: Vec<u8>,
    /// What masks by the connection's secrets and sensitive names.
    pub way_out: Arc<Connection>,
}

/// Runs it once.
pub async fn run(
    arguments: &Arguments,
    connection: &str,
    wanted: &Wanted,
    beside: Arc<dyn ExchangeSink>,
    cancelled: watch::Receiver<bool>,
) -> Result<Live> {
    let host = Host::open_beside(&arguments.config, arguments.wait(), Some(beside)).await?;
    let way_out = host.way_out(connection, &cancelled).await?;
    let mut records = Kept(Vec::new());
    let options = CallOptions { correlation_id: None, cancelled: Some(cancelled.clone()) };
    let report = match &wanted.call {
        Called::Check => host.engine.check(connection, options).await,
        Called::Action { name, input } => host.engine.call(connection, name, input, options).await,
        Called::Stream(name) => {
            let cancelled = Some(cancelled);
            let read = ReadOptions { cancelled, max_records: wanted.max_records, ..ReadOptions::default() };
            host.engine.read(connection, name, read, &mut records).await
        }
        Called::Delivery(delivery) => host.engine.deliver(connection, delivery.clone(), false, options).await,
        other @ (Called::Discover | Called::Batch(_) | Called::Complete { .. }) => {
            let message = format!("a {} is not run from here", other.words());
            let command = if *other == Called::Discover { "portcullis discover" } else { "portcullis write" };
            return Err(Failure::new(Exit::Usage, message).with_help(command));
        }
    };
    host.close().await;
    let report = report.map_err(report::refused)?;
    Ok(Live { report, records: records.0, way_out })
}

/// Records in memory.
struct Kept(Vec<u8>);

#[async_trait]
impl PageSink for Kept {
    async fn open(&mut self, _mark: Option<&FileMark>) -> io::Result<Option<FileMark>> {
        Ok(None)
    }

    async fn write(&mut self, records: Vec<u8>) -> io::Result<Option<FileMark>> {
        if (self.0.len() + records.len()) as u64 > FILE_BYTES_MAX {
            let message = format!(
                "more than {FILE_BYTES_MAX} bytes of records are not kept here: `read` writes them to a file"
            );
            return Err(io::Error::other(message));
        }
        self.0.extend_from_slice(&records);
        Ok(None)
    }

    async fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn discard(&mut self) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn an_input_is_json_or_the_file_that_holds_it() {
        assert_eq!(input(None).unwrap(), "{}");
        assert_eq!(input(Some("{\"a\": 1.10}")).unwrap(), "{\"a\": 1.10}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("input.json");
        std::fs::write(&file, "{\"b\":2}").unwrap();
        assert_eq!(input(file.to_str()).unwrap(), "{\"b\":2}");
        assert_eq!(input(Some("{\"a\": }")).unwrap_err().exit, Exit::Usage);
        let missing = folder.path().join("missing.json");
        assert!(input(missing.to_str()).unwrap_err().message.contains("missing.json"));
    }
}
