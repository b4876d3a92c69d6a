-- What waits for a person is counted whenever one looks.
CREATE INDEX deliveries_dead ON deliveries (connection, seq) WHERE state = 'dead';
