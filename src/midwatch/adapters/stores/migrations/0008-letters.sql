-- Dead letters have a bound for each source and in all; what was dropped by it is counted.

ALTER TABLE dead_letter ADD COLUMN source TEXT NOT NULL DEFAULT '';
CREATE INDEX dead_letter_of ON dead_letter (source, id);
CREATE INDEX dead_letter_key ON dead_letter (key);

CREATE TABLE dead_letter_dropped (
    source TEXT PRIMARY KEY,
    count  INTEGER NOT NULL
) WITHOUT ROWID;
