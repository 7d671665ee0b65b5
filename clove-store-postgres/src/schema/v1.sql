-- Schema version 1. Frozen: later versions migrate from it. `~` stands for the schema's name. Times are microseconds since the Unix
-- epoch, UTC; text compares by bytes. Where a table may be partitioned by month, /*PARTITIONED*/ stands for how.

CREATE TABLE ~organizations (
    id   text COLLATE "C" NOT NULL PRIMARY KEY,
    open boolean NOT NULL
);

CREATE TABLE ~owners (
    org            text COLLATE "C" NOT NULL,
    account        text COLLATE "C" NOT NULL,
    open           boolean NOT NULL,
    held           bigint NOT NULL,
    records        bigint NOT NULL,
    active_limit   bigint,           -- NULL: as the policy says; -1: unlimited
    creation_day   bigint,           -- days since the Unix epoch
    creations      bigint NOT NULL,
    request_limits text COLLATE "C" NOT NULL, -- '': as the policy says
    generation     bigint NOT NULL DEFAULT 0, -- moves where a creation is refused that may arrive later
    PRIMARY KEY (org, account)
) /*FILLFACTOR*/;

-- Last uses are written often and stand in no index: with room left on each page, Postgres writes them there (HOT).
CREATE TABLE ~keys (
    id             uuid NOT NULL PRIMARY KEY,
    org            text COLLATE "C" NOT NULL,
    account        text COLLATE "C" NOT NULL,
    name           text COLLATE "C" NOT NULL,
    description    text COLLATE "C" NOT NULL,
    capabilities   text COLLATE "C" NOT NULL, -- sorted names joined by spaces
    metadata       text COLLATE "C" NOT NULL,
    created_at     bigint NOT NULL,
    expires_at     bigint,
    last_used_at   bigint,
    state          text COLLATE "C" NOT NULL,
    expiry_latched boolean NOT NULL,
    revision       bigint NOT NULL,
    limits         text COLLATE "C" NOT NULL  -- '': as the policy says
) /*FILLFACTOR*/;
CREATE INDEX keys_by_owner ON ~keys (org, account, id);
CREATE INDEX keys_by_organization ON ~keys (org, id);
CREATE INDEX keys_by_expiry ON ~keys (org, expires_at, id) WHERE expires_at IS NOT NULL;
CREATE INDEX keys_by_expiry_of_all ON ~keys (expires_at, id) WHERE expires_at IS NOT NULL;
CREATE INDEX places_by_expiry ON ~keys (org, account, expires_at)
    WHERE state = 'active' AND NOT expiry_latched AND expires_at IS NOT NULL;

CREATE TABLE ~secrets (
    digest      bytea NOT NULL PRIMARY KEY,
    key_id      uuid NOT NULL,
    scheme      text COLLATE "C" NOT NULL,
    pepper      bigint, -- the version, for hmac-sha256
    argon2_cost text COLLATE "C", -- memory in KiB, iterations, lanes, for argon2id
    argon2_salt bytea,
    valid_until bigint  -- NULL: the current secret
);
CREATE INDEX secrets_by_key ON ~secrets (key_id);
CREATE INDEX secrets_by_pepper ON ~secrets (pepper, key_id) WHERE pepper IS NOT NULL;

CREATE TABLE ~audit (
    id         uuid NOT NULL PRIMARY KEY,
    operation  uuid NOT NULL,
    at         bigint NOT NULL,
    actor      text COLLATE "C" NOT NULL,
    reason     text COLLATE "C" NOT NULL,
    action     text COLLATE "C" NOT NULL,
    org        text COLLATE "C" NOT NULL,
    account    text COLLATE "C",
    key_id     uuid,
    key_name   text COLLATE "C",
    from_state text COLLATE "C",
    to_state   text COLLATE "C",
    changed    boolean NOT NULL,
    detail     text COLLATE "C" NOT NULL,
    arguments  bytea NOT NULL -- a fingerprint of what the command was given
) /*PARTITIONED*/;
CREATE INDEX audit_by_key ON ~audit (key_id, id) WHERE key_id IS NOT NULL;
CREATE INDEX audit_by_owner ON ~audit (org, account, id);
CREATE INDEX audit_by_organization ON ~audit (org, id);

-- Which event an operation has written. Apart from the trail: what is partitioned by the event's month can hold nothing else unique.
CREATE TABLE ~operations (
    id    uuid NOT NULL PRIMARY KEY,
    event uuid NOT NULL
);
CREATE INDEX operations_by_event ON ~operations (event);

