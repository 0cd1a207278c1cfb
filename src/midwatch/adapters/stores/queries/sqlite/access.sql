-- Logins, last uses and the trail of both, in the file beside the journal.

-- name: made_for
SELECT journal, salt, seq FROM made_for;

-- name: make_for
INSERT OR REPLACE INTO made_for (id, journal, salt, seq) VALUES (1, :journal, :salt, :seq);

-- name: saw
UPDATE made_for SET seq = max(seq, :seq);

-- name: add
INSERT INTO session (hash, id, token, began_at, used_at)
VALUES (:hash, :id, :token, :began_at, :used_at);

-- name: find
SELECT id, token, began_at, used_at FROM session WHERE hash = :hash;

-- name: live
SELECT id, token, began_at, used_at FROM session
WHERE used_at > :idle AND began_at > :longest ORDER BY began_at, id;

-- name: drop_ended
DELETE FROM session WHERE used_at <= :idle OR began_at <= :longest;

-- name: drop_beyond
DELETE FROM session WHERE hash IN (
    SELECT hash FROM session ORDER BY used_at DESC LIMIT -1 OFFSET :most
);

-- name: note_use
UPDATE session SET used_at = :now WHERE hash = :hash;

-- name: drop
DELETE FROM session WHERE hash = :hash;

-- name: drop_of_token
DELETE FROM session WHERE token = :token;

-- name: drop_all
DELETE FROM session;

-- name: use_token
INSERT OR REPLACE INTO used (token, at) VALUES (:token, :at);

-- name: uses
SELECT token, at FROM used;

-- name: add_line
INSERT INTO trail (at, what, token, name, address, says, times)
VALUES (:at, :what, :token, :name, :address, :says, :times);

-- name: trim_trail
DELETE FROM trail WHERE number <= (SELECT max(number) FROM trail) - :kept;

-- name: trail
SELECT at, what, token, name, address, says, times, number FROM trail
WHERE :before = 0 OR number < :before ORDER BY number DESC LIMIT :limit;
