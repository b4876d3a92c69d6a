//! What authors get wrong: `build` names each with the file, the line where it is a line's fault, and what to do.

use crate::{Author, both};
use portcullis_tests::{checkout, guests};
use std::{fs, path::Path};

/// A new connector with both roles, whose SDK is the checkout's.
fn begun(author: &Author) {
    let sdk = checkout().join("sdk/rust");
    let roles = ["--role", "source", "--role", "action"];
    author
        .json("", &[&["new", "acme/weather", "--sdk-path", sdk.to_str().unwrap()][..], &roles[..]].concat());
}

/// One mistake: in this file this text becomes that one. `build` has to say these words.
struct Mistake {
    name: &'static str,
    file: &'static str,
    was: &'static str,
    is: &'static str,
    says: &'static str,
    remedy: &'static str,
}

/// (name, was, is, what it says, remedy), all in `connector.toml`.
#[rustfmt::skip]
const MANIFEST: [(&str, &str, &str, &str, &str); 30] = [
    ("bad name", "name = \"acme/weather\"", "name = \"Acme/Weather\"", "`Acme/Weather`", "expected `publisher/name`"),
    ("bad version", "version = \"0.1.0\"", "version = \"0.1\"", "`version` is `0.1`", "three numbers, as in `1.0.0`"),
    ("one letter more", "credential = \"api-key\"\nwhy = \"read", "credentials = \"api-key\"\nwhy = \"read", "unknown key `credentials`", "did you mean `credential`?"),
    ("misspelt key", "summary = \"The", "sumary = \"The", "`sumary`", "did you mean `summary`?"),
    ("no reason", "why = \"create items\"\n", "", "`why` is missing", "add `why = "),
    ("syntax", "roles = [\"actions\", \"source\"]", "roles = [\"actions\", \"source\"", "missing comma", "expected `,`"),
    ("unknown role", "\"source\"]", "\"sources\"]", "unknown role", "the roles are `actions`, `source`"),
    ("table without role", "roles = [\"actions\", \"source\"]", "roles = [\"actions\"]", "needs the role `source`", "add `source` to `roles`"),
    ("role without table", "[streams.items]\nsummary = \"Every item, and later those that changed\"\nschema = \"schemas/item.json\"\nprimary-key = [\"id\"]\ncursor-field = \"updated_at\"\nhttp = [\"GET https://api.example.com/v1/items\"]\n", "", "role `source` is declared", "add a table `[streams.NAME]`"),
    ("no role", "roles = [\"actions\", \"source\"]", "roles = []", "`roles` is empty", "roles = [\"source\"]"),
    ("stream twice", "[streams.items]", "[streams.items]\nschema = \"schemas/item.json\"\n\n[streams.items]", "duplicate key", "rename it"),
    ("key twice", "delivery = \"at-least-once\"", "delivery = \"at-least-once\"\ndelivery = \"at-most-once\"", "duplicate key", "rename it"),
    ("undeclared rule", "http = [\"GET https://api.example.com/v1/items\"]", "http = [\"GET https://api.example.com/v1/orders\"]", "no single `[[http]]` rule covers `GET https://api.example.com/v1/orders`", "add it to the `allow`"),
    ("wider than declared", "http = [\"POST https://api.example.com/v1/items\"]", "http = [\"POST https://api.example.com/**\"]", "no single `[[http]]` rule covers", "narrow it"),
    ("empty list", "http = [\"GET https://api.example.com/v1/items\"]", "http = []", "`http` is empty", "remove the key"),
    ("rule without method", "allow = [\"GET https://api.example.com/v1/items\"]", "allow = [\"https://api.example.com/v1/items\"]", "allow[0]", "METHOD[,METHOD] scheme://host"),
    ("rule of http", "allow = [\"GET https://api.example.com/v1/items\"]", "allow = [\"GET api.example.com/v1/items\"]", "allow[0]", "METHOD[,METHOD] scheme://host"),
    ("two rules, two meanings", "why = \"create items\"\n", "why = \"create items\"\n\n[[http]]\nallow = [\"POST https://api.example.com/v1/*\"]\nwhy = \"again\"\n", "https://api.example.com/v1/", "give both the same attributes"),
    ("list and table", "[[http]]", "[http]", "duplicate key", "write `[[http]]` each time"),
    ("window without unit", "window = \"24h\"", "window = 24", "expected a string", "`window = \"24h\"`"),
    ("key as a word", "{ header = \"Idempotency-Key\", window = \"24h\" }", "\"Idempotency-Key\"", "expected a table", "`idempotency = { header = "),
    ("delivery as a flag", "\"at-least-once\"", "true", "expected a string", "`delivery = \"at-least-once\"`"),
    ("schema that is not there", "schema = \"schemas/item.json\"", "schema = \"schemas/itme.json\"", "cannot read `schemas/itme.json`", "such as `schemas/NAME.json`"),
    ("schema outside", "schema = \"schemas/item.json\"", "schema = \"../item.json\"", "outside the connector's folder", "such as `schemas/NAME.json`"),
    ("key that no record has", "primary-key = [\"id\"]", "primary-key = [\"number\"]", "no property `number`", "name one of the schema's `properties`"),
    ("misspelt cursor", "cursor-field = \"updated_at\"", "cursor-field = \"updated_ta\"", "no property `updated_ta`", "did you mean `updated_at`?"),
    ("at least once, without key", "idempotency = { header = \"Idempotency-Key\", window = \"24h\" }\n", "", "`at-least-once` needs `idempotency`", "delivery = \"at-most-once\""),
    ("no such slot", "credential = \"api-key\"\nwhy = \"read", "credential = \"key\"\nwhy = \"read", "there is no credential slot `key`", "[credentials.key]"),
    ("scheme of a later version", "schemes = [\"bearer\"]", "schemes = [\"oauth2\"]", "not supported yet", "this version attaches bearer"),
    ("capability", "config-schema = ", "capabilities = [\"sockets\"]\nconfig-schema = ", "unknown capability `sockets`", "a manifest may ask for `files`"),
];

