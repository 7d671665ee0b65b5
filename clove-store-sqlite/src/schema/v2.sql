-- Schema version 2: request limits, the places that are charged to windows, what processes that remember rows go by, usage, the access
-- log, and notices of expiry.

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

CREATE INDEX keys_by_expiry_of_all ON keys (expires_at, id) WHERE expires_at IS NOT NULL;

CREATE TABLE epochs (
    shard INTEGER NOT NULL PRIMARY KEY, -- of owners; the last is everyone's
    epoch INTEGER NOT NULL
) STRICT;

CREATE TABLE freshness (
    one     INTEGER NOT NULL PRIMARY KEY, -- there is one row
    micros  INTEGER NOT NULL,            -- the shortest bound that any process has asked for
    longest INTEGER NOT NULL             -- the first that one has asked for
) STRICT;

CREATE TABLE roll (
    one    INTEGER NOT NULL PRIMARY KEY, -- there is one row
    number INTEGER NOT NULL              -- of the last call
) STRICT;

CREATE TABLE roll_nodes (
    node   BLOB NOT NULL PRIMARY KEY,    -- a process that uses rows from memory
    number INTEGER NOT NULL              -- of the last call that it has answered
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    org     TEXT NOT NULL,
    level   INTEGER NOT NULL, -- whose sum: 0 the organization's, 1 an account's, 2 a key's
    account TEXT NOT NULL,    -- '' at level 0
    key_id  BLOB NOT NULL,    -- x'' at levels 0 and 1
    unit    TEXT NOT NULL,
    day     INTEGER NOT NULL, -- days since the Unix epoch
    total   INTEGER NOT NULL,
    reserved INTEGER NOT NULL DEFAULT 0, -- of budgets, by requests that have not settled yet
    PRIMARY KEY (org, level, account, key_id, unit, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_key ON usage (key_id, org) WHERE level = 2;

CREATE TABLE reports (
    grant_id BLOB NOT NULL,
    unit     TEXT NOT NULL,
    total    INTEGER NOT NULL, -- what is in the sums of it
    reserved INTEGER NOT NULL, -- as much of budgets is reserved for it
    day      INTEGER NOT NULL,
    PRIMARY KEY (grant_id, unit)
) STRICT, WITHOUT ROWID;
CREATE INDEX reports_by_day ON reports (day);

CREATE TABLE recorders (
    node     BLOB NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL, -- of its last batch in the sums
    day      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX recorders_by_day ON recorders (day);

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
    limit_kind    TEXT,             -- 'fixed', 'sliding' or 'sliding_shared'
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

CREATE TABLE budgets (
    org     TEXT NOT NULL,
    account TEXT NOT NULL, -- '': the organization's
    unit    TEXT NOT NULL,
    choice  TEXT NOT NULL, -- '': as the policy says
    PRIMARY KEY (org, account, unit)
) STRICT, WITHOUT ROWID;
