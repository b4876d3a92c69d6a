//! Ids that sort by time: a prefix and 128 bits in Crockford's base32, 48 of time and 80 random.

use crate::{Clock, Random};

/// Crockford's alphabet: no I, L, O, U. In ASCII order, so that text sorts as the number does.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DIGITS: u32 = 26;

/// A new id: `PREFIX_` and 26 characters (Crockford base32 of 48 bits of time and 80 random bits), so that
/// ids sort by time. Prefixes: `run`, `exch`, `apr` (approval), `conn`, `call`.
pub fn new_id(prefix: &str, clock: &dyn Clock, random: &dyn Random) -> String {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes[6..]);
    // A clock before 1970 counts as 1970: ids must not fail because a machine's time is wrong.
    let ms = u64::try_from(clock.now().as_millis()).unwrap_or(0);
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    let number = u128::from_be_bytes(bytes);
    let mut id = String::with_capacity(prefix.len() + 1 + DIGITS as usize);
    id.push_str(prefix);
    id.push('_');
    for digit in (0..DIGITS).rev() {
        let index = (number >> (5 * digit)) & 31;
        id.push(char::from(ALPHABET[index as usize]));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SeededClock, SeededRandom, Timestamp};
    use std::{collections::BTreeSet, time::Duration};

    #[test]
    fn has_its_prefix_and_26_characters() {
        let (clock, random) =
            (SeededClock::new(Timestamp::from_millis(1_469_918_176_385)), SeededRandom::new(1));
        let id = new_id("run", &clock, &random);
        // The time part as ULID's own documentation prints it for this moment.
        assert!(id.starts_with("run_01ARYZ6S41"), "{id}");
        assert_eq!(id.len(), "run_".len() + 26);
        assert!(id.bytes().skip(4).all(|b| ALPHABET.contains(&b)), "{id}");
    }

    #[test]
    fn sorts_by_time_and_never_repeats() {
        let (clock, random) = (SeededClock::new(Timestamp::from_millis(-5)), SeededRandom::new(2));
        let mut last = new_id("exch", &clock, &random);
        let mut seen = BTreeSet::from([last.clone()]);
        clock.advance(Duration::from_millis(6));
        for _ in 0..1000 {
            let id = new_id("exch", &clock, &random);
            assert!(id > last, "{id} after {last}");
            assert!(seen.insert(id.clone()));
            last = id;
            clock.advance(Duration::from_millis(1));
        }
        let same_moment: BTreeSet<_> = (0..1000).map(|_| new_id("call", &clock, &random)).collect();
        assert_eq!(same_moment.len(), 1000);
    }
}
