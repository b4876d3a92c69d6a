//! When a cron expression comes due in a time zone. What time it is, the caller says.

use crate::Timestamp;
use croner::{
    errors::CronError as PatternError,
    parser::{CronParser, Seconds, Year},
    time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday},
};
use jiff::{civil::DateTime, tz::TimeZone};
use std::cmp::Ordering;

/// What does not come for so long never does: the 29th of February is eight years away at most, and on a given weekday forty.
const SEARCHED_SECONDS: i64 = 50 * 366 * 24 * 3600;
const EXPRESSION_CHARS_MAX: usize = 256;

/// Five fields (minute, hour, day of the month, month, day of the week), or a nickname (`@daily`), in a time zone.
///
/// Each of its times comes once, whatever the clocks do: one that they skip is moved by as much as they skip, and of one that they
/// show twice the first is meant. Where minutes or hours have a `*`, the times are steps of an interval: both of two are meant.
#[derive(Clone, Debug)]
pub struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
    is_interval: bool,
}

/// Why something is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The expression can't be read.
    #[error("`{expression}` is no cron expression: {reason}")]
    Expression {
        /// As written.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such time zone.
    #[error("there is no time zone `{0}`")]
    Zone(String),
    /// A date that no year has.
    #[error("`{0}` never comes")]
    Never(String),
}

impl Cron {
    /// `zone` = a name of the IANA time zone database, as in `Europe/Berlin`.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, CronError> {
        let refused = |reason: &str| CronError::Expression {
            expression: expression.chars().take(EXPRESSION_CHARS_MAX).collect(),
            reason: reason.to_owned(),
        };
        if expression.len() > EXPRESSION_CHARS_MAX {
            return Err(refused("it is too long"));
        }
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let is_nickname = matches!(fields.as_slice(), [nickname] if nickname.starts_with('@'));
        if !is_nickname && fields.len() != 5 {
            return Err(refused(
                "it has five fields: minute, hour, day of the month, month, day of the week",
            ));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser.parse(expression).map_err(|error| refused(&words(&error)))?;
        let zone = TimeZone::get(zone).map_err(|_| CronError::Zone(zone.to_owned()))?;
        let is_interval = match fields.as_slice() {
            [minute, hour, ..] => [minute, hour].iter().any(|field| field.contains(['*', '?'])),
            nickname => nickname.iter().any(|nickname| nickname.eq_ignore_ascii_case("@hourly")),
        };
        let cron = Self { pattern, zone, is_interval };
        match cron.after(Timestamp::from_millis(0)) {
            Some(_) => Ok(cron),
            None => Err(CronError::Never(expression.to_owned())),
        }
    }

    /// The first of its times after this moment.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let mut after = moment.as_millis().div_euclid(1000);
        let last = after.saturating_add(SEARCHED_SECONDS);
        while after < last {
            let stretch = self.stretch(after.checked_add(1)?)?;
            if let Some(found) = self.within(&stretch, after) {
                return Some(Timestamp::from_millis(found.checked_mul(1000)?));
            }
            after = stretch.end? - 1;
        }
        None
    }

    /// The stretch of time that a moment is in.
    fn stretch(&self, second: i64) -> Option<Stretch> {
        let at = |second: i64| jiff::Timestamp::from_second(second).ok();
        let offset = |second: i64| Some(i64::from(self.zone.to_offset(at(second)?).seconds()));
        let begin = self.zone.preceding(at(second + 1)?).next().map(|begin| begin.timestamp().as_second());
        let before = begin.and_then(|begin| Some((begin, offset(begin - 1)?)));
        let end = self.zone.following(at(second)?).next().map(|end| end.timestamp().as_second());
        Some(Stretch { begin: before, offset: offset(second)?, end })
    }

    fn within(&self, stretch: &Stretch, after: i64) -> Option<i64> {
        let Stretch { begin, offset, end } = *stretch;
        let mut shown_before = i64::MIN;
        let mut moved = None;
        if let Some((begin, before)) = begin {
            if before > offset && !self.is_interval {
                // What the clocks showed up to then comes a second time.
                shown_before = begin + before - 1;
            }
            // What they skip, counted as if they had not.
            moved = self
                .civil_after(after + before)
                .filter(|civil| *civil < begin + offset)
                .map(|civil| civil - before);
        }
        let usual = self.civil_after((after + offset).max(shown_before)).map(|civil| civil - offset);
        let is_in = |second: &i64| end.is_none_or(|end| *second < end);
        [moved, usual].into_iter().flatten().filter(is_in).min()
    }

    /// The first of its times on a clock that is never changed; both in seconds from 1970-01-01T00:00 of that clock.
    fn civil_after(&self, second: i64) -> Option<i64> {
        let utc = |second: i64| Some(TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(second).ok()?));
        let found = self.pattern.find_next_occurrence(&Civil(utc(second)?), false).ok()?;
        TimeZone::UTC.to_timestamp(found.0).ok().map(|moment| moment.as_second())
    }
}

