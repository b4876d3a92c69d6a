//! The asking side: schema children are started, asked, kept for the next question and killed here.

use crate::{
    Fault, SchemaError, Stop,
    frame::{self, Answer, Question},
    judge::{self, Judge, no_document},
    limits::{
        CHILD_CPU_SECONDS_MAX, CHILD_MEMORY_BYTES_MAX, CHILD_NOT_BEGUN, CHILD_STACK_BYTES,
        CHILD_STDERR_BYTES_MAX, IDLE_CHILD_BYTES_MAX, IDLE_CHILDREN_MAX, NOT_LOADED, SCHEMA_BYTES_MAX,
    },
    stop::kill,
};
use portcullis_manifest::json;
use rustix::process::{Resource, Signal, getrlimit};
use std::{
    collections::VecDeque,
    fs, io,
    io::{BufReader, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
};

/// How a schema child is started: program and arguments.
static PROGRAM: OnceLock<(PathBuf, Vec<String>)> = OnceLock::new();
/// Those that wait for their next question, the longest first.
static IDLE: Mutex<VecDeque<Worker>> = Mutex::new(VecDeque::new());

/// From now on schemas that are not plain are compiled, and documents held against them, in processes that are started so; the
/// program calls `schema_child_main`. Before that this process does it itself, bounded by nothing: for programs whose schemas are
/// their own. The first call counts.
pub fn judge_apart(program: PathBuf, arguments: Vec<String>) {
    let _already = PROGRAM.set((program, arguments));
}

pub(crate) fn compile(schema: &Arc<str>, stop: &Stop) -> Result<(), SchemaError> {
    let Some(program) = PROGRAM.get() else { return here(schema, |_judge| ()) };
    asked(stop, || Worker::about(program, schema, stop).map(|worker| worker.rest(stop)))
}

pub(crate) fn faults(schema: &Arc<str>, document: &[u8], stop: &Stop) -> Result<Vec<Fault>, SchemaError> {
    let Some(program) = PROGRAM.get() else { return here(schema, |judge| faults_here(judge, document)) };
    asked(stop, || {
        let told = match faults_apart(program, schema, document, Question::All, stop)? {
            // All of them were too much.
            None => faults_apart(program, schema, document, Question::First, stop)?,
            told => told,
        };
        Ok(told
            .unwrap_or_else(|| vec![Fault::whole("it does not fit, and has too many places to tell which")]))
    })
}

/// None where the document does not fit, and a child ended while it made the faults.
fn faults_apart(
    program: &(PathBuf, Vec<String>),
    schema: &Arc<str>,
    document: &[u8],
    question: Question,
    stop: &Stop,
) -> Result<Option<Vec<Fault>>, Ended> {
    let mut worker = Worker::about(program, schema, stop)?;
    worker.ask(question, document)?;
    let mut answer = worker.answer()?;
    if matches!(answer, Answer::Misfit) {
        answer = match worker.answer() {
            Err(_ended) if !stop.is_over() => return Ok(None),
            answer => answer?,
        };
    }
    let faults = match answer {
        Answer::Fits => Vec::new(),
        Answer::Faults(faults) => faults,
        _ => return Err(Ended::Other("it answered something else".to_owned())),
    };
    worker.rest(stop);
    Ok(Some(faults.into_iter().map(Fault::from).collect()))
}

pub(crate) fn lines(
    schema: &Arc<str>,
    lines: &[u8],
    over: impl Fn() -> bool + Sync,
    stop: &Stop,
) -> Result<Option<(u64, Vec<Fault>)>, SchemaError> {
    let Some(program) = PROGRAM.get() else { return here(schema, |judge| lines_here(judge, lines, &over)) };
    asked(stop, || {
        let mut worker = Worker::about(program, schema, stop)?;
        worker.ask(Question::Lines, lines)?;
        let Answer::Lines(found) = worker.answer()? else {
            return Err(Ended::Other("it answered something else".to_owned()));
        };
        worker.rest(stop);
        Ok(found.map(|(number, faults)| (number, faults.into_iter().map(Fault::from).collect())))
    })
}

/// What came of it. One that somebody else ended is asked once more.
fn asked<T>(stop: &Stop, mut ask: impl FnMut() -> Result<T, Ended>) -> Result<T, SchemaError> {
    let answer = match ask() {
        Err(Ended::Elsewhere(_)) if !stop.is_over() => ask(),
        answer => answer,
    };
    answer.map_err(|ended| match ended {
        _ if stop.is_over() => SchemaError::Here("nobody waits for it any more".to_owned()),
        Ended::NoSchema(message) => SchemaError::Unusable(message),
        here @ (Ended::NotStarted(_) | Ended::Elsewhere(_) | Ended::Limit(_)) => {
            SchemaError::Here(here.to_string())
        }
        other => SchemaError::Unusable(other.to_string()),
    })
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    NoSchema(String),
    #[error("it takes more than {} MiB of memory", (CHILD_MEMORY_BYTES_MAX - CHILD_STACK_BYTES as u64) >> 20)]
    Memory,
    #[error("it takes more than {CHILD_CPU_SECONDS_MAX} s of CPU time")]
    Time,
    /// A lower one than ours.
    #[error("it takes more than {0}, which is a limit of this machine")]
    Limit(String),
    #[error("it nests too deep, or a reference comes back to itself at the same value")]
    Stack,
    #[error("no process can be started for it: {0}")]
    NotStarted(io::Error),
    #[error("the process that looked at it was ended by signal {0}")]
    Elsewhere(i32),
    #[error("the process that looked at it failed: {0}")]
    Other(String),
}

struct Worker {
    child: Arc<Mutex<Child>>,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    stderr: ChildStderr,
    /// What it was asked about last.
    schema: Option<Arc<str>>,
}

impl Worker {
    /// One that knows the schema.
    fn about(program: &(PathBuf, Vec<String>), schema: &Arc<str>, stop: &Stop) -> Result<Self, Ended> {
        let mut worker = match idle(schema) {
            Some(worker) => worker,
            None => Self::start(program).map_err(Ended::NotStarted)?,
        };
        stop.watches(&worker.child);
        if worker.schema.as_ref() == Some(schema) {
            return Ok(worker);
        }
        worker.schema = None;
        worker.ask(Question::Schema, schema.as_bytes())?;
        match worker.answer()? {
            Answer::Schema => {
                worker.schema = Some(Arc::clone(schema));
                Ok(worker)
            }
            Answer::NoSchema(message) => {
                worker.rest(stop);
                Err(Ended::NoSchema(message))
            }
            _ => Err(Ended::Other("it answered something else".to_owned())),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that starts schema children")]
    fn start((program, arguments): &(PathBuf, Vec<String>)) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            // A signal of the terminal is for who can answer it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(to), Some(from), Some(stderr)) = pipes else { return Err(io::Error::other("no pipes")) };
        let (child, from) = (Arc::new(Mutex::new(child)), BufReader::new(from));
        Ok(Self { child, to, from, stderr, schema: None })
    }

    fn ask(&mut self, question: Question, text: &[u8]) -> Result<(), Ended> {
        frame::ask(&mut self.to, question, text).map_err(|error| self.ended(&error))
    }

    fn answer(&mut self) -> Result<Answer, Ended> {
        frame::answered(&mut self.from).map_err(|error| self.ended(&error))
    }

    /// Why it can't be talked to.
    fn ended(&mut self, error: &io::Error) -> Ended {
        // Whatever is wrong with it, it is not asked again.
        kill(&self.child);
        let mut said = Vec::new();
        let _unread = (&mut self.stderr).take(CHILD_STDERR_BYTES_MAX).read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
        match status.map(|status| (status.signal(), status)) {
            Ok((Some(signal), _)) if signal == Signal::XCPU.as_raw() => match lower_time() {
                Some(lower) => Ended::Limit(format!("{lower} s of CPU time")),
                None => Ended::Time,
            },
            // One second is its soft limit and its hard one.
            Ok((Some(signal), _)) if signal == Signal::KILL.as_raw() && lower_time() == Some(1) => {
                Ended::Limit("1 s of CPU time".to_owned())
            }
            Ok((Some(_), _)) if said.contains("memory allocation") => {
                // The child sets the soft limit of the first itself, and takes over the second.
                let of_all = getrlimit(Resource::As).current;
                let of_its_own = of_all.map(|most| most.saturating_sub(program_bytes()));
                let lower = [getrlimit(Resource::Data).maximum, of_its_own];
                match lower.into_iter().flatten().min() {
                    Some(lower) if lower < CHILD_MEMORY_BYTES_MAX => {
                        let most = lower.saturating_sub(CHILD_STACK_BYTES as u64) >> 20;
                        Ended::Limit(format!("{most} MiB of memory"))
                    }
                    _ => Ended::Memory,
                }
            }
            Ok((Some(_), _)) if said.contains("overflowed its stack") => Ended::Stack,
            Ok((Some(signal), _)) => Ended::Elsewhere(signal),
            // The words of a panic may hold what the document holds.
            Ok((None, _)) if said.contains("panicked") => {
                Ended::Other("its validator has a fault".to_owned())
            }
            Ok((None, status)) if matches!(status.code(), Some(CHILD_NOT_BEGUN | NOT_LOADED)) => {
                Ended::NotStarted(io::Error::other(portcullis_manifest::diagnose::shown(&said)))
            }
            Ok((None, status)) => {
                Ended::Other(format!("{status}: {}", portcullis_manifest::diagnose::shown(&said)))
            }
            Err(_) => Ended::Other(error.to_string()),
        }
    }

    /// Done, for now. One that holds much memory is not worth keeping.
    fn rest(self, stop: &Stop) {
        stop.forgets();
        if stop.is_over() || self.resident_bytes().is_none_or(|bytes| bytes > IDLE_CHILD_BYTES_MAX) {
            return;
        }
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back(self);
        let oldest = if idle.len() > IDLE_CHILDREN_MAX { idle.pop_front() } else { None };
        // Its end is not waited for with the lock held.
        drop(idle);
        drop(oldest);
    }

    fn is_alive(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(child.try_wait(), Ok(None))
    }

    fn resident_bytes(&self) -> Option<u64> {
        let process = self.child.lock().unwrap_or_else(PoisonError::into_inner).id();
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes << 10)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        kill(&self.child);
        let _reaped = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }
}

/// A limit of this machine on CPU time that is lower than ours.
fn lower_time() -> Option<u64> {
    getrlimit(Resource::Cpu).maximum.filter(|lower| *lower < CHILD_CPU_SECONDS_MAX)
}

/// What the program and its libraries take of a process's addresses; the child is the same program.
fn program_bytes() -> u64 {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let of_a_file = maps.lines().filter(|line| line.contains(" /"));
    let length = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some(u64::from_str_radix(end, 16).ok()?.saturating_sub(u64::from_str_radix(start, 16).ok()?))
    };
    of_a_file.filter_map(length).sum()
}

