//! The REST connector: whatever JSON API the connection's config describes, as streams and actions.
//!
//! It holds no knowledge of any vendor, no key, no retry and no clock. What it may reach the operator says with `origins` and
//! `allow`, and the host judges each request by them: a config that asks for more is denied.
mod actions;
mod config;
mod streams;
mod template;

use config::Settings;
use portcullis_sdk::{
    Actions, Config, Error, Input, Lifecycle, Outcome, Page, ReadRequest, Result, Source, StreamDescriptor,
    connector, json,
};

struct Rest;
connector!(Rest: actions, source);

impl Lifecycle for Rest {
    fn check(config: Config) -> Result<()> {
        let settings = Settings::read(&config)?;
        settings.check_actions()?;
        if let Some(request) = settings.cheapest() {
            request.send()?.error_for_status()?;
        }
        Ok(())
    }
}

impl Actions for Rest {
    fn invoke(config: Config, action: &str, input: Input, _resume: Option<json::Json>) -> Result<Outcome> {
        let settings = Settings::read(&config)?;
        let Some(found) = settings.actions.get(action) else {
            return Err(Error::unsupported(format!(
                "no action `{action}` in the config{}",
                settings.known_actions()
            )));
        };
        found.invoke(&settings, &input.parse()?)
    }
}

impl Source for Rest {
    fn discover(config: Config) -> Result<Vec<StreamDescriptor>> {
        let settings = Settings::read(&config)?;
        settings.streams.iter().map(|(name, stream)| stream.descriptor(name)).collect()
    }

    fn read(config: Config, request: ReadRequest) -> Result<Page> {
        let settings = Settings::read(&config)?;
        let Some(stream) = settings.streams.get(&request.stream_name) else {
            return Err(Error::unknown_stream(&request.stream_name));
        };
        stream.read(&settings, &request)
    }
}