/// The same in the files that the manifest names; `connector.toml` has the line, and the remedy names the file.
#[rustfmt::skip]
const SCHEMAS: [(&str, &str, &str, &str); 7] = [
    ("no JSON", "\"type\": \"object\",", "\"type\": \"object\"", "schemas/item.json"),
    ("wrong type", "\"type\": \"object\"", "\"type\": \"objekt\"", "not a JSON Schema 2020-12 at `/type`"),
    ("another draft", "https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#", "only JSON Schema 2020-12"),
    ("reference to a file", "{ \"type\": \"string\" },\n    \"name\"", "{ \"$ref\": \"id.json\" },\n    \"name\"", "points outside the schema"),
    ("reference to nothing", "{ \"type\": \"string\" },\n    \"name\"", "{ \"$ref\": \"#/$defs/id\" },\n    \"name\"", "points to nothing"),
    ("reference to no anchor", "{ \"type\": \"string\" },\n    \"name\"", "{ \"$ref\": \"#id\" },\n    \"name\"", "Anchor 'id' does not exist"),
    ("pattern that looks ahead", "{ \"type\": \"string\" },\n    \"name\"", "{ \"pattern\": \"(?=a)b\" },\n    \"name\"", "not a JSON Schema 2020-12 at `/properties/id/pattern`"),
];

/// Runs `build`, which fails, with the file as the mistake leaves it; then the file is as it was.
#[track_caller]
fn fails(author: &Author, mistake: &Mistake) -> (serde_json::Value, String) {
    let file = author.path("weather").join(mistake.file);
    let good = fs::read_to_string(&file).unwrap();
    let bad = good.replacen(mistake.was, mistake.is, 1);
    assert_ne!(good, bad, "{}: `{}` stands in {}", mistake.name, mistake.was, mistake.file);
    fs::write(&file, bad).unwrap();
    let ran = author.portcullis("", &["--json", "build", "weather"]);
    fs::write(&file, good).unwrap();
    assert_eq!(ran.status.code(), Some(3), "{}\n{}", mistake.name, both(&ran));
    let told = serde_json::from_slice(&ran.stdout).unwrap();
    (told, String::from_utf8_lossy(&ran.stderr).into_owned())
}

