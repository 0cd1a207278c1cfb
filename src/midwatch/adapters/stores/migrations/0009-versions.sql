-- Which state and which events the newest midwatch that wrote this journal knew: an older one must
-- not go on with it. 0 is midwatch 0.1.0, which noted nothing.

ALTER TABLE journal ADD COLUMN state_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN event_version INTEGER NOT NULL DEFAULT 0;
