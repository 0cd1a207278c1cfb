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
