-- The last number that a row had: whoever follows the log goes by them, and none is given twice, also where the newest rows were
-- removed.
CREATE TABLE last_row (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO last_row (id, seq) SELECT 1, coalesce(max(seq), 0) FROM exchanges;
CREATE TRIGGER exchanges_removed BEFORE DELETE ON exchanges WHEN OLD.seq > (SELECT seq FROM last_row)
BEGIN
    UPDATE last_row SET seq = OLD.seq;
END;
