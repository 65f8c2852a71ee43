-- The journal is the truth; every other table but `secrets` and `outbox` can be made again from it.

CREATE TABLE journal (
    number  INTEGER PRIMARY KEY,        -- over all runs, from 1, no gaps
    run     INTEGER NOT NULL,
    seq     INTEGER NOT NULL,           -- in the run, from 1, no gaps
    at      INTEGER NOT NULL,           -- milliseconds since the epoch; orders nothing
    event   TEXT    NOT NULL,           -- JSON
    hash    BLOB    NOT NULL,           -- SHA-256 over the previous row's hash and this row
    UNIQUE (run, seq)
) STRICT;

CREATE TABLE runs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    repository     TEXT NOT NULL,       -- name
    root           TEXT NOT NULL,       -- where the repository is on this machine
    workflow       TEXT NOT NULL,       -- path of the file
    event          TEXT NOT NULL,
    tag            TEXT,
    version        TEXT,
    sha            TEXT NOT NULL,
    subject        TEXT NOT NULL,
    actor          TEXT NOT NULL,
    release_digest TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    status         TEXT NOT NULL,       -- queued, in_progress, waiting, completed
    conclusion     TEXT,                -- success, failure, cancelled, rejected, expired
    seq            INTEGER NOT NULL     -- of its newest event
) STRICT;
CREATE INDEX runs_by_tag ON runs (root, tag);
CREATE INDEX runs_active ON runs (status) WHERE status <> 'completed';

CREATE TABLE deployments (
    number      INTEGER PRIMARY KEY,    -- of the journal row
    root        TEXT NOT NULL,
    repository  TEXT NOT NULL,
    environment TEXT NOT NULL,
    run         INTEGER NOT NULL,
    body        TEXT NOT NULL           -- the event, JSON
) STRICT;
CREATE INDEX deployments_by_environment ON deployments (root, environment, number);

CREATE TABLE artifacts (
    run     INTEGER NOT NULL,
    id      INTEGER NOT NULL,           -- in the run
    attempt INTEGER NOT NULL,
    job     TEXT NOT NULL,
    name    TEXT NOT NULL,
    digest  TEXT NOT NULL,
    size    INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (run, id)
) STRICT;

CREATE TABLE votes (
    number      INTEGER PRIMARY KEY,    -- of the journal row
    run         INTEGER NOT NULL,
    environment TEXT NOT NULL,
    voter       TEXT NOT NULL,
    decision    TEXT NOT NULL,
    plan        TEXT NOT NULL,
    at          INTEGER NOT NULL
) STRICT;

-- What must still be done in the world for what the journal says; done at least once, then deleted.
CREATE TABLE outbox (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    run  INTEGER NOT NULL,
    key  TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE secrets (
    scope      TEXT NOT NULL,           -- the repository's root, then a newline and the environment if it has one
    name       TEXT NOT NULL,           -- upper case
    sealed     BLOB NOT NULL,           -- nonce and ciphertext; scope and name are authenticated with it
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT;
