//! Every bound of this crate.
use std::time::Duration;

/// Largest component that is read, its sections for people taken out. A Python connector has about 21 MB.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;
/// Core modules and nested components in one component.
pub const MODULES_MAX: usize = 256;
/// Functions in all core modules of a component together.
pub const FUNCTIONS_MAX: u32 = 100_000;
/// One function's body: register allocation takes more than linear time.
pub const FUNCTION_BODY_BYTES_MAX: usize = 1 << 20;
/// Types in one section.
pub const TYPES_MAX: u32 = 20_000;
/// A digest in a message.
pub const DIGEST_BYTES_MAX: usize = 200;

/// CPU time of the compile child, as the kernel's ticks count it for `RLIMIT_CPU`: on a busy machine 30 s by ticks were 31.1 s of
/// what was really used, and 28 s were 29.9 s; that is to stay below 30 s.
pub const COMPILE_CPU_SECONDS_MAX: u64 = 27;
/// Wall time of the compile child.
pub const COMPILE_WALL_MAX: Duration = Duration::from_secs(60);
/// Writable private memory of the compile child (`RLIMIT_DATA`). With the program's own pages, which are not of it, it stays
/// below 1 GiB.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 960 << 20;
/// Address space of the compile child (`RLIMIT_AS`): thread stacks, heaps and the program itself are reservations.
pub const COMPILE_ADDRESS_SPACE_BYTES_MAX: u64 = 4 << 30;
/// Open files of the compile child.
pub const COMPILE_FILES_MAX: u64 = 16;
/// Compiled code.
pub const COMPILED_BYTES_MAX: u64 = 512 << 20;
/// What is kept of the compile child's stderr.
pub const COMPILE_ERROR_BYTES_MAX: u64 = 4 << 10;
/// Compile children at once: each may take every core and `COMPILE_MEMORY_BYTES_MAX`.
pub const COMPILES_MAX: usize = 2;
/// Compiled code in the cache folder, all of it: over it, what was unused longest goes.
pub const CACHE_BYTES_MAX: u64 = 2 << 30;
/// A file that another process was writing and has not touched for so long was left by a kill.
pub const CACHE_LEFTOVER_AGE: Duration = Duration::from_secs(3_600);
/// Compiled components held in memory.
pub const PREPARED_MAX: usize = 256;

/// Linear memory that any connection may be given: the size of a slot.
pub const MEMORY_BYTES_CEILING: u64 = 256 << 20;
/// Core instances in one component.
pub const CORE_INSTANCES_MAX: u32 = 64;
/// Linear memories in one component.
pub const MEMORIES_MAX: u32 = 4;
/// Tables in one component.
pub const TABLES_MAX: u32 = 32;
/// Elements of one table: StarlingMonkey and CPython have tens of thousands.
pub const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Memories and tables the pool holds for each instance, on average.
pub const POOL_SHARE: u32 = 2;
/// Memory kept resident in a warm slot where the kernel scans the pagemap.
pub const RESIDENT_BYTES_SCANNED: usize = 2 << 20;
/// Memory kept resident in a warm slot where it does not: resetting more costs more than mapping anew.
pub const RESIDENT_BYTES_UNSCANNED: usize = 64 << 10;
/// Table memory kept resident in a warm slot.
pub const RESIDENT_TABLE_BYTES: usize = 64 << 10;
/// Warm slots that wait for their next instance.
pub const WARM_SLOTS_MAX: u32 = 100;
/// Memory maps that a live instance may take (4 to 7 were measured), so that `vm.max_map_count` is never met.
pub const MAPS_PER_INSTANCE: u32 = 8;
/// `vm.max_map_count` where it can't be read: the kernel's default.
pub const MAP_COUNT_DEFAULT: u32 = 65_530;
/// Stack of WebAssembly frames.
pub const STACK_BYTES_MAX: usize = 512 << 10;
/// Stack of a fiber: guest frames and the host functions they call.
pub const FIBER_STACK_BYTES: usize = 2 << 20;

/// How often guests are asked to yield, and the CPU budget is compared.
pub const EPOCH_TICK: Duration = Duration::from_millis(2);
/// After so long without a guest nobody is asked until the next one begins.
pub const EPOCH_IDLE: Duration = Duration::from_secs(1);
/// A step of a guest, from one wait to the next, of which nothing is owed.
pub const SHORT_STEP_MAX: Duration = Duration::from_micros(500);
/// Debt up to which a connection's guests are polled where everybody's are.
pub const DEBT_FREE: Duration = Duration::from_millis(1);
/// What is owed for a guest that trapped or ran into a limit: unwinding its stack and resetting its memory take this at worst.
pub const FORCED_END_DEBT: Duration = Duration::from_millis(1);
/// Debt of a connection, however much it computed.
pub const DEBT_MAX: Duration = Duration::from_secs(1);
/// What was owed is forgotten in so many times as long.
pub const DEBT_TIMES: u64 = 20;
/// Nice value of the background: about a tenth of the weight of everything else (`sched(7)`), so that what runs there still
/// ends in time on a machine that is busy.
pub const BACKGROUND_NICE: i32 = 10;
/// Longest wait for a free instance; at most a tenth of the call's timeout.
pub const CAPACITY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Calls of host functions in one call.
pub const HOST_CALLS_MAX: u64 = 1_000_000;
/// Bytes that one host call, or one answer, copies out of the guest.
pub const TRANSFER_BYTES_MAX: usize = 16 << 20;
/// Handles of a component, and entries of the host's resource table.
pub const HANDLES_MAX: usize = 4_096;
/// One request for randomness.
pub const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// Clocks are no finer.
pub const CLOCK_RESOLUTION: Duration = Duration::from_millis(1);