/// One that knows this schema already, or the one that waited longest where there are enough.
fn idle(schema: &Arc<str>) -> Option<Worker> {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    // Somebody else may have ended one.
    idle.retain(Worker::is_alive);
    match idle.iter().position(|worker| worker.schema.as_ref() == Some(schema)) {
        Some(known) => idle.remove(known),
        None if idle.len() >= IDLE_CHILDREN_MAX => idle.pop_front(),
        None => None,
    }
}

/// What was compiled in this process last: whoever holds many documents against few schemas waits for each of these once.
static KNOWN_HERE: Mutex<VecDeque<(Arc<str>, Arc<Judge>)>> = Mutex::new(VecDeque::new());
const KNOWN_HERE_MAX: usize = 4;

fn known_here(schema: &Arc<str>) -> Result<Arc<Judge>, SchemaError> {
    let known = || KNOWN_HERE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, judge)) = known().iter().find(|(text, _)| text == schema) {
        return Ok(Arc::clone(judge));
    }
    let value = json::parse(schema.as_bytes(), SCHEMA_BYTES_MAX);
    let value = value.map_err(|error| SchemaError::Unusable(no_document(&error)))?;
    let judge = Arc::new(Judge::of(value)?);
    let mut known = known();
    known.truncate(KNOWN_HERE_MAX - 1);
    known.push_front((Arc::clone(schema), Arc::clone(&judge)));
    Ok(judge)
}

/// In this process, with as much stack as a child would have.
fn here<T: Send>(schema: &Arc<str>, work: impl FnOnce(&Judge) -> T + Send) -> Result<T, SchemaError> {
    let compiled = || known_here(schema).map(|judge| work(&judge));
    let thread = thread::Builder::new().stack_size(CHILD_STACK_BYTES);
    thread::scope(|scope| match thread.spawn_scoped(scope, compiled) {
        Ok(running) => running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(error) => Err(SchemaError::Here(format!("there is no thread for it: {error}"))),
    })
}

fn faults_here(judge: &Judge, text: &[u8]) -> Vec<Fault> {
    match judge::document(text) {
        Ok(document) => judge.faults(&document),
        Err(fault) => vec![fault],
    }
}

fn lines_here(judge: &Judge, lines: &[u8], over: &dyn Fn() -> bool) -> Option<(u64, Vec<Fault>)> {
    let mut each = (1..).zip(judge::lines(lines)).take_while(|_| !over());
    each.find_map(|(number, line)| {
        let faults = faults_here(judge, line);
        (!faults.is_empty()).then_some((number, faults))
    })
}
