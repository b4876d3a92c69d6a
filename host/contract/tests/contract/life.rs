//! How children live: kept for the next question, few, without anything of ours, and gone with whoever asked.

use crate::support::{alone, children, program, stat, ticks};
use portcullis_contract::{
    Schema, Stop,
    limits::{CHILD_CPU_SECONDS_MAX, CHILD_MEMORY_BYTES_MAX, IDLE_CHILDREN_MAX},
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::Barrier,
    thread,
    time::Duration,
};

fn heavy(number: usize) -> Schema {
    Schema::apart(format!(r#"{{"title":"{number}","type":"string"}}"#))
}

/// Doubles at each of forty steps, in the compiler.
fn endless() -> Schema {
    let look = |at: usize| format!(r##"{{"$ref":"#/$defs/d{}","unevaluatedItems":false}}"##, at + 1);
    let step = |at: usize| format!(r#""d{at}":{{"contains":{0},"unevaluatedItems":{0}}}"#, look(at));
    let steps: Vec<_> = (0..40).map(step).collect();
    Schema::apart(format!(
        r##"{{"$ref":"#/$defs/d0","unevaluatedItems":false,"$defs":{{{},"d40":{{}}}}}}"##,
        steps.join(",")
    ))
}

fn ticks_of_all() -> u64 {
    children().into_iter().map(ticks).sum()
}

/// Waits for it, for ten seconds at most.
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let (_open, never) = std::sync::mpsc::channel::<()>();
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        let _ = never.recv_timeout(Duration::from_millis(5));
    }
    panic!("{what}: not within ten seconds");
}

#[test]
fn one_is_kept_for_its_schema_and_no_more_than_a_few() {
    let _alone = alone();
    let schema = heavy(1_000_000);
    schema.validate_in_time("1").unwrap();
    let known = children();
    schema.validate_in_time("2").unwrap();
    assert_eq!(children(), known, "the same is asked again");
    for number in 0..3 * IDLE_CHILDREN_MAX {
        heavy(number).compile_in_time().unwrap();
    }
    assert!(children().len() <= IDLE_CHILDREN_MAX, "{:?}", children());
    // Those that were at work at the same time do not all stay, and who does not is reaped.
    let together = Barrier::new(3 * IDLE_CHILDREN_MAX);
    thread::scope(|scope| {
        for number in 0..3 * IDLE_CHILDREN_MAX {
            let together = &together;
            scope.spawn(move || {
                together.wait();
                assert_eq!(heavy(100 + number).validate_in_time("1").unwrap().len(), 1);
            });
        }
    });
    assert!(children().len() <= IDLE_CHILDREN_MAX, "{:?}", children());
}

/// A plain schema is held here, and not for a document that takes memory by the hundred times its text.
#[test]
fn a_large_document_is_for_a_child() {
    let _alone = alone();
    let schema = Schema::new(r#"{"items":{"type":"integer"}}"#);
    let of = |bytes: usize| format!("[{}1]", "1,".repeat(bytes / 2 - 2));
    let taken = allocation_counter::measure(|| {
        assert_eq!(schema.validate_in_time(&of(7 << 20)).unwrap(), []);
    });
    assert!(taken.bytes_max < 32 << 20, "{}", taken.bytes_max);
    let lines = of(7 << 20);
    let taken = allocation_counter::measure(|| {
        assert_eq!(schema.validate_lines(lines.as_bytes(), || false, &Stop::default()).unwrap(), None);
    });
    assert!(taken.bytes_max < 32 << 20, "{}", taken.bytes_max);
}

#[test]
fn it_has_nothing_of_ours() {
    let _alone = alone();
    heavy(2_000_000).compile_in_time().unwrap();
    for child in children() {
        let of = |file: &str| format!("/proc/{child}/{file}");
        assert_eq!(fs::read(of("environ")).unwrap(), b"");
        assert_eq!(fs::read_link(of("cwd")).unwrap().to_str(), Some("/"));
        // A signal of the terminal does not reach it.
        assert_eq!(stat(child)[2], child.to_string());
        let limits = fs::read_to_string(of("limits")).unwrap();
        let limit = |name: &str| {
            let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].split_whitespace().next().unwrap().to_owned()
        };
        assert_eq!(limit("Max core file size"), "0");
        assert_eq!(limit("Max file size"), "0");
        assert_eq!(limit("Max data size"), CHILD_MEMORY_BYTES_MAX.to_string());
        let seconds: u64 = limit("Max cpu time").parse().unwrap();
        assert!((CHILD_CPU_SECONDS_MAX..CHILD_CPU_SECONDS_MAX + 30).contains(&seconds), "{seconds}");
    }
}

/// Somebody else's `kill`, or the kernel's, costs nobody an answer.
#[test]
fn one_that_was_killed_while_it_waited_is_replaced() {
    let _alone = alone();
    let schema = heavy(3_000_000);
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        assert_eq!(schema.validate_in_time("1").unwrap().len(), 1);
        for child in children() {
            kill_process(Pid::from_raw(i32::try_from(child).unwrap()).unwrap(), signal).unwrap();
        }
    }
    assert_eq!(schema.validate_in_time("1").unwrap().len(), 1);
}

#[test]
fn who_stops_waiting_ends_it_at_once() {
    let _alone = alone();
    let (schema, stop) = (endless(), Stop::default());
    let (before, idle) = (children(), ticks_of_all());
    let work = thread::spawn({
        let (schema, stop) = (schema.clone(), stop.clone());
        move || schema.compile(&stop)
    });
    soon("it is at work", || ticks_of_all() > idle + 20);
    stop.now();
    // Killed, it takes no more of the CPU; by itself it would go on for half a minute.
    soon("nobody works on it", || work.is_finished());
    assert_eq!(work.join().unwrap().unwrap_err().words(), "nobody waits for it any more");
    assert!(children().iter().all(|child| before.contains(child)), "it is gone, and reaped");
    // Told before it begins, it does not begin.
    assert!(schema.validate("1", &stop).is_err());
}

/// A child whose asker is gone goes, too, with nothing to do and in the middle of it; and so does one that is asked what is no question.
#[test]
fn the_end_of_the_questions_is_its_end() {
    let _alone = alone();
    let start = || {
        let mut command = Command::new(program());
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let ask = |child: &mut Child, question: &[u8]| {
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(question).unwrap();
        stdin
    };
    let mut child = start();
    let asker = ask(&mut child, b"S\x02\0\0\0\0\0\0\0{}");
    let mut said = [0; 12];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"\x08\0\0\0\"Schema\"");
    drop(asker);
    assert!(child.wait().unwrap().success());

    let endless = endless();
    let mut question = [&b"S"[..], &(endless.text().len() as u64).to_le_bytes()].concat();
    question.extend_from_slice(endless.text().as_bytes());
    let mut child = start();
    let asker = ask(&mut child, &question);
    soon("it is at work", || {
        fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap().contains(") R ")
    });
    drop(asker);
    let mut ended = None;
    soon("it is gone", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(0));

    for nonsense in [&b"A\x02\0\0\0\0\0\0\0{}"[..], b"X", b"S\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let mut child = start();
        let _asker = ask(&mut child, nonsense);
        assert_eq!(child.wait().unwrap().code(), Some(1), "{nonsense:?}");
    }
}

/// As many as there are: the time is for all of them.
#[test]
fn many_have_no_more_time_than_one() {
    let _alone = alone();
    let good = || Schema::apart(r#"{"type":"string"}"#);
    assert_eq!(Schema::compile_all_in_time((0..50).map(|_| good())), Ok(()));
    let third = [good(), good(), Schema::apart(r#"{"type":"strin"}"#), good()];
    assert_eq!(Schema::compile_all_in_time(third.into_iter()).unwrap_err().0, 2);
}
