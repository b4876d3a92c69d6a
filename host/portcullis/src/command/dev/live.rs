//! One run of a connection at each change. A build is a version of its own, `VERSION-dev.TIME`: a version means one digest for ever,
//! and a connection runs no development build unless its config asks for one. What the lock does not hold does not run: a build
//! that asks for nothing beyond what is approved is approved where the connection says `updates = "same-grants"`, by the code of
//! `update`; any other one waits for `approve`, and the watch goes on.
use super::{
    sample::Samples,
    shown::{self, Shown},
};
use crate::{
    approvals,
    cassette::Called,
    cli::{Arguments, Dev},
    command::{
        approve::grant,
        build::{self, Built},
        live::{self, Wanted},
        report,
        review::{Reviewed, Verdict},
    },
    config::Config,
    exit::{Exit, Failure, Result},
    output, registry,
    registry::Package,
    watch::Watcher,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_engine::{Outcome, RunReport};
use semver::{Prerelease, Version};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// What is run, and what came of it last.
pub struct Live<'a> {
    arguments: &'a Arguments,
    options: &'a Dev,
    connection: &'a str,
    /// The build that this process put into the registry last.
    last: Option<(PathBuf, String)>,
    sample: Samples<'a>,
    former: Option<Value>,
}

impl<'a> Live<'a> {
    /// Nothing was run yet.
    pub fn new(arguments: &'a Arguments, options: &'a Dev, connection: &'a str) -> Self {
        let sample = Samples::new(arguments, options);
        Self { arguments, options, connection, last: None, sample, former: None }
    }

    /// Where an approval, another config or another input comes from.
    pub fn files(&self) -> Vec<PathBuf> {
        let config = &self.arguments.config;
        let lock = crate::config::folder_of(config).join("portcullis.lock");
        let input = self.options.run.input.as_ref().map(PathBuf::from).filter(|file| file.is_file());
        [config.clone(), lock].into_iter().chain(input).chain(self.sample.files()).collect()
    }

    /// Builds, has it approved where nobody has to be asked, and runs once.
    pub async fn round(&mut self, watcher: &mut Watcher, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let Some(built) = build::built_until(&self.options.dir, stop).await? else { return Ok(()) };
        let config = Arc::new(Config::read(&self.arguments.config)?);
        let package = self.put(&config, built)?;
        if !self.is_approved(&config, &package, watcher, stop).await? {
            return Ok(());
        }
        let Some(wanted) = self.wanted(&package)? else { return Ok(()) };
        let as_json = self.arguments.json;
        if !as_json {
            output::line(&format!("{} of `{}`", wanted.call.words(), self.connection));
        }
        let beside = Arc::new(Shown { as_json });
        let live = live::run(self.arguments, self.connection, &wanted, beside, stop.clone()).await?;
        let is = value(&wanted.call, &live);
        if as_json {
            output::json_line(&json!({ "event": "run", "run": report::as_json(&live.report) }));
        } else {
            report::explain(&live.report);
            output::line(&format!("  {}, run {}", live.report.outcome.as_str(), live.report.run_id));
        }
        // What was cut short is nothing to compare with.
        if live.report.outcome != Outcome::Cancelled {
            shown::result(self.connection, &is, self.former.as_ref(), as_json);
            self.former = Some(is);
        }
        Ok(())
    }

    /// What is run of this build. None where it is a delivery that is refused, which was said.
    fn wanted(&mut self, package: &Package) -> Result<Option<Wanted>> {
        if self.options.deliver.is_none() {
            return Wanted::of(&self.options.run);
        }
        let delivery = self.sample.verified(&package.component.manifest)?;
        Ok(delivery.map(|delivery| Wanted { call: Called::Delivery(delivery), max_records: None }))
    }

