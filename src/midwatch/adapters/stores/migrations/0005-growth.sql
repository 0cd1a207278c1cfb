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

-- Incidents that have left the shard, as they were last: see adapters/stores/archive.py.
CREATE TABLE archive (
    number    INTEGER PRIMARY KEY,
    version   INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    lasts     INTEGER NOT NULL,
    body      BLOB NOT NULL,
    seal      BLOB NOT NULL
);
CREATE INDEX archive_opened ON archive (opened_at);
CREATE INDEX archive_lasts ON archive (number) WHERE lasts = 1;

-- Events of incidents that are still owed work and began before the cut of a pruning: they stay,
-- each with the link before it, so that its own link can still be checked.
CREATE TABLE kept_event (
    seq     INTEGER PRIMARY KEY,
    stream  TEXT NOT NULL,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    cause   TEXT NOT NULL,
    type    TEXT NOT NULL,
    body    BLOB NOT NULL,
    link    BLOB NOT NULL,
    before  BLOB NOT NULL,
    UNIQUE (stream, version)
);
-- How far a journal is pruned, and a digest of the links that stayed. Events up to `seq` that are
-- still there are on their way out.
CREATE TABLE pruned (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    kept BLOB NOT NULL,
    seal BLOB NOT NULL
);
CREATE INDEX inbox_at ON inbox (at);
CREATE INDEX dead_letter_at ON dead_letter (at);
CREATE INDEX outbox_ended ON outbox (seq) WHERE state NOT IN ('planned', 'claimed');
