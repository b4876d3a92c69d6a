//! Flows as they are written: what is refused, where, and what to write instead.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::config::authored;
use portcullis_engine::{CatchUp, Mode, Overlap, Timing};
use portcullis_manifest::Diagnostic;
use std::{path::Path, time::Duration};

/// What flows name.
const REST: &str = "[connections.billing]\nconnector = \"acme/stripe\"\nallow = \"requested\"\n\
    [serve]\npublic-url = \"https://hooks.test\"\n\
    [webhooks.stripe]\nconnection = \"billing\"\npath = \"/stripe\"\nunsigned = true\n";
const STEP: &str = "steps = [{ map = \".\" }]\n";

fn parse(flows: &str) -> Result<Flows, Vec<Diagnostic>> {
    authored::parse(Path::new("/nowhere/portcullis.toml"), &format!("{REST}{flows}"))
        .map(|config| config.flows)
}

/// The one flow.
fn one(text: &str) -> Flow {
    let flows = parse(text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
    assert_eq!(flows.len(), 1);
    flows.into_values().next().unwrap()
}

/// The text is refused for one reason, and shown where it stands.
fn refused(text: &str, message: &str, help: Option<&str>, at: &str) {
    let faults = parse(text).err().unwrap_or_else(|| panic!("it is accepted\n{text}"));
    let [fault] = faults.as_slice() else { panic!("{faults:?}\n{text}") };
    assert_eq!(fault.message, message);
    if let Some(help) = help {
        assert!(fault.help.as_deref().unwrap_or_default().contains(help), "{fault:?}");
    }
    let rendered = crate::config::diagnose::render(fault);
    assert!(rendered.contains(at), "{rendered}");
}

#[test]
fn a_whole_flow() {
    let flow = one(r#"
[flows.orders]
schedule = { cron = "*/15 * * * *", timezone = "Europe/Berlin", overlap = "queue", catch-up = "all" }
webhook = { route = "stripe", events = ["invoice.paid"] }
order-by = "/customer/a~1b"
concurrency = 2
[[flows.orders.steps]]
name = "each"
when = ".items"
for-each = ".items[]"
action = { connection = "billing", name = "create" }
input = "{ a: . }"
[[flows.orders.steps]]
map = ".[0]"
"#);
    assert_eq!((flow.name.as_str(), flow.concurrency), ("orders", 2));
    assert_eq!(flow.order_by.as_deref(), Some("/customer/a~1b"));
    let schedule = flow.triggers.schedule.unwrap();
    assert_eq!((schedule.overlap, schedule.catch_up), (Overlap::Queue, CatchUp::All));
    assert_eq!(schedule.text, "cron */15 * * * * Europe/Berlin");
    let webhook = flow.triggers.webhook.unwrap();
    assert_eq!((webhook.route.as_str(), webhook.events), ("stripe", vec!["invoice.paid".to_owned()]));
    assert!(flow.triggers.after.is_none());
    let action = Work::Action {
        connection: "billing".to_owned(),
        action: "create".to_owned(),
        input: Some("{ a: . }".to_owned()),
    };
    let expected = [
        FlowStep {
            name: "each".to_owned(),
            when: Some(".items".to_owned()),
            for_each: Some(".items[]".to_owned()),
            work: action,
        },
        FlowStep {
            name: "step-2".to_owned(),
            when: None,
            for_each: None,
            work: Work::Map { program: ".[0]".to_owned() },
        },
    ];
    assert_eq!(flow.steps, expected);
}

#[test]
fn what_is_not_said() {
    let flow = one(&format!(
        "[flows.a]\nschedule = {{ every = \"15m\" }}\nwebhook = {{ route = \"stripe\" }}\n{STEP}"
    ));
    assert_eq!((flow.concurrency, flow.order_by.is_none()), (FLOW_CONCURRENCY, true));
    let schedule = flow.triggers.schedule.unwrap();
    assert_eq!((schedule.overlap, schedule.catch_up), (Overlap::Skip, CatchUp::One));
    assert!(matches!(schedule.timing, Timing::Every(every) if every == Duration::from_secs(900)));
    assert!(flow.triggers.webhook.unwrap().events.is_empty(), "every event");
    let flows = parse(&format!("[flows.a]\n{STEP}[flows.b]\nafter = {{ flow = \"a\" }}\n{STEP}")).unwrap();
    assert_eq!(flows["b"].triggers.after.as_ref().unwrap().outcomes, [Outcome::Succeeded]);
    assert!(parse("").unwrap().is_empty());
}

#[test]
fn keys_that_there_are_not() {
    let with = |line: &str| format!("[flows.a]\n{line}\n{STEP}");
    refused(&with("shedule = {}"), "unknown key `shedule` in `flows.a`", Some("`schedule`"), "shedule");
    for (line, key, near) in [
        ("schedule = { every = \"1h\", overlp = \"skip\" }", "overlp", "overlap"),
        ("webhook = { route = \"stripe\", event = [] }", "event", "events"),
        ("after = { flow = \"b\", outcome = [] }", "outcome", "outcomes"),
    ] {
        let faults = parse(&format!("{}[flows.b]\n{STEP}", with(line))).err().unwrap();
        assert!(faults[0].message.starts_with(&format!("unknown key `{key}`")), "{faults:?}");
        assert_eq!(faults[0].help.as_deref(), Some(format!("did you mean `{near}`?").as_str()));
    }
    let faults = parse("[flows.a]\nsteps = [{ map = \".\", foreach = \".\" }]\n").err().unwrap();
    assert!(faults[0].message.starts_with("unknown key `foreach`"), "{faults:?}");
    let faults = parse("[flows.a]\nsteps = [{ map = \".\", wait = {} }]\n").err().unwrap();
    assert_eq!(faults[0].message, "`wait` is not supported yet");
}

#[test]
fn what_is_named_is_there() {
    let step = |step: &str| format!("[flows.a]\nsteps = [{{ {step} }}]\n");
    refused(
        &step("action = { connection = \"biling\", name = \"create\" }"),
        "no connection `biling`",
        Some("did you mean `billing`?"),
        "biling",
    );
    refused(
        &format!("[flows.a]\nwebhook = {{ route = \"strip\" }}\n{STEP}"),
        "no route `strip`",
        Some("did you mean `stripe`?"),
        "strip",
    );
    refused(
        &format!("[flows.orders]\n{STEP}[flows.b]\nafter = {{ flow = \"order\" }}\n{STEP}"),
        "no flow `order`",
        Some("did you mean `orders`?"),
        "order",
    );
    for (outcome, help) in
        [("succeded", "did you mean `succeeded`?"), ("x", "one of `succeeded`, `dead-lettered`, `unknown`")]
    {
        refused(
            &format!(
                "[flows.a]\n{STEP}[flows.b]\nafter = {{ flow = \"a\", outcomes = [\"{outcome}\"] }}\n{STEP}"
            ),
            &format!("no run of a flow ends as `{outcome}`"),
            Some(help),
            outcome,
        );
    }
}

#[test]
fn no_flow_begins_itself() {
    let after = |name: &str, flow: &str| format!("[flows.{name}]\nafter = {{ flow = \"{flow}\" }}\n{STEP}");
    let circle = |circle: &str| format!("the flows follow each other in a circle: {circle}");
    refused(&after("a", "a"), &circle("`a` → `a`"), Some("remove one"), "after");
    let two = after("b", "c") + &after("c", "b") + &after("a", "b");
    refused(&two, &circle("`b` → `c` → `b`"), None, "after");
    let three = after("b", "a") + &after("c", "b") + &after("a", "c");
    refused(&three, &circle("`a` → `b` → `c` → `a`"), None, "after");
    // A way without an end is none.
    let tree = after("b", "a") + &after("c", "a") + &after("d", "c") + &format!("[flows.a]\n{STEP}");
    assert_eq!(parse(&tree).unwrap().len(), 4);
}

#[test]
fn times() {
    let with = |schedule: &str| format!("[flows.a]\nschedule = {{ {schedule} }}\n{STEP}");
    let check = |schedule: &str, message: &str| {
        let faults = parse(&with(schedule)).err().unwrap_or_else(|| panic!("{schedule} is accepted"));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].message.contains(message), "{faults:?}");
    };
    check("", "the schedule has no times");
    check("cron = \"0 * * * *\", every = \"1h\"", "a schedule has one of `cron` and `every`");
    check("cron = \"0 * * *\"", "it has five fields");
    check("cron = \"0 0 30 2 *\"", "never comes");
    check("cron = \"0 * * * *\", timezone = \"Europe/Berln\"", "there is no time zone");
    check("every = \"1h\", timezone = \"UTC\"", "`timezone` belongs to `cron`");
    check("every = \"999ms\"", "`every` must be from 1s to 366d");
    check("every = \"367d\"", "`every` must be from 1s to 366d");
    check("every = 900", "expected");
    check("every = \"1h\", overlap = \"both\"", "`overlap` is `both`");
    check("every = \"1h\", catch-up = \"two\"", "`catch-up` is `two`");
    for schedule in ["every = \"1s\"", "every = \"366d\"", "cron = \"@hourly\"", "cron = \"0 8 * * MON\""] {
        one(&with(schedule));
    }
}

