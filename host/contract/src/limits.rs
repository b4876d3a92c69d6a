//! Every bound of this crate.

use std::time::Duration;

/// Faults shown of one document.
pub const FAULTS_MAX: usize = 20;
/// Characters of a fault's message.
pub const FAULT_CHARS_MAX: usize = 300;
/// Names that a fault has beside it, all together: more are none.
pub const KNOWN_BYTES_MAX: usize = 16 * 1024;
/// How deep a document may be nested: what `serde_json` reads, by which the runtime lets pass what a guest says.
pub const DOCUMENT_DEPTH_MAX: usize = 127;
/// A schema's text.
pub const SCHEMA_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long somebody who blocks waits for a document that is held against a schema.
pub const SCHEMA_TIME_MAX: Duration = Duration::from_secs(30);

/// Text of a schema that this process compiles: a thousand parts, of which each takes about a kilobyte.
pub const PLAIN_BYTES_MAX: usize = 16 * 1024;
/// Text of all such schemas of one connector, of which this process may hold what is compiled.
pub const PLAIN_TOTAL_BYTES_MAX: usize = 256 * 1024;
/// A property's name in such a schema: each part keeps the path to it.
pub const PLAIN_NAME_BYTES_MAX: usize = 64;
/// How deep such a schema may be, for the same reason.
pub const PLAIN_DEPTH_MAX: usize = 10;
/// Values of an `enum` in such a schema: a value may be compared with each.
pub const PLAIN_ENUM_MAX: usize = 64;
/// A document that this process holds against such a schema: a value of it takes some 60 bytes where its text has two.
pub const PLAIN_DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// Writable private memory of a schema child (`RLIMIT_DATA`), its stack included: the largest document alone takes 256 MiB.
pub const CHILD_MEMORY_BYTES_MAX: u64 = CHILD_STACK_BYTES as u64 + (512 << 20);
/// Stack of the thread that does its work: the deepest document at each level of a deep schema.
pub const CHILD_STACK_BYTES: usize = 64 * 1024 * 1024;
/// CPU time of one piece of its work, should nobody be left to kill it.
pub const CHILD_CPU_SECONDS_MAX: u64 = 31;
/// The exit code of a schema child that this machine lets read nothing.
pub const CHILD_NOT_BEGUN: i32 = 2;
/// That of a program whose libraries can't be loaded.
pub const NOT_LOADED: i32 = 127;
/// Open files of a schema child.
pub const CHILD_FILES_MAX: u64 = 8;
/// What a schema child is asked at once: the largest page, with the largest schema's twice.
pub const QUESTION_BYTES_MAX: u64 = 16 << 20;
/// What it answers at once.
pub const ANSWER_BYTES_MAX: u32 = 4 << 20;
/// What is kept of its stderr.
pub const CHILD_STDERR_BYTES_MAX: u64 = 4 << 10;
/// Schema children that wait for their next piece of work.
pub const IDLE_CHILDREN_MAX: usize = 8;
/// Resident memory with which one may wait.
pub const IDLE_CHILD_BYTES_MAX: u64 = 64 << 20;

const _: () = assert!(SCHEMA_TIME_MAX.as_secs() < CHILD_CPU_SECONDS_MAX);
const _: () = assert!(PLAIN_BYTES_MAX < SCHEMA_BYTES_MAX && SCHEMA_BYTES_MAX < QUESTION_BYTES_MAX as usize);
// A byte is six in JSON, at most.
const _: () = assert!(FAULTS_MAX * 6 * (KNOWN_BYTES_MAX + 8 * FAULT_CHARS_MAX) < ANSWER_BYTES_MAX as usize);
