//! `denials`: refused requests of the exchange log by the rule that would have let them pass, and the fewest rules of a
//! connection's `allow` that let the chosen ones pass. Judged by the rules of today: what a person did meanwhile counts. Opens
//! the database read-only; writes nothing.
use super::{named, period};
use crate::{
    approvals,
    cli::{Arguments, Denials},
    config::{Config, operator_list},
    exit::{Exit, Failure, Result, at_database},
    output,
    wiring::connections::grants,
};
use portcullis_clock::{Clock, RealClock, Timestamp};
use portcullis_grants::{
    CanonicalUrl, DenialReason, Grants, Method, OperatorRules, Rule,
    propose::{Proposed, fewest},
};
use portcullis_store::{ExchangeFilter, ExchangeReader, ExchangeRow};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Of one group: requests that are shown.
const EXAMPLES_MAX: usize = 3;

/// Shows groups, or the rules for some of them.
pub async fn run(arguments: &Arguments, options: &Denials) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let rows = rows(&config, options).await?;
    let judges = Judges::of(&config)?;
    let groups = groups(&rows, &judges);
    if options.allow.is_empty() {
        list(arguments.json, &groups);
        return Ok(Exit::Success);
    }
    propose(arguments.json, &options.allow, &groups, &judges)
}

async fn rows(config: &Config, options: &Denials) -> Result<Vec<ExchangeRow>> {
    if let Some(name) = &options.connection {
        named::connection(config, name).await?;
    }
    let (since, until) = period::parse(&options.period, RealClock.now())?;
    let filter = ExchangeFilter {
        connection: options.connection.clone(),
        outcome: Some("denied".to_owned()),
        since,
        until,
        ..ExchangeFilter::default()
    };
    let data = config.data.clone();
    let read = move || match ExchangeReader::open(&data)? {
        Some(reader) => reader.exchanges(&filter),
        None => Ok(Vec::new()),
    };
    let rows = tokio::task::spawn_blocking(read).await;
    let rows = rows.map_err(|error| Failure::fault("the reader failed").because(&error))?;
    rows.map_err(|error| at_database("read", "exchanges.db", &error))
}

/// What decides for each connection that is approved and configured today.
struct Judges(BTreeMap<String, Grants>);

impl Judges {
    fn of(config: &Config) -> Result<Self> {
        let lock = approvals::read_lock(config)?;
        let judge = |(name, connection): (&String, &crate::config::Connection)| {
            let approval = lock.approvals.get(name)?;
            Some((name.clone(), grants(config, connection, approval).ok()?))
        };
        Ok(Self(config.connections.iter().filter_map(judge).collect()))
    }
}

/// What would let a group's requests pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Remedy {
    /// A rule of the connection's `allow`, within this approved one.
    Operator(String),
    /// The connector requests nothing of this method and host: its author has to, and then it is to be approved.
    Author(String),
    /// No rule of this connection: the reason that was logged.
    None(String),
    /// It would pass today.
    Passes(String),
}

