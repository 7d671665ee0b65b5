-- Schema version 2: request limits, the places that are charged to windows, and notices of expiry.

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
