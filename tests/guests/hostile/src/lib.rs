//! A hostile connector: each action tries one way out of its bounds and reports what it got. The host has to stop every one,
//! while other calls go on. It is no example to copy.
use portcullis_sdk::{Actions, Config, Error, Input, Lifecycle, Outcome, Result, connector, http, json};
use serde_json::json;
use std::hint::black_box;

struct Hostile;
connector!(Hostile: actions);

impl Lifecycle for Hostile {}

impl Actions for Hostile {
    fn invoke(_config: Config, action: &str, _input: Input, _resume: Option<json::Json>) -> Result<Outcome> {
        match action {
            "spin" => spin(),
            "eat-memory" => eat_memory(),
            "ask-metadata" => loot(http::get("http://169.254.169.254/latest/meta-data/").send()?),
            "follow-redirect" => follow_redirect(),
            "steal-header" => {
                let url = "https://api.stripe.com/v1/customers";
                loot(http::get(url).header("Authorization", "Bearer sk_live_of_mallory").send()?)
            }
            "keep-the-secret" => keep_the_secret(),
            other => Err(Error::unsupported_action(other)),
        }
    }
}

fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Every page is written to: memory that is merely reserved would cost the host nothing.
fn eat_memory() -> ! {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(black_box(vec![0xA5; 1 << 20]));
    }
}

/// The host hands a 3xx to the guest; what the guest does with it is a new request, judged like any other.
fn follow_redirect() -> Result<Outcome> {
    let first = http::get("https://api.stripe.com/v1/redirect-loopback").send()?;
    let Some(target) = first.header("location") else {
        return Err(Error::internal("the vendor sent no `Location`"));
    };
    loot(http::get(target).send()?)
}

/// A vendor that repeats the request's own headers would hand the key over, if the host let it through.
fn keep_the_secret() -> Result<Outcome> {
    let answer = http::get("https://api.stripe.com/v1/echo-secret").send()?;
    let header = answer.header("x-echo-authorization").unwrap_or_default().to_owned();
    Outcome::done(&json!({ "header": header, "body": String::from_utf8_lossy(answer.body()) }))
}

fn loot(response: http::Response) -> Result<Outcome> {
    Outcome::done(&json!({ "status": response.status(), "body": String::from_utf8_lossy(response.body()) }))
}