    /// Puts the build into the registry as a version of its own, in place of the last one; the same bytes stay the same version.
    fn put(&mut self, config: &Config, mut built: Built) -> Result<Package> {
        let connected = config.connection(self.connection)?;
        let (name, version) = (&built.folder.connector.name, built.folder.connector.version.clone());
        if connected.connector != *name {
            let message = format!(
                "`{}` runs `{}`, and `{}` is `{name}`",
                self.connection,
                connected.connector,
                self.options.dir.display()
            );
            return Err(Failure::new(Exit::Usage, message)
                .with_help("name a connection of this connector, or its folder"));
        }
        let newest = newest_build(&config.registry, &built)?;
        if let Some((number, file)) = &newest {
            built.folder.connector.version = development(&version, *number)?;
            let package = built.package(&self.options.dir)?;
            if registry::open(file).is_ok_and(|known| known.bytes == package.bytes) {
                self.refuse_unasked(config, &package)?;
                return Ok(package);
            }
        }
        let number = newest.map_or(0, |(number, _)| number + 1).max(moment());
        built.folder.connector.version = development(&version, number)?;
        let package = built.package(&self.options.dir)?;
        self.refuse_unasked(config, &package)?;
        let file = registry::put(&config.registry, &package.bytes, &package.component)?;
        if let Some((last, digest)) = self.last.replace((file, package.component.digest.clone())) {
            // What is approved may still be taken from there.
            let lock = approvals::read_lock(config)?;
            if !lock.approvals.values().any(|approval| approval.digest == digest) {
                // It may be gone already.
                let _ = std::fs::remove_file(last);
            }
        }
        Ok(package)
    }

    /// A connection runs a development build only where its config says so.
    fn refuse_unasked(&self, config: &Config, package: &Package) -> Result<()> {
        let connected = config.connection(self.connection)?;
        let version = &package.component.manifest.version;
        if connected.version.matches(version) {
            return Ok(());
        }
        let (name, connector) = (self.connection, &connected.connector);
        let release = Version::new(version.major, version.minor, version.patch);
        let message =
            format!("`{name}` asks for `{connector}@{}`, which is no development build", connected.version);
        Err(Failure::new(Exit::NotApproved, message).with_help(format!(
            "where `{name}` is there for development:\n\n[connections.{name}]\nconnector = \"{connector}@^{release}-dev\""
        )))
    }

