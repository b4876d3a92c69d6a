//! What a play leaves alone, since it is right, and what it tells, since a host would drop it or do harm by it.

use crate::{Author, both};
use portcullis_tests::{checkout, guests};
use std::{fs, path::PathBuf};

/// A new connector whose SDK is the checkout's, and its file of code.
fn begun(author: &Author, name: &str, roles: &[&str]) -> PathBuf {
    let sdk = checkout().join("sdk/rust");
    let roles = roles.iter().flat_map(|role| ["--role", role]);
    let args = ["new", name, "--sdk-path", sdk.to_str().unwrap()].into_iter().chain(roles);
    author.json("", &args.collect::<Vec<_>>());
    let (_, folder) = name.split_once('/').unwrap();
    author.path(folder).join("src/lib.rs")
}

#[track_caller]
fn replaced(text: &str, was: &str, is: &str) -> String {
    assert!(text.contains(was), "`{was}` stands in {text}");
    text.replacen(was, is, 1)
}

/// Oldest first, and asked for what is equal, too: those of the checkpoint's moment come again, and none that is older.
#[test]
fn a_resumed_read_may_bring_again_what_stands_at_its_checkpoint() {
    let author = Author::new();
    let file = begun(&author, "acme/weather", &["source"]);
    let _alone = guests::alone();
    let good = fs::read_to_string(&file).unwrap();
    let cassette = author.path("weather/tests/cassettes/items.toml");
    let played = |source: &str, resumed: &str, records: &str| {
        let item = |id: &str, day: &str| format!("{{\"id\":\"{id}\",\"updated_at\":\"2026-03-0{day}\"}}");
        let all = [item("a", "1"), item("b", "2"), item("c", "2"), item("d", "3")];
        let of = |ids: &str| {
            let ids = ids.bytes().map(|id| all[usize::from(id - b'a')].clone());
            ids.collect::<Vec<_>>()
        };
        let exchange = |query: &str, ids: &str, next: &str, more: &str| {
            let items = of(ids).join(",");
            format!(
                "[[exchange]]\n{more}request = \"GET https://api.example.com/v1/items?limit=100{query}\"\nstatus = 200\n\
                 body = '{{\"items\":[{items}],\"next\":{next}}}'\n"
            )
        };
        let exchanges = [
            exchange("", "ab", "\"p2\"", ""),
            exchange("&cursor=p2", "cd", "null", ""),
            exchange("&updated_since=2026-03-02", resumed, "null", "resumed = true\n"),
            exchange("&updated_since=2026-03-03", "d", "null", "resumed = true\n"),
        ];
        let text = format!(
            "stream = \"items\"\nrecords = '''\n{}\n'''\n{}",
            of(records).join("\n"),
            exchanges.concat()
        );
        fs::write(&cassette, text).unwrap();
        fs::write(&file, source).unwrap();
        both(&author.portcullis("", &["test", "weather", "--filter", "items"]))
    };
    let ascending = replaced(&good, "read.finish(page", "read.finish_ascending(page");
    let said = played(&ascending, "bcd", "abcd");
    assert!(said.contains("ok    items resumed") && !said.contains("FAIL"), "{said}");
    let said = played(&ascending, "abcd", "abcd");
    assert!(said.contains("FAIL  items resumed") && said.contains("record 1 differs"), "{said}");
    assert!(said.contains("`lookback = true` in the cassette"), "{said}");
    let said = played(&ascending, "bd", "abcd");
    assert!(said.contains("FAIL  items resumed") && said.contains("record 1 differs"), "{said}");
    // Each record of a page twice, which its vendor gave once.
    let push = "page.push_records(answer.text()?, \"/items\")?;";
    let twice = replaced(&ascending, push, &format!("{push}\n    {push}"));
    let said = played(&twice, "bcd", "ababcdcd");
    assert!(said.contains("FAIL  items  ") && said.contains("record 3 is record 1 again"), "{said}");
}

/// What comes of a refusal, a cassette says where it is not the usual: of `discover`, too, and where something is tidied up.
#[test]
fn what_is_right_a_cassette_says() {
    let author = Author::new();
    let file = begun(&author, "acme/weather", &["source", "action"]);
    let _alone = guests::alone();
    let good = fs::read_to_string(&file).unwrap();
    let manifest = author.path("weather/connector.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let rule = "[[http]]\nallow = [\"GET https://api.example.com/v1/meta\", \"DELETE https://api.example.com/v1/drafts\"]\n\
                credential = \"api-key\"\nwhy = \"what is optional, and what is left behind\"\n\n[[http]]";
    let text = replaced(&text, "[[http]]", rule);
    let list = "http = [\"POST https://api.example.com/v1/items\"]";
    let with_drafts =
        "http = [\"POST https://api.example.com/v1/items\", \"DELETE https://api.example.com/v1/drafts\"]";
    fs::write(&manifest, replaced(&text, list, with_drafts)).unwrap();
    let optional = "match http::get(format!(\"{API}/meta\")).send()?.error_for_status() {\n            \
                    Err(error) if error.kind() == portcullis_sdk::ErrorKind::Forbidden => {}\n            \
                    other => drop(other?),\n        }\n        Ok(vec![items.";
    let source = replaced(&good, "Ok(vec![items.", optional);
    let tidies = "if answer.status() == 503 {\n        http::delete(format!(\"{API}/drafts\")).send()?;\n    }\n    Outcome::done_raw(";
    fs::write(&file, replaced(&source, "Outcome::done_raw(", tidies)).unwrap();
    let test = || both(&author.portcullis("", &["test", "weather"]));
    let said = test();
    assert!(
        said.contains("skip  discover") && said.contains("one of its own has `discover = true`"),
        "{said}"
    );
    let tidied = "FAIL  create-item status 503";
    assert!(
        said.contains(tidied)
            && said.contains("`statuses = { 503 = \"unavailable\" }` in its `[[exchange]]`"),
        "{said}"
    );
    let action = author.path("weather/tests/cassettes/create-item.toml");
    let recorded = fs::read_to_string(&action).unwrap();
    fs::write(&action, recorded + "\nstatuses = { 503 = \"unavailable\" }\n").unwrap();
    let discover = author.path("weather/tests/cassettes/streams.toml");
    let exchange = "discover = true\n\n[[exchange]]\nrequest = \"GET https://api.example.com/v1/meta\"\nstatus = 200\nbody = '{}'\n";
    fs::write(&discover, exchange).unwrap();
    let said = test();
    assert!(!said.contains(tidied) && said.contains("ok    discover"), "{said}");
    assert!(
        said.contains("FAIL  streams status 403")
            && said.contains("`statuses = { 403 = \"succeeds\" }` in its"),
        "{said}"
    );
    fs::write(&discover, format!("{exchange}statuses = {{ 403 = \"succeeds\" }}\n")).unwrap();
    let said = test();
    assert!(said.contains("ok    streams status 403") && !said.contains("FAIL  streams"), "{said}");
}
