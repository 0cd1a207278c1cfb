-- Who is logged in, when a token was used last, and the trail of both. A file of its own beside the
-- journal: no backup holds it, and without it everybody logs in once more.

CREATE TABLE IF NOT EXISTS session (
    hash     BLOB PRIMARY KEY,
    id       TEXT NOT NULL,
    token    TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    used_at  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS used (
    token TEXT PRIMARY KEY,
    at    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS trail (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    what    TEXT NOT NULL,
    token   TEXT NOT NULL,
    name    TEXT NOT NULL,
    address TEXT NOT NULL,
    says    TEXT NOT NULL,
    times   INTEGER NOT NULL
);

-- One row: which journal, at which term and event, the logins were made for.
CREATE TABLE IF NOT EXISTS made_for (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    journal TEXT NOT NULL,
    salt    TEXT NOT NULL,
    seq     INTEGER NOT NULL
);
