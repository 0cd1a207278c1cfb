-- Effects between their planning and their end.

-- name: next_number
SELECT coalesce(max(number), 0) + 1 FROM outbox;

-- name: add
INSERT INTO outbox (key, number, kind, body, seq, state, due_at, attempt, detail, seal, lane)
VALUES (:key, :number, :kind, :body, :seq, :state, :due_at, :attempt, :detail, :seal, :lane);

-- name: find
SELECT key, number, kind, body, seq, state, due_at, attempt, detail FROM outbox WHERE key = :key;

-- name: change
UPDATE outbox SET state = :state, due_at = :due_at, attempt = :attempt, detail = :detail,
    seal = :seal
WHERE key = :key;

-- name: claimed
SELECT body, attempt FROM outbox WHERE state = 'claimed' ORDER BY number;

-- name: lanes
-- Each lane that something waits in, by one look a lane, however much waits in it.
WITH RECURSIVE waiting (lane) AS (
    SELECT min(lane) FROM outbox WHERE state = 'planned'
    UNION ALL
    SELECT (SELECT min(lane) FROM outbox WHERE state = 'planned' AND lane > waiting.lane)
    FROM waiting WHERE lane IS NOT NULL
)
SELECT lane FROM waiting WHERE lane IS NOT NULL;

-- name: due_in_lane
SELECT due_at, number, key FROM outbox
WHERE state = 'planned' AND lane = :lane AND due_at <= :now
ORDER BY due_at, number LIMIT :limit;

-- name: next_after
SELECT min(due_at) FROM outbox WHERE state = 'planned' AND due_at > :after;

-- name: all
SELECT key, kind, state, attempt FROM outbox ORDER BY number;

-- name: planned
SELECT key, seq FROM outbox ORDER BY number;
