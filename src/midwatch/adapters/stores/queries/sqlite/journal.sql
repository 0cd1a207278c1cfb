-- The event log, its snapshots, and the row that says who owns it.

-- name: identity
SELECT name, shadow FROM journal;

-- name: mark
UPDATE journal SET shadow = :shadow;

-- name: versions
SELECT state_version, event_version FROM journal;

-- name: note_versions
UPDATE journal SET state_version = :state, event_version = :event;

-- name: head
SELECT seq, head FROM shard;

-- name: move_head
UPDATE shard SET seq = :seq, head = :head;

-- name: fence
SELECT fence FROM shard;

-- name: raise_fence
UPDATE shard SET fence = fence + 1;

-- name: touch
-- A write that changes nothing, to see whether one would succeed.
UPDATE shard SET fence = fence;

-- name: append
INSERT INTO event (seq, stream, version, at, cause, type, body, link)
VALUES (:seq, :stream, :version, :at, :cause, :type, :body, :link);

-- name: after
SELECT seq, stream, version, at, cause, type, body FROM event WHERE seq > :seq ORDER BY seq;

-- name: linked_after
SELECT seq, stream, version, at, cause, type, body, link FROM event WHERE seq > :seq ORDER BY seq;

-- name: linked_page
SELECT seq, stream, version, at, cause, type, body, link FROM event
WHERE seq > :seq ORDER BY seq LIMIT :limit;

-- name: stream
-- What stayed of a stream when the journal was pruned, and what came since the cut.
SELECT seq, stream, version, at, cause, type, body, link FROM kept_event WHERE stream = :stream
UNION ALL
SELECT seq, stream, version, at, cause, type, body, link FROM event
WHERE stream = :stream AND seq > :last_gone
ORDER BY version;

-- name: stream_of_older
-- The same for a file whose schema has no kept_event yet.
SELECT seq, stream, version, at, cause, type, body, link FROM event
WHERE stream = :stream AND seq > :last_gone
ORDER BY version;

-- name: stretch
SELECT seq, stream, version, at, cause, type, body FROM kept_event
WHERE stream = :stream AND version > :after
UNION ALL
SELECT seq, stream, version, at, cause, type, body FROM event
WHERE stream = :stream AND version > :after AND seq > :last_gone
ORDER BY version LIMIT :limit;

-- name: at_or_after
-- The moment of the first event from a number on.
SELECT at FROM event WHERE seq >= :seq ORDER BY seq LIMIT 1;

-- name: first
SELECT min(seq) FROM event;

-- name: newest_snapshot
SELECT seq, state_version, body, head FROM snapshot
WHERE state_version = :state_version ORDER BY seq DESC LIMIT 1;

-- name: snapshots
SELECT seq, state_version, body, head FROM snapshot ORDER BY seq;

-- name: put_snapshot
INSERT OR REPLACE INTO snapshot (seq, state_version, body, head, seal)
VALUES (:seq, :state_version, :body, :head, :seal);

-- name: trim_snapshots
-- Two are enough; the one that stands in for pruned events lies before them all.
DELETE FROM snapshot
WHERE seq > :last_gone AND seq < (SELECT max(seq) FROM snapshot WHERE seq < :seq);