/// A stretch of time in which the clocks of a zone are not changed; seconds since the epoch.
struct Stretch {
    /// When, and how far the clocks were ahead before.
    begin: Option<(i64, i64)>,
    /// How far they are ahead.
    offset: i64,
    /// None = for ever.
    end: Option<i64>,
}

fn words(error: &PatternError) -> String {
    match error {
        PatternError::InvalidPattern(words)
        | PatternError::IllegalCharacters(words)
        | PatternError::ComponentError(words) => words.trim_end_matches('.').to_owned(),
        other => other.to_string().trim_end_matches('.').to_owned(),
    }
}

/// A time of a clock that is never changed.
#[derive(Clone, Copy)]
struct Civil(DateTime);

impl CronDateTime for Civil {
    fn to_civil(&self) -> CivilDateTime {
        let part = |part: i8| u32::try_from(part).unwrap_or_default();
        let date = CivilDate::from_parts_unchecked(
            i32::from(self.0.year()),
            part(self.0.month()),
            part(self.0.day()),
        );
        let time = CivilTime::from_parts_unchecked(
            part(self.0.hour()),
            part(self.0.minute()),
            part(self.0.second()),
        );
        CivilDateTime::new(date, time)
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.0.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::try_from(days).unwrap_or_default())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, PatternError> {
        let part = |part: u32| i8::try_from(part).map_err(|_| PatternError::InvalidDate);
        let year = i16::try_from(civil.year()).map_err(|_| PatternError::InvalidDate)?;
        let (month, day) = (part(civil.month())?, part(civil.day())?);
        let (hour, minute, second) = (part(civil.hour())?, part(civil.minute())?, part(civil.second())?);
        let time = DateTime::new(year, month, day, hour, minute, second, 0);
        time.map(|time| Resolution::Single(Self(time))).map_err(|_| PatternError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(jiff::SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn times(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(expression, zone).unwrap();
        let mut moment = Timestamp::parse(after).unwrap();
        let mut next = || {
            moment = cron.after(moment).unwrap();
            moment.to_string().replace(":00.000Z", "Z")
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn each_time_comes_once_whatever_the_clocks_do() {
        let new_york = |expression, after, count| times(expression, "America/New_York", after, count);
        // Skipped: moved by the hour that is missing.
        let spring = ["2026-03-07T07:30Z", "2026-03-08T07:30Z", "2026-03-09T06:30Z"];
        assert_eq!(new_york("30 2 * * *", "2026-03-07T00:00:00Z", 3), spring);
        // Twice: at the first.
        let autumn = ["2026-10-31T05:30Z", "2026-11-01T05:30Z", "2026-11-02T06:30Z"];
        assert_eq!(new_york("30 1 * * *", "2026-10-31T00:00:00Z", 3), autumn);
        // The same of several times a day.
        let both = ["2026-03-08T07:30Z", "2026-03-08T18:30Z", "2026-03-09T06:30Z"];
        assert_eq!(new_york("30 2,14 * * *", "2026-03-08T00:00:00Z", 3), both);
        let half = ["2026-11-01T05:00Z", "2026-11-01T05:30Z", "2026-11-02T06:00Z"];
        assert_eq!(new_york("0,30 1 * * *", "2026-11-01T00:00:00Z", 3), half);
        // One that is moved onto another one is one.
        let one = ["2026-03-08T07:00Z", "2026-03-09T06:00Z", "2026-03-09T07:00Z"];
        assert_eq!(new_york("0 2,3 * * *", "2026-03-08T06:00:00Z", 3), one);
    }

    #[test]
    fn an_interval_never_pauses() {
        let new_york = |expression, after, count| times(expression, "America/New_York", after, count);
        let hours = ["2026-11-01T04:15Z", "2026-11-01T05:15Z", "2026-11-01T06:15Z", "2026-11-01T07:15Z"];
        assert_eq!(new_york("15 * * * *", "2026-11-01T04:00:00Z", 4), hours);
        assert_eq!(
            new_york("@hourly", "2026-11-01T04:30:00Z", 2),
            ["2026-11-01T05:00Z", "2026-11-01T06:00Z"]
        );
        let hours = ["2026-03-08T06:15Z", "2026-03-08T07:15Z", "2026-03-08T08:15Z"];
        assert_eq!(new_york("15 * * * *", "2026-03-08T06:00:00Z", 3), hours);
        // Every second hour: 0, what would have been 2, 4.
        let second = ["2026-03-08T05:00Z", "2026-03-08T07:00Z", "2026-03-08T08:00Z"];
        assert_eq!(new_york("0 */2 * * *", "2026-03-08T04:30:00Z", 3), second);
    }

    #[test]
    fn zones_that_skip_a_day_or_change_by_half_an_hour() {
        // Samoa had no 30 December 2011.
        let apia = ["2011-12-29T22:00Z", "2011-12-30T22:00Z", "2011-12-31T22:00Z"];
        assert_eq!(times("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3), apia);
        let howe = ["2026-10-03T15:45Z", "2026-10-04T15:15Z"];
        assert_eq!(times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2), howe);
    }

    #[test]
    fn dates_that_are_rare() {
        assert_eq!(times("0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", 1), ["2104-02-29T00:00Z"]);
        assert_eq!(times("0 9 L * *", "UTC", "2026-02-01T00:00:00Z", 1), ["2026-02-28T09:00Z"]);
        assert_eq!(times("0 9 * * MON#1", "UTC", "2026-02-01T00:00:00Z", 1), ["2026-02-02T09:00Z"]);
        let later = Timestamp::parse("2026-11-29T10:00:00.001Z").unwrap();
        let cron = Cron::parse("* * * * *", "UTC").unwrap();
        assert_eq!(cron.after(later).unwrap().to_string(), "2026-11-29T10:01:00.000Z");
        assert_eq!(cron.after(Timestamp::from_millis(i64::MAX)), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_its_reason() {
        let refused = |expression: &str, zone: &str| Cron::parse(expression, zone).unwrap_err().to_string();
        assert_eq!(refused("0 0 30 2 *", "UTC"), "`0 0 30 2 *` never comes");
        assert_eq!(refused("0 0 * * *", "Mars/Olympus"), "there is no time zone `Mars/Olympus`");
        for expression in ["", "* * * *", "* * * * * *", "60 * * * *", "a * * * *", "@often", "*/0 * * * *"] {
            let said = refused(expression, "UTC");
            assert!(said.starts_with(&format!("`{expression}` is no cron expression: ")), "{said}");
        }
        assert!(refused(&"1,".repeat(200), "UTC").contains("too long"));
    }
}
