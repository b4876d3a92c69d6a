-- A stream into a destination, as a step of a flow: a row of `runs`, of kind `sync`, and beside it what it has written.

-- What was sent for a page that is committed is told by the page: the run is not judged by it any more.
ALTER TABLE intents ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;

CREATE TABLE syncs (
    run_id TEXT PRIMARY KEY REFERENCES runs (run_id) ON DELETE CASCADE,
    -- Of the connection that is read; its name is the run's.
    source_id TEXT NOT NULL,
    reader TEXT NOT NULL,
    stream TEXT NOT NULL,
    -- The name that it had at that time.
    destination TEXT NOT NULL,
    destination_id TEXT NOT NULL,
    -- The stream's name there.
    target TEXT NOT NULL,
    mode TEXT NOT NULL,
    generation INTEGER NOT NULL,
    from_start INTEGER NOT NULL,
    -- 1 until the run is over.
    is_open INTEGER NOT NULL DEFAULT 1,
    -- 1 = the last page of the read is committed.
    is_read INTEGER NOT NULL DEFAULT 0,
    -- How often it was put off since something of it went well.
    rounds INTEGER NOT NULL DEFAULT 0,
    -- Of committed pages: batches, lines that were written, those of them that are no deletions, lines that were refused, records
    -- that were dropped.
    batches INTEGER NOT NULL DEFAULT 0,
    written INTEGER NOT NULL DEFAULT 0,
    living INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    -- What `complete` removed; none = it was not called, or not to a good end.
    removed INTEGER
) STRICT;
-- A reader reads a stream once at a time.
CREATE UNIQUE INDEX syncs_open ON syncs (source_id, reader, stream) WHERE is_open = 1;
CREATE INDEX syncs_destination ON syncs (destination_id);

-- How many complete reads of a stream its destination has had.
CREATE TABLE generations (
    connection_id TEXT NOT NULL REFERENCES connections (connection_id),
    stream TEXT NOT NULL,
    generation INTEGER NOT NULL,
    -- Living records of the last one that was completed.
    records INTEGER,
    PRIMARY KEY (connection_id, stream)
) STRICT;

-- Records that did not reach their destination, each with why.
CREATE TABLE rejected (
    seq INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    -- Who refused it: `schema`, `map`, `deletion`, `size`, `destination`.
    refused_by TEXT NOT NULL,
    -- The batch and the line in it, from 1 on; none = it never came into one.
    batch TEXT,
    line INTEGER,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    -- As it was read, or as `map` left it; shortened. None = it was forgotten.
    record TEXT,
    -- Of all of it.
    record_bytes INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- 1 = a person has seen to it.
    discarded INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX rejected_run ON rejected (run_id, seq);
CREATE INDEX rejected_waiting ON rejected (run_id) WHERE discarded = 0;
