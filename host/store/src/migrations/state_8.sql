-- Runs of flows: a row of `runs` each, of kind `flow`, and beside it where it stands. What a step calls is a run of its own, which
-- knows its flow's run as `parent`, and its place there.
ALTER TABLE runs ADD COLUMN flow TEXT;
ALTER TABLE runs ADD COLUMN parent TEXT;
ALTER TABLE runs ADD COLUMN place TEXT;
CREATE UNIQUE INDEX runs_place ON runs (parent, place) WHERE parent IS NOT NULL;
CREATE INDEX runs_flow ON runs (flow) WHERE kind = 'flow';
-- Open ones that end with the process that had them; those of flows go on.
DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (seq) WHERE outcome IS NULL AND parent IS NULL AND kind <> 'flow';

-- What runs of flows do, as it was when they were begun.
CREATE TABLE flow_definitions (
    digest TEXT PRIMARY KEY,
    steps TEXT NOT NULL
) STRICT;

CREATE TABLE flow_runs (
    seq INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE REFERENCES runs (run_id) ON DELETE CASCADE,
    flow TEXT NOT NULL,
    definition TEXT NOT NULL REFERENCES flow_definitions (digest),
    -- What began it: `manual`, `schedule`, `webhook`, `flow`.
    cause TEXT NOT NULL,
    -- The same in full, as JSON text.
    about TEXT NOT NULL,
    -- Those of one key go one behind the other.
    order_key TEXT,
    -- `queued`, `running`, `dead`, `over`.
    state TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    -- Steps that are done.
    step INTEGER NOT NULL DEFAULT 0,
    -- How often the process ended under it.
    interrupted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX flow_runs_due ON flow_runs (flow, due_at, seq) WHERE state = 'queued';
CREATE INDEX flow_runs_running ON flow_runs (flow, seq) WHERE state = 'running';
CREATE INDEX flow_runs_dead ON flow_runs (flow, seq) WHERE state = 'dead';
CREATE INDEX flow_runs_order ON flow_runs (flow, order_key, seq)
    WHERE order_key IS NOT NULL AND state IN ('queued', 'running');
CREATE INDEX flow_runs_definition ON flow_runs (definition);

-- What each step that is done left for the next one.
CREATE TABLE flow_outputs (
    run_id TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    output TEXT NOT NULL,
    PRIMARY KEY (run_id, step)
) STRICT;

-- When a flow comes due by its schedule.
CREATE TABLE schedules (
    flow TEXT PRIMARY KEY,
    -- Another one begins anew.
    schedule TEXT NOT NULL,
    next_at INTEGER NOT NULL
) STRICT;
