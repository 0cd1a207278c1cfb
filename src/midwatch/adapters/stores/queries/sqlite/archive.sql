-- Incidents that have left the shard.

-- name: put
INSERT OR REPLACE INTO archive (number, version, opened_at, lasts, body, seal)
VALUES (:number, :version, :opened_at, :lasts, :body, :seal);

-- name: find
SELECT body, version FROM archive WHERE number = :number;

-- name: newest
SELECT body FROM archive WHERE number < :before ORDER BY number DESC LIMIT :limit;

-- name: opened
SELECT body FROM archive WHERE opened_at >= :start AND opened_at < :end ORDER BY opened_at, number;

-- name: lasting
SELECT body FROM archive WHERE lasts = 1 ORDER BY number;

-- name: count
SELECT count(*) FROM archive;
