//! Streams copied by flows: a source over HTTP and a destination over HTTP, both as connectors. Whatever kills the process, every record
//! is at the destination or told as refused; what is gone at the source goes at the destination, where nothing speaks against it.

use crate::served::{Serving, project_of};
use portcullis_tests::{
    Project, Vendor,
    case::{Case, http},
    guests,
    vendor::reply,
    wait_for,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const PAGE: usize = 5;
const KILLS: u64 = 5;
/// So many that a run is not over before the last kill.
const ROWS: u64 = 200;

/// What is at both ends.
#[derive(Default)]
struct Model {
    /// At the source, by id.
    rows: BTreeMap<u64, String>,
    /// At the destination, by id: generation and line.
    there: BTreeMap<u64, (u64, String)>,
    /// Batches by their id, with how often each came.
    batches: BTreeMap<String, (String, u64)>,
    /// What `complete` was called with: generation and most.
    completed: Vec<(u64, u64)>,
    /// Queries of the pages that were asked for.
    asked: Vec<String>,
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn number(query: &str, name: &str) -> Option<u64> {
    parameter(query, name)?.parse().ok()
}

impl Model {
    fn page(&mut self, query: &str) -> Value {
        self.asked.push(query.to_owned());
        let since = number(query, "since").unwrap_or_default();
        let from = number(query, "page").unwrap_or_default() as usize * PAGE;
        let rows = self.rows.range(since..).skip(from).take(PAGE);
        rows.map(|(id, text)| json!({ "id": id, "text": text })).collect()
    }

    fn write(&mut self, query: &str, body: &str) -> Value {
        let id = parameter(query, "id").unwrap();
        let batch = self.batches.entry(id.to_owned()).or_insert_with(|| (body.to_owned(), 0));
        assert_eq!(batch.0, body, "one id has one content");
        batch.1 += 1;
        let generation = number(query, "generation").unwrap();
        let mut rejected = Vec::new();
        for (at, line) in body.lines().enumerate() {
            let record: Value = serde_json::from_str(line).unwrap();
            match record["text"] == "REFUSE" {
                true => rejected.push(at),
                false => {
                    drop(self.there.insert(record["id"].as_u64().unwrap(), (generation, line.to_owned())))
                }
            }
        }
        json!({ "rejected": rejected })
    }

    /// None = more would go than may.
    fn complete(&mut self, query: &str) -> Option<Value> {
        let (generation, most) = (number(query, "generation").unwrap(), number(query, "max").unwrap());
        self.completed.push((generation, most));
        let gone = self.there.values().filter(|(of, _)| *of < generation).count() as u64;
        if gone > most {
            return None;
        }
        self.there.retain(|_, (of, _)| *of >= generation);
        Some(json!({ "removed": gone }))
    }

    fn ids(&self) -> Vec<u64> {
        self.there.keys().copied().collect()
    }
}

/// Both ends, each request of which takes its time.
fn ends(model: &Arc<Mutex<Model>>) -> Vendor {
    let model = Arc::clone(model);
    Vendor::tls(&["api.vendor.test", "api.warehouse.test"], move |asked, wire| {
        std::thread::park_timeout(Duration::from_millis(5));
        let mut model = model.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        let (status, answer) = match (asked.method.as_str(), asked.path()) {
            ("GET", "/rows") => (200, model.page(asked.query())),
            ("POST", "/batches") => (200, model.write(asked.query(), &body)),
            ("POST", "/complete") => match model.complete(asked.query()) {
                Some(answer) => (200, answer),
                None => (409, json!("too many")),
            },
            _ => (404, Value::Null),
        };
        reply(wire, status, &[("Content-Type", "application/json")], answer.to_string().as_bytes())
    })
}

/// The source that ships, the destination that hands on, and a flow from one to the other.
fn project(vendor: &Vendor, mode: &str, more: &str) -> Project {
    let key = "idempotency = { header = \"Idempotency-Key\", window = \"24h\" }";
    let case = Case {
        manifest: http(&["POST https://api.warehouse.test/**"], key),
        more: format!("config = {{ post = \"https://api.warehouse.test\" }}\n{more}"),
        ..Case::default()
    };
    let flow = format!(
        r#"
[connections.api]
connector = "portcullis/rest@^0.1"
origins = {{ api = "https://api.vendor.test" }}
credentials = {{ key = "token" }}
allow = "requested"
[connections.api.config]
base-url = "https://api.vendor.test"
streams.rows = {{ path = "/rows", records = "", primary-key = ["id"], complete-reads = true, page-size = {{ parameter = "limit", records = {PAGE} }}, paging = {{ by = "page", parameter = "page", first = 0 }}, cursor = {{ field = "id", parameter = "since", order = "ascending" }} }}
[connections.api.network]
connect-to = {{ "api.vendor.test:443" = "127.0.0.1:{}" }}
ca-file = "ca.pem"
addresses = ["127.0.0.1/32"]

[credentials.token]
scheme = "bearer"
secret = "file:token"

[[flows.copy.steps]]
name = "rows"
source = {{ connection = "api", streams = ["rows"] }}
map = '.text |= ascii_upcase'
destination = {{ connection = "probe", mode = "{mode}", stream-prefix = "raw-" }}
"#,
        vendor.port()
    );
    let project = project_of(case.to(vendor, &["api.warehouse.test"]), "", &flow);
    let rest = guests::connector("rest");
    project.secret("token", "tok_0123456789abcdef").install(&rest).approve("api", &rest);
    project
}

/// Runs of the flow itself, once each is over.
fn over(project: &Project, count: usize) -> Vec<Value> {
    wait_for("runs of the flow to be over", || {
        let mut rows =
            project.run(&["--json", "runs", "--flow", "copy", "--limit", "10000"]).exits(0).lines();
        rows.retain(|row| row["kind"] == "flow");
        (rows.len() == count && rows.iter().all(|row| row["ended_at"].is_string())).then_some(rows)
    })
}

fn rows(ids: impl IntoIterator<Item = u64>) -> BTreeMap<u64, String> {
    ids.into_iter().map(|id| (id, if id == 7 { "refuse".to_owned() } else { format!("row {id}") })).collect()
}

#[test]
fn every_record_arrives_or_is_told_whatever_is_killed() {
    let model = Arc::new(Mutex::new(Model { rows: rows(0..ROWS), ..Model::default() }));
    let vendor = ends(&model);
    let project = project(&vendor, "upsert", "");
    let mut seed = 0x5c_u64;
    for round in 0..KILLS {
        let serving = Serving::start(&project);
        if round == 0 {
            project.run(&["run", "copy", "--detach"]).exits(0);
        }
        // Somewhere in the midst of it: a page was asked for since this process began.
        wait_for("a page to be asked for", || {
            let mut model = model.lock().unwrap();
            (!std::mem::take(&mut model.asked).is_empty()).then_some(())
        });
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let until = Instant::now() + Duration::from_micros((seed >> 33) % 30_000);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        assert_eq!(serving.running.kill().status, None, "killed, and not ended");
        model.lock().unwrap().asked.clear();
    }
    let serving = Serving::start(&project);
    let first = over(&project, 1);
    assert_eq!(first[0]["outcome"], "succeeded", "{first:#?}");
    {
        let model = model.lock().unwrap();
        let expected: Vec<u64> = (0..ROWS).filter(|id| *id != 7).collect();
        assert_eq!(model.ids(), expected);
        assert!(model.there.values().all(|(generation, line)| *generation == 1 && line.contains("ROW ")));
    }
    // The one that was refused is told, in full, with its place and why.
    let id = first[0]["run_id"].as_str().unwrap();
    let shown = project.run(&["--json", "runs", "show", id]).exits(0).json();
    let sync = &shown["syncs"][0];
    assert_eq!(
        (&sync["records"], &sync["written"], &sync["rejected"], &sync["target"]),
        (&ROWS.into(), &(ROWS - 1).into(), &1.into(), &"raw-rows".into()),
        "{sync:#}"
    );
    assert_eq!(sync["refused"][0]["record"], r#"{"id":7,"text":"REFUSE"}"#);
    assert_eq!(sync["refused"][0]["message"], "the target refused it");
    assert_eq!(shown["runs"][0]["reason"], "rejected-lines");
    let step = shown["runs"][0]["run_id"].as_str().unwrap();
    let step = project.run(&["--json", "runs", "show", step]).exits(0).json();
    let interrupted = step["attempts"].as_array().unwrap().iter();
    let interrupted = interrupted.filter(|attempt| attempt["error_kind"] == "interrupted").count();
    assert!(interrupted as u64 >= KILLS - 1, "each kill came upon it: {interrupted}");
    let text = project.run(&["runs", "show", id]).exits(0).stdout.clone();
    assert!(text.contains("200 records: 199 written, 1 refused, 0 dropped"), "{text}");
    assert!(text.contains("refused by the destination line 3 of batch"), "{text}");
    let status = project.run(&["status"]).exits(1).stdout.clone();
    assert!(status.contains("1 record was refused") && status.contains("portcullis"), "{status}");
    assert_eq!(project.run(&["--json", "flows"]).exits(0).json()["refused"], 1);
    // A person has seen to it.
    project.run(&["runs", "discard", id]).exits(0);
    assert!(!project.run(&["status"]).stdout.contains("refused"));
    // Later only what is new is asked for; the last value comes again, since others may share it.
    let before: BTreeSet<String> = {
        let mut model = model.lock().unwrap();
        model.asked.clear();
        model.rows.extend(rows(ROWS..ROWS + 3));
        model.batches.keys().cloned().collect()
    };
    project.run(&["run", "copy"]).exits(0);
    let found = model.lock().unwrap();
    assert!(found.asked.iter().all(|query| number(query, "since") == Some(ROWS - 1)), "{:?}", found.asked);
    let new: String = found
        .batches
        .iter()
        .filter(|(id, _)| !before.contains(*id))
        .map(|(_, (lines, _))| lines.clone())
        .collect();
    assert_eq!(new.lines().count(), 4, "{new}");
    assert_eq!(found.ids().last(), Some(&(ROWS + 2)));
    assert!(found.completed.is_empty());
    drop(found);
    moved_by_hand(&project, &model);
    assert_eq!(serving.running.terminate().status, Some(0));
}

/// A person has the reader go on elsewhere, while `serve` runs.
fn moved_by_hand(project: &Project, model: &Mutex<Model>) {
    let asked_by_a_run = || {
        model.lock().unwrap().asked.clear();
        project.run(&["run", "copy"]).exits(0);
        let first = model.lock().unwrap().asked.first().cloned().unwrap();
        number(&first, "since")
    };
    let listed = project.run(&["--json", "positions", "api"]).exits(0).json();
    assert_eq!((&listed["reader"], &listed["stream"]), (&"flow:copy".into(), &"rows".into()), "{listed:#}");
    let checkpoint = listed["checkpoint"].to_string();
    assert!(listed["next"].is_null() && checkpoint.contains(&(ROWS + 2).to_string()), "{listed:#}");
    assert!(project.run(&["positions"]).exits(0).stdout.contains("at its checkpoint"));
    let earlier = checkpoint.replace(&(ROWS + 2).to_string(), "150");
    let of = ["positions", "set", "api", "rows", &earlier, "--reader", "flow:copy"];
    project.run(&of).exits(2);
    project.run(&[&of[..], &["--yes"]].concat()).exits(0);
    assert_eq!(asked_by_a_run(), Some(150));
    project.run(&["positions", "reset", "api", "rows", "--reader", "flow:copy", "--yes"]).exits(0);
    assert_eq!(asked_by_a_run(), None);
    let unknown = project.run(&["positions", "reset", "api", "rows", "--reader", "other", "--yes"]);
    unknown.exits(2);
    assert!(unknown.stderr.contains("has no position"), "{}", unknown.stderr);
}

#[test]
fn what_is_gone_at_the_source_goes_unless_something_was_refused() {
    let model = Arc::new(Mutex::new(Model { rows: rows((0..21).filter(|id| *id != 7)), ..Model::default() }));
    let vendor = ends(&model);
    let project = project(&vendor, "replace", "deletes = \"hard\"");
    let run = || project.run(&["--json", "run", "copy"]).exits(0).json()["output"]["rows"].clone();
    let first = run();
    assert_eq!((&first["written"], &first["removed"]), (&20.into(), &0.into()), "{first:#}");
    assert_eq!(model.lock().unwrap().completed, [(1, 2)]);
    // One is gone at the source, and all the others came.
    model.lock().unwrap().rows.remove(&3);
    let second = run();
    assert_eq!((&second["written"], &second["removed"]), (&19.into(), &1.into()), "{second:#}");
    assert!(!model.lock().unwrap().there.contains_key(&3));
    // One more is gone, and one was refused: it would count as gone, so nothing is removed, and the run says why.
    model.lock().unwrap().rows.remove(&4);
    model.lock().unwrap().rows.insert(7, "refuse".to_owned());
    let third = run();
    assert_eq!(
        (&third["written"], &third["rejected"], &third["removed"]),
        (&18.into(), &1.into(), &Value::Null),
        "{third:#}"
    );
    assert!(third["not_removed"].as_str().unwrap().contains("1 record was refused"), "{third:#}");
    {
        let model = model.lock().unwrap();
        assert!(model.there.contains_key(&4) && !model.there.contains_key(&7));
        assert_eq!(model.completed.len(), 2);
    }
    // More are gone than may go: nothing is removed, and a person is told the figures.
    model.lock().unwrap().rows.retain(|id, _| *id > 7);
    let conflict = project.run(&["--json", "run", "copy"]).exits(1).json();
    assert_eq!(
        (&conflict["outcome"], &conflict["error_kind"]),
        (&"dead-lettered".into(), &"conflict".into()),
        "{conflict:#}"
    );
    let detail = conflict["detail"].as_str().unwrap();
    assert!(detail.contains("10 % of 19") && detail.contains("`removed-share-max` of `probe`"), "{detail}");
    let model = model.lock().unwrap();
    assert!(model.there.contains_key(&0), "nothing was removed");
    assert!(model.asked.iter().all(|query| number(query, "since").is_none()), "each read began at the start");
}
