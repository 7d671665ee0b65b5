-- Schema version 1. Frozen: later versions migrate from it. Times are microseconds since the Unix epoch, UTC.
-- Text compares by bytes (BINARY, SQLite's default). Booleans are 0 and 1.

CREATE TABLE organizations (
    id   TEXT NOT NULL PRIMARY KEY,
    open INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE owners (
    org          TEXT NOT NULL,
    account      TEXT NOT NULL,
    open         INTEGER NOT NULL,
    held         INTEGER NOT NULL,
    records      INTEGER NOT NULL,
    active_limit INTEGER,          -- NULL: as the policy says; -1: unlimited
    creation_day INTEGER,          -- days since the Unix epoch
    creations    INTEGER NOT NULL,
    PRIMARY KEY (org, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id             BLOB NOT NULL PRIMARY KEY, -- the UUID's 16 bytes
    org            TEXT NOT NULL,
    account        TEXT NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL,
    capabilities   TEXT NOT NULL,             -- sorted names joined by spaces
    metadata       TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    last_used_at   INTEGER,
    state          TEXT NOT NULL,
    expiry_latched INTEGER NOT NULL,
    revision       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_owner ON keys (org, account, id);
CREATE INDEX keys_by_organization ON keys (org, id);
CREATE INDEX keys_by_expiry ON keys (org, expires_at, id) WHERE expires_at IS NOT NULL;
CREATE INDEX places_by_expiry ON keys (org, account, expires_at)
    WHERE state = 'active' AND expiry_latched = 0 AND expires_at IS NOT NULL;

CREATE TABLE secrets (
    key_id      BLOB NOT NULL,
    digest      BLOB NOT NULL,
    scheme      TEXT NOT NULL,
    pepper      INTEGER,  -- the version, for hmac-sha256
    argon2_cost TEXT,     -- memory in KiB, iterations, lanes, for argon2id
    argon2_salt BLOB,
    valid_until INTEGER,  -- NULL: the current secret
    PRIMARY KEY (key_id, digest)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX secrets_by_digest ON secrets (digest);
CREATE INDEX secrets_by_pepper ON secrets (pepper, key_id) WHERE pepper IS NOT NULL;

CREATE TABLE audit (
    id         BLOB NOT NULL PRIMARY KEY,
    operation  BLOB NOT NULL,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    action     TEXT NOT NULL,
    org        TEXT NOT NULL,
    account    TEXT,
    key_id     BLOB,
    key_name   TEXT,
    from_state TEXT,
    to_state   TEXT,
    changed    INTEGER NOT NULL,
    detail     TEXT NOT NULL,
    arguments  BLOB NOT NULL       -- a fingerprint of what the command was given
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX audit_by_operation ON audit (operation);
CREATE INDEX audit_by_key ON audit (key_id, id) WHERE key_id IS NOT NULL;
CREATE INDEX audit_by_owner ON audit (org, account, id);
CREATE INDEX audit_by_organization ON audit (org, id);
