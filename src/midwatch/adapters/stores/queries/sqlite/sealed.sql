-- Rows that carry a seal: the columns that it covers, in its order, and the seal.

-- name: inbox
SELECT key, at, seal FROM inbox;

-- name: dead_letter
SELECT key, at, body, reason, seal FROM dead_letter;

-- name: snapshot
SELECT seq, state_version, body, head, seal FROM snapshot;

-- name: outbox
SELECT key, number, kind, body, seq, state, due_at, attempt, detail, seal FROM outbox;

-- name: timer
SELECT key, due_at, purpose, incident, seal FROM timer;

-- name: pruned
SELECT id, seq, kept, seal FROM pruned;

-- name: archive
SELECT number, version, opened_at, lasts, body, seal FROM archive;
