//! Which keys are one.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::scan::Scanner;
use proptest::prelude::*;

fn key(value: &str) -> u128 {
    try_key(&format!("{{\"id\":{value}}}"), &["id"]).unwrap()
}

fn try_key(line: &str, names: &[&str]) -> Result<u128, Refusal> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    of(&Scanner::default().record(line.as_bytes()).unwrap(), &names)
}

#[test]
fn numbers_are_one_where_their_value_is() {
    for same in [
        &["1", "1.0", "1e0", "10e-1", "0.1E1", "1.000", "1e+0"][..],
        &["0", "-0", "0.0", "-0.0e7", "0e400"],
        &["100", "1e2", "1.00e2", "0.001e5"],
        &["1e400", "10e399"],
        &["18446744073709551617", "1844674407370955161.7e1"],
        &["\"a\"", "\"\\u0061\""],
    ] {
        for value in same {
            assert_eq!(key(value), key(same[0]), "{value} and {}", same[0]);
        }
    }
}

#[test]
fn what_is_not_the_same_is_not_one() {
    let values = [
        "1",
        "-1",
        "10",
        "\"1\"",
        "\"1.0\"",
        "true",
        "false",
        "\"true\"",
        "0",
        "\"\"",
        "\"0\"",
        "1e400",
        "1e401",
        "18446744073709551617",
        "18446744073709551616",
        "0.1",
        "0.10000000000000000000000000000000000000001",
        "\"é\"",
        "\"e\u{301}\"",
    ];
    for (at, value) in values.iter().enumerate() {
        for other in &values[..at] {
            assert_ne!(key(value), key(other), "{value} and {other}");
        }
    }
    let both = |a: &str, b: &str| try_key(&format!("{{\"a\":{a},\"b\":{b}}}"), &["a", "b"]).unwrap();
    assert_ne!(both("\"x\"", "\"yz\""), both("\"xy\"", "\"z\""));
    assert_ne!(both("1", "2"), both("2", "1"));
}

#[test]
fn what_names_nothing_is_refused() {
    for line in ["{}", r#"{"id":null}"#, r#"{"id":[1]}"#, r#"{"id":{}}"#, r#"{"id":1e99999999999999999999}"#]
    {
        let Err(Refusal(why)) = try_key(line, &["id"]) else { panic!("{line}") };
        assert!(why.contains("`id`") && why.contains("primary key"), "{why}");
    }
}

proptest! {
    #[test]
    fn zeros_and_powers_change_nothing(digits in "[1-9][0-9]{0,25}", zeros in 0..20_usize, power in -300..300_i32, negative: bool) {
        let sign = if negative { "-" } else { "" };
        let plain = format!("{sign}{digits}e{power}");
        let more = format!("{sign}{digits}{}e{}", "0".repeat(zeros), power - i32::try_from(zeros).unwrap());
        let fraction = format!("{sign}{digits}.{}e{power}", "0".repeat(zeros + 1));
        prop_assert_eq!(key(&plain), key(&more));
        prop_assert_eq!(key(&plain), key(&fraction));
        prop_assert_ne!(key(&plain), key(&format!("{sign}{digits}1e{power}")));
    }
}
