//! Schedules: which times come, and which are caught up with.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn schedule(timing: Timing, catch_up: CatchUp) -> Schedule {
    Schedule { text: String::new(), timing, overlap: Overlap::Skip, catch_up }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[test]
fn an_interval_comes_at_its_multiples() {
    let every = schedule(Timing::Every(Duration::from_secs(900)), CatchUp::All);
    assert_eq!(every.after(at("2026-11-29T03:14:59.999Z")), Some(at("2026-11-29T03:15:00Z")));
    assert_eq!(every.after(at("2026-11-29T03:15:00Z")), Some(at("2026-11-29T03:30:00Z")));
    let nothing = schedule(Timing::Every(Duration::ZERO), CatchUp::All);
    assert_eq!(nothing.after(at("2026-11-29T03:15:00Z")), None);
}

#[test]
fn what_was_missed_is_made_up_for_as_it_is_said() {
    let first = at("2026-11-29T00:00:00Z");
    let late = at("2026-11-29T05:30:00Z");
    let come = |catch_up, now| schedule(Timing::Every(Duration::from_secs(3600)), catch_up).come(first, now);
    let next = Some(at("2026-11-29T06:00:00Z"));
    let (times, found) = come(CatchUp::All, late);
    assert_eq!((times.len(), times[0], found), (6, first, next));
    assert_eq!(come(CatchUp::One, late), (vec![at("2026-11-29T05:00:00Z")], next));
    assert_eq!(come(CatchUp::None, late), (vec![], next));
    let just = at("2026-11-29T05:00:59Z");
    assert_eq!(come(CatchUp::None, just), (vec![at("2026-11-29T05:00:00Z")], next));
    // Nothing has come yet.
    let before = at("2026-11-28T23:59:59Z");
    for catch_up in [CatchUp::All, CatchUp::One, CatchUp::None] {
        assert_eq!(come(catch_up, before), (vec![], Some(first)));
    }
}

#[test]
fn years_without_anybody_are_bounded() {
    let minutely = schedule(Timing::Every(Duration::from_secs(60)), CatchUp::All);
    let (times, next) = minutely.come(at("2025-11-29T00:00:00Z"), at("2026-11-29T00:00:30Z"));
    assert_eq!(times.len(), CATCH_UP_MAX);
    assert_eq!(times.last(), Some(&at("2026-11-29T00:00:00Z")), "the last ones");
    assert_eq!(next, Some(at("2026-11-29T00:01:00Z")));
}

#[test]
fn order_is_kept_by_what_the_input_has_at_a_place() {
    let flow = |order_by: Option<&str>| Flow {
        name: "orders".to_owned(),
        triggers: Triggers::default(),
        order_by: order_by.map(str::to_owned),
        concurrency: 4,
        steps: vec![],
    };
    let input = r#"{"customer":{"id":12345678901234567890},"b":"1"}"#;
    assert_eq!(flow(Some("/customer/id")).order_key(input), Some("12345678901234567890".to_owned()));
    assert_eq!(flow(Some("/b")).order_key(input), Some("\"1\"".to_owned()), "a text is no number");
    for (order_by, input) in [(Some("/none"), input), (None, input), (Some("/b"), "not JSON")] {
        assert_eq!(flow(order_by).order_key(input), None);
    }
}

#[test]
fn steps_are_stored_and_read_again() {
    let steps = vec![
        FlowStep {
            name: "fetch".to_owned(),
            when: Some(".a".to_owned()),
            for_each: Some(".b[]".to_owned()),
            work: Work::Action { connection: "x".to_owned(), action: "y".to_owned(), input: None },
        },
        FlowStep {
            name: "m".to_owned(),
            when: None,
            for_each: None,
            work: Work::Map { program: ".".to_owned() },
        },
    ];
    let flow = Flow {
        name: "f".to_owned(),
        triggers: Triggers::default(),
        order_by: None,
        concurrency: 1,
        steps: steps.clone(),
    };
    assert_eq!(serde_json::from_str::<Vec<FlowStep>>(&flow.stored_steps()).unwrap(), steps);
}
