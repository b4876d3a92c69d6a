-- Positions and values belong to the `position-version` that wrote them. Those of another number are kept for a
-- rollback. All that was stored before this step is of version 1.

-- A reader's file is one for all versions: it only grows.
CREATE TABLE reader_files (
    connection_id TEXT NOT NULL REFERENCES connections (connection_id),
    reader TEXT NOT NULL,
    stream TEXT NOT NULL,
    path TEXT NOT NULL,
    length INTEGER NOT NULL,
    tail TEXT NOT NULL,
    PRIMARY KEY (connection_id, reader, stream)
) STRICT;
INSERT INTO reader_files (connection_id, reader, stream, path, length, tail)
SELECT connection_id, reader, stream, file_path, file_length, file_tail FROM positions
WHERE file_path IS NOT NULL AND file_length IS NOT NULL AND file_tail IS NOT NULL;

CREATE TABLE positions_2 (
    connection_id TEXT NOT NULL REFERENCES connections (connection_id),
    reader TEXT NOT NULL,
    stream TEXT NOT NULL,
    position_version INTEGER NOT NULL,
    next TEXT,
    checkpoint TEXT,
    records INTEGER NOT NULL DEFAULT 0,
    run_id TEXT,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (connection_id, reader, stream, position_version)
) STRICT;
INSERT INTO positions_2 (connection_id, reader, stream, position_version, next, checkpoint, records, run_id, updated_at)
SELECT connection_id, reader, stream, 1, next, checkpoint, records, run_id, updated_at FROM positions;
DROP TABLE positions;
ALTER TABLE positions_2 RENAME TO positions;

CREATE TABLE state_values_2 (
    connection_id TEXT NOT NULL REFERENCES connections (connection_id),
    position_version INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (connection_id, position_version, key)
) STRICT;
INSERT INTO state_values_2 (connection_id, position_version, key, value, version)
SELECT connection_id, 1, key, value, version FROM state_values;
DROP TABLE state_values;
ALTER TABLE state_values_2 RENAME TO state_values;
