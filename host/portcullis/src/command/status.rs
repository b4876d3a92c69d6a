//! `status`: one screen. Is anything wrong, since when, whose it is, what to do. Reads without a lock, and asks a `serve` that runs
//! what only that knows.
use super::asked::{self, Serving};
use crate::{
    approvals,
    cli::Arguments,
    config::{Config, Connection},
    exit::{Exit, Failure, Result, at_database},
    output, remedy,
};
use portcullis_clock::{Clock, RealClock, Timestamp};
use portcullis_manifest::Lock;
use portcullis_store::{
    FlowOverview, Outcome, Overview, RejectedOverview, StateReader, StoreError, limits::OVERVIEW_RUNS_MAX,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// What waits for longer, while somebody could hand it over, is told.
const WAITING_MAX: Duration = Duration::from_secs(15 * 60);

/// Looks, and says what needs somebody.
pub async fn run(arguments: &Arguments) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let lock = approvals::read_lock(&config)?;
    let serving = asked::serving(&config).await;
    let (overviews, flows) = overviews(&config).await?;
    let looked = Looked { config: &config, lock, serving, overviews, flows, now: RealClock.now() };
    let needs = looked.needs();
    if arguments.json {
        output::json_line(&looked.as_json(&needs));
    } else {
        output::line(&looked.text(&needs));
    }
    Ok(if needs.is_empty() { Exit::Success } else { Exit::Failed })
}

/// Of connections and of flows, by name.
type Overviews = (BTreeMap<String, Overview>, BTreeMap<String, (FlowOverview, RejectedOverview)>);

async fn overviews(config: &Config) -> Result<Overviews> {
    let (data, names) = (config.data.clone(), config.connections.keys().cloned().collect::<Vec<_>>());
    let flows: Vec<_> = config.flows.keys().cloned().collect();
    let read = move || -> std::result::Result<Overviews, StoreError> {
        let Some(reader) = StateReader::open(&data)? else { return Ok(Overviews::default()) };
        let connections = names.into_iter().map(|name| Ok((name.clone(), reader.overview(&name)?)));
        let flows = flows
            .into_iter()
            .map(|name| Ok((name.clone(), (reader.flow_overview(&name)?, reader.rejected_overview(&name)?))));
        Ok((
            connections.collect::<std::result::Result<_, StoreError>>()?,
            flows.collect::<std::result::Result<_, StoreError>>()?,
        ))
    };
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| Failure::fault("the reader failed").because(&error))?;
    read.map_err(|error| at_database("read", "state.db", &error))
}

/// Everything that was looked at.
struct Looked<'c> {
    config: &'c Config,
    lock: Lock,
    /// None = no `serve` answers.
    serving: Option<Serving>,
    /// By connection; empty where there is no database yet.
    overviews: BTreeMap<String, Overview>,
    flows: BTreeMap<String, (FlowOverview, RejectedOverview)>,
    now: Timestamp,
}

/// Something that somebody has to do.
struct Need {
    /// Its connection, `flow NAME`, or `serve`.
    about: String,
    what: String,
    since: Option<Timestamp>,
    /// What to type.
    remedy: String,
}

