-- The journal of one shard: what arrived, what was decided, what is still to be done.
-- Law: `event` is only ever appended to; each row's link covers its bytes and the link before it.
-- `seal` in the other tables is a hash of the row, so that a flipped byte shows.

CREATE TABLE inbox (
    key  TEXT PRIMARY KEY,
    at   INTEGER NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE dead_letter (
    id     INTEGER PRIMARY KEY,
    key    TEXT NOT NULL,
    at     INTEGER NOT NULL,
    body   BLOB NOT NULL,
    reason TEXT NOT NULL,
    seal   BLOB NOT NULL
);

CREATE TABLE event (
    seq     INTEGER PRIMARY KEY,
    stream  TEXT NOT NULL,
    version INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    cause   TEXT NOT NULL,
    type    TEXT NOT NULL,
    body    BLOB NOT NULL,
    link    BLOB NOT NULL,
    UNIQUE (stream, version)
);

CREATE TABLE snapshot (
    seq           INTEGER PRIMARY KEY,
    state_version INTEGER NOT NULL,
    body          BLOB NOT NULL,
    head          BLOB NOT NULL,
    seal          BLOB NOT NULL
);

CREATE TABLE outbox (
    key     TEXT PRIMARY KEY,
    number  INTEGER NOT NULL UNIQUE,
    kind    TEXT NOT NULL,
    body    BLOB NOT NULL,
    seq     INTEGER NOT NULL,
    state   TEXT NOT NULL CHECK (
        state IN ('planned', 'claimed', 'done', 'failed', 'unknown', 'cancelled')
    ),
    due_at  INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    detail  TEXT NOT NULL,
    seal    BLOB NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at, number) WHERE state = 'planned';
CREATE INDEX outbox_doubt ON outbox (number) WHERE state = 'claimed';

CREATE TABLE timer (
    key      TEXT PRIMARY KEY,
    due_at   INTEGER NOT NULL,
    purpose  TEXT NOT NULL,
    incident TEXT NOT NULL,
    seal     BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX timer_due ON timer (due_at, key);

-- One row: the shard's head, and the fence that its present owner raised.
CREATE TABLE shard (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    fence INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    head  BLOB NOT NULL
);
INSERT INTO shard (id, fence, seq, head) VALUES (1, 0, 0, zeroblob(16));
