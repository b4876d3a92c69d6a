//! A person's word on what is dead: handed over once more, or never. One, or all that a filter lets pass, so many a second.
use super::{read, unknown};
use crate::{
    cli::{Arguments, DecideDeliveries},
    command::{asked::Decider, confirm::confirmed, named, period},
    config::Config,
    exit::{Exit, Failure, Result},
    output,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_store::{DeliveryFilter, DeliveryState, DeliverySummary, limits::LIST_ROWS_MAX};
use serde_json::json;
use std::time::Duration;

/// Asks first where something may happen a second time, or where it is about many.
pub async fn run(
    arguments: &Arguments,
    config: &Config,
    options: &DecideDeliveries,
    replay: bool,
) -> Result<Exit> {
    let chosen = chosen(config, options).await?;
    if chosen.is_empty() {
        output::note("none of them is dead");
        return Ok(Exit::Success);
    }
    if !options.yes && !agreed(options, &chosen, replay)? {
        return Err(Failure::new(Exit::Cancelled, "nothing was changed"));
    }
    let decider = Decider::of(arguments, config).await?;
    let pause = Duration::from_secs(1) / options.per_second.max(1);
    let (mut decided, count) = (0, chosen.len());
    for (number, delivery) in chosen.iter().enumerate() {
        let id = &delivery.delivery_id;
        match decider.decide(id, replay).await {
            Ok(()) => decided += 1,
            // Somebody else decided meanwhile: of many, the others go on.
            Err(failure) if count > 1 && failure.exit == Exit::Usage => {
                output::note(&format!("warning: {}", failure.line()))
            }
            Err(failure) => return Err(failure),
        }
        if arguments.json {
            output::json_line(
                &json!({ "delivery_id": id, "decided": if replay { "replay" } else { "discard" } }),
            );
        }
        if number + 1 < count {
            RealClock.sleep(pause).await;
        }
    }
    let word = if replay { "again" } else { "given up" };
    output::note(&match (options.delivery.as_deref(), replay) {
        (Some(delivery), true) => format!("`{}` waits again", output::shown_line(delivery)),
        (Some(delivery), false) => format!("`{}` is given up", output::shown_line(delivery)),
        (None, true) => format!("{decided} of {count} wait {word}"),
        (None, false) => format!("{decided} of {count} are {word}"),
    });
    Ok(Exit::Success)
}

/// The oldest first.
async fn chosen(config: &Config, options: &DecideDeliveries) -> Result<Vec<DeliverySummary>> {
    if let Some(delivery) = &options.delivery {
        if options.period.since.is_some() || options.period.until.is_some() {
            return Err(Failure::new(Exit::Usage, "`--since` and `--until` go with `--all`"));
        }
        let (found, _) = read(config, DeliveryFilter::default(), Some(delivery.clone())).await?;
        return Ok(vec![found.ok_or_else(|| unknown(delivery))?.summary]);
    }
    let (since, until) = period::parse(&options.period, RealClock.now())?;
    let filter = DeliveryFilter {
        route: options.route.clone(),
        connection: options.connection.clone(),
        state: Some(DeliveryState::Dead),
        since,
        until,
        limit: LIST_ROWS_MAX,
    };
    let (_, mut found) = read(config, filter, None).await?;
    if let Some(connection) = options.connection.as_ref().filter(|_| found.is_empty()) {
        named::connection(config, connection).await?;
    }
    found.reverse();
    Ok(found)
}

fn agreed(options: &DecideDeliveries, chosen: &[DeliverySummary], replay: bool) -> Result<bool> {
    let is_doubtful = |delivery: &&DeliverySummary| {
        delivery.state == DeliveryState::Dead
            && delivery.reason.as_deref().is_some_and(|reason| reason.ends_with("-effect"))
    };
    let doubtful: Vec<_> = chosen.iter().filter(is_doubtful).collect();
    let verb = if replay { "replay" } else { "discard" };
    let instead = |what: &str| format!("portcullis deliveries {verb} {what} --yes");
    match (&options.delivery, doubtful.as_slice()) {
        (Some(delivery), [doubtful]) if replay => {
            output::note(&format!(
                "its last run ended as `{}`: what it sent may have happened, and may happen a second time; see portcullis runs show {}",
                doubtful.reason.as_deref().unwrap_or_default(),
                doubtful.run_id.as_deref().unwrap_or_default()
            ));
            confirmed("hand it over again? Type `yes`:", Exit::Usage, &instead(delivery))
        }
        (Some(_), _) => Ok(true),
        (None, doubtful) => {
            let oldest = chosen.first().map_or(String::new(), |oldest| oldest.received_at.to_string());
            output::note(&format!(
                "{} dead, the oldest of {oldest}",
                output::several(chosen.len() as u64, "delivery is", "deliveries are")
            ));
            if replay && !doubtful.is_empty() {
                let of_them = output::several(doubtful.len() as u64, "of them", "of them");
                output::note(&format!(
                    "what the last runs of {of_them} sent may have happened, and may happen a second time"
                ));
            }
            let question =
                if replay { "hand them over again? Type `yes`:" } else { "give them up? Type `yes`:" };
            confirmed(question, Exit::Usage, &instead("--all …"))
        }
    }
}
