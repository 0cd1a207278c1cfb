-- Who may call.

-- name: add
INSERT INTO token (id, source, role, name, created_at, revoked_at, expires_at, hash)
VALUES (:id, :source, :role, :name, :created_at, 0, :expires_at, :hash);

-- name: find
SELECT id, source, role, name, created_at, revoked_at, expires_at, hash FROM token WHERE id = :id;

-- name: all
SELECT id, source, role, name, created_at, revoked_at, expires_at, hash FROM token
ORDER BY created_at, id;

-- name: revoke
UPDATE token SET revoked_at = :now WHERE id = :id AND revoked_at = 0;

-- name: holders
-- Columns that a file of any schema has.
SELECT id, source, role, name, revoked_at FROM token;
