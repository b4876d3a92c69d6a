//! Promise: whatever kills the process, readers see whole files: of a log each batch that was acknowledged, of a snapshot the former
//! read or the new one, and after all of it what a run without kills leaves.

use crate::{project, readable};
use portcullis_tests::{Project, Ran};
use std::{
    collections::BTreeSet,
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Kills that met a living process; others count as nothing.
const KILLS: usize = 20;
const GENERATIONS: u64 = 6;
const BATCHES: u64 = 3;

/// From `SEED`, or a new one; shown where the test fails.
fn numbers() -> impl FnMut(u64) -> u64 {
    let given = env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = given.unwrap_or_else(|| u64::from(now.subsec_nanos()));
    println!("SEED={seed}");
    let mut state = seed;
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// Some ids are in two batches, and each generation lacks others.
fn batch(generation: u64, number: u64) -> String {
    let ids = (number * 2_000..number * 2_000 + 3_000).filter(|id| id % (generation + 5) != 0);
    ids.map(|id| {
        format!(
            "{{\"id\":{id},\"text\":\"{}\",\"generation\":{generation},\"n\":0.{id}00}}\n",
            "é".repeat(40)
        )
    })
    .collect()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn snapshot(project: &Project) -> Option<String> {
    readable(project).into_iter().find(|(path, _)| path == "items.ndjson").map(|(_, text)| text)
}

/// Runs a command to its end, killed up to three times on the way. How many kills met it. `over`: it had its effect already, and
/// a second one is refused.
fn until_done(
    project: &Project,
    args: &[&str],
    within: Duration,
    number: &mut impl FnMut(u64) -> u64,
    look: impl Fn(),
    over: impl Fn() -> bool,
) -> usize {
    let mut killed = 0;
    for _ in 0..3 {
        if over() {
            return killed;
        }
        let ran = killed_within(project, args, within, number);
        killed += usize::from(ran.status.is_none());
        look();
        if ran.status == Some(0) {
            return killed;
        }
    }
    if !over() {
        project.run(args).exits(0);
        look();
    }
    killed
}

fn took(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// `kill -9` at a moment that is drawn; where it ended before, what it ended with.
fn killed_within(
    project: &Project,
    args: &[&str],
    within: Duration,
    number: &mut impl FnMut(u64) -> u64,
) -> Ran {
    let running = project.spawn(args);
    let drawn = Duration::from_micros(number(u64::try_from(within.as_micros()).unwrap()));
    let until = Instant::now() + drawn;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    running.kill()
}

#[test]
fn killed_at_any_moment_a_snapshot_is_the_former_or_the_new_one() {
    let mut number = numbers();
    let clean = project("{}");
    let mut expected = vec![None];
    let mut within = Duration::MAX;
    for generation in 1..=GENERATIONS {
        for at in 0..BATCHES {
            clean.file("batch.ndjson", batch(generation, at).as_bytes());
            let generation = generation.to_string();
            let args = arguments(&generation, at + 1 == BATCHES);
            within = within.min(took(|| _ = clean.run(&args).exits(0)));
        }
        expected.push(snapshot(&clean));
    }
    let project = project("{}");
    // Compiled once: the kills then meet the write and not the compiler.
    project.run(&["check", "out"]).exits(0);
    let mut kills = 0;
    for generation in 1..=GENERATIONS {
        let at_generation = usize::try_from(generation).unwrap();
        let (former, new) = (&expected[at_generation - 1], &expected[at_generation]);
        for at in 0..BATCHES {
            project.file("batch.ndjson", batch(generation, at).as_bytes());
            let last = at + 1 == BATCHES;
            let look = || {
                let seen = snapshot(&project);
                let seen = seen.as_deref().map(sorted);
                let is = |one: &Option<String>| seen == one.as_deref().map(sorted);
                assert!(
                    is(former) || last && is(new),
                    "generation {generation}, batch {at}: neither the former nor the new one"
                );
            };
            // Killed behind its `complete`, the command would come again as a batch of a generation that is over.
            let generation = generation.to_string();
            let args = arguments(&generation, last);
            kills +=
                until_done(&project, &args, within, &mut number, look, || last && seen_is(&project, new));
        }
        assert_eq!(
            snapshot(&project).as_deref().map(sorted),
            new.as_deref().map(sorted),
            "generation {generation}"
        );
    }
    println!("{kills} kills");
    assert!(kills >= KILLS, "{kills} kills met a living process");
}

fn seen_is(project: &Project, expected: &Option<String>) -> bool {
    snapshot(project).as_deref().map(sorted) == expected.as_deref().map(sorted)
}

fn arguments(generation: &str, complete: bool) -> Vec<&str> {
    let mut arguments = vec![
        "write",
        "out",
        "items",
        "batch.ndjson",
        "--mode",
        "replace",
        "--primary-key",
        "id",
        "--generation",
        generation,
    ];
    arguments.extend(complete.then_some("--complete"));
    arguments
}

#[test]
fn killed_at_any_moment_a_log_has_whole_batches() {
    let mut number = numbers();
    let project = project("{}");
    let command = ["write", "out", "items", "batch.ndjson"];
    // The first ones are left alone: they say how long one takes, once all is compiled.
    project.file("batch.ndjson", batch(0, 0).as_bytes());
    let within = (0..3).map(|_| took(|| _ = project.run(&command).exits(0))).min().unwrap();
    let (mut kills, mut acknowledged) = (0, BTreeSet::from([batch(0, 0)]));
    let mut at = 0;
    while kills < KILLS && at < 20 * KILLS as u64 {
        at += 1;
        let text = batch(at, at % 7);
        project.file("batch.ndjson", text.as_bytes());
        match killed_within(&project, &command, within * 5 / 4, &mut number).status {
            None => kills += 1,
            Some(0) => drop(acknowledged.insert(text)),
            other => panic!("it ended with {other:?}"),
        }
    }
    assert!(kills >= KILLS, "{kills} kills met a living process");
    let begun: BTreeSet<String> = (0..=at).map(|at| batch(at, at % 7)).collect();
    let there: Vec<_> =
        readable(&project).into_iter().filter(|(path, _)| !path.contains(".portcullis-partial")).collect();
    for (path, text) in &there {
        assert!(begun.contains(text), "{path} is no whole batch");
    }
    let there: BTreeSet<_> = there.into_iter().map(|(_, text)| text).collect();
    assert!(acknowledged.is_subset(&there), "what was acknowledged is there");
    // Whatever was cut off goes when the folder is used next.
    project.run(&["write", "out", "items", "batch.ndjson"]).exits(0);
    assert!(!project.path("out/.portcullis-partial").exists());
    println!("{kills} kills, {} acknowledged, {} there", acknowledged.len(), there.len());
}
