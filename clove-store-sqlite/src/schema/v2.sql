-- Schema version 2: request limits, the places that are charged to windows, and what processes that remember rows go by.

ALTER TABLE keys ADD COLUMN limits TEXT NOT NULL DEFAULT '';          -- '': as the policy says
ALTER TABLE owners ADD COLUMN request_limits TEXT NOT NULL DEFAULT '';

CREATE TABLE counts (
    subject BLOB NOT NULL,    -- a key or an account
    seconds INTEGER NOT NULL, -- the window's length
    start   INTEGER NOT NULL, -- the window's name
    places  INTEGER NOT NULL,
    ends    INTEGER NOT NULL,
    PRIMARY KEY (subject, seconds, start)
) STRICT, WITHOUT ROWID;
CREATE INDEX counts_by_end ON counts (ends);

CREATE TABLE nodes (
    id      BLOB NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX nodes_by_time ON nodes (seen_at);

CREATE TABLE epochs (
    shard INTEGER NOT NULL PRIMARY KEY, -- of owners; the last is everyone's
    epoch INTEGER NOT NULL
) STRICT;

CREATE TABLE freshness (
    one    INTEGER NOT NULL PRIMARY KEY, -- there is one row
    micros INTEGER NOT NULL              -- the shortest bound that any process has asked for
) STRICT;
