//! Flows in a seeded world: whatever dies, and wherever, what was accepted comes to an end, and nothing is done twice for one place.

use super::{
    programs::{Programs, create, flow, flows, map},
    world::{self, CONNECTION, FOR_EVER, Mortal, WAREHOUSE, failure, report},
};
use crate::*;
use portcullis_clock::{Clock, Random, SeededClock, SeededRandom, Timestamp};
use portcullis_store::{
    Accepted, Backlog, DeliveryFilter, FlowState, IntentEnd, IntentKey, NewDelivery, NewIntent, PriorIntent,
    RunFilter, Store, StoreError,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::AtomicI64},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// A world whose data stays when its process dies.
pub(crate) struct Setting {
    data: tempfile::TempDir,
    pub(crate) clock: SeededClock,
    random: SeededRandom,
    flows: Arc<Flows>,
    /// Does the action promise the same key on every attempt?
    keyed: bool,
    pub(crate) begun: Arc<Notify>,
    pub(crate) programs: Arc<Programs>,
    /// The other connection's id.
    warehouse: Mutex<String>,
    /// What both connections say of deletions and positions.
    pub(crate) ends: Mutex<(Deletes, u32, bool)>,
}

impl Setting {
    pub(crate) fn new(seed: u64, keyed: bool, there: impl IntoIterator<Item = Flow>) -> Self {
        Self {
            data: tempfile::tempdir().unwrap(),
            clock: SeededClock::default(),
            random: SeededRandom::new(seed),
            flows: flows(there),
            keyed,
            begun: Arc::default(),
            programs: Arc::default(),
            warehouse: Mutex::default(),
            ends: Mutex::new((Deletes::default(), limits::REMOVED_SHARE_MAX, false)),
        }
    }

    pub(crate) async fn store(&self) -> (Arc<dyn Store>, String) {
        let store = world::store(self.data.path(), &self.clock).await;
        let id = store.connection_id(CONNECTION, "acme/stripe").await.unwrap();
        *self.warehouse.lock().unwrap() = store.connection_id(WAREHOUSE, "acme/store").await.unwrap();
        (store, id)
    }

    pub(crate) fn engine(&self, store: &Arc<dyn Store>, caller: Arc<dyn Caller>, id: &str) -> Engine {
        let (deletes, removed_share_max, restarts) = *self.ends.lock().unwrap();
        let of = |id: &str, name: &str| {
            let (id, name) = (id.to_owned(), name.to_owned());
            let facts = (*world::facts(id, self.keyed)).clone();
            Arc::new(ConnectionFacts { name, deletes, removed_share_max, restarts, ..facts })
        };
        let warehouse = of(&self.warehouse.lock().unwrap(), WAREHOUSE);
        let facts = Arc::new(world::Several(vec![of(id, CONNECTION), warehouse]));
        let (clock, random) = (Arc::new(self.clock.clone()), Arc::new(self.random.clone()));
        let programs = Arc::clone(&self.programs) as Arc<dyn Transform>;
        Engine::new(Arc::clone(store), caller, facts, clock, random).with_flows(
            Arc::clone(&self.flows),
            programs,
            Arc::clone(&self.begun),
        )
    }

    /// Starts as a process does, and dispatches flows until `over`, or until nobody could.
    pub(crate) async fn dispatch(
        &self,
        store: &Arc<dyn Store>,
        caller: Arc<dyn Caller>,
        id: &str,
        over: impl AsyncFn() -> bool,
    ) {
        let engine = self.engine(store, caller, id);
        if engine.start().await.is_err() {
            return;
        }
        let (_engine, engines) = watch::channel(Arc::new(engine));
        let clock = Arc::new(self.clock.clone());
        let dispatcher = FlowDispatcher::new(engines, Arc::clone(store), clock, Arc::clone(&self.begun));
        let (stop, stopped) = watch::channel(false);
        // Beside this task: where time costs nothing, and its store is dead, it never waits for anything.
        let running = tokio::spawn(async move { dispatcher.run(stopped).await });
        let in_time = tokio::time::timeout(Duration::from_secs(60), async {
            while !over().await {
                // Who asks all the time holds up what it asks about.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
            }
        });
        let in_time = in_time.await;
        stop.send(true).unwrap();
        running.await.unwrap();
        in_time.expect("it comes to an end");
    }
}

