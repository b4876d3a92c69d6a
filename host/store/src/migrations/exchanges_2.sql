-- What each connection has in the log, kept by the transactions that write and remove rows. A row counts with the bytes
-- of its texts and 256 more.
CREATE TABLE kept (
    connection_id TEXT PRIMARY KEY,
    row_count INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO kept (connection_id, row_count, bytes)
SELECT connection_id, count(*), sum(256
    + octet_length(exchange_id) + octet_length(run_id) + octet_length(step) + octet_length(call)
    + octet_length(correlation_id) + octet_length(connection) + octet_length(connection_id) + octet_length(method)
    + octet_length(url) + octet_length(manifest_place) + octet_length(operator_place)
    + coalesce(octet_length(credential), 0) + coalesce(octet_length(peer), 0) + coalesce(octet_length(protocol), 0)
    + coalesce(octet_length(idempotency_key), 0) + octet_length(request_headers)
    + coalesce(octet_length(request_body), 0) + octet_length(response_headers)
    + coalesce(octet_length(response_body), 0) + octet_length(outcome) + coalesce(octet_length(reason), 0)
    + coalesce(octet_length(detail), 0) + coalesce(octet_length(remedy), 0))
FROM exchanges GROUP BY connection_id;
-- Its entries end in `seq`: the oldest of one connection are found without a search.
CREATE INDEX exchanges_connection ON exchanges (connection_id);
