-- What a step had in all: attempts and intents are removed in time, and their numbers are not.
ALTER TABLE steps ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE steps ADD COLUMN intents INTEGER NOT NULL DEFAULT 0;
-- Requests of the attempts that ended.
ALTER TABLE steps ADD COLUMN requests INTEGER NOT NULL DEFAULT 0;
UPDATE steps SET
    attempts = (SELECT count(*) FROM attempts WHERE attempts.run_id = steps.run_id AND attempts.step = steps.step),
    intents = (SELECT count(*) FROM intents WHERE intents.run_id = steps.run_id AND intents.step = steps.step),
    requests = (SELECT coalesce(sum(attempts.requests), 0) FROM attempts
                WHERE attempts.run_id = steps.run_id AND attempts.step = steps.step);