/// What reached the vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    run_id: String,
    input: String,
}

/// One unsafe request a call, to a vendor that keeps all that reached it, the way egress does it: intent, send, end. It sends
/// whatever was stored before: what keeps an effect from happening twice is the engine.
struct Shop {
    store: Arc<dyn Store>,
    log: Arc<Mutex<Vec<Sent>>>,
    keyed: bool,
    /// How vendor, wire and connector fail.
    faults: Option<SeededRandom>,
    /// A fault of the sender, to see that it shows: no intent.
    has_intents: bool,
}

impl Shop {
    fn draw(&self, below: u64) -> u64 {
        let Some(random) = &self.faults else { return 0 };
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    }

    async fn send(&self, request: &CallRequest, input: &str) -> Result<CallReport, StoreError> {
        let (run_id, step) = (request.run_id.clone(), request.step.clone());
        let key = IntentKey { run_id: run_id.clone(), step, call: request.call.clone(), ordinal: 0 };
        let at = Timestamp::from_millis(0);
        let intent = NewIntent {
            key: key.clone(),
            method: "POST".to_owned(),
            url: "https://api.example/v1/customers".to_owned(),
            request_hash: "h".to_owned(),
            idempotency_key: self.keyed.then(|| format!("{run_id}/{}", request.call)),
            repeatable: self.keyed,
            started_at: at,
        };
        let prior = match self.has_intents {
            true => self.store.begin_intent(intent).await?,
            false => PriorIntent::New,
        };
        // What an earlier attempt may have done, no later answer takes back.
        let earlier = matches!(prior, PriorIntent::Same { refused: false, .. });
        // Done and answered; done and not answered; refused for now; refused for good; not sent.
        let kind = self.draw(8);
        let (done, proven, refused) = match kind {
            0..=3 => (true, true, false),
            4 => (true, false, false),
            5 | 6 => (false, true, !earlier),
            _ => (false, !earlier, !earlier),
        };
        if done {
            self.log.lock().unwrap().push(Sent { run_id, input: input.to_owned() });
        }
        if self.has_intents {
            let end = IntentEnd { proven, refused, outcome: String::new() };
            self.store.end_intent(key, end, at).await?;
        }
        let result = match kind {
            0..=3 => Ok(Answer::Done(format!("{{\"id\":1,\"of\":{input}}}"))),
            4 => Err(failure("timeout")),
            5 => Err(Failure { retry_after_ms: Some(60_000), ..failure("rate-limited") }),
            6 => Err(failure("not-found")),
            _ => Err(failure("unavailable")),
        };
        Ok(CallReport { unproven_effect: !proven, ..report(result) })
    }
}

