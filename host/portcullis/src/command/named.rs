//! A connection that somebody asks the history of: one of the config, or one that is not there any more and left something.
use crate::{
    config::Config,
    exit::{Failure, Result, at_database},
};
use portcullis_store::{DeliveryFilter, ExchangeFilter, ExchangeReader, RunFilter, StateReader, StoreError};

/// Refuses a name that stands nowhere.
pub async fn connection(config: &Config, name: &str) -> Result<()> {
    let Err(unknown) = config.connection(name) else { return Ok(()) };
    let (data, wanted) = (config.data.clone(), name.to_owned());
    let left = move || -> std::result::Result<bool, StoreError> {
        let connection = Some(wanted);
        if let Some(reader) = StateReader::open(&data)? {
            let runs = RunFilter { connection: connection.clone(), limit: 1, ..RunFilter::default() };
            let deliveries =
                DeliveryFilter { connection: connection.clone(), limit: 1, ..DeliveryFilter::default() };
            if !reader.runs(&runs)?.is_empty() || !reader.deliveries(&deliveries)?.is_empty() {
                return Ok(true);
            }
        }
        let Some(reader) = ExchangeReader::open(&data)? else { return Ok(false) };
        let filter = ExchangeFilter { connection, limit: 1, ..ExchangeFilter::default() };
        Ok(!reader.exchanges(&filter)?.is_empty())
    };
    let left = tokio::task::spawn_blocking(left).await;
    let left = left.map_err(|error| Failure::fault("the reader failed").because(&error))?;
    match left.map_err(|error| at_database("read", "state.db", &error))? {
        true => Ok(()),
        false => Err(unknown),
    }
}
