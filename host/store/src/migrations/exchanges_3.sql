-- What vendors announced of the end of endpoints (`Deprecation`, `Sunset`): kept when the exchanges that said so are gone.
CREATE TABLE announcements (
    connection_id TEXT NOT NULL,
    method TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    connection TEXT NOT NULL,
    rule TEXT NOT NULL,
    deprecated INTEGER NOT NULL,
    deprecated_at INTEGER,
    sunset_at INTEGER,
    link TEXT,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    exchange_id TEXT NOT NULL,
    PRIMARY KEY (connection_id, method, endpoint)
) STRICT, WITHOUT ROWID;
