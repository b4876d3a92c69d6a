//! Which folder a record goes to: the day, month or year of a time in it, or a value of it. A record without the value goes to `_none`;
//! one whose value is of another kind is refused, since a folder that nobody expects is a loss that nobody sees.

use crate::{
    fault::Refusal,
    name,
    scan::{Record, text},
};
use portcullis_sdk::{Error, Result, json};
use serde::Deserialize;

/// `partition` of the config.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    by: String,
    r#as: As,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum As {
    Day,
    Month,
    Year,
    Value,
}

impl Partition {
    /// What the schema of the config says too.
    pub fn check(&self) -> Result<()> {
        match self.by.starts_with('/') {
            true => Ok(()),
            false => Err(Error::invalid_config("`partition.by` is a JSON pointer: it begins with `/`")),
        }
    }

    /// The folder's name.
    pub fn of(&self, record: &Record<'_>) -> Result<String, Refusal> {
        let value = self.value(record)?.filter(|value| *value != "null");
        let Some(value) = value else { return Ok(name::NONE.to_owned()) };
        let refused = |what: &str| Refusal(format!("the partition's `{}` {what}", self.by));
        match (self.r#as, value.as_bytes().first()) {
            (_, Some(b'{' | b'[')) => Err(refused("is a list or an object")),
            (As::Value, Some(b'"')) => Ok(name::of_partition(&text(value).unwrap_or_default())),
            (As::Value, _) => Ok(name::of_partition(value)),
            (_, Some(b'"')) => {
                let day = text(value).and_then(|text| day_of_text(&text));
                day.map(|day| self.cut(day))
                    .ok_or_else(|| refused("is no date: `2026-11-29`, and a time behind it"))
            }
            _ => {
                let day = value.parse().ok().and_then(day_of_seconds);
                day.map(|day| self.cut(day)).ok_or_else(|| refused("is no time in whole seconds since 1970"))
            }
        }
    }

    fn value<'a>(&self, record: &Record<'a>) -> Result<Option<&'a str>, Refusal> {
        let pointer = self.by.strip_prefix('/').unwrap_or(&self.by);
        let (first, rest) =
            pointer.split_once('/').map_or((pointer, None), |(first, rest)| (first, Some(rest)));
        let Some(value) = record.get(&first.replace("~1", "/").replace("~0", "~")) else { return Ok(None) };
        match rest {
            None => Ok(Some(value)),
            // Nothing lies below a text or a number.
            Some(_) if !value.starts_with(['{', '[']) => Ok(None),
            Some(rest) => json::at(value, &format!("/{rest}"))
                .map(|found| found.map(|found| found.get()))
                .map_err(|error| Refusal(error.message().to_owned())),
        }
    }

    fn cut(&self, day: String) -> String {
        let length = match self.r#as {
            As::Year => 4,
            As::Month => 7,
            As::Day | As::Value => 10,
        };
        day.get(..length).unwrap_or(&day).to_owned()
    }
}

/// The date as it is written: an offset moves nothing.
fn day_of_text(text: &str) -> Option<String> {
    let (day, rest) = text.split_at_checked(10)?;
    let digits = |range: std::ops::Range<usize>| -> Option<u32> {
        let part = day.get(range)?;
        if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
    };
    let (year, month, of_month) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let dashes = day.as_bytes().get(4) == Some(&b'-') && day.as_bytes().get(7) == Some(&b'-');
    let separated = rest.is_empty() || rest.starts_with(['T', 't', ' ']);
    (dashes && separated && (1..=days_in(year, month)?).contains(&of_month)).then(|| day.to_owned())
}

fn days_in(year: u32, month: u32) -> Option<u32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// The day in UTC. Years have four digits: what is counted in milliseconds lies beyond them.
fn day_of_seconds(seconds: i64) -> Option<String> {
    const FIRST: i64 = -62_167_219_200;
    const END: i64 = 253_402_300_800;
    if !(FIRST..END).contains(&seconds) {
        return None;
    }
    // Days of the proleptic Gregorian calendar from 0000-03-01 on, in eras of 400 years.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests;