impl Looked<'_> {
    fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        for connection in self.config.connections.values() {
            self.of_connection(connection, &mut needs);
        }
        for (name, (overview, rejected)) in &self.flows {
            self.of_flow(name, overview, rejected, &mut needs);
        }
        if let Some(serving) = &self.serving {
            for (route, why) in &serving.not_ready {
                let connection = self.config.webhooks.get(route).map(|webhook| webhook.connection.clone());
                needs.push(Need {
                    about: connection.unwrap_or_else(|| "serve".to_owned()),
                    what: format!("the route `{route}` is not as it should be: {}", output::shown_line(why)),
                    since: None,
                    remedy: "portcullis doctor".to_owned(),
                });
            }
            if !serving.ready {
                needs.push(Need {
                    about: "serve".to_owned(),
                    what: "it accepts no deliveries: nothing can be stored, or it is stopping".to_owned(),
                    since: None,
                    remedy: "portcullis doctor".to_owned(),
                });
            }
        }
        needs
    }

    fn of_connection(&self, connection: &Connection, needs: &mut Vec<Need>) {
        let name = &connection.name;
        let mut need = |what: String, since: Option<Timestamp>, remedy: String| {
            needs.push(Need { about: name.clone(), what, since, remedy });
        };
        match self.lock.approvals.get(name) {
            None => need(
                "it is not approved: nothing of it runs".to_owned(),
                None,
                format!("portcullis approve {name}"),
            ),
            Some(approval) if approvals::is_revoked(&self.config.data, name, approval) => {
                let what = "its approval has ended: nothing of it runs".to_owned();
                need(what, None, format!("portcullis approve {name}"));
            }
            Some(_) => {}
        }
        let Some(overview) = self.overviews.get(name) else { return };
        if overview.dead.count > 0 {
            let what = format!(
                "{} dead: no run of them ended well",
                output::several(overview.dead.count, "delivery is", "deliveries are")
            );
            need(
                what,
                overview.dead.since,
                format!("portcullis deliveries --state dead --connection {name}"),
            );
        }
        if let Some(failing) = &overview.failing {
            let newest = &failing.newest;
            let kind = newest.error_kind.as_deref().or(newest.reason.as_deref()).unwrap_or_default();
            let more = if failing.runs >= OVERVIEW_RUNS_MAX { " or more" } else { "" };
            let runs = output::several(u64::from(failing.runs), "run", "runs");
            let doubt = match newest.outcome {
                Some(Outcome::Unknown) => ", and what the last one did at the vendor nobody knows",
                _ => "",
            };
            let what = format!("its last {runs}{more} did not end well: {}{doubt}", output::shown_line(kind));
            need(what, Some(failing.since), format!("portcullis runs show {}", newest.run_id));
        }
        let waiting = overview.waiting;
        if waiting.count > 0 {
            let what = format!("{} waiting", output::several(waiting.count, "delivery is", "deliveries are"));
            let is_late = waiting.since.is_some_and(|since| self.now.since(since) > WAITING_MAX);
            match &self.serving {
                None => need(
                    format!("{what}, and no `serve` answers"),
                    waiting.since,
                    "portcullis serve".to_owned(),
                ),
                Some(_) if is_late => {
                    let remedy = format!("portcullis deliveries --state queued --connection {name}");
                    need(what, waiting.since, remedy);
                }
                Some(_) => {}
            }
        }
    }

    fn of_flow(
        &self,
        name: &str,
        overview: &FlowOverview,
        rejected: &RejectedOverview,
        needs: &mut Vec<Need>,
    ) {
        let mut need = |what: String, since: Option<Timestamp>, remedy: String| {
            needs.push(Need { about: format!("flow {name}"), what, since, remedy });
        };
        if overview.dead > 0 {
            let what = format!(
                "{} dead: no step went on by itself",
                output::several(overview.dead, "run is", "runs are")
            );
            need(what, overview.dead_since, format!("portcullis runs --flow {name}"));
        }
        if let Some(run) = rejected.run_id.as_ref().filter(|_| rejected.count > 0) {
            let refused = output::several(rejected.count, "record was", "records were");
            let what = format!(
                "{refused} refused and {} not at the destination",
                if rejected.count == 1 { "is" } else { "are" }
            );
            need(what, rejected.since, format!("portcullis runs show {run}"));
        }
        if overview.queued > 0 && self.serving.is_none() {
            let what = format!(
                "{} waiting, and no `serve` answers",
                output::several(overview.queued, "run is", "runs are")
            );
            need(what, overview.queued_since, "portcullis serve".to_owned());
        }
    }

    fn text(&self, needs: &[Need]) -> String {
        let mut lines = match needs {
            [] => vec!["all is well".to_owned()],
            needs => vec![format!(
                "{} somebody",
                output::several(needs.len() as u64, "thing needs", "things need")
            )],
        };
        let mut about = None;
        for need in needs {
            if about != Some(&need.about) {
                lines.push(format!("\n{}{}", need.about, self.whose(&need.about)));
                about = Some(&need.about);
            }
            let since = need.since.map_or(String::new(), |since| format!(" (since {since})"));
            lines.push(format!("  {}{since}\n    {}", need.what, remedy::pasteable(&need.remedy)));
        }
        let serving = match &self.serving {
            Some(_) => "`serve` runs",
            None if self.config.webhooks.is_empty() => "",
            None => "no `serve` answers",
        };
        if !serving.is_empty() {
            lines.push(format!("\n{serving}"));
        }
        let rows: Vec<_> = self.config.connections.keys().map(|name| self.row(name)).collect();
        let head = ["CONNECTION", "APPROVED", "LAST RUN", "OUTCOME", "LAST SUCCESS", "WAITING", "DEAD"];
        lines.push(format!("\n{}", output::table(&head, &rows)));
        lines.join("\n")
    }

    /// Whom to ask, and what they do.
    fn whose(&self, name: &str) -> String {
        let Some(connection) = self.config.connections.get(name) else { return String::new() };
        let shown = |text: &Option<String>| text.as_deref().map(output::shown_line);
        let parts: Vec<_> =
            [shown(&connection.owner), shown(&connection.runbook)].into_iter().flatten().collect();
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }

    fn row(&self, name: &str) -> Vec<String> {
        let approved = self.lock.approvals.get(name).map_or("no".to_owned(), |approval| {
            match approvals::is_revoked(&self.config.data, name, approval) {
                true => "ended".to_owned(),
                false => approval.version.to_string(),
            }
        });
        let overview = self.overviews.get(name);
        let last = overview.and_then(|overview| overview.last.as_ref());
        let moment = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
        let count = |count: Option<u64>| count.unwrap_or_default().to_string();
        vec![
            name.to_owned(),
            approved,
            moment(last.map(|run| run.started_at)),
            last.map_or("-", |run| run.outcome.map_or("open", |outcome| outcome.as_str())).to_owned(),
            moment(overview.and_then(|overview| overview.last_success)),
            count(overview.map(|overview| overview.waiting.count)),
            count(overview.map(|overview| overview.dead.count)),
        ]
    }

    fn as_json(&self, needs: &[Need]) -> Value {
        let need = |need: &Need| {
            let connection = self.config.connections.get(&need.about);
            json!({
                "about": need.about, "what": need.what, "since": need.since.map(|since| since.to_string()), "remedy": remedy::pasteable(&need.remedy),
                "owner": connection.and_then(|connection| connection.owner.clone()),
                "runbook": connection.and_then(|connection| connection.runbook.clone()),
            })
        };
        let connection = |name: &String| {
            let overview = self.overviews.get(name);
            let approval = self.lock.approvals.get(name);
            let last = overview.and_then(|overview| overview.last.as_ref());
            json!({
                "connection": name,
                "approved": approval.map(|approval| approval.version.to_string()),
                "ended": approval.is_some_and(|approval| approvals::is_revoked(&self.config.data, name, approval)),
                "last_run": last.map(|run| json!({
                    "run_id": run.run_id, "started_at": run.started_at.to_string(),
                    "outcome": run.outcome.map(Outcome::as_str),
                })),
                "last_success": overview.and_then(|overview| overview.last_success).map(|at| at.to_string()),
                "waiting": overview.map_or(0, |overview| overview.waiting.count),
                "dead": overview.map_or(0, |overview| overview.dead.count),
            })
        };
        json!({
            "well": needs.is_empty(),
            "needs": needs.iter().map(need).collect::<Vec<_>>(),
            "serve": self.serving.as_ref().map(|serving| json!({ "ready": serving.ready, "not_ready": serving.not_ready })),
            "connections": self.config.connections.keys().map(connection).collect::<Vec<_>>(),
        })
    }
}