impl Remedy {
    /// By the rules of today; what is no request, or was refused for something else, by what was logged.
    fn of(row: &ExchangeRow, asked: Option<&(Method, CanonicalUrl)>, judges: &Judges) -> Self {
        let logged = || Self::None(row.reason.clone().unwrap_or_default());
        let (Some((method, url)), Some(judge)) = (asked, judges.0.get(&row.connection)) else {
            return logged();
        };
        let approved = || judge.manifest_rules().iter().find(|rule| rule.rule.matches(method, url));
        let origin = format!("{method} {}://{}:{}", url.scheme(), url.host(), url.port());
        match judge
            .authorize(&row.connection, method.as_str(), &row.url, None, None)
            .map_err(|denial| denial.reason)
        {
            Err(DenialReason::Operator { .. }) => {
                approved().map_or_else(logged, |rule| Self::Operator(rule.rule.to_string()))
            }
            Err(DenialReason::Manifest { .. }) => Self::Author(origin),
            Ok(_) if row.operator_place.is_empty() && row.reason.as_deref().is_some_and(named_a_rule) => {
                Self::Passes(origin)
            }
            _ => logged(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Operator(_) => "operator",
            Self::Author(_) => "author",
            Self::None(_) => "none",
            Self::Passes(_) => "passes",
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Operator(text) | Self::Author(text) | Self::None(text) | Self::Passes(text) => text,
        }
    }

    fn shown(&self, connection: &str) -> String {
        let text = output::shown_line(self.text());
        match self {
            Self::Operator(_) => {
                format!("approved as `{text}`, and `allow` of `{connection}` has no rule for it")
            }
            Self::Author(_) => format!("not requested by the connector: {text}"),
            Self::None(_) => text,
            Self::Passes(_) => format!("passes by the rules of today: {text}"),
        }
    }
}

/// What `grants` says where no rule matched.
fn named_a_rule(reason: &str) -> bool {
    reason.starts_with("no operator rule allows") || reason.starts_with("no approved manifest rule allows")
}

/// Requests that one rule would let pass.
struct Group {
    connection: String,
    remedy: Remedy,
    count: usize,
    last: Timestamp,
    /// Each once, in the order in which they came.
    asked: Vec<(Method, CanonicalUrl)>,
    examples: Vec<String>,
}

/// In the order in which each group's first request came, so that a later one changes no number.
fn groups(rows: &[ExchangeRow], judges: &Judges) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let asked = Method::parse(&row.method).ok().zip(CanonicalUrl::parse(&row.url).ok());
        let remedy = Remedy::of(row, asked.as_ref(), judges);
        let found =
            groups.iter().position(|group| group.connection == row.connection && group.remedy == remedy);
        let at = found.unwrap_or_else(|| {
            groups.push(Group {
                connection: row.connection.clone(),
                remedy,
                count: 0,
                last: row.started_at,
                asked: Vec::new(),
                examples: Vec::new(),
            });
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.count += 1;
        group.last = group.last.max(row.started_at);
        let shown = match &asked {
            Some((method, url)) => format!("{method} {}", url.without_query()),
            None => format!("{} {}", row.method, row.url),
        };
        if group.examples.len() < EXAMPLES_MAX && !group.examples.contains(&shown) {
            group.examples.push(shown);
        }
        if let Some(asked) = asked
            && !group.asked.contains(&asked)
        {
            group.asked.push(asked);
        }
    }
    groups
}

fn list(as_json: bool, groups: &[Group]) {
    for (at, group) in groups.iter().enumerate() {
        let Group { connection, remedy, count, last, examples, .. } = group;
        let number = at + 1;
        if as_json {
            output::json_line(&json!({
                "number": number, "connection": connection, "kind": remedy.kind(), "rule": remedy.text(),
                "count": count, "last": last.to_string(), "examples": examples,
            }));
            continue;
        }
        output::line(&format!(
            "{number:>3}  `{connection}`, {count} refused, last {last}\n     {}",
            remedy.shown(connection)
        ));
        for example in examples {
            output::line(&format!("       {}", output::shown_line(example)));
        }
    }
    if as_json {
        return;
    }
    let may: Vec<String> = (1..)
        .zip(groups)
        .filter(|(_, group)| matches!(group.remedy, Remedy::Operator(_)))
        .map(|(number, _)| number.to_string())
        .collect();
    output::note(&match (groups.is_empty(), may.is_empty()) {
        (true, _) => "nothing was refused".to_owned(),
        (false, true) => "no rule of `allow` would let any of them pass".to_owned(),
        (false, false) => {
            format!(
                "`portcullis denials --allow {}` writes out the rules that would allow these",
                may.join(",")
            )
        }
    });
}

/// The rules for the chosen groups: one `allow` a connection, with what stands in it already.
fn propose(as_json: bool, chosen: &[usize], groups: &[Group], judges: &Judges) -> Result<Exit> {
    let mut by_connection: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    let mut refused = 0;
    for number in chosen {
        let Some(group) = number.checked_sub(1).and_then(|at| groups.get(at)) else {
            let message = format!("there is no group {number}");
            return Err(Failure::new(Exit::Usage, message)
                .with_help("`portcullis denials`, with the same filters, numbers them"));
        };
        let why = match &group.remedy {
            Remedy::Operator(_) => {
                by_connection.entry(&group.connection).or_default().push(group);
                continue;
            }
            Remedy::Author(_) => {
                "the connector has to request it (`connector.toml`), and then it is to be approved"
            }
            Remedy::None(_) => "no rule of `allow` would change that",
            Remedy::Passes(_) => "it passes by the rules of today",
        };
        refused += 1;
        output::note(&format!("{number}: {}: {why}", group.remedy.shown(&group.connection)));
    }
    for (connection, groups) in by_connection {
        let Some(judge) = judges.0.get(connection) else { continue };
        let asked: Vec<_> = groups.iter().flat_map(|group| group.asked.clone()).collect();
        let proposed = fewest(&asked, judge.manifest_rules());
        let listed = operator_list(judge.operator_rules());
        if as_json {
            output::json_line(&proposal_json(connection, listed, &proposed));
        } else {
            output::line(&proposal_text(connection, listed, &proposed));
        }
        let missed = unallowed(connection, judge, &proposed, &asked);
        for request in &missed {
            output::note(&format!("`{connection}`: no rule can name {}", output::shown_line(request)));
        }
        refused += missed.len();
    }
    Ok(if refused == 0 { Exit::Success } else { Exit::Failed })
}

/// What the rules were made for and would not let pass: tried, not believed.
fn unallowed(
    connection: &str,
    judge: &Grants,
    proposed: &[Proposed],
    asked: &[(Method, CanonicalUrl)],
) -> Vec<String> {
    let rules = proposed.iter().map(|proposed| (String::new(), proposed.rule.clone())).collect();
    let Ok(grants) = Grants::new(judge.manifest_rules().to_vec(), OperatorRules::Listed(rules)) else {
        return Vec::new();
    };
    let passes = |(method, url): &&(Method, CanonicalUrl)| {
        let decided = grants.authorize(connection, method.as_str(), url.as_str(), None, None);
        !matches!(decided.map_err(|denial| denial.reason), Err(DenialReason::Operator { .. }))
    };
    let missed = asked.iter().filter(|asked| !passes(asked));
    missed.map(|(method, url)| format!("{method} {}", url.without_query())).collect()
}

fn proposal_json(connection: &str, listed: &[(String, Rule)], proposed: &[Proposed]) -> Value {
    let added = proposed.iter().map(|one| {
        json!({ "rule": one.rule.to_string(), "writes": one.writes, "wildcard": one.wildcard, "flags": one.rule.flags() })
    });
    json!({
        "connection": connection,
        "listed": listed.iter().map(|(_, rule)| rule.to_string()).collect::<Vec<_>>(),
        "added": added.collect::<Vec<_>>(),
    })
}

fn proposal_text(connection: &str, listed: &[(String, Rule)], proposed: &[Proposed]) -> String {
    let mut text = format!(
        "# portcullis.toml: the whole `allow`; needs no approval, since it lets nothing pass that is not approved\n\
         [connections.{connection}]\nallow = [\n"
    );
    // A rule holds no control character, and of a basic string's two others only what is escaped here.
    let quoted = |rule: &Rule| format!("\"{}\"", rule.to_string().replace('\\', "\\\\").replace('"', "\\\""));
    for (_, rule) in listed {
        text.push_str(&format!("  {},\n", quoted(rule)));
    }
    for one in proposed {
        let marks = [(one.writes, "WRITES"), (one.wildcard, "WILDCARD")];
        let marks = marks.into_iter().filter(|(on, _)| *on).map(|(_, mark)| mark.to_owned());
        let marks: Vec<String> =
            ["new".to_owned()].into_iter().chain(marks).chain(one.rule.flags()).collect();
        text.push_str(&format!("  {},  # {}\n", quoted(&one.rule), marks.join("; ")));
    }
    text.push(']');
    text
}
