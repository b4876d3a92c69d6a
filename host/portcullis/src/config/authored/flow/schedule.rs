//! `schedule` of a flow: a cron expression in a time zone, or an interval.
use portcullis_clock::{Cron, CronError};
use portcullis_engine::{CatchUp, Overlap, Schedule, Timing};
use portcullis_manifest::diagnose::{Spanned, Table, shown};
use std::time::Duration;

/// Of `every`.
const EVERY_MIN: Duration = Duration::from_secs(1);
/// Of `every`.
const EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Reads the table, where there is one; faults are reported on its document.
pub(super) fn read(table: &mut Table<'_>) -> Option<Schedule> {
    let mut table = table.table("schedule")?;
    table.such_as(&[("cron", "\"*/15 * * * *\""), ("timezone", "\"UTC\"")]);
    let overlap = word(&mut table, "overlap", [("skip", Overlap::Skip), ("queue", Overlap::Queue)]);
    let catch_up = [("one", CatchUp::One), ("all", CatchUp::All), ("none", CatchUp::None)];
    let catch_up = word(&mut table, "catch-up", catch_up);
    let (text, timing) = timing(&mut table)?;
    Some(Schedule { text, timing, overlap, catch_up })
}

/// With the words by which another one is told.
fn timing(table: &mut Table<'_>) -> Option<(String, Timing)> {
    let (cron, zone) = (table.string("cron"), table.string("timezone"));
    let every = table.duration("every", Duration::from_secs(15 * 60));
    match (table.has("cron"), table.has("every")) {
        (true, false) => calendar(table, &cron?, zone.as_ref()),
        (false, true) => {
            if let Some(zone) = zone {
                let help = Some("an interval is the same everywhere: remove it".to_owned());
                table.fault(zone.span, "`timezone` belongs to `cron`", help);
            }
            let every = every?;
            if !(EVERY_MIN..=EVERY_MAX).contains(&every.value) {
                table.fault(every.span, "`every` must be from 1s to 366d", None);
                return None;
            }
            Some((format!("every {}ms", every.value.as_millis()), Timing::Every(every.value)))
        }
        (has_both, _) => {
            let message = if has_both {
                "a schedule has one of `cron` and `every`"
            } else {
                "the schedule has no times"
            };
            let help = Some("`cron = \"*/15 * * * *\"` or `every = \"15m\"`".to_owned());
            table.fault(table.span(), message, help);
            None
        }
    }
}

fn calendar(
    table: &Table<'_>,
    cron: &Spanned<String>,
    zone: Option<&Spanned<String>>,
) -> Option<(String, Timing)> {
    let name = zone.map_or("UTC", |zone| zone.value.as_str());
    match Cron::parse(&cron.value, name) {
        Ok(parsed) => Some((format!("cron {} {name}", cron.value), Timing::Cron(Box::new(parsed)))),
        Err(error) => {
            let is_of_zone = matches!(error, CronError::Zone(_));
            let span = zone.filter(|_| is_of_zone).unwrap_or(cron).span.clone();
            let help = is_of_zone.then(|| "a name as in `Europe/Berlin`, or `UTC`".to_owned());
            table.fault(span, shown(&error.to_string()), help);
            None
        }
    }
}

/// One of these words; the first where there is none.
fn word<T: Copy, const N: usize>(table: &mut Table<'_>, key: &str, words: [(&str, T); N]) -> T {
    let (_, default) = words[0];
    let Some(text) = table.string(key) else { return default };
    if let Some((_, found)) = words.iter().find(|(word, _)| *word == text.value) {
        return *found;
    }
    let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let help = Some(format!("one of {}", known.join(", ")));
    table.fault(text.span, format!("`{key}` is `{}`", shown(&text.value)), help);
    default
}
