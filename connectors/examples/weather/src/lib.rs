//! The forecast of one place: Open-Meteo answers in columns, and a record is a row.

use portcullis_sdk::{
    Config, Error, ErrorKind, Lifecycle, Page, ReadRequest, Result, Source, StreamDescriptor, connector, http,
};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

struct Connector;
connector!(Connector: source);

/// The connection's config, as `config.schema.json` describes it.
#[derive(Deserialize)]
struct Place {
    latitude: f64,
    longitude: f64,
}

/// What is looked at of an answer.
#[derive(Deserialize)]
struct Forecast {
    hourly: Columns,
}

#[derive(Deserialize)]
struct Columns {
    time: Vec<String>,
    temperature_2m: Vec<Option<f64>>,
}

/// One record, as `schemas/hour.json` describes it.
#[derive(Serialize)]
struct Hour {
    time: String,
    celsius: Option<f64>,
}

impl Lifecycle for Connector {
    fn check(config: Config) -> Result<()> {
        forecast(&config.parse()?).map(drop)
    }
}

impl Source for Connector {
    fn discover(_: Config) -> Result<Vec<StreamDescriptor>> {
        let schema = include_str!("../schemas/hour.json");
        Ok(vec![StreamDescriptor::new("hours", schema).primary_key(["time"])])
    }

    fn read(config: Config, request: ReadRequest) -> Result<Page> {
        match request.stream_name.as_str() {
            "hours" => hours(forecast(&config.parse()?)?),
            other => Err(Error::unknown_stream(other)),
        }
    }
}

fn forecast(place: &Place) -> Result<Forecast> {
    http::get("https://api.open-meteo.com/v1/forecast")
        .query("latitude", place.latitude)
        .query("longitude", place.longitude)
        .query("hourly", "temperature_2m")
        .send()?
        .error_for_status()?
        .json()
}

/// A forecast is one page. The next read brings all of it again: the same hours, better known.
fn hours(Forecast { hourly }: Forecast) -> Result<Page> {
    let Columns { time, temperature_2m } = hourly;
    if time.len() != temperature_2m.len() {
        return Err(Error::new(ErrorKind::ContractDrift, "columns of different lengths"));
    }
    let mut page = Page::new();
    for (time, celsius) in time.into_iter().zip(temperature_2m) {
        page.push(&Hour { time, celsius })?;
    }
    Ok(page)
}
