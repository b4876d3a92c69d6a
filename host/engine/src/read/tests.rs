//! The read machine, row by row.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use portcullis_clock::SeededRandom;

const HARMLESS: Doubt = Doubt { unproven: false, harmless: true };

fn page(count: u64, next: Option<&str>, again_after_ms: Option<u64>) -> Page {
    Page { count, next: next.map(str::to_owned), again_after_ms, ..Page::default() }
}

/// Delivers pages until the machine does something else than asking for the next.
fn drive(machine: &mut ReadMachine, pages: &[Page]) -> Step {
    let random = SeededRandom::new(1);
    let mut last = Step::Deliver;
    for page in pages {
        last = machine.on(Event::Page(page), &random);
        if last == Step::Deliver {
            last = machine.on(Event::Delivered, &random);
        }
        if let Step::Wait(_) = last {
            last = machine.on(Event::Waited, &random);
        }
    }
    last
}

fn ending(step: Step) -> Ending {
    match step {
        Step::End(ending) => ending,
        other => panic!("it goes on with {other:?}"),
    }
}

fn kind(ending: &Ending) -> &str {
    &ending.failure.as_ref().unwrap().kind
}

fn next(position: &str, ordinal: u64) -> Step {
    Step::Call(Call { position: Position::Next(position.to_owned()), ordinal, attempt: 1 })
}

#[test]
fn begins_at_next_else_at_the_checkpoint_else_at_the_start() {
    let begin = |next: Option<&str>, checkpoint: Option<&str>| {
        ReadMachine::begin(next.map(str::to_owned), checkpoint.map(str::to_owned)).1.position
    };
    assert_eq!(begin(Some("n"), Some("c")), Position::Next("n".to_owned()));
    assert_eq!(begin(None, Some("c")), Position::Checkpoint("c".to_owned()));
    assert_eq!(begin(None, None), Position::Start);
}

#[test]
fn ends_where_there_is_no_next_page() {
    let (mut machine, _) = ReadMachine::begin(None, None);
    assert_eq!(drive(&mut machine, &[page(1, Some("a"), None)]), next("a", 1));
    assert_eq!(ending(drive(&mut machine, &[page(1, None, None)])), Ending::well());
}

#[test]
fn a_position_seen_before_is_a_loop() {
    let (mut machine, _) = ReadMachine::begin(None, None);
    drive(&mut machine, &[page(1, Some("a"), None), page(1, Some("b"), None)]);
    let end = ending(drive(&mut machine, &[page(1, Some("a"), None)]));
    assert_eq!(kind(&end), "loop");
    // Also the one that a resumed read began with.
    let (mut machine, _) = ReadMachine::begin(Some("a".to_owned()), None);
    assert_eq!(kind(&ending(drive(&mut machine, &[page(1, Some("a"), None)]))), "loop");
    // Records make it a loop, however long it asks to wait.
    let (mut machine, _) = ReadMachine::begin(Some("a".to_owned()), None);
    assert_eq!(kind(&ending(drive(&mut machine, &[page(1, Some("a"), Some(5))]))), "loop");
}

#[test]
fn a_page_that_is_not_ready_is_asked_for_again_after_a_while() {
    let random = SeededRandom::new(1);
    let (mut machine, _) = ReadMachine::begin(Some("a".to_owned()), None);
    for ordinal in 1..100 {
        assert_eq!(machine.on(Event::Page(&page(0, Some("a"), Some(0))), &random), Step::Deliver);
        assert_eq!(machine.on(Event::Delivered, &random), Step::Wait(POLL_WAIT_MIN));
        assert_eq!(machine.on(Event::Waited, &random), next("a", ordinal));
    }
    let end = ending(drive(&mut machine, &[page(0, Some("a"), Some(10_001))]));
    assert_eq!((end.reason, end.retry_after), (Some("rate-limited"), Some(Duration::from_millis(10_001))));
}

#[test]
fn an_expired_next_falls_back_once() {
    let random = SeededRandom::new(1);
    let expired = || Event::Failed(Failure::new("position-expired", ""), HARMLESS);
    let (mut machine, _) = ReadMachine::begin(None, None);
    let with_checkpoint = Page { checkpoint: Some("c".to_owned()), ..page(1, Some("a"), None) };
    drive(&mut machine, &[with_checkpoint]);
    let back = Call { position: Position::Checkpoint("c".to_owned()), ordinal: 2, attempt: 1 };
    assert_eq!(machine.on(expired(), &random), Step::Call(back));
    // What was seen before the fall comes again.
    assert_eq!(drive(&mut machine, &[page(1, Some("a"), None)]), next("a", 3));
    assert_eq!(kind(&ending(machine.on(expired(), &random))), "position-expired");

    let (mut machine, _) = ReadMachine::begin(None, Some("c".to_owned()));
    let end = ending(machine.on(expired(), &random));
    assert_eq!(kind(&end), "position-expired", "a checkpoint has nothing behind it");
    let (mut machine, _) = ReadMachine::begin(Some("n".to_owned()), None);
    let start = Call { position: Position::Start, ordinal: 1, attempt: 1 };
    assert_eq!(machine.on(expired(), &random), Step::Call(start));
}

#[test]
fn a_failed_page_is_repeated_in_its_place() {
    let random = SeededRandom::new(1);
    let limited = |ms| Failure { retry_after_ms: Some(ms), ..Failure::new("rate-limited", "") };
    let (mut machine, _) = ReadMachine::begin(None, None);
    drive(&mut machine, &[page(1, Some("a"), None)]);
    assert_eq!(
        machine.on(Event::Failed(limited(900), HARMLESS), &random),
        Step::Wait(Duration::from_millis(900))
    );
    let again = Call { position: Position::Next("a".to_owned()), ordinal: 1, attempt: 2 };
    assert_eq!(machine.on(Event::Waited, &random), Step::Call(again));
    let end = ending(machine.on(Event::Failed(limited(60_000), HARMLESS), &random));
    assert_eq!(end.retry_after, Some(Duration::from_secs(60)));
    assert_eq!(kind(&ending(machine.on(Event::Cancelled, &random))), "cancelled");
}