/// One of the faults has file, line, words and remedy.
#[track_caller]
fn told(mistake: &Mistake, told: &serde_json::Value) {
    let faults = told["error"]["diagnostics"].as_array().unwrap();
    let is_it = |fault: &&serde_json::Value| {
        let (message, help) =
            (fault["message"].as_str().unwrap(), fault["help"].as_str().unwrap_or_default());
        fault["file"].as_str().is_some_and(|file| file.ends_with("connector.toml"))
            && fault["line"].as_u64().is_some_and(|line| line > 0)
            && message.contains(mistake.says)
            && (message.contains(mistake.remedy) || help.contains(mistake.remedy))
    };
    assert!(faults.iter().any(|fault| is_it(&fault)), "{}: {told:#}", mistake.name);
    assert!(faults.len() <= 3, "{}: one mistake is not many faults: {told:#}", mistake.name);
}

#[test]
fn faults_of_the_manifest_have_a_line_and_a_remedy() {
    let author = Author::new();
    begun(&author);
    for (name, was, is, says, remedy) in MANIFEST {
        let mistake = Mistake { name, file: "connector.toml", was, is, says, remedy };
        told(&mistake, &fails(&author, &mistake).0);
    }
    for (name, was, is, says) in SCHEMAS {
        let mistake = Mistake { name, file: "schemas/item.json", was, is, says, remedy: "schemas/item.json" };
        told(&mistake, &fails(&author, &mistake).0);
    }
    assert!(!author.path("registry").exists(), "nothing of it went into a registry");
}

#[test]
fn what_the_manifest_says_and_the_code_does_otherwise_has_both_places() {
    let author = Author::new();
    begun(&author);
    let _alone = guests::alone();
    let code = |name, was, is, says, remedy| Mistake { name, file: "src/lib.rs", was, is, says, remedy };
    let both_roles = "connector!(Connector: actions, source);";
    #[rustfmt::skip]
    let disagreeing = [
        code("role without export", both_roles, "connector!(Connector: actions);", "`roles` are `actions`, `source`, but the code exports `actions`", "`src/lib.rs`"),
        code("nothing exported", both_roles, "fn _unused(_: Connector) {}", "exports no connector", "connector!(TYPE: ROLE, …);"),
        code("files without capability", "Ok(())\n", "portcullis_sdk::files::list(\"in\", \"\", None, 1).map(drop)\n", "capability `files`", "`capabilities`"),
    ];
    for mistake in disagreeing {
        told(&mistake, &fails(&author, &mistake).0);
    }
    // What the compiler says of the code is shown as it says it; what `build` adds is what follows.
    let impl_gone = code("role without its trait", "impl Actions for Connector", "impl Connector", "", "");
    let typo = code("misspelt role", both_roles, "connector!(Connector: actions, sources);", "", "");
    for (mistake, says) in [(impl_gone, "Actions"), (typo, "no role `sources`")] {
        let (told, stderr) = fails(&author, &mistake);
        assert!(stderr.contains("src/lib.rs:") && stderr.contains(says), "{}: {stderr}", mistake.name);
        assert!(told["error"]["help"].is_string(), "{told}");
    }
    let no_component = Mistake {
        name: "no cdylib",
        file: "Cargo.toml",
        was: "crate-type = [\"cdylib\"]\n",
        is: "",
        says: "",
        remedy: "",
    };
    let (told, _) = fails(&author, &no_component);
    assert!(told["error"]["help"].as_str().unwrap().contains("crate-type = [\"cdylib\"]"), "{told}");
    assert!(!author.path("registry").exists(), "nothing of it went into a registry");
}