#[async_trait::async_trait]
impl Caller for Shop {
    async fn call(&self, request: CallRequest) -> CallReport {
        match &request.operation {
            Operation::Invoke { input, .. } => {
                let sent = self.send(&request, input).await;
                sent.unwrap_or_else(|_| report(Err(failure("denied"))))
            }
            Operation::Handle(delivery) => {
                let payload = String::from_utf8(delivery.body.clone()).unwrap();
                let event = Event { name: "paid".to_owned(), id: Some(payload.clone()), payload };
                report(Ok(Answer::Handled(Handled { events: vec![event], reply: None })))
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A flow of every kind of step, and one that follows it.
fn orders() -> Vec<Flow> {
    let orders = flow(
        "orders",
        vec![
            map("pick", ".items"),
            create("each").each(".[]"),
            create("never").when("false"),
            create("total").with("$input.total"),
        ],
    );
    let mut after = flow("after", vec![create("once").with("{\"a\":99}")]);
    let outcomes = vec![Outcome::Succeeded, Outcome::DeadLettered, Outcome::Unknown];
    after.triggers.after = Some(AfterTrigger { flow: "orders".to_owned(), outcomes });
    vec![orders, after]
}

/// The inputs of one run's calls differ from all others'.
fn input(number: u32) -> String {
    let n = number * 10;
    format!("{{\"items\":[{{\"a\":{}}},{{\"a\":{}}}],\"total\":{{\"a\":{}}}}}", n + 1, n + 2, n + 3)
}

async fn flow_runs(store: &dyn Store) -> Vec<portcullis_store::FlowRun> {
    let filter = RunFilter { kind: Some(RunKind::Flow), ..RunFilter::default() };
    let mut found = Vec::new();
    for run in store.runs(filter).await.unwrap() {
        found.push(store.flow_run(&run.run_id).await.unwrap().unwrap());
    }
    found
}

/// Each that was begun is over, or a person's.
pub(crate) async fn are_over(store: &dyn Store, count: usize) -> bool {
    let filter = RunFilter { kind: Some(RunKind::Flow), ..RunFilter::default() };
    let runs = store.runs(filter).await.unwrap();
    runs.len() >= count && runs.iter().all(|run| run.outcome.is_some())
}

/// What must be true of every flow's run that came to its end, and of what the vendor saw.
async fn check(store: &dyn Store, log: &[Sent], keyed: bool, why: &str) {
    for run in flow_runs(store).await {
        let row = store.run(&run.run_id).await.unwrap().unwrap().summary;
        let outcome = row.outcome.expect("it ended");
        let steps = RunFilter { parent: Some(run.run_id.clone()), ..RunFilter::default() };
        let steps = store.runs(steps).await.unwrap();
        let outcomes: Vec<_> = steps.iter().map(|step| step.outcome.expect("nothing is left open")).collect();
        let is_in_doubt = outcomes.contains(&Outcome::Unknown);
        assert_eq!(outcome == Outcome::Unknown, is_in_doubt, "{why}: {row:?} {outcomes:?}");
        let is_well = outcomes.iter().all(|outcome| *outcome == Outcome::Succeeded);
        assert_eq!(outcome == Outcome::Succeeded, is_well, "{why}: {row:?} {outcomes:?}");
        assert_eq!(run.state == FlowState::Over, is_well, "{why}: {row:?}");
        // A place has one run, whatever became of the processes.
        let places: BTreeSet<_> = steps.iter().map(|step| step.place.clone()).collect();
        assert_eq!(places.len(), steps.len(), "{why}");
        // What reached the vendor is told.
        for step in steps {
            let is_done = log.iter().any(|sent| sent.run_id == step.run_id);
            let told = matches!(step.outcome, Some(Outcome::Succeeded | Outcome::Unknown));
            assert!(told || !is_done, "{why}: {step:?}");
        }
    }
    // For one place the vendor sees one run, and so one key; without a key it sees it once.
    let mut seen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for sent in log.iter().filter(|sent| sent.input != "{\"a\":99}") {
        seen.entry(&sent.input).or_default().push(&sent.run_id);
    }
    for (input, runs) in seen {
        assert!(runs.iter().all(|run| *run == runs[0]), "{why}: {input} {runs:?}");
        assert!(keyed || runs.len() == 1, "{why}: {input} {runs:?}");
    }
}

/// `has_intents`: see [`Shop`].
async fn killed_anywhere(keyed: bool, has_intents: bool) {
    // It begins one that follows.
    let all = 2;
    let mut kills = 0;
    for effect_of_the_last in [false, true] {
        for left in 1.. {
            let setting = Setting::new(1, keyed, orders());
            let log = Arc::new(Mutex::new(Vec::new()));
            let shop = |store: &Arc<dyn Store>| {
                let (store, log) = (Arc::clone(store), Arc::clone(&log));
                Arc::new(Shop { store, log, keyed, faults: None, has_intents })
            };
            let died = {
                let (inner, id) = setting.store().await;
                let engine = setting.engine(&inner, shop(&inner), &id);
                engine.begin_flow("orders", &input(0), &CallOptions::default()).await.unwrap();
                drop(engine);
                let left = AtomicI64::new(left);
                let mortal =
                    Arc::new(Mortal { inner: Arc::clone(&inner), left, effect_of_the_last, fails: FOR_EVER });
                let store = Arc::clone(&mortal) as Arc<dyn Store>;
                let over = async || mortal.is_dead() || are_over(&*inner, all).await;
                setting.dispatch(&store, shop(&store), &id, over).await;
                mortal.is_dead()
            };
            let (store, id) = setting.store().await;
            setting.dispatch(&store, shop(&store), &id, async || are_over(&*store, all).await).await;
            let log = log.lock().unwrap().clone();
            let why = format!("killed at {left}, {effect_of_the_last}");
            check(&*store, &log, keyed, &why).await;
            let ended = flow_runs(&*store).await;
            assert_eq!(ended.len(), all, "{why}: it began one that follows, once");
            if keyed {
                assert!(ended.iter().all(|run| run.state == FlowState::Over), "{why}");
            }
            if !died {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 40, "{kills}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_flow_ends_well_where_every_call_has_a_key() {
    killed_anywhere(true, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_nothing_without_a_key_is_done_twice() {
    killed_anywhere(false, true).await;
}

/// This world sees it: a sender that stores no intent has something done twice, or untold.
#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "killed at")]
async fn killed_anywhere_an_effect_without_an_intent_shows() {
    killed_anywhere(false, false).await;
}

/// The disk is full for a moment, or somebody holds the database: nobody starts again, and nothing is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_for_a_while_leaves_no_flow_behind() {
    let mut failures = 0;
    for effect_of_the_last in [false, true] {
        for left in 2.. {
            let setting = Setting::new(1, true, orders());
            let log = Arc::new(Mutex::new(Vec::new()));
            let (inner, id) = setting.store().await;
            let mortal = Mortal {
                inner: Arc::clone(&inner),
                left: AtomicI64::new(left),
                effect_of_the_last,
                fails: 3,
            };
            let mortal = Arc::new(mortal);
            let store = Arc::clone(&mortal) as Arc<dyn Store>;
            let shop = Arc::new(Shop {
                store: Arc::clone(&store),
                log: Arc::clone(&log),
                keyed: true,
                faults: None,
                has_intents: true,
            });
            let engine = setting.engine(&inner, Arc::clone(&shop) as Arc<dyn Caller>, &id);
            engine.begin_flow("orders", &input(0), &CallOptions::default()).await.unwrap();
            setting.dispatch(&store, shop, &id, async || are_over(&*inner, 2).await).await;
            let log = log.lock().unwrap().clone();
            check(&*inner, &log, true, &format!("failed at {left}, {effect_of_the_last}")).await;
            if !mortal.is_dead() {
                break;
            }
            failures += 1;
        }
    }
    assert!(failures > 40, "{failures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_seed_every_flow_ends_as_its_steps_did() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..40 {
        let keyed = seed % 2 == 0;
        let setting = Setting::new(seed, keyed, orders());
        let (store, id) = setting.store().await;
        let log = Arc::new(Mutex::new(Vec::new()));
        let faults = Some(SeededRandom::new(seed));
        let shop = Arc::new(Shop {
            store: Arc::clone(&store),
            log: Arc::clone(&log),
            keyed,
            faults,
            has_intents: true,
        });
        let engine = setting.engine(&store, Arc::clone(&shop) as Arc<dyn Caller>, &id);
        for number in 0..3 {
            engine.begin_flow("orders", &input(number), &CallOptions::default()).await.unwrap();
        }
        setting.dispatch(&store, shop, &id, async || are_over(&*store, 6).await).await;
        let log = log.lock().unwrap().clone();
        check(&*store, &log, keyed, &format!("seed {seed}")).await;
        for run in flow_runs(&*store).await {
            outcomes.insert(store.run(&run.run_id).await.unwrap().unwrap().summary.outcome.unwrap().as_str());
        }
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["dead-lettered", "succeeded", "unknown"]);
}

/// A delivery that was answered 2xx begins its flow once, wherever the process is killed.
#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_a_delivery_begins_its_flow_once() {
    let mut kills = 0;
    let there = || {
        let mut there = flow("on-paid", vec![create("one")]);
        there.triggers.webhook =
            Some(WebhookTrigger { route: "stripe".to_owned(), events: vec!["paid".to_owned()] });
        there
    };
    for effect_of_the_last in [false, true] {
        for left in 1.. {
            let setting = Setting::new(1, true, [there()]);
            let log = Arc::new(Mutex::new(Vec::new()));
            let shop = |store: &Arc<dyn Store>| {
                let (store, log) = (Arc::clone(store), Arc::clone(&log));
                Arc::new(Shop { store, log, keyed: true, faults: None, has_intents: true })
            };
            let died = {
                let (inner, id) = setting.store().await;
                accept(&*inner, &setting.clock).await;
                let left = AtomicI64::new(left);
                let mortal =
                    Arc::new(Mortal { inner: Arc::clone(&inner), left, effect_of_the_last, fails: FOR_EVER });
                let store = Arc::clone(&mortal) as Arc<dyn Store>;
                let engine = setting.engine(&store, shop(&store), &id);
                if engine.start().await.is_ok() {
                    let _ = engine.hand_over("dlv_1", CallOptions::default()).await;
                }
                let over = async || mortal.is_dead() || are_over(&*inner, 1).await;
                setting.dispatch(&store, shop(&store), &id, over).await;
                mortal.is_dead()
            };
            let (store, id) = setting.store().await;
            let engine = setting.engine(&store, shop(&store), &id);
            engine.start().await.unwrap();
            // What is not over is handed over again.
            for row in store.deliveries(DeliveryFilter::default()).await.unwrap() {
                if row.ended_at.is_none() {
                    engine.hand_over(&row.delivery_id, CallOptions::default()).await.unwrap();
                }
            }
            setting.dispatch(&store, shop(&store), &id, async || are_over(&*store, 1).await).await;
            let log = log.lock().unwrap().clone();
            let why = format!("killed at {left}, {effect_of_the_last}");
            check(&*store, &log, true, &why).await;
            assert_eq!(flow_runs(&*store).await.len(), 1, "{why}");
            if !died {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 20, "{kills}");
}

async fn accept(store: &dyn Store, clock: &SeededClock) {
    let delivery = NewDelivery {
        delivery_id: "dlv_1".to_owned(),
        route: "stripe".to_owned(),
        connection: CONNECTION.to_owned(),
        received_at: clock.now(),
        peer: "192.0.2.1".to_owned(),
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body: b"{\"a\":1}".to_vec(),
    };
    let room = Backlog { deliveries_max: 9, bytes_max: 1 << 20 };
    assert_eq!(store.accept_delivery(delivery, room).await.unwrap(), Accepted::Stored);
}

/// Every hour begins its run once, also while processes die and nobody looks.
#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_each_time_of_a_schedule_is_taken_once() {
    const HOURS: usize = 4;
    let mut kills = 0;
    let there = || {
        let mut there = flow("hourly", vec![map("same", ".")]);
        there.triggers.schedule = Some(Schedule {
            text: "every 1h".to_owned(),
            timing: Timing::Every(Duration::from_secs(3600)),
            overlap: Overlap::Queue,
            catch_up: CatchUp::All,
        });
        there
    };
    for effect_of_the_last in [false, true] {
        for left in 1.. {
            let setting = Setting::new(1, true, [there()]);
            let mut is_dead = false;
            for mortal_left in [left, i64::MAX] {
                let (inner, id) = setting.store().await;
                let left = AtomicI64::new(mortal_left);
                let mortal =
                    Arc::new(Mortal { inner: Arc::clone(&inner), left, effect_of_the_last, fails: FOR_EVER });
                let store = Arc::clone(&mortal) as Arc<dyn Store>;
                let over = async || mortal.is_dead() || have_ended(&*inner, HOURS).await;
                let idle = world::Scripted::new([]);
                setting.dispatch(&store, idle, &id, over).await;
                is_dead |= mortal.is_dead();
                drop((store, mortal));
                // Nobody looks for a while.
                setting.clock.advance(Duration::from_secs(2 * 3600));
            }
            let (store, _) = setting.store().await;
            let runs = flow_runs(&*store).await;
            let mut times: Vec<_> = runs.iter().map(|run| run.input.clone().unwrap()).collect();
            times.sort();
            let why = format!("killed at {left}, {effect_of_the_last}: {times:?}");
            let first = setting_out(&times[0]);
            for (hour, time) in times.iter().enumerate() {
                let expected = first.plus(Duration::from_secs(3600 * hour as u64));
                assert_eq!(setting_out(time), expected, "{why}");
            }
            if !is_dead {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 20, "{kills}");
}

/// So many are over, whatever has come since.
async fn have_ended(store: &dyn Store, count: usize) -> bool {
    let outcome = Some(Outcome::Succeeded);
    let limit = u32::try_from(count).unwrap();
    store.runs(RunFilter { outcome, limit, ..RunFilter::default() }).await.unwrap().len() >= count
}

/// What a run of a schedule begins with.
fn setting_out(input: &str) -> Timestamp {
    let input: serde_json::Value = serde_json::from_str(input).unwrap();
    Timestamp::parse(input["scheduled-at"].as_str().unwrap()).unwrap()
}
