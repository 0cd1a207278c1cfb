-- Wishes to be woken.

-- name: put
INSERT OR REPLACE INTO timer (key, due_at, purpose, incident, seal)
VALUES (:key, :due_at, :purpose, :incident, :seal);

-- name: drop
DELETE FROM timer WHERE key = :key;

-- name: due
SELECT key, due_at, purpose, incident FROM timer WHERE due_at <= :now ORDER BY due_at, key;

-- name: find
SELECT key, due_at, purpose, incident FROM timer WHERE key = :key;

-- name: waits
-- When the next timer and the next planned effect are due.
SELECT (SELECT min(due_at) FROM timer) AS timer,
    (SELECT min(due_at) FROM outbox WHERE state = 'planned') AS effect;
