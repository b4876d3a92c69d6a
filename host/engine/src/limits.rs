//! Every bound of this crate.

use std::time::Duration;

/// A wait up to this long happens inside a run; a longer one ends it as `rate-limited`, with its time.
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// Attempts of one call, the first included.
pub const ATTEMPTS_MAX: u32 = 3;
/// First pause before a repeated attempt, doubled each time, with full jitter.
pub const BACKOFF: Duration = Duration::from_millis(500);
/// How long the state of an older version may take to be moved, all values together.
pub const MOVE_TIME_MAX: Duration = Duration::from_secs(10 * 60);
/// A page without records that asks for patience is asked for again no sooner.
pub const POLL_WAIT_MIN: Duration = Duration::from_millis(250);
/// How long a cancelled call may take to come back.
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);
/// Denials kept for a run's report.
pub const DENIALS_MAX: usize = 100;
/// How long a read may take in all.
pub const READ_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Positions remembered to find a loop; more pages than that are an error.
pub const POSITIONS_MAX: usize = 1_000_000;
/// Falls back from an expired `next` to the checkpoint in one read.
pub const FALLBACKS_MAX: u32 = 1;
/// Input of an action.
pub const INPUT_BYTES_MAX: usize = portcullis_store::limits::RUN_JSON_BYTES_MAX;
/// Body of a delivery: what the runtime hands over at most.
pub const DELIVERY_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Runs of a stored delivery that its vendor, or ours, may have been too busy for, the first included.
pub const DELIVERY_RUNS_MAX: u32 = 12;
/// Runs of one that failed in another way: it will hardly do better.
pub const DELIVERY_RUNS_OTHER_MAX: u32 = 3;
/// First pause before a delivery is handed over once more, doubled each time, with full jitter.
pub const DELIVERY_BACKOFF: Duration = Duration::from_secs(1);
/// The longest one.
pub const DELIVERY_BACKOFF_MAX: Duration = Duration::from_secs(60 * 60);
/// How long the vendor's id of an event is remembered.
pub const EVENT_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Deliveries of one connection under way.
pub const DELIVERIES_AT_ONCE_MAX: usize = 16;
/// Runs of one flow at a time, where its config says nothing.
pub const FLOW_CONCURRENCY: u32 = 4;
/// Runs of all flows at a time.
pub const FLOW_RUNS_AT_ONCE_MAX: usize = 64;
/// What all steps of one run leave together: it is in memory while the run goes on, and every program is shown it.
pub const FLOW_OUTPUTS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Items of one `for-each`.
pub const ITEMS_MAX: u32 = 10_000;
/// Times of a schedule that are made up for at once.
pub const CATCH_UP_MAX: usize = 1000;
/// A schedule that has no more times is looked at again after this time.
pub const NO_TIME_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// A connection that can't run is looked at again after this time.
pub const REFUSED_WAIT: Duration = Duration::from_secs(30);
/// What is under way when it is to stop may take so long.
pub const DRAIN_TIME: Duration = Duration::from_secs(15);
/// A store that failed is tried again after this time.
pub const STORE_WAIT: Duration = Duration::from_secs(1);
/// NDJSON of a batch: what the runtime hands over at most.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Records of one run that may be refused: with more of them something else is wrong.
pub const REJECTED_MAX: u64 = 10_000;
/// Records that a program is given at once, and their bytes.
pub const MAP_RECORDS_MAX: usize = 1_000;
/// The same in bytes.
pub const MAP_BYTES_MAX: usize = 1024 * 1024;
/// How much of a stream may be removed at once, in millionths, where the config says nothing.
pub const REMOVED_SHARE_MAX: u32 = 100_000;
/// Pieces of schema work of one connection at a time, those that nobody waits for any more included.
pub const SCHEMA_WORK_MAX: usize = 2;
/// The name of an action or stream that no manifest has.
pub const OPERATION_BYTES_MAX: usize = 128;
/// Characters of a failure's message kept with its run.
pub const MESSAGE_CHARS_MAX: usize = 4096;
/// Bytes before the mark that tell one file from another.
pub const TAIL_BYTES: u64 = 4096;

const _: () = assert!(ATTEMPTS_MAX >= 1);
const _: () = assert!(BACKOFF.as_millis() < WAIT_MAX.as_millis());
const _: () = assert!(DELIVERY_RUNS_OTHER_MAX <= DELIVERY_RUNS_MAX);
const _: () = assert!(DELIVERY_BACKOFF.as_millis() < DELIVERY_BACKOFF_MAX.as_millis());
const _: () = assert!(portcullis_store::limits::FLOW_JSON_BYTES_MAX <= FLOW_OUTPUTS_BYTES_MAX);
const _: () = assert!(
    portcullis_store::limits::EVENT_PAYLOAD_BYTES_MAX <= portcullis_store::limits::FLOW_JSON_BYTES_MAX
);
