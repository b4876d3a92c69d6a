//! The Stripe connector: six streams and five actions over Stripe's REST API (version 2023-08-16).
//!
//! It holds no key, no retry and no clock: the host attaches the credential, repeats what may be repeated and keeps the
//! position. What is left is which request to make and what its answer means.
mod actions;
mod request;
mod streams;

use portcullis_sdk::{
    Actions, Config, Error, Input, Lifecycle, Outcome, Page, ReadRequest, Result, Source, StreamDescriptor,
    connector, json,
};
use serde::Deserialize;

struct Stripe;
connector!(Stripe: actions, source);

/// The connection's `config`, as `config.schema.json` describes it.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    page_size: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { page_size: streams::PAGE_RECORDS_MAX }
    }
}

impl Lifecycle for Stripe {
    fn check(config: Config) -> Result<()> {
        let _: Settings = config.parse()?;
        request::get("customers").query("limit", 1).send()?.error_for_status()?;
        Ok(())
    }
}

impl Actions for Stripe {
    fn invoke(_config: Config, action: &str, input: Input, _resume: Option<json::Json>) -> Result<Outcome> {
        actions::invoke(action, input.parse()?)
    }
}

impl Source for Stripe {
    fn discover(_config: Config) -> Result<Vec<StreamDescriptor>> {
        Ok(streams::ALL.iter().map(streams::Stream::descriptor).collect())
    }

    fn read(config: Config, request: ReadRequest) -> Result<Page> {
        let settings: Settings = config.parse()?;
        let stream = streams::ALL
            .iter()
            .find(|stream| stream.name == request.stream_name)
            .ok_or_else(|| Error::unknown_stream(&request.stream_name))?;
        stream.read(&request, settings.page_size)
    }
}
