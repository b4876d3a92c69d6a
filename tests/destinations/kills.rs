//! Promise: whatever kills the process, readers see whole files: of a log each batch that was acknowledged, of a snapshot the former
//! read or the new one, and after all of it what a run without kills leaves.

use crate::{project, readable};
use portcullis_tests::Project;
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
        let mut running = project.spawn(args);
        let moment = Duration::from_micros(number(u64::try_from(within.as_micros()).unwrap()));
        let began = Instant::now();
        while began.elapsed() < moment && !running.ended() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let ran = running.kill();
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

#[test]
fn killed_at_any_moment_a_snapshot_is_the_former_or_the_new_one() {
    let mut number = numbers();
    let clean = project("{}");
    let mut expected = vec![None];
    let mut longest = Duration::ZERO;
    for generation in 1..=GENERATIONS {
        for at in 0..BATCHES {
            clean.file("batch.ndjson", batch(generation, at).as_bytes());
            let began = Instant::now();
            clean.run(&arguments(&generation.to_string(), at + 1 == BATCHES)).exits(0);
            longest = longest.max(began.elapsed());
        }
        expected.push(snapshot(&clean));
    }
    let project = project("{}");
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
                until_done(&project, &args, longest, &mut number, look, || last && seen_is(&project, new));
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
    let (mut kills, mut acknowledged, mut longest) = (0, BTreeSet::new(), Duration::ZERO);
    let mut at = 0;
    while kills < KILLS && at < 20 * KILLS as u64 {
        let text = batch(at, at % 7);
        project.file("batch.ndjson", text.as_bytes());
        let began = Instant::now();
        let mut running = project.spawn(&["write", "out", "items", "batch.ndjson"]);
        // The first is left alone: it says how long one takes.
        let moment = match at {
            0 => Duration::from_secs(60),
            _ => Duration::from_micros(number(u64::try_from(longest.as_micros()).unwrap())),
        };
        while began.elapsed() < moment && !running.ended() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        longest = longest.max(if at == 0 { began.elapsed() } else { Duration::ZERO });
        match running.kill().status {
            None => kills += 1,
            Some(0) => drop(acknowledged.insert(text)),
            other => panic!("it ended with {other:?}"),
        }
        at += 1;
    }
    assert!(kills >= KILLS, "{kills} kills met a living process");
    let begun: BTreeSet<String> = (0..at).map(|at| batch(at, at % 7)).collect();
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
