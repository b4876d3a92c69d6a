//! Every bound of this crate.

use std::time::Duration;

/// Units that wait for the writer of `state.db`.
pub const WRITER_QUEUE_UNITS_MAX: usize = 1024;
/// Units in one transaction.
pub const GROUP_UNITS_MAX: usize = 256;
/// Pages of a write-ahead log after which it is moved into its database (4 MiB).
pub const WAL_PAGES_MAX: i32 = 1000;
/// Read-only connections to `state.db` at a time.
pub const READERS_MAX: usize = 4;
/// How long a statement waits for another process's lock.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);
/// The lock on the data folder is tried again after this time.
pub const LOCK_RETRY: Duration = Duration::from_millis(50);
/// What is read of the lock file to name its holder.
pub const LOCK_FILE_BYTES_MAX: u64 = 4096;

/// A key of a connection's state.
pub const STATE_KEY_BYTES_MAX: usize = 512;
/// A value of a connection's state.
pub const STATE_VALUE_BYTES_MAX: usize = 256 * 1024;
/// Keys of one connection.
pub const STATE_KEYS_MAX: u64 = 10_000;
/// Keys and values of one connection together.
pub const STATE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Keys in one listing.
pub const STATE_LIST_KEYS_MAX: u32 = 1000;

/// Input or output kept with a run.
pub const RUN_JSON_BYTES_MAX: usize = 1024 * 1024;
/// What a run of a flow begins with, and what each of its steps leaves for the next one.
pub const FLOW_JSON_BYTES_MAX: usize = 4 * 1024 * 1024;
/// By what runs of a flow are kept in order; of a longer key its digest is kept.
pub const ORDER_KEY_BYTES_MAX: usize = 256;
/// `next` and `checkpoint`, each.
pub const POSITION_BYTES_MAX: usize = 1024 * 1024;
/// Any listing.
pub const LIST_ROWS_MAX: u32 = 10_000;
/// Attempts kept of one run, and shown with it: the newest ones.
pub const RUN_ATTEMPTS_MAX: u32 = 1000;
/// Pages of a read after which its older attempts are removed, again and again; until then it has that many more.
pub const PRUNE_PAGES: u64 = 64;
/// Intents kept of a run that is over, and shown with it: the newest ones, and the newest of those without proof.
pub const RUN_INTENTS_KEPT_MAX: u32 = 1000;
/// Unsafe requests of one run: until it is over all its intents stay.
pub const RUN_INTENTS_MAX: u64 = 1_000_000;

/// Exchanges that wait for their writer.
pub const EXCHANGE_QUEUE_ROWS_MAX: usize = 4096;
/// Above this many waiting exchanges bodies are dropped.
pub const EXCHANGE_QUEUE_BODIES_MAX: usize = 1024;
/// Exchanges in one transaction.
pub const EXCHANGE_GROUP_ROWS_MAX: usize = 1024;
/// How long an exchange may wait to be committed.
pub const EXCHANGE_GROUP_WAIT: Duration = Duration::from_millis(50);
/// Exchanges kept of one connection; its oldest go first.
pub const EXCHANGE_CONNECTION_ROWS_MAX: u64 = 200_000;
/// One connection keeps one part in so many of the bytes of all exchanges.
pub const EXCHANGE_CONNECTION_SHARE: u64 = 8;
/// Exchanges kept of all connections; the oldest of the one that has most go first.
pub const EXCHANGE_ROWS_MAX: u64 = 1_000_000;
/// Endpoints of one connection whose announced end is kept: those that were seen last.
pub const ANNOUNCEMENTS_MAX: u32 = 256;
/// Over a cap, this part of it (one in so many) is freed as well, so that the next rows find room.
pub const EXCHANGE_ROOM_SHARE: u64 = 32;
/// Exchanges removed in one transaction.
pub const EXCHANGE_PRUNE_ROWS: u64 = 1_000;
/// Between two looks for exchanges that are too old.
pub const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// A database with more unused pages than used ones, and at least this many bytes of them, is written anew when it is opened.
pub const UNUSED_BYTES_MAX: u64 = 16 << 20;
/// Runs removed in one transaction.
pub const PRUNE_RUNS: u32 = 100;
/// Deliveries removed in one transaction, and event ids forgotten.
pub const PRUNE_DELIVERIES: u32 = 100;
/// Runs of a delivery after which one more that is interrupted is the last: the delivery may be what ends the process.
pub const INTERRUPTED_RUNS_MAX: u32 = 12;
/// Runs of a connection that a look at it goes back.
pub const OVERVIEW_RUNS_MAX: u32 = 200;
/// Events of one delivery.
pub const EVENTS_MAX: usize = 1000;
/// What is kept of a record that did not reach its destination.
pub const REJECTED_RECORD_BYTES_MAX: usize = 16 * 1024;
/// What is kept of why.
pub const REJECTED_MESSAGE_BYTES_MAX: usize = 4096;
/// The payload of one event.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Keys of secret uses counted in memory until their run ends.
pub const SECRET_USES_MAX: usize = 100_000;
/// Faults of one kind that a look through a database tells.
pub const FAULTS_SHOWN_MAX: usize = 20;

const _: () = assert!(RUN_INTENTS_KEPT_MAX as u64 <= RUN_INTENTS_MAX);
// What is removed along the way never reaches the page that is being read.
const _: () = assert!(RUN_ATTEMPTS_MAX as u64 > PRUNE_PAGES);
const _: () = assert!(EXCHANGE_CONNECTION_ROWS_MAX < EXCHANGE_ROWS_MAX);
const _: () = assert!(EXCHANGE_QUEUE_BODIES_MAX < EXCHANGE_QUEUE_ROWS_MAX);
const _: () = assert!(GROUP_UNITS_MAX <= WRITER_QUEUE_UNITS_MAX);
const _: () = assert!(STATE_VALUE_BYTES_MAX + STATE_KEY_BYTES_MAX <= STATE_BYTES_MAX as usize);
// Design section 9: a kill loses at most 100 ms of exchanges.
const _: () = assert!(EXCHANGE_GROUP_WAIT.as_millis() <= 100);