#[test]
fn steps_do_one_thing_each() {
    let step = |step: &str| format!("[flows.a]\nsteps = [{{ {step} }}]\n");
    let call = "action = { connection = \"billing\", name = \"create\" }";
    refused(&step(""), "the step does nothing", Some("`map = \".\"`"), "steps");
    refused(&step(&format!("map = \".\", {call}")), "a step does one thing", None, "map");
    refused(&step("map = \".\", input = \".\""), "`input` belongs to an action", None, "input");
    refused(&step("map = \" \""), "`map` is a jq program of 1 to 65536 bytes", None, "map");
    refused("[flows.a]\n", "`steps` is missing", Some("[[flows.a.steps]]"), "flows.a");
    refused("[flows.a]\nsteps = []\n", "`steps` lists nothing", None, "steps");
    let two = "[flows.a]\nsteps = [{ name = \"x\", map = \".\" }, { name = \"x\", map = \".\" }]\n";
    refused(two, "an earlier step is `x` already", Some("$steps"), "x");
    refused(&step("name = \"X\", map = \".\""), "`X` is not the name of a step", None, "X");
    let many = vec!["{ map = \".\" }"; STEPS_MAX + 1].join(", ");
    refused(&format!("[flows.a]\nsteps = [{many}]\n"), "101 steps, more than 100", None, "steps");
    refused(&format!("[flows.A]\n{STEP}"), "`A` is not the name of a flow", None, "flows.A");
    for pointer in ["customer", "/a~2", "/a~"] {
        let text = format!("[flows.a]\norder-by = \"{pointer}\"\n{STEP}");
        refused(
            &text,
            &format!("`{pointer}` is no pointer into the input"),
            Some("/customer/id"),
            "order-by",
        );
    }
    refused(
        &format!("[flows.b]\n{STEP}[flows.a]\nafter = {{ flow = \"b\", outcomes = [] }}\n{STEP}"),
        "`outcomes` lists nothing",
        None,
        "outcomes",
    );
}

