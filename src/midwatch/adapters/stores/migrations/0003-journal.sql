-- What a journal is called, so that keys made of its counters are unique in the world, and whether
-- it is kept in shadow: then its pages were never sent, and it must never be taken for a live one.

CREATE TABLE journal (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    name   TEXT NOT NULL,
    shadow INTEGER NOT NULL CHECK (shadow IN (0, 1))
);
INSERT INTO journal (id, name, shadow) VALUES (1, lower(hex(randomblob(8))), 0);

-- What signs the cookies of people who look at the page; made by the first server.
CREATE TABLE session_key (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB NOT NULL
);
