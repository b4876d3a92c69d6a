//! What identifies a record, as 128 bits. Numbers are the same where their value is (`1`, `1.0` and `10e-1`), texts where their
//! characters are, however they are escaped; `1` and `"1"` are two keys. Refuses what names nothing: null, lists, objects.

use crate::{
    fault::{Refusal, shown},
    scan::{Record, text},
};
use sha2::{Digest, Sha256};

/// The key of a record, by the properties of its primary key; the error says which of them has none.
pub fn of(record: &Record<'_>, primary_key: &[String]) -> Result<u128, Refusal> {
    let mut hash = Sha256::new();
    for name in primary_key {
        let value = record.get(name).filter(|value| *value != "null");
        let value =
            value.ok_or_else(|| Refusal(format!("no `{}`, which is of the primary key", shown(name))))?;
        let (kind, canonical) = canonical(value).ok_or_else(|| {
            Refusal(format!("`{}` is of the primary key, and its value names nothing", shown(name)))
        })?;
        hash.update([kind]);
        hash.update((canonical.len() as u64).to_le_bytes());
        hash.update(canonical.as_bytes());
    }
    let hash = hash.finalize();
    Ok(hash.iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte)))
}

fn canonical(value: &str) -> Option<(u8, String)> {
    match value.as_bytes().first()? {
        b'"' => Some((b's', text(value)?.into_owned())),
        b't' | b'f' => Some((b'b', value.to_owned())),
        b'-' | b'0'..=b'9' => Some((b'n', number(value)?)),
        _ => None,
    }
}

/// Digits without zeros at either end, and a power of ten. None = the power is of no use to anybody.
fn number(value: &str) -> Option<String> {
    let (sign, magnitude) = value.strip_prefix('-').map_or(("", value), |rest| ("-", rest));
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let shift = i64::try_from(digits.len() - significant.len()).ok()?;
    let scale = i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?.checked_sub(scale)?;
    Some(format!("{sign}{significant}e{exponent}"))
}

#[cfg(test)]
mod tests;