#[test]
fn forms_are_one_program() {
    let flow = one("[flows.one]\n[[flows.one.steps]]\nmask = [\"/a~1b/*/c\"]\ndrop = [\"/x\"]\n");
    let [FlowStep { work: Work::Map { program }, .. }] = flow.steps.as_slice() else { panic!("{flow:?}") };
    // In their order, whatever the order in which they are written.
    let (drop, mask) = (program.find("del(").unwrap(), program.find("\"***\"").unwrap());
    assert!(drop < mask && program.contains("[\"a/b\"]"), "{program}");
    let step = |forms: &str| format!("[flows.one]\n[[flows.one.steps]]\n{forms}\n");
    refused(
        &step("drop = [\"x\"]"),
        "`x` is no pointer into a value",
        Some("/lines/*/price"),
        "drop = [\"x\"]",
    );
    refused(&step("mask = [\"/a~2\"]"), "`/a~2` is no pointer into a value", None, "mask");
    refused(
        &step("cast = { \"/a\" = \"interger\" }"),
        "nothing is cast to `interger`",
        Some("did you mean `integer`?"),
        "interger",
    );
    refused(&step("drop = [\"/a/*\"]"), "`/a/*` names no key: it ends in `*`", None, "drop");
    refused(&step("drop = []"), "`drop` lists nothing", None, "drop");
    refused(
        &step("drop = [\"/a\"]\nmap = \".\""),
        "a step does one thing",
        Some("a step of its own"),
        "steps",
    );
    refused(&step("drop = [\"/a\"]\ninput = \".\""), "`input` belongs to an action", None, "input = \".\"");
}

const SOURCE: &str = "source = { connection = \"billing\", streams = [\"invoices\"] }";
const DESTINATION: &str = "destination = { connection = \"store\" }";

/// A flow of one step, beside a second connection.
fn copying(step: &str) -> String {
    format!(
        "[connections.store]\nconnector = \"acme/store\"\nallow = []\n[flows.a]\nsteps = [{{ {step} }}]\n"
    )
}

