//! Issues of GitHub repositories. An action is a request and what its answer means: the output is the vendor's own text.

use portcullis_sdk::{Actions, Config, Error, Input, Lifecycle, Outcome, Result, connector, http, json};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

struct Connector;
connector!(Connector: actions);

impl Lifecycle for Connector {}

impl Actions for Connector {
    fn invoke(_: Config, action: &str, input: Input, _: Option<json::Json>) -> Result<Outcome> {
        match action {
            "issue" => issue(&input.parse()?),
            "open-issue" => open_issue(&input.parse()?),
            other => Err(Error::unsupported_action(other)),
        }
    }
}

#[derive(Deserialize)]
struct Repository {
    owner: String,
    repo: String,
}

impl Repository {
    /// A name that holds `/` or `..` stays within its own segment.
    fn issues(&self) -> String {
        let (owner, repo) = (http::segment(&self.owner), http::segment(&self.repo));
        format!("https://api.github.com/repos/{owner}/{repo}/issues")
    }
}

#[derive(Deserialize)]
struct Number {
    #[serde(flatten)]
    repository: Repository,
    number: u64,
}

fn issue(Number { repository, number }: &Number) -> Result<Outcome> {
    answered(http::get(format!("{}/{number}", repository.issues())))
}

#[derive(Deserialize)]
struct NewIssue {
    #[serde(flatten)]
    repository: Repository,
    #[serde(flatten)]
    issue: Text,
}

#[derive(Deserialize, Serialize)]
struct Text {
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

fn open_issue(NewIssue { repository, issue }: &NewIssue) -> Result<Outcome> {
    answered(http::post(repository.issues()).json(issue))
}

fn answered(request: http::RequestBuilder) -> Result<Outcome> {
    let request = request.header("X-GitHub-Api-Version", "2022-11-28");
    Outcome::done_raw(request.send()?.error_for_status()?.into_text()?)
}