/// What only a run shows, or nobody: `discover` beside the manifest, and a name that masks nothing.
#[test]
fn what_discover_finds_otherwise_and_what_masks_nothing_is_named() {
    let author = Author::new();
    begun(&author);
    let _alone = guests::alone();
    let file = author.path("weather").join("src/lib.rs");
    let good = fs::read_to_string(&file).unwrap();
    for (was, is, says) in [
        (".primary_key([\"id\"])", ".primary_key([\"name\"])", "another primary key in `discover`"),
        (".cursor_field(\"updated_at\")", "", "another cursor field in `discover`"),
        (
            "new(\"items\", include_str!(\"../schemas/item.json\"))",
            "new(\"items\", \"{}\")",
            "another schema in `discover`",
        ),
        ("new(\"items\", include", "new(\"itmes\", include", "did you mean `items`?"),
    ] {
        let bad = good.replacen(was, is, 1);
        assert_ne!(good, bad, "`{was}` stands in {}", file.display());
        fs::write(&file, bad).unwrap();
        let ran = author.portcullis("", &["test", "weather"]);
        let said = both(&ran);
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains("FAIL  discover") && said.contains(says), "{said}");
    }
    let manifest = author.path("weather").join("connector.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    // What is sensitive is in no log line.
    let masked =
        text.replacen("[actions.create-item]\n", "[actions.create-item]\nsensitive = [\"updated_at\"]\n", 1);
    let logs = "let text = answer.error_for_status()?.into_text()?;\n    portcullis_sdk::log::info(&text, &[]);\n    Outcome::done_raw(text)";
    let logged = good.replacen("Outcome::done_raw(answer.error_for_status()?.into_text()?)", logs, 1);
    assert!(masked != text && logged != good);
    fs::write(&manifest, masked).unwrap();
    fs::write(&file, logged).unwrap();
    let ran = author.portcullis("", &["test", "weather", "--filter", "create-item"]);
    let said = both(&ran);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("a log line holds the value of `updated_at`"), "{said}");
    // Nor is what nobody called so, and its name says.
    fs::write(&manifest, &text).unwrap();
    let cassette = author.path("weather").join("tests/cassettes/create-item.toml");
    let recorded = fs::read_to_string(&cassette).unwrap();
    let with_token = recorded.replace("\"updated_at\"", "\"session_token\": \"7f3a9c21e5\", \"updated_at\"");
    assert_ne!(recorded, with_token);
    fs::write(&cassette, with_token).unwrap();
    let said = both(&author.portcullis("", &["test", "weather", "--filter", "create-item"]));
    assert!(said.contains("a log line holds the value of `session_token`, a secret by its name"), "{said}");
    fs::write(&cassette, recorded).unwrap();
    fs::write(&file, good).unwrap();
    let slip =
        text.replacen("[streams.items]\n", "[streams.items]\nsensitive = [\"nmae\", \"card_number\"]\n", 1);
    assert_ne!(text, slip);
    fs::write(&manifest, slip).unwrap();
    let ran = author.portcullis("", &["build", "weather"]);
    let said = both(&ran);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("`nmae` is in none of its schemas and masks no `name`"), "{said}");
    assert!(!said.contains("card_number"), "{said}");
}

#[test]
fn a_folder_without_a_connector_says_what_makes_one() {
    let author = Author::new();
    for dir in [".", "nowhere"] {
        let ran = author.portcullis("", &["build", dir]);
        assert_eq!(ran.status.code(), Some(3), "{}", both(&ran));
        assert!(both(&ran).contains("portcullis new"), "{}", both(&ran));
    }
    assert!(!Path::new("registry").exists());
}