/// Blobs of one run.
pub const BLOBS_MAX: usize = 10_000;
/// Body of a request, and value of a state entry.
pub const BODY_BYTES_MAX: u64 = 8 << 20;
/// Requests of `wasi:http` that a call has under way, on the wire or with a body that is still written.
pub const FETCHES_MAX: usize = 64;
/// Those of them that are on the wire at a time.
pub const FETCHES_SENT_MAX: usize = 8;
/// Bodies of `wasi:http` that the host holds for a call, of requests and of answers that were not read yet.
pub const FETCH_BYTES_MAX: u64 = 32 << 20;
/// One set of header fields of `wasi:http`, as it lies in memory.
pub const FETCH_FIELDS_BYTES_MAX: usize = 32 << 10;
/// What a guest writes at a time into a body of `wasi:http`: as much waits for each that was not handed over.
pub const FETCH_PIECE_BYTES_MAX: usize = 16 << 10;
/// NDJSON of a page or batch.
pub const PAGE_BYTES_MAX: u64 = 8 << 20;
/// Output of an action; schemas of all streams; a webhook's events and reply.
pub const OUTPUT_BYTES_MAX: u64 = 8 << 20;
/// `next`, `checkpoint`, `resume`, a subscription's state, `details`.
pub const POSITION_BYTES_MAX: u64 = 64 << 10;
/// Nesting of JSON that a guest gives: what serde_json reads into a value by default, one less.
pub const JSON_DEPTH_MAX: usize = 127;
/// A connector's error message.
pub const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Streams that `discover` names; lines that `write` rejects are bounded by the batch.
pub const STREAMS_MAX: usize = 10_000;
/// Events of one delivery.
pub const EVENTS_MAX: u64 = 10_000;
/// Header fields of a webhook's reply.
pub const REPLY_HEADERS_MAX: u64 = 100;
/// Names and values of them, all together.
pub const REPLY_HEADER_BYTES_MAX: u64 = 64 << 10;
/// A stream's or subscription's name; an event's name or id.
pub const ANSWER_NAME_BYTES_MAX: u64 = 1 << 10;

/// One file that a guest writes.
pub const FILE_BYTES_MAX: u64 = 64 << 30;
/// All that one call writes into files.
pub const FILES_BYTES_MAX: u64 = 64 << 30;
/// Files that one call has open for writing: each takes descriptors of the process.
pub const FILES_OPEN_MAX: u32 = 16;
/// One read of a file.
pub const FILE_READ_BYTES_MAX: u64 = 8 << 20;
/// A path in a granted folder.
pub const FILE_PATH_BYTES_MAX: usize = 1 << 10;
/// Names in such a path.
pub const FILE_PATH_PARTS_MAX: usize = 32;
/// One of them: what file systems take.
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Names in one answer of `list-entries`.
pub const FOLDER_ENTRIES_MAX: usize = 10_000;

/// One log line; the rest of it goes on as the next line.
pub const LOG_LINE_BYTES_MAX: usize = 8 << 10;
/// Fields of one log line.
pub const LOG_FIELDS_MAX: usize = 32;
/// One log field.
pub const LOG_FIELD_BYTES_MAX: usize = 1 << 10;
/// What is kept of stderr, for the message of a panic.
pub const STDERR_TAIL_BYTES_MAX: usize = 1 << 10;

// Too much is a typed error and not a trap.
const _: () = assert!(BODY_BYTES_MAX < TRANSFER_BYTES_MAX as u64);
const _: () = assert!(BODY_BYTES_MAX <= FETCH_BYTES_MAX && FETCHES_SENT_MAX <= FETCHES_MAX);
const _: () = assert!(PAGE_BYTES_MAX < TRANSFER_BYTES_MAX as u64);
const _: () = assert!(OUTPUT_BYTES_MAX < TRANSFER_BYTES_MAX as u64);
const _: () = assert!(FILE_READ_BYTES_MAX < TRANSFER_BYTES_MAX as u64);
const _: () = assert!(FOLDER_ENTRIES_MAX * (FILE_NAME_BYTES_MAX + 1) < TRANSFER_BYTES_MAX);
const _: () = assert!(STACK_BYTES_MAX < FIBER_STACK_BYTES);
const _: () = assert!(COMPILE_MEMORY_BYTES_MAX < COMPILE_ADDRESS_SPACE_BYTES_MAX);
// What was just compiled always fits.
const _: () = assert!(COMPILED_BYTES_MAX < CACHE_BYTES_MAX);
