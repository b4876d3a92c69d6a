-- What vendors delivered. A row is there before the vendor has its 2xx.
CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY,
    delivery_id TEXT NOT NULL UNIQUE,
    route TEXT NOT NULL,
    connection TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    peer TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    query TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    -- Of all that stands above, and 512 more.
    bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    -- When it may be handed over; it has its turn by `seq`.
    due_at INTEGER NOT NULL,
    -- Runs of it that began.
    runs INTEGER NOT NULL DEFAULT 0,
    run_id TEXT,
    reason TEXT,
    detail TEXT,
    ended_at INTEGER,
    CHECK ((ended_at IS NULL) = (state IN ('queued', 'running')))
) STRICT;
CREATE INDEX deliveries_queued ON deliveries (connection, due_at, seq) WHERE state = 'queued';
CREATE INDEX deliveries_running ON deliveries (seq) WHERE state = 'running';
CREATE INDEX deliveries_run ON deliveries (run_id) WHERE run_id IS NOT NULL;

-- Counted by the transactions that write: how much waits decides whether more is accepted, and how much there is what is removed.
CREATE TABLE deliveries_kept (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    waiting INTEGER NOT NULL,
    waiting_bytes INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
INSERT INTO deliveries_kept (id, waiting, waiting_bytes, bytes) VALUES (1, 0, 0, 0);

-- What the connector read in a delivery, in order.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    delivery_id TEXT NOT NULL REFERENCES deliveries (delivery_id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    name TEXT NOT NULL,
    event_id TEXT,
    payload TEXT NOT NULL,
    -- The delivery that brought the same event before.
    duplicate_of TEXT,
    UNIQUE (delivery_id, ordinal)
) STRICT;

-- Which events a route has seen, for as long as their vendors may send them again.
CREATE TABLE event_ids (
    route TEXT NOT NULL,
    event_id TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    forget_at INTEGER NOT NULL,
    PRIMARY KEY (route, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_ids_forget ON event_ids (forget_at);