/// Edits of what `new` writes, and the check of `test` that tells each of them, with its words; none = it holds.
const ONLY_PLAYED: [(&str, &str, &str, &str); 16] = [
    (
        "Outcome::done_raw(answer.error_for_status()?.into_text()?)",
        "if answer.status() >= 400 {\n        http::post(format!(\"{API}/items\")).query(\"retry\", 1).json(fields).send()?;\n    }\n    Outcome::done_raw(answer.error_for_status()?.into_text()?)",
        "FAIL  create-item status 400",
        "retry=1 was asked for by hand",
    ),
    (
        "Ok(vec![items.primary_key([\"id\"]).cursor_field(\"updated_at\")])",
        "drop(items); Ok(Vec::new())",
        "FAIL  discover",
        "which `discover` does not find",
    ),
    (
        "Ok(vec![items.",
        "let none: Option<u8> = None; none.unwrap(); Ok(vec![items.",
        "FAIL  discover",
        "panicked",
    ),
    (
        "Ok(vec![items.",
        "http::get(format!(\"{API}/streams\")).send()?; Ok(vec![items.",
        "FAIL  discover",
        "GET https://api.example.com/v1/streams was denied",
    ),
    (
        "Ok(vec![items.",
        "http::get(format!(\"{API}/items?limit=7\")).send()?.error_for_status()?; Ok(vec![items.",
        "skip  discover",
        "asks for `GET https://api.example.com/v1/items?limit=7`, which no cassette has",
    ),
    // What a cassette knows, it may ask for, and has to look at the answer.
    (
        "Ok(vec![items.",
        "http::get(format!(\"{API}/items?limit=100\")).send()?.error_for_status()?; Ok(vec![items.",
        "ok    discover",
        "",
    ),
    (
        "Ok(vec![items.",
        "http::get(format!(\"{API}/items?limit=100\")).send()?; Ok(vec![items.",
        "FAIL  discover",
        "limit=100: 401 has to be `unauthorized`, and it succeeded",
    ),
    (
        ".json(fields)",
        ".header(\"x-nonce\", fresh()).json(fields)",
        "FAIL  create-item again",
        "another header `x-nonce`",
    ),
    (".json(fields)", ".header(\"x-request-id\", fresh()).json(fields)", "ok    create-item again", ""),
    // A checkpoint of each page, of a list that comes newest first.
    (
        "read.finish(page",
        "read.finish_ascending(page",
        "FAIL  items resumed",
        "record 1 differs (1 expected, 0 came)",
    ),
    // What the second request of a call becomes.
    (
        "let answer = asked.send()?.error_for_status()?;",
        "let first = asked.send()?;\n    if read.token().is_some() && first.status() >= 400 {\n        return read.finish(Page::new(), None);\n    }\n    let answer = first.error_for_status()?;",
        "FAIL  items status 404",
        "cursor=p2): 404 has to be `not-found`, and it succeeded\n      where that is right: `statuses = { 404 = \"succeeds\" }` in `[[exchange]]` 2",
    ),
    // What that of a later read becomes.
    (
        "let answer = asked.send()?.error_for_status()?;",
        "let first = asked.send()?;\n    if read.since().is_some() && first.status() == 503 {\n        return read.finish(Page::new(), None);\n    }\n    let answer = first.error_for_status()?;",
        "FAIL  items status 503",
        "503 has to be `unavailable`, and it succeeded",
    ),
    (
        "let answer = asked.send()?.error_for_status()?;",
        "let again = asked.url();\n    let first = asked.send()?;\n    let first = if read.token().is_some() && first.status() == 429 { http::get(again).send()? } else { first };\n    let answer = first.error_for_status()?;",
        "FAIL  items status 429",
        "cursor=p2 was asked for by hand",
    ),
    (
        "let answer = asked.send()?.error_for_status()?;",
        "let first = asked.send();\n    let answer = if read.token().is_some() { first.unwrap() } else { first? }.error_for_status()?;",
        "FAIL  items connection lost",
        "the connector panicked",
    ),
    (
        "read.finish(page, next)",
        "if next.is_some() {\n        return read.finish(page, next);\n    }\n    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();\n    page.checkpoint(&now.to_string())?;\n    Ok(page)",
        "FAIL  items again",
        "another checkpoint at another time: the clock is in it",
    ),
    // The same, where nothing is new.
    (
        "read.finish(page, next)",
        "if read.since().is_none() {\n        return read.finish(page, next);\n    }\n    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();\n    page.checkpoint(&now.to_string())?;\n    Ok(page)",
        "FAIL  items resumed",
        "another checkpoint at another time: the clock is in it",
    ),
];

