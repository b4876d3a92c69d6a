//! Every bound of this connector.

/// Nesting of a record: what the host takes.
pub const DEPTH_MAX: usize = 127;
/// Members of one object: finding one that is there twice takes memory for each.
pub const MEMBERS_MAX: usize = 100_000;
/// Lines of a batch that come back; where more are wrong, the batch is.
pub const REJECTED_MAX: usize = 10_000;
/// Folders that one batch writes to: each of its files is fsynced.
pub const PARTITIONS_MAX: usize = 1_000;
/// Columns of a CSV file.
pub const COLUMNS_MAX: usize = 2_000;
/// Records of one complete read where the config says nothing: 25 MB of the 64 MiB that a connection has where it says nothing.
pub const RECORDS_DEFAULT: usize = 1_000_000;
/// The most that it may say: 200 MB of the 256 MiB that any connection may have.
pub const RECORDS_MAX: usize = 8_000_000;
/// An encoded name of a stream, a partition or a batch; a longer one is cut, and told apart by its hash.
pub const NAME_BYTES_MAX: usize = 150;
/// A name of the record's in a message.
pub const SHOWN_CHARACTERS_MAX: usize = 60;
/// The small documents beside parts.
pub const DOCUMENT_BYTES_MAX: u32 = 8 << 20;
/// Names that the host is asked for at a time.
pub const ENTRIES_AT_ONCE: u32 = 5_000;
/// What is read and written at a time.
pub const BUFFER_BYTES: usize = 256 << 10;

// As many names as may lie above a file, each as long as it may be, and one file's name around another: within what the host takes.
const _: () = assert!(2 * (NAME_BYTES_MAX + 64) < 1 << 10 && NAME_BYTES_MAX + 64 < 255);
