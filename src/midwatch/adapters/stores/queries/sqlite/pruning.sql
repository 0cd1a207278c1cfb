-- What goes when a journal is pruned, and what stays of what came before the cut.

-- name: last_gone
SELECT seq FROM pruned;

-- name: digest
SELECT kept FROM pruned;

-- name: put
INSERT OR REPLACE INTO pruned (id, seq, kept, seal) VALUES (1, :seq, :kept, :seal);

-- name: drop_snapshots
DELETE FROM snapshot WHERE seq < :seq;

-- name: keep
-- Keep the events of a stream up to the cut, each with the link before it.
INSERT OR IGNORE INTO kept_event (seq, stream, version, at, cause, type, body, link, before)
SELECT seq, stream, version, at, cause, type, body, link,
    coalesce((SELECT link FROM event AS e WHERE e.seq = event.seq - 1), :head)
FROM event WHERE stream = :stream AND seq > :after AND seq <= :cut;

-- name: kept_streams
SELECT DISTINCT stream FROM kept_event;

-- name: drop_stream
DELETE FROM kept_event WHERE stream = :stream;

-- name: kept
SELECT seq, stream, version, at, cause, type, body, link, before FROM kept_event ORDER BY seq;

-- name: kept_links
SELECT link FROM kept_event ORDER BY seq;

-- name: sweep_events
DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE seq <= :last ORDER BY seq LIMIT :limit);

-- name: sweep_outbox
DELETE FROM outbox WHERE number IN (
    SELECT number FROM outbox WHERE seq <= :last AND state NOT IN ('planned', 'claimed') LIMIT :limit
);

-- name: sweep_inbox
DELETE FROM inbox WHERE key IN (SELECT key FROM inbox WHERE at < :before LIMIT :limit);

-- name: sweep_letters
DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE at < :before LIMIT :limit);
