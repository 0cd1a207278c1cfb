-- Dead letters, and the count of those that were dropped.

-- name: add
INSERT INTO dead_letter (key, at, body, reason, seal, source)
VALUES (:key, :at, :body, :reason, :seal, :source);

-- name: of_source
SELECT id, source, at, length(body) + length(reason) AS size FROM dead_letter
WHERE source = :source ORDER BY id DESC;

-- name: of_all
SELECT id, source, at, length(body) + length(reason) AS size FROM dead_letter ORDER BY id DESC;

-- name: drop_of_source
DELETE FROM dead_letter WHERE source = :source AND id <= :id;

-- name: drop_of_all
DELETE FROM dead_letter WHERE id <= :id;

-- name: count_dropped
INSERT INTO dead_letter_dropped (source, count) VALUES (:source, :count)
ON CONFLICT (source) DO UPDATE SET count = count + excluded.count;

-- name: read
SELECT key, at, body, reason, source, id FROM dead_letter WHERE id > :after ORDER BY id LIMIT :limit;

-- name: reason
SELECT reason FROM dead_letter WHERE key = :key;

-- name: dropped
SELECT source, count AS letters FROM dead_letter_dropped ORDER BY source;
