//! A body with a sensitive property anywhere, cut anywhere: what the exchange log shows holds no 8 characters of its value.
#![no_main]
use libfuzzer_sys::fuzz_target;
use portcullis_egress::fuzzing::captured;
use serde_json::Value;

const CANARY: &str = "c4NrY7zq81vxKdLm0Tg5";

/// How often the canary stands below a sensitive name.
fn sensitive(value: &Value, below: bool) -> usize {
    match value {
        Value::String(text) if below => text.matches(CANARY).count(),
        Value::Array(items) => items.iter().map(|item| sensitive(item, below)).sum(),
        Value::Object(map) => map
            .iter()
            .map(|(name, item)| sensitive(item, below || name.eq_ignore_ascii_case("password")))
            .sum(),
        _ => 0,
    }
}

fuzz_target!(|input: (u16, &str)| {
    let (cut, text) = input;
    // A value that a fuzzer has learnt, and writes where no sensitive name stands, is shown by right.
    if (0..=CANARY.len() - 8).any(|from| text.contains(&CANARY[from..from + 8])) {
        return;
    }
    // `$` stands for the property, `~` for its value alone.
    let text =
        text.replace('$', &format!("\"password\":\"{CANARY}\"")).replace('~', &format!("\"{CANARY}\""));
    let placed = text.matches(CANARY).count();
    let shown = |body: &str| {
        let shown = captured("password", Some("application/json"), body.as_bytes());
        if let Some(shown) = &shown {
            assert!(!shown.chars().any(|c| c.is_control()), "{shown:?}");
        }
        shown
    };
    let whole = shown(&text);
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return };
    // Of names that stand twice in an object the reader keeps one: it can't say where the other value stood.
    if placed == 0 || sensitive(&value, false) != placed {
        return;
    }
    let cut = (0..=usize::from(cut).min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    for shown in [whole, shown(&text[..cut])].into_iter().flatten() {
        for from in 0..=CANARY.len() - 8 {
            assert!(!shown.contains(&CANARY[from..from + 8]), "{shown}");
        }
    }
});
