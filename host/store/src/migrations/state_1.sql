CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO meta (id, epoch) VALUES (1, 0);

-- A connection that another one replaced under its name keeps its id and loses the name.
CREATE TABLE connections (
    connection_id TEXT PRIMARY KEY,
    name TEXT UNIQUE,
    former_name TEXT,
    connector TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE runs (
    seq INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    connection TEXT NOT NULL,
    connection_id TEXT NOT NULL,
    connector TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    input TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT,
    suspicious INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    error_kind TEXT,
    detail TEXT,
    output TEXT,
    retry_at INTEGER,
    requests INTEGER NOT NULL DEFAULT 0,
    CHECK ((outcome IS NULL) = (ended_at IS NULL))
) STRICT;
CREATE INDEX runs_correlation ON runs (correlation_id);
CREATE INDEX runs_connection ON runs (connection);
CREATE INDEX runs_open ON runs (seq) WHERE outcome IS NULL;

CREATE TABLE steps (
    run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT,
    pages INTEGER NOT NULL DEFAULT 0,
    records INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, step)
) STRICT;

CREATE TABLE attempts (
    seq INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    step TEXT NOT NULL,
    call TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT,
    error_kind TEXT,
    detail TEXT,
    requests INTEGER NOT NULL DEFAULT 0,
    UNIQUE (run_id, step, call, attempt),
    FOREIGN KEY (run_id, step) REFERENCES steps (run_id, step) ON DELETE CASCADE
) STRICT;

CREATE TABLE intents (
    run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    call TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    idempotency_key TEXT,
    repeatable INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    proven INTEGER NOT NULL DEFAULT 0,
    -- 1 unless its end proves that the vendor did nothing.
    effect INTEGER NOT NULL DEFAULT 1,
    outcome TEXT,
    PRIMARY KEY (run_id, step, call, ordinal)
) STRICT;

CREATE TABLE positions (
    connection_id TEXT NOT NULL REFERENCES connections (connection_id),
    reader TEXT NOT NULL,
    stream TEXT NOT NULL,
    next TEXT,
    checkpoint TEXT,
    file_path TEXT,
    file_length INTEGER,
    file_tail TEXT,
    records INTEGER NOT NULL DEFAULT 0,
    run_id TEXT,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (connection_id, reader, stream)
) STRICT;

CREATE TABLE state_values (
    connection_id TEXT NOT NULL REFERENCES connections (connection_id),
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (connection_id, key)
) STRICT;
-- Counted along with every write, so that a quota costs no scan; versions never go back, not even over a delete.
CREATE TABLE state_totals (
    connection_id TEXT PRIMARY KEY REFERENCES connections (connection_id),
    keys INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    version_last INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    audit_id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    requests INTEGER,
    -- Rows that must exist at most once carry what makes them one.
    once TEXT UNIQUE,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_subject ON audit (subject);
