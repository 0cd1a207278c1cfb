-- The keys of inputs that were committed.

-- name: seen
SELECT 1 FROM inbox WHERE key = :key;

-- name: add
INSERT INTO inbox (key, at, seal) VALUES (:key, :at, :seal);
