-- Pushed counts: sums in buckets that get wider with age, and the newest bad answers.

-- name: add
INSERT INTO sli_bucket (slo, at, good, total) VALUES (:slo, :at, :good, :total)
ON CONFLICT (slo, at) DO UPDATE
SET good = min(good + excluded.good, :most), total = min(total + excluded.total, :most);

-- name: add_failure
INSERT INTO sli_failure (slo, at, body) VALUES (:slo, :at, :body);

-- name: trim_failures
DELETE FROM sli_failure WHERE slo = :slo AND number <= (
    SELECT number FROM sli_failure WHERE slo = :slo ORDER BY number DESC LIMIT 1 OFFSET :kept
);

-- name: failures
SELECT at, body FROM sli_failure WHERE slo = :slo ORDER BY number;

-- name: judged
SELECT at, good, total FROM sli_rollup
WHERE slo = :slo AND width_s = :width_s AND unit = :unit AND at > :since ORDER BY at;

-- name: fine
SELECT at, good, total FROM sli_bucket WHERE slo = :slo AND at > :since ORDER BY at;

-- name: fine_between
SELECT at, good, total FROM sli_bucket WHERE slo = :slo AND at BETWEEN :first AND :last ORDER BY at;

-- name: fine_until
SELECT at, good, total FROM sli_bucket WHERE slo = :slo AND at <= :until ORDER BY at LIMIT :limit;

-- name: drop_fine
DELETE FROM sli_bucket WHERE slo = :slo AND at <= :last;

-- name: newest_fine
SELECT max(at) FROM sli_bucket WHERE slo = :slo;

-- name: next_fine
-- The objective that follows a name: all of them are found by one look each.
SELECT min(slo) FROM sli_bucket WHERE slo > :slo;

-- name: next_rolled_up
SELECT min(slo) FROM sli_rollup WHERE slo > :slo;

-- name: units
SELECT DISTINCT unit FROM sli_rollup WHERE slo = :slo AND width_s = :width_s;

-- name: rolled_up_until
SELECT at, good, total FROM sli_rollup
WHERE slo = :slo AND width_s = :width_s AND unit = :unit AND at <= :until ORDER BY at LIMIT :limit;

-- name: drop_rolled_up
DELETE FROM sli_rollup WHERE slo = :slo AND width_s = :width_s AND unit = :unit AND at <= :last;

-- name: drop_of_width
DELETE FROM sli_rollup WHERE slo = :slo AND width_s = :width_s AND at < :before;

-- name: sum_up
INSERT INTO sli_rollup (slo, width_s, unit, at, good, total)
VALUES (:slo, :width_s, :unit, :at, :good, :total)
ON CONFLICT (slo, width_s, unit, at) DO UPDATE
SET good = good + excluded.good, total = total + excluded.total;

-- name: prune_fine
DELETE FROM sli_bucket WHERE at < :before;

-- name: prune_rolled_up
DELETE FROM sli_rollup WHERE at < :before;
