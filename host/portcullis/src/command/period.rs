//! `--since` and `--until`: moments as a person types them.
use crate::{
    cli::Period,
    exit::{Exit, Failure, Result},
    output,
};
use portcullis_clock::Timestamp;
use portcullis_manifest::diagnose::parse_duration;

/// Begun at or after the first and before the second.
pub fn parse(period: &Period, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
    let moment =
        |name, text: &Option<String>| text.as_deref().map(|text| moment(name, text, now)).transpose();
    let (since, until) = (moment("--since", &period.since)?, moment("--until", &period.until)?);
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        let message = format!("`--since` is {since}, which is not before `--until`, {until}");
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok((since, until))
}

/// `2h` ago, or `2026-11-27T02:00:00Z`.
fn moment(name: &str, text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Some(moment) = Timestamp::parse(text) {
        return Ok(moment);
    }
    parse_duration(text).map(|back| now.minus(back)).map_err(|error| {
        Failure::new(Exit::Usage, format!("`{name}` is `{}`", output::shown_line(text)))
            .because(&error)
            .with_help("how far to look back: `30m`, `2h`, `7d`; or a moment: `2026-11-27T02:00:00Z`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_person() {
        let now = Timestamp::from_millis(1_000_000_000);
        let parse = |since: Option<&str>, until: Option<&str>| {
            parse(&Period { since: since.map(str::to_owned), until: until.map(str::to_owned) }, now)
        };
        let millis = |since, until| {
            let (since, until) = parse(since, until).ok()?;
            Some((since.map(Timestamp::as_millis), until.map(Timestamp::as_millis)))
        };
        assert_eq!(millis(None, None), Some((None, None)));
        assert_eq!(millis(Some("10s"), Some("1s")), Some((Some(999_990_000), Some(999_999_000))));
        assert_eq!(millis(Some("1970-01-01T01:00:00+01:00"), None), Some((Some(0), None)));
        for (since, until) in [("1s", "1s"), ("1s", "1h"), ("yesterday", "1s"), ("2h", "")] {
            let fault = parse(Some(since), Some(until)).expect_err(since);
            assert_eq!(fault.exit, Exit::Usage);
        }
    }
}