    /// Whether the lock holds this very build, by now. What asks for nothing more is taken where the operator said so; what waits is
    /// shown. Judging a config takes as long as the connector's author likes: whoever wants to stop does not wait for it.
    async fn is_approved(
        &self,
        config: &Arc<Config>,
        package: &Package,
        watcher: &mut Watcher,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<bool> {
        let judged = tokio::task::spawn_blocking({
            let (config, connection, wait) =
                (Arc::clone(config), self.connection.to_owned(), self.arguments.wait());
            let (ours, digest) =
                (package.component.manifest.version.clone(), package.component.digest.clone());
            let stop = stop.clone();
            move || approval_of(&config, &connection, (&ours, &digest), wait, &stop)
        });
        let approval = tokio::select! {
            judged = judged => judged.map_err(|error| Failure::fault("it could not be reviewed").because(&error))??,
            _ = stop.wait_for(|stop| *stop) => return Ok(false),
        };
        let (taken, text, json) = match approval {
            Approval::Is => return Ok(true),
            Approval::Waits { text, json } => (false, text, json),
            Approval::Taken { text, json } => (true, text, json),
        };
        if taken {
            watcher.accept(&config.lock_file());
        }
        match taken {
            _ if self.arguments.json => output::json_line(&json),
            true => output::note(&text),
            false => output::line(&text),
        }
        Ok(taken)
    }
}

/// What the lock says of a build.
enum Approval {
    /// It is there.
    Is,
    /// Somebody has to approve it.
    Waits { text: String, json: Value },
    /// It was taken just now.
    Taken { text: String, json: Value },
}

fn approval_of(
    config: &Config,
    connection: &str,
    (ours, build): (&Version, &str),
    wait: Duration,
    stop: &watch::Receiver<bool>,
) -> Result<Approval> {
    let reviewed = Reviewed::of(config, connection)?;
    let (version, digest) = (&reviewed.asked.approval.version, &reviewed.asked.approval.digest);
    if digest != build {
        let message = format!("the registry holds {version}, which is newer than this build, {ours}");
        return Err(Failure::fault(message).with_help(
            "raise `version` in connector.toml: a development build comes before the version that it becomes",
        ));
    }
    if reviewed.verdict == Verdict::Current {
        return Ok(Approval::Is);
    }
    let review = reviewed.as_json();
    match &reviewed.former {
        // Nobody sees any more what would be taken.
        Some(former) if reviewed.takes() && !*stop.borrow() => {
            let after = former.approval_id.clone();
            let text = format!(
                "`{connection}`: {version} took the place of {}, and asks for nothing more",
                former.version
            );
            grant(config, reviewed.asked, wait, Some(&after))?;
            Ok(Approval::Taken { text, json: json!({ "event": "taken", "review": review }) })
        }
        _ => {
            Ok(Approval::Waits { text: reviewed.text(), json: json!({ "event": "waits", "review": review }) })
        }
    }
}

/// Number and file of the newest development build of this version in the registry.
fn newest_build(registry: &Path, built: &Built) -> Result<Option<(u64, PathBuf)>> {
    let (name, version) = (&built.folder.connector.name, &built.folder.connector.version);
    let all = registry::versions(registry, name)?;
    let builds = all.into_iter().filter_map(|entry| {
        let number = entry.version.pre.as_str().rsplit('.').next()?.parse().ok()?;
        (development(version, number).ok()? == entry.version).then_some((number, entry.file))
    });
    Ok(builds.max())
}

/// `1.2.0` → `1.2.0-dev.NUMBER`
fn development(version: &Version, number: u64) -> Result<Version> {
    let before = if version.pre.is_empty() { String::new() } else { format!("{}.", version.pre) };
    let pre = Prerelease::new(&format!("{before}dev.{number}"));
    let pre =
        pre.map_err(|error| Failure::fault(format!("`{version}` has no development build")).because(&error))?;
    Ok(Version { pre, ..version.clone() })
}

/// `20260301140509`: the time of day in UTC, which sorts as a number.
fn moment() -> u64 {
    let now = RealClock.now().to_string();
    let digits: String =
        now.chars().take_while(|character| *character != '.').filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn value(called: &Called, live: &live::Live) -> Value {
    let RunReport { failure, output, outcome, .. } = &live.report;
    match (failure, called) {
        (Some(failure), _) => json!({ "error": failure.kind, "message": failure.message }),
        (None, Called::Stream(_)) => {
            let text = String::from_utf8_lossy(&live.records);
            let records = text.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null));
            json!({ "records": records.collect::<Vec<Value>>() })
        }
        (None, Called::Action { .. } | Called::Delivery(_)) => {
            report::json_or_text(output.as_deref().unwrap_or("null"))
        }
        (None, Called::Check | Called::Discover | Called::Batch(_) | Called::Complete { .. }) => {
            json!(outcome.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use semver::VersionReq;

    #[test]
    fn a_development_build_comes_before_its_version_and_is_run_by_who_asks_for_one() {
        let builds = |version: &str| {
            let version: Version = version.parse().unwrap();
            (
                version.clone(),
                development(&version, 9).unwrap(),
                development(&version, 20260301140509).unwrap(),
            )
        };
        for version in ["1.2.0", "0.1.0", "1.2.0-beta.1"] {
            let (release, early, late) = builds(version);
            assert!(early < late && (late < release || !release.pre.is_empty()), "{early} {late}");
        }
        let (_, _, build) = builds("1.2.0");
        assert_eq!(build.to_string(), "1.2.0-dev.20260301140509");
        let matches = |request: &str| request.parse::<VersionReq>().unwrap().matches(&build);
        for request in ["*", "^1", "^1.2", "^1.2.0", "1", ">=1.0.0", "=1.2.0", "^1.1.0-dev"] {
            assert!(!matches(request), "{request}");
        }
        assert!(matches("^1.2.0-dev") && matches(">=1.2.0-dev"));
    }

    #[test]
    fn a_moment_is_a_number_that_grows() {
        let now = moment();
        assert!(now > 20_250_101_000_000 && now < 99_991_231_235_959, "{now}");
    }
}
