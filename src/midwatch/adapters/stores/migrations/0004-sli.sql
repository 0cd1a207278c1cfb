-- What was pushed about objectives: events in buckets of ten seconds, and the newest bad answers.
-- Law: written in the transaction that answers the push. Sums, so nothing here is chained; what an
-- incident was decided on stands in its events.

CREATE TABLE sli_bucket (
    slo   TEXT NOT NULL,
    at    INTEGER NOT NULL,
    good  INTEGER NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (slo, at)
) WITHOUT ROWID;

CREATE TABLE sli_failure (
    number INTEGER PRIMARY KEY,
    slo    TEXT NOT NULL,
    at     INTEGER NOT NULL,
    body   BLOB NOT NULL
);
CREATE INDEX sli_failure_of ON sli_failure (slo, number);
