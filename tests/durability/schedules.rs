//! Promise: each time of a schedule comes once, when another calendar has it, whatever the clocks of its zone do meanwhile.

use portcullis_clock::{Cron, Timestamp};
use portcullis_tests::{checkout, skip};
use std::{path::Path, process::Command};

/// Half an hour of daylight saving, a negative one, changes at midnight, rules that changed in these years, a date line that moved, and
/// none of all that.
const ZONES: [&str; 8] = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "Asia/Tehran",
    "Pacific/Apia",
    "Asia/Kolkata",
];

/// At a time of the day, at several, and at intervals.
const EXPRESSIONS: [&str; 12] = [
    "0 0 * * *",
    "30 2 * * *",
    "30 1 * * *",
    "15 1,13 * * 1-5",
    "0,30 2 * * *",
    "59 23 * * 0",
    "0 0 1 * *",
    "45 0 13 * 5",
    "5 3 29 2 *",
    "0 */6 * * *",
    "45 */7 * * *",
    "*/20 2 1-14 3,4,10,11 *",
];

const FROM: i64 = 1_451_606_400;
const TO: i64 = 1_767_225_600;

#[test]
fn ten_years_in_eight_time_zones_are_those_of_another_calendar() {
    if !Path::new("/usr/share/zoneinfo").exists() {
        return skip("no time zones at /usr/share/zoneinfo: install tzdata");
    }
    let script = checkout().join("tests/durability/schedules.py");
    let ran = Command::new("python3").arg(script).args(ZONES).arg("--").args(EXPRESSIONS).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let expected = String::from_utf8(ran.stdout).unwrap();
    let mut all = 0;
    for line in expected.lines() {
        let [zone, expression, moments] = line.split('|').collect::<Vec<_>>().try_into().unwrap();
        let cron = Cron::parse(expression, zone).unwrap();
        let mut expected = moments.split(' ').map(|moment| moment.parse::<i64>().unwrap());
        let mut moment = Timestamp::from_millis((FROM - 1) * 1000);
        loop {
            moment = cron.after(moment).unwrap();
            let found = Some(moment.as_millis() / 1000).filter(|found| *found < TO);
            assert_eq!(found, expected.next(), "`{expression}` in {zone}, at {moment}");
            if found.is_none() {
                break;
            }
            all += 1;
        }
    }
    assert_eq!(expected.lines().count(), ZONES.len() * EXPRESSIONS.len());
    assert!(all > 400_000, "{all}");
}