#[test]
fn what_only_a_play_shows_is_named() {
    let author = Author::new();
    begun(&author);
    let _alone = guests::alone();
    let file = author.path("weather").join("src/lib.rs");
    let good = fs::read_to_string(&file).unwrap();
    let fresh = "\nfn fresh() -> String {\n    use std::hash::{BuildHasher, Hasher};\n    std::hash::RandomState::new().build_hasher().finish().to_string()\n}\n";
    let played = |source: &str| {
        fs::write(&file, source).unwrap();
        both(&author.portcullis("", &["test", "weather"]))
    };
    for (was, is, check, says) in ONLY_PLAYED {
        let bad = good.replacen(was, is, 1);
        assert_ne!(good, bad, "`{was}` stands in {}", file.display());
        fs::write(&file, bad + fresh).unwrap();
        // The cassette that shows it, alone; what `discover` finds is compared where all are played.
        let cassette = check.split_whitespace().nth(1).unwrap();
        let filter = ["--filter", cassette];
        let args = [&["test", "weather"][..], if cassette == "discover" { &[] } else { &filter }].concat();
        let said = both(&author.portcullis("", &args));
        assert!(said.contains(check) && said.contains(says), "{check}: {said}");
        assert!(!said.contains("= \"failed\""), "no kind of error is proposed for what broke off: {said}");
    }
    // A checkpoint that nothing comes of, with an exchange that says what should, and without one.
    let ignored = good.replacen(".query_opt(\"updated_since\", read.since())", "", 1);
    assert_ne!(good, ignored);
    let asks = "    let asked = http::get";
    let others = [
        ("", "it asks for nothing"),
        ("http::get(format!(\"{API}/items?limit=100\")).send()?; ", "none asked for it"),
    ];
    for (first, says) in others {
        let over = format!("    if read.since().is_some() {{ {first}return Ok(Page::new()); }}\n{asks}");
        let over = good.replacen(asks, &over, 1);
        assert_ne!(good, over);
        let said = played(&over);
        assert!(said.contains("FAIL  items resumed") && said.contains(says), "{said}");
    }
    let said = played(&ignored);
    assert!(said.contains("FAIL  items resumed") && said.contains("read already"), "{said}");
    let cassette = author.path("weather").join("tests/cassettes/items.toml");
    let text = fs::read_to_string(&cassette).unwrap();
    let (whole, _) = text.split_once("# What the next read asks for").unwrap();
    fs::write(&cassette, whole).unwrap();
    let said = played(&ignored);
    assert!(said.contains("FAIL  items resumed") && said.contains("read already"), "{said}");
    let said = played(&good);
    assert!(said.contains("skip  items resumed"), "{said}");
    // Whoever asks for all and leaves out what is older gives the last one again: that is no fault, and a cassette can say it.
    let filters = ignored.replacen(
        "    for record in page.lines() {\n        read.see(json::parse::<Item>(record)?.updated_at);\n    }\n",
        "    let since = read.since().cloned().unwrap_or_default();\n    let mut kept = Page::new();\n    for record in page.lines() {\n        \
         let item = json::parse::<Item>(record)?;\n        if item.updated_at >= since {\n            \
         kept.push_raw(&json::parse::<Box<serde_json::value::RawValue>>(record)?);\n        }\n        read.see(item.updated_at);\n    }\n",
        1,
    );
    let filters = filters.replacen("read.finish(page, next)", "read.finish(kept, next)", 1);
    assert_ne!(ignored, filters);
    let said = played(&filters);
    assert!(said.contains("ok    items resumed"), "{said}");
    let again = format!(
        "{whole}\n[[exchange]]\nresumed = true\nrequest = \"GET https://api.example.com/v1/items?limit=100\"\nstatus = 200\n\
         body = '{{\"items\": [], \"next\": null}}'\n"
    );
    fs::write(&cassette, again).unwrap();
    let said = played(&filters);
    assert!(said.contains("ok    items resumed"), "{said}");
    // What is random in a URL is in no cassette.
    let random =
        good.replacen(".query(\"limit\", request", ".query(\"nonce\", fresh()).query(\"limit\", request", 1)
            + fresh;
    let said = played(&random);
    assert!(
        said.contains("FAIL  items  ") && said.contains("it is another one each time: randomness"),
        "{said}"
    );
    // Two things that are done, in an order that chance decides.
    let manifest = author.path("weather").join("connector.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replacen("idempotency = {", "# {", 1).replacen("at-least-once", "at-most-once", 1),
    )
    .unwrap();
    let first = "let answer = http::post";
    let order = format!(
        "let chance = std::hash::RandomState::new();\n    let mut all = [\"one\", \"two\", \"three\", \"four\"];\n    \
         all.sort_by_key(|which| std::hash::BuildHasher::hash_one(&chance, which));\n    \
         for which in all {{ http::post(format!(\"{{API}}/items\")).json(&which).send()?; }}\n    {first}"
    );
    let ordered = good.replacen(first, &order, 1);
    let cassette = author.path("weather").join("tests/cassettes/create-item.toml");
    let recorded = fs::read_to_string(&cassette).unwrap();
    let more = ["one", "two", "three", "four"].map(|which| {
        format!("\n[[exchange]]\nrequest = \"POST https://api.example.com/v1/items\"\nrequest-body = '\"{which}\"'\nstatus = 201\nbody = '{{}}'\n")
    });
    fs::write(&cassette, recorded + &more.concat()).unwrap();
    let said = played(&ordered);
    assert!(said.contains("FAIL  create-item again") && said.contains("in another order"), "{said}");
}

/// Cassettes beside the manifest: what they call has to be there, and what none of them calls is said.
#[test]
fn what_no_cassette_calls_and_what_callers_do_not_find_is_named() {
    let author = Author::new();
    begun(&author);
    let _alone = guests::alone();
    let cassettes = author.path("weather").join("tests/cassettes");
    let played = |file: &str, was: &str, is: &str| {
        let file = cassettes.join(file);
        let good = fs::read_to_string(&file).unwrap();
        let bad = good.replacen(was, is, 1);
        assert_ne!(good, bad);
        fs::write(&file, bad).unwrap();
        let said = both(&author.portcullis("", &["test", "weather"]));
        fs::write(&file, good).unwrap();
        said
    };
    let said = played("create-item.toml", "action = \"create-item\"", "action = \"create-itme\"");
    assert!(
        said.contains("connector.toml has no action `create-itme`\n      did you mean `create-item`?"),
        "{said}"
    );
    assert!(
        said.contains("skip  action create-item") && said.contains("one has `action = \"create-item\"`"),
        "{said}"
    );
    let said = played("items.toml", "stream = \"items\"", "stream = \"things\"");
    assert!(
        said.contains("connector.toml has no stream `things`\n      add a table `[streams.things]`"),
        "{said}"
    );
    let said = played("create-item.toml", "{\"name\": \"Ada\"}", "{\"name\": 7}");
    assert!(
        said.contains("FAIL  create-item  ")
            && said.contains("the input is not what its schema says: `/name`"),
        "{said}"
    );
    fs::remove_file(cassettes.join("check.toml")).unwrap();
    let ran = author.portcullis("", &["test", "weather"]);
    assert!(ran.status.success() && both(&ran).contains("skip  check  "), "{}", both(&ran));
}

/// A destination: what is no fault of a line is none, on whichever line it happens.
#[test]
fn a_rejected_line_is_one_that_the_vendor_refuses() {
    let author = Author::new();
    let sdk = checkout().join("sdk/rust");
    author.json("", &["new", "acme/lake", "--sdk-path", sdk.to_str().unwrap(), "--role", "destination"]);
    let _alone = guests::alone();
    let file = author.path("lake").join("src/lib.rs");
    let good = fs::read_to_string(&file).unwrap();
    let fits = "Err(error) if error.kind() == ErrorKind::InvalidInput";
    for (is, check, says) in [
        (
            "Err(error) if error.kind() == ErrorKind::InvalidInput && line == 0 => drop(error),\n                Err(error) if error.kind() == ErrorKind::InvalidInput",
            "FAIL  write-items status 422",
            "exchange 1 (PUT https://api.example.com/v1/items/a): 422 has to be `invalid-input`, and it succeeded",
        ),
        (
            "Err(error) if error.kind() == ErrorKind::NotFound => rejected.push(Rejected { line, error: portcullis_sdk::Error::new(ErrorKind::Conflict, error.message().to_owned()) }),\n                Err(error) if error.kind() == ErrorKind::InvalidInput",
            "FAIL  write-items status 404",
            "404 has to be `not-found`, and line 1 was rejected with `conflict`",
        ),
        (
            "Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unavailable)",
            "FAIL  write-items status 503",
            "503 is no fault of a line: line 1 was rejected with `unavailable`",
        ),
        (
            "Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unauthorized)",
            "FAIL  write-items status 401",
            "return the error instead, which ends the batch with `unauthorized`",
        ),
        (
            "Err(_) if line > 0 && record.contains(\"\\\"\\\"\") => rejected.push(Rejected { line, error: portcullis_sdk::Error::invalid_input(\"no\") }),\n                Err(error) if error.kind() == ErrorKind::InvalidInput",
            "FAIL  write-items status 429",
            "exchange 2 (PUT https://api.example.com/v1/items/b): 429 has to be `rate-limited`, and it succeeded",
        ),
    ] {
        let bad = good.replacen(fits, is, 1);
        assert_ne!(good, bad);
        fs::write(&file, bad).unwrap();
        let said = both(&author.portcullis("", &["test", "lake"]));
        assert!(said.contains(check) && said.contains(says), "{check}: {said}");
    }
    // Another line than the one that the vendor refused.
    let cassette = author.path("lake").join("tests/cassettes/write-items.toml");
    let text = fs::read_to_string(&cassette).unwrap();
    let with_third =
        text.replacen("\"name\":\"\"}\n", "\"name\":\"\"}\n{\"id\":\"c\",\"name\":\"Cleo\"}\n", 1);
    assert_ne!(text, with_third);
    let third = "\n[[exchange]]\nrequest = \"PUT https://api.example.com/v1/items/c\"\nstatus = 200\n";
    fs::write(&cassette, with_third + third).unwrap();
    let first = "Err(error) if error.kind() == ErrorKind::InvalidInput && line == 2 => rejected.push(Rejected { line: 0, error }),\n                ";
    fs::write(&file, good.replacen(fits, &format!("{first}{fits}"), 1)).unwrap();
    let said = both(&author.portcullis("", &["test", "lake"]));
    assert!(
        said.contains(
            "the vendor refused line 3 with 422, and line 1 was rejected, which that request does not have"
        ),
        "{said}"
    );
}

/// Several requests at once, and each refused in turn: that is no repetition, whatever arrives first. What is asked for by hand after a
/// refusal is one, though it says something else.
#[test]
fn several_at_once_are_no_repetition_and_another_body_is_one() {
    let author = Author::new();
    begun(&author);
    let _alone = guests::alone();
    let (file, cassette) =
        (author.path("weather/src/lib.rs"), author.path("weather/tests/cassettes/create-item.toml"));
    let (good, recorded) = (fs::read_to_string(&file).unwrap(), fs::read_to_string(&cassette).unwrap());
    let first = "let answer = http::post";
    let together = format!(
        "for answer in http::send_all((1..=3).map(|id| http::get(format!(\"{{API}}/items\")).query(\"id\", id.min(2)))) {{\n        \
         answer?.error_for_status()?;\n    }}\n    {first}"
    );
    let manifest = author.path("weather/connector.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let narrow = "http = [\"POST https://api.example.com/v1/items\"]";
    let both = "http = [\"POST https://api.example.com/v1/items\", \"GET https://api.example.com/v1/items\"]";
    assert!(text.contains(narrow) && good.contains(first));
    fs::write(&manifest, text.replacen(narrow, both, 1)).unwrap();
    fs::write(&file, good.replacen(first, &together, 1)).unwrap();
    let more = ["1", "2"].map(|id| {
        format!("\n[[exchange]]\nrequest = \"GET https://api.example.com/v1/items?id={id}\"\nstatus = 200\nbody = '{{}}'\n")
    });
    fs::write(&cassette, recorded.clone() + &more.concat()).unwrap();
    for _ in 0..3 {
        let said = author.portcullis("", &["test", "weather", "--filter", "create-item"]);
        assert!(said.status.success(), "{}", self::both(&said));
    }
    fs::write(&cassette, recorded).unwrap();
    let again = "if answer.status() == 503 {\n        http::post(format!(\"{API}/items\")).json(&7).send()?.error_for_status()?;\n    }\n    Outcome::done_raw(answer";
    fs::write(&file, good.replacen("Outcome::done_raw(answer", again, 1)).unwrap();
    let said = self::both(&author.portcullis("", &["test", "weather", "--filter", "create-item"]));
    assert!(said.contains("FAIL  create-item status 503") && said.contains("asked for by hand"), "{said}");
}