CREATE TABLE ~counts (
    subject bytea NOT NULL,   -- a key or an account
    seconds bigint NOT NULL,  -- the window's length
    start   bigint NOT NULL,  -- the window's name; the smallest of all is the gate of a window that slides
    places  bigint NOT NULL,
    ends    bigint NOT NULL,
    PRIMARY KEY (subject, seconds, start)
) /*FILLFACTOR*/;
CREATE INDEX counts_by_end ON ~counts (ends);

CREATE TABLE ~nodes (
    id      uuid NOT NULL PRIMARY KEY,
    seen_at bigint NOT NULL
);

CREATE TABLE ~epochs (
    shard bigint NOT NULL PRIMARY KEY, -- of owners; the last is everyone's
    epoch bigint NOT NULL
) /*FILLFACTOR*/;

CREATE TABLE ~freshness (
    one     bigint NOT NULL PRIMARY KEY, -- there is one row
    micros  bigint NOT NULL,             -- the shortest bound that any process has asked for
    longest bigint NOT NULL              -- the first that one has asked for
);

CREATE TABLE ~roll (
    one    bigint NOT NULL PRIMARY KEY, -- there is one row
    number bigint NOT NULL              -- of the last call
);

CREATE TABLE ~roll_nodes (
    node   uuid NOT NULL PRIMARY KEY,   -- a process that uses rows from memory
    number bigint NOT NULL              -- of the last call that it has answered
);

CREATE TABLE ~usage (
    org      text COLLATE "C" NOT NULL,
    level    bigint NOT NULL, -- whose sum: 0 the organization's, 1 an account's, 2 a key's
    account  text COLLATE "C" NOT NULL, -- '' at level 0
    key_id   uuid NOT NULL,   -- nil at levels 0 and 1
    unit     text COLLATE "C" NOT NULL,
    day      bigint NOT NULL, -- days since the Unix epoch
    total    bigint NOT NULL,
    reserved bigint NOT NULL, -- of budgets, by requests that have not settled yet
    PRIMARY KEY (org, level, account, key_id, unit, day)
) /*FILLFACTOR*/;
CREATE INDEX usage_by_key ON ~usage (key_id, org) WHERE level = 2;

-- Whoever reserves of a budget holds its gate until the end of the transaction.
CREATE TABLE ~gates (
    org     text COLLATE "C" NOT NULL,
    level   bigint NOT NULL,
    account text COLLATE "C" NOT NULL,
    key_id  uuid NOT NULL,
    unit    text COLLATE "C" NOT NULL,
    PRIMARY KEY (org, level, account, key_id, unit)
);

CREATE TABLE ~reports (
    grant_id uuid NOT NULL,
    unit     text COLLATE "C" NOT NULL,
    total    bigint NOT NULL, -- what is in the sums of it
    reserved bigint NOT NULL, -- as much of budgets is reserved for it
    day      bigint NOT NULL,
    PRIMARY KEY (grant_id, unit)
);
CREATE INDEX reports_by_day ON ~reports (day);

CREATE TABLE ~recorders (
    node     uuid NOT NULL PRIMARY KEY,
    sequence bigint NOT NULL, -- of its last batch in the sums
    day      bigint NOT NULL
);
CREATE INDEX recorders_by_day ON ~recorders (day);

CREATE TABLE ~budgets (
    org     text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL, -- '': the organization's
    unit    text COLLATE "C" NOT NULL,
    choice  text COLLATE "C" NOT NULL, -- '': as the policy says
    PRIMARY KEY (org, account, unit)
);

-- Written with each request and seldom read: an index by key or account would write a page for each entry.
CREATE TABLE ~access (
    id            uuid NOT NULL PRIMARY KEY,
    at            bigint NOT NULL,
    key_id        uuid NOT NULL,
    org           text COLLATE "C" NOT NULL,
    account       text COLLATE "C" NOT NULL,
    outcome       text COLLATE "C" NOT NULL,
    limit_of      text COLLATE "C", -- NULL: no window is told of
    limit_count   bigint,
    limit_seconds bigint,
    limit_kind    text COLLATE "C", -- 'fixed', 'sliding' or 'sliding_shared'
    limit_left    bigint,
    cost          bigint NOT NULL,
    endpoint      text COLLATE "C"
) /*PARTITIONED*/;
CREATE INDEX access_by_organization ON ~access (org, id);

CREATE TABLE ~unrecognized (
    hour  bigint NOT NULL, -- its start
    node  uuid NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (hour, node)
);
