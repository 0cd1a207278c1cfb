-- What a journal needs so that years of it cost no more than the days that are decided on.

-- Which effects wait for the same thing: asked for at each turn, so it must not be read out of them.
ALTER TABLE outbox ADD COLUMN lane TEXT NOT NULL DEFAULT '';
UPDATE outbox SET lane = CASE kind
    WHEN 'SetRelease' THEN 'release/' || json_extract(CAST(body AS TEXT), '$.service')
    WHEN 'RunAction' THEN 'action/' || json_extract(CAST(body AS TEXT), '$.service')
    WHEN 'RunEvals' THEN 'evals/' || json_extract(CAST(body AS TEXT), '$.service')
    ELSE 'page/' || coalesce(json_extract(CAST(body AS TEXT), '$.via'), '')
END WHERE state IN ('planned', 'claimed');
CREATE INDEX outbox_lane ON outbox (lane, due_at, number) WHERE state = 'planned';

-- Pushed counts, rolled up: see adapters/stores/sli_buckets.py. `unit` says what is summed: events
-- when it is empty, else slices of time as they were judged.
CREATE TABLE sli_rollup (
    slo     TEXT NOT NULL,
    width_s INTEGER NOT NULL,
    unit    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    good    INTEGER NOT NULL,
    total   INTEGER NOT NULL,
    PRIMARY KEY (slo, width_s, unit, at)
) WITHOUT ROWID;

-- What was kept before in buckets of ten seconds, by age against the newest of the same objective.
CREATE TEMP TABLE newest AS SELECT slo, max(at) AS at FROM sli_bucket GROUP BY slo;
INSERT INTO sli_rollup
    SELECT b.slo, 3600, '', (b.at + 3599999) / 3600000 * 3600000 AS edge, sum(good), sum(total)
    FROM sli_bucket AS b JOIN newest AS n ON n.slo = b.slo
    WHERE b.at <= (n.at - 260100000) / 3600000 * 3600000 GROUP BY b.slo, edge;
INSERT INTO sli_rollup
    SELECT b.slo, 300, '', (b.at + 299999) / 300000 * 300000 AS edge, sum(good), sum(total)
    FROM sli_bucket AS b JOIN newest AS n ON n.slo = b.slo
    WHERE b.at > (n.at - 260100000) / 3600000 * 3600000
    AND b.at <= (n.at - 22500000) / 300000 * 300000 GROUP BY b.slo, edge;
CREATE TABLE sli_fine (
    slo   TEXT NOT NULL,
    at    INTEGER NOT NULL,
    good  INTEGER NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (slo, at)
) WITHOUT ROWID;
INSERT INTO sli_fine
    SELECT b.* FROM sli_bucket AS b JOIN newest AS n ON n.slo = b.slo
    WHERE b.at > (n.at - 22500000) / 300000 * 300000;
DROP TABLE sli_bucket;
ALTER TABLE sli_fine RENAME TO sli_bucket;
DROP TABLE newest;
