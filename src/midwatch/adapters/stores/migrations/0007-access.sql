-- Tokens end. What signed cookies is gone: logins are random, and kept in a file of their own beside
-- the journal, so that no copy of a journal opens anything.

ALTER TABLE token ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;
DROP TABLE session_key;
