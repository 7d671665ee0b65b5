-- Schema version 2: request limits, the places that are charged to windows, and the access log.

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

-- The access log. It is written with each request and seldom read: an index by key or account would write a page for each entry.
CREATE TABLE access (
    id            BLOB NOT NULL PRIMARY KEY,
    at            INTEGER NOT NULL,
    key_id        BLOB NOT NULL,
    org           TEXT NOT NULL,
    account       TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    limit_of      TEXT,             -- NULL: no window is told of
    limit_count   INTEGER,
    limit_seconds INTEGER,
    limit_left    INTEGER,
    cost          INTEGER NOT NULL,
    endpoint      TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX access_by_organization ON access (org, id);

CREATE TABLE unrecognized (
    hour  INTEGER NOT NULL, -- its start
    node  BLOB NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, node)
) STRICT, WITHOUT ROWID;
