-- Who may send alerts and who may answer them.
-- Law: the secret itself is never kept; `hash` is SHA-256 over 32 random bytes. Written beside a
-- running owner too, so nothing here belongs to the journal.

CREATE TABLE token (
    id         TEXT PRIMARY KEY,
    source     TEXT NOT NULL,
    role       TEXT NOT NULL,
    name       TEXT NOT NULL,
    hash       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL DEFAULT 0,
    CHECK ((source = '') <> (role = ''))
) WITHOUT ROWID;
