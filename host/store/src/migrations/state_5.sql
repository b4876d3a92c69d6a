-- Under which `position-version` the values of an older one were taken over: also where none of them was kept, so that it
-- happens once.
CREATE TABLE state_moves (
    connection_id TEXT NOT NULL REFERENCES connections (connection_id),
    position_version INTEGER NOT NULL,
    from_version INTEGER NOT NULL,
    PRIMARY KEY (connection_id, position_version)
) STRICT;
