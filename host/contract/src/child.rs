//! The schema child: limits itself before it reads a byte, then answers questions until there are no more. It gets no environment and
//! opens no file.

use crate::{
    SchemaError,
    frame::{self, Answer, Question, Told},
    judge::{self, Judge, no_document},
    limits::{
        CHILD_CPU_SECONDS_MAX, CHILD_FILES_MAX, CHILD_MEMORY_BYTES_MAX, CHILD_NOT_BEGUN, CHILD_STACK_BYTES,
        SCHEMA_BYTES_MAX,
    },
};
use portcullis_manifest::json;
use rustix::{
    event::{PollFd, PollFlags},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use serde_json::{Value, json};
use std::{
    io::{self, BufReader, BufWriter, Write},
    thread,
};

/// The child's whole life. The binary calls it for `schema-child` before anything else. Returns the exit code.
pub fn schema_child_main() -> i32 {
    // The words of a panic may hold what a document holds, and more than the pipe does.
    std::panic::set_hook(Box::new(|_| {
        let _unheard = io::stderr().write_all(b"panicked");
    }));
    let begun = restrict().and_then(|()| {
        // Not joined: it ends with the process, or ends the process.
        thread::Builder::new().spawn(end_with_the_asker)?;
        thread::Builder::new().stack_size(CHILD_STACK_BYTES).spawn(serve)
    });
    let (code, error) = match begun.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => return 0,
        Ok(Ok(Err(error))) => (1, error),
        Ok(Err(_panic)) => return 1,
        Err(error) => (CHILD_NOT_BEGUN, error),
    };
    // Nobody is left to hear of a failing stderr.
    let _unheard = io::stderr().write_all(error.to_string().as_bytes());
    code
}

fn restrict() -> io::Result<()> {
    let set = |resource, most: u64| {
        let most = most.min(getrlimit(resource).maximum.unwrap_or(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).map_err(io::Error::from)
    };
    set(Resource::Data, CHILD_MEMORY_BYTES_MAX)?;
    set(Resource::Nofile, CHILD_FILES_MAX)?;
    set(Resource::Fsize, 0)?;
    set(Resource::Core, 0)
}

/// Nobody writes questions any more: there is nobody to read an answer, in the middle of whatever it takes to find one.
#[expect(clippy::disallowed_methods, reason = "a child has nothing to tidy up")]
fn end_with_the_asker() {
    let stdin = io::stdin();
    // A hangup is told unasked.
    let mut asker = [PollFd::new(&stdin, PollFlags::empty())];
    loop {
        match rustix::event::poll(&mut asker, None) {
            Ok(_) if asker[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) => std::process::exit(0),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// From now on, so much CPU time, should nobody be there to kill it.
fn restrict_time() -> io::Result<()> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let most = u64::try_from(used.tv_sec).unwrap_or(0) + CHILD_CPU_SECONDS_MAX;
    let maximum = getrlimit(Resource::Cpu).maximum;
    // At the hard limit it would be killed, and nobody could say by what.
    let most = maximum.map_or(most, |maximum| most.min(maximum.saturating_sub(1).max(1)));
    setrlimit(Resource::Cpu, Rlimit { current: Some(most), maximum })?;
    Ok(())
}

fn serve() -> io::Result<()> {
    let (mut from, mut to) = (BufReader::new(io::stdin().lock()), BufWriter::new(io::stdout().lock()));
    let mut judge = None;
    while let Some((question, text)) = frame::asked(&mut from)? {
        restrict_time()?;
        let answer = match (question, &judge) {
            (Question::Schema, _) => {
                // Before the next is made.
                drop(judge.take());
                match compiled(&text) {
                    Ok(compiled) => {
                        judge = Some(compiled);
                        Answer::Schema
                    }
                    Err(error) => Answer::NoSchema(error.words().to_owned()),
                }
            }
            (_, None) => return Err(io::Error::other("a document before its schema")),
            (Question::All, Some(judge)) => faults(judge, &text, &mut to, Judge::faults)?,
            (Question::First, Some(judge)) => faults(judge, &text, &mut to, Judge::first)?,
            (Question::Lines, Some(judge)) => Answer::Lines(line(judge, &text)),
        };
        frame::answer(&mut to, &answer)?;
    }
    Ok(())
}

fn compiled(text: &[u8]) -> Result<Judge, SchemaError> {
    let schema =
        json::parse(text, SCHEMA_BYTES_MAX).map_err(|error| SchemaError::Unusable(no_document(&error)))?;
    let judge = Judge::of(schema)?;
    // One whose references come back to themselves at one and the same value never comes to an end: it shows now.
    for value in [Value::Null, json!(true), json!(0), json!(""), json!([]), json!({})] {
        judge.fits(&value);
    }
    Ok(judge)
}

/// That it does not fit is said before its faults are made, which may be more than there is memory for.
fn faults(
    judge: &Judge,
    text: &[u8],
    to: &mut impl Write,
    make: impl Fn(&Judge, &Value) -> Vec<crate::Fault>,
) -> io::Result<Answer> {
    let document = match judge::document(text) {
        Ok(document) if judge.fits(&document) => return Ok(Answer::Fits),
        Ok(document) => document,
        Err(fault) => return Ok(Answer::Faults(vec![fault.into()])),
    };
    frame::answer(to, &Answer::Misfit)?;
    Ok(Answer::Faults(told(make(judge, &document))))
}

/// The first line that does not fit, with the first of its faults.
fn line(judge: &Judge, lines: &[u8]) -> Option<(u64, Vec<Told>)> {
    let mut each = (1..).zip(judge::lines(lines));
    each.find_map(|(number, line)| match judge::document(line) {
        Ok(document) if judge.fits(&document) => None,
        Ok(document) => Some((number, told(judge.first(&document)))),
        Err(fault) => Some((number, vec![fault.into()])),
    })
}

fn told(faults: Vec<crate::Fault>) -> Vec<Told> {
    faults.into_iter().map(Told::from).collect()
}
