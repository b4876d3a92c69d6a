#![allow(clippy::unwrap_used)]
//! The examples of the standard, each split everywhere, and random streams beside a second reading of the rules.
use super::*;

fn event(name: &str, data: &str, id: &str) -> Event {
    Event { name: name.into(), data: data.into(), id: id.into(), retry_ms: None }
}

fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut parser = Parser::new();
    for piece in pieces {
        parser.push(piece).unwrap();
    }
    std::iter::from_fn(|| parser.next_event()).collect()
}

/// Whole, byte by byte, and cut in two at every place.
#[track_caller]
fn check(text: &str, expected: &[Event]) {
    let bytes = text.as_bytes();
    assert_eq!(parse([bytes]), expected, "{text:?}");
    assert_eq!(parse(bytes.chunks(1)), expected, "{text:?}");
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(parse([left, right]), expected, "{text:?} cut at {at}");
    }
}

#[test]
fn the_examples_of_the_standard() {
    check("data: YHOO\ndata: +2\ndata: 10\n\n", &[event("message", "YHOO\n+2\n10", "")]);
    check(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        &[event("message", "first event", "1"), event("message", "second event", "")],
    );
    check("data\n\ndata\ndata\n\ndata:", &[event("message", "", ""), event("message", "\n", "")]);
    check("data:test\n\ndata: test\n\n", &[event("message", "test", ""), event("message", "test", "")]);
    check(
        "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
        &[event("add", "73857293", ""), event("remove", "2153", "")],
    );
}

#[test]
fn line_ends_marks_and_fields() {
    for end in ["\n", "\r", "\r\n"] {
        let text = "\u{feff}id: 7\nevent: é\ndata: a\ndata: ü:b\n\n:\ndata: c\n\n".replace('\n', end);
        check(&text, &[event("é", "a\nü:b", "7"), event("message", "c", "7")]);
    }
    // Only the first mark is one; an id with NUL, a retry that is no number, and unknown fields are nothing.
    check("data: \u{feff}a\n\u{feff}data: b\n\n", &[event("message", "\u{feff}a", "")]);
    check(
        "id: a\0b\nretry: 1x\nretry:\nfoo: bar\nDATA: x\n data: y\ndata: z\n\n",
        &[event("message", "z", "")],
    );
    // An event without data is none, and its name is not the next one's.
    check("event: a\nid: 5\n\ndata: x\n\n", &[event("message", "x", "5")]);
    let told = Event { retry_ms: Some(1500), ..event("message", "x", "") };
    check("retry: 1500\n\ndata: x\n\n", &[told]);
    check("", &[]);
}

#[test]
fn an_event_without_end_is_refused() {
    let mut parser = Parser::new();
    let piece = vec![b'a'; 1 << 20];
    let pushed = (0..9).try_for_each(|_| parser.push(&piece));
    assert_eq!(pushed.unwrap_err().kind(), ErrorKind::ContractDrift);
    let mut parser = Parser::new();
    let line = [b"data:".as_slice(), &piece, b"\n"].concat();
    assert!((0..9).try_for_each(|_| parser.push(&line)).is_err());
}

/// The rules once more, over a whole text.
fn read_again(text: &str) -> Vec<Event> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut id, mut data, mut name) = (Vec::new(), String::new(), Vec::new(), String::new());
    let Some((whole, _)) = text.rsplit_once('\n') else { return events };
    for line in whole.split('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                let name = if name.is_empty() { "message" } else { &name };
                events.push(event(name, &data.join("\n"), &id));
            }
            data.clear();
            name.clear();
        } else if let Some((field, value)) = line.split_once(':').or(Some((line, ""))) {
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "data" => data.push(value),
                "event" => name = value,
                "id" => id = value,
                _ => {}
            }
        }
    }
    events
}

#[test]
fn random_streams_split_at_random() {
    const WORDS: [&str; 14] =
        ["data", "event", "id", ":", " ", "\n", "\r", "\r\n", "\n\n", "é", "x", "\u{feff}", "data: ", "\n"];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let mut found = 0;
    for _ in 0..20_000 {
        let text: String = (0..draw(40)).map(|_| WORDS[draw(WORDS.len())]).collect();
        let mut rest = text.as_bytes();
        let mut parser = Parser::new();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + draw(rest.len()));
            parser.push(piece).unwrap();
            rest = after;
        }
        let events: Vec<_> = std::iter::from_fn(|| parser.next_event()).collect();
        assert_eq!(events, read_again(&text), "{text:?}");
        found += events.len();
    }
    assert!(found > 1000, "{found}");
}