#[test]
fn streams_are_copied() {
    let flow = one(&copying(&format!("{SOURCE}, {DESTINATION}")));
    assert!(flow.syncs());
    let Work::Sync(sync) = &flow.steps[0].work else { panic!("{flow:?}") };
    let expected = SyncStep {
        source: "billing".to_owned(),
        streams: vec!["invoices".to_owned()],
        destination: "store".to_owned(),
        mode: Mode::Append,
        stream_prefix: String::new(),
        map: None,
    };
    assert_eq!(*sync, expected);
    let step = "source = { connection = \"billing\", streams = [\"a\", \"b\"] }, map = \".\", when = \".x\", \
                destination = { connection = \"store\", mode = \"replace\", stream-prefix = \"raw_\" }";
    let flow = one(&copying(step));
    let Work::Sync(sync) = &flow.steps[0].work else { panic!("{flow:?}") };
    assert_eq!(
        (sync.mode, sync.target("a"), sync.map.as_deref()),
        (Mode::Replace, "raw_a".to_owned(), Some("."))
    );
    assert_eq!(flow.steps[0].when.as_deref(), Some(".x"));
    // As it is stored with a run, and read again.
    let stored: Vec<FlowStep> = serde_json::from_str(&flow.stored_steps()).unwrap();
    assert_eq!(stored, flow.steps);
}

#[test]
fn what_is_no_copy() {
    let both = "`source` and `destination` belong together";
    refused(&copying(SOURCE), both, Some("add `destination ="), "source");
    refused(&copying(DESTINATION), both, Some("add `source ="), "destination");
    let with = |more: &str| copying(&format!("{SOURCE}, {DESTINATION}, {more}"));
    let not = |key: &str| format!("`{key}` does not belong to a step with a `source`");
    refused(&with("for-each = \".\""), &not("for-each"), None, "for-each");
    refused(&with("input = \".\""), &not("input"), None, "input");
    let call = "action = { connection = \"billing\", name = \"x\" }";
    refused(&with(call), "a step does one thing", None, "steps");
    refused(&with("drop = [\"/a\"]"), "a step does one thing", None, "steps");
    let source = |source: &str| copying(&format!("source = {{ {source} }}, {DESTINATION}"));
    refused(
        &source("connection = \"biling\", streams = [\"a\"]"),
        "no connection `biling`",
        Some("`billing`"),
        "biling",
    );
    refused(
        &source("connection = \"billing\", streams = []"),
        "`streams` lists nothing",
        Some("discover"),
        "streams",
    );
    refused(
        &source("connection = \"billing\""),
        "`streams` is missing in `flows.a.steps[0].source`",
        None,
        "source",
    );
    let no_name = "`a b` is no name of a stream";
    let faults = parse(&source("connection = \"billing\", streams = [\"a b\"]")).unwrap_err();
    assert!(faults.iter().all(|fault| fault.message == no_name), "{faults:?}");
    refused(
        &source("connection = \"billing\", streams = [\"a\", \"a\"]"),
        "`a` is listed twice",
        None,
        "streams",
    );
    let to = |to: &str| copying(&format!("{SOURCE}, destination = {{ connection = \"store\", {to} }}"));
    refused(&to("mode = \"upsrt\""), "`mode` is `upsrt`", Some("`upsert`"), "upsrt");
    refused(&to("stream-prefix = \"/\""), "`/invoices` is no name of a stream", None, "destination");
    for key in ["concurrency = 2", "order-by = \"/a\""] {
        let name = key.split(' ').next().unwrap();
        let message =
            format!("`{name}` does not belong to a flow with a `source`: its runs go one behind the other");
        refused(
            &format!("{}{key}\n", copying(&format!("{SOURCE}, {DESTINATION}"))),
            &message,
            Some("remove it"),
            name,
        );
    }
}

#[test]
fn two_steps_share_no_position_and_remove_nothing_of_each_other() {
    let step = |more: &str| format!("{{ {SOURCE}, destination = {{ connection = \"store\", {more} }} }}");
    let text = |first: &str, second: &str| {
        format!(
            "[connections.store]\nconnector = \"acme/store\"\nallow = []\n[flows.a]\nsteps = [{}]\n[flows.b]\nsteps = [{}]\n",
            step(first),
            step(second)
        )
    };
    let (append, replace) = ("mode = \"append\"", "mode = \"replace\"");
    assert!(parse(&text(append, append)).is_ok());
    assert!(parse(&text(replace, "mode = \"replace\", stream-prefix = \"b-\"")).is_ok());
    let message = "the flows `a` and `b` both write `invoices` of `store`, and one of them replaces it";
    refused(&text(replace, append), message, Some("`stream-prefix`"), "flows");
    refused(&text(append, replace), message, None, "flows");
    let twice = format!(
        "[connections.store]\nconnector = \"acme/store\"\nallow = []\n[flows.a]\nsteps = [{}, {}]\n",
        step(append),
        step("stream-prefix = \"b-\"")
    );
    refused(&twice, "the flow `a` reads `invoices` of `billing` twice", Some("a flow of its own"), "flows");
}
