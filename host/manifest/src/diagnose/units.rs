//! Durations (`30s`, `24h`, `90d`) and sizes in bytes (`64MiB`). A number without a unit is refused: nobody should have
//! to guess which one was meant.
use std::time::Duration;

/// Longest duration that any document may name: ten years.
const DURATION_MILLISECONDS_MAX: u64 = 10 * 366 * 24 * 60 * 60 * 1000;

/// Why a text is no duration or no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a duration.
    #[error("expected a duration: a whole number and `ms`, `s`, `m`, `h` or `d`")]
    Duration,
    /// Longer than anything here lasts.
    #[error("longer than ten years")]
    TooLong,
    /// Not a size.
    #[error("expected a size: a whole number and `B`, `KiB`, `MiB` or `GiB`")]
    Bytes,
    /// Does not fit.
    #[error("too large")]
    TooLarge,
}

/// Reads `30s`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text).ok_or(UnitError::Duration)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(UnitError::Duration),
    };
    let milliseconds = number.checked_mul(factor).ok_or(UnitError::TooLong)?;
    if milliseconds > DURATION_MILLISECONDS_MAX {
        return Err(UnitError::TooLong);
    }
    Ok(Duration::from_millis(milliseconds))
}

/// Prints what `parse_duration` reads as the same value, in the largest unit up to hours that divides it.
pub fn print_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (factor, unit) in [(60 * 60 * 1000, "h"), (60 * 1000, "m"), (1000, "s")] {
        if milliseconds != 0 && milliseconds.is_multiple_of(factor) {
            return format!("{}{unit}", milliseconds / factor);
        }
    }
    format!("{milliseconds}ms")
}

/// Prints what `parse_bytes` reads.
pub fn print_bytes(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Reads `64MiB`.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text).ok_or(UnitError::Bytes)?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(UnitError::Bytes),
    };
    number.checked_mul(factor).ok_or(UnitError::TooLarge)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    // `parse` refuses the empty text and what overflows; the digits above exclude signs.
    Some((number.parse().ok()?, unit))
}
