-- What the rows of a run take that is over, and those of all of them: written by the transactions that end and remove runs, so
-- that no row is counted by looking at it.
ALTER TABLE runs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET bytes = 512 * (1
        + (SELECT count(*) FROM steps WHERE steps.run_id = runs.run_id)
        + (SELECT count(*) FROM attempts WHERE attempts.run_id = runs.run_id)
        + (SELECT count(*) FROM intents WHERE intents.run_id = runs.run_id))
    + coalesce(octet_length(input), 0) + coalesce(octet_length(output), 0) + coalesce(octet_length(detail), 0)
    + (SELECT coalesce(sum(octet_length(attempts.detail)), 0) FROM attempts WHERE attempts.run_id = runs.run_id)
    + (SELECT coalesce(sum(octet_length(intents.url)), 0) FROM intents WHERE intents.run_id = runs.run_id)
WHERE outcome IS NOT NULL;
CREATE TABLE runs_kept (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    bytes INTEGER NOT NULL
) STRICT;
INSERT INTO runs_kept (id, bytes) SELECT 1, coalesce(sum(bytes), 0) FROM runs;
