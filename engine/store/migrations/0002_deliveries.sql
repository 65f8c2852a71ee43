-- The steps that delivered something to an environment, or were about to; made from the journal.

CREATE TABLE deliveries (
    number      INTEGER PRIMARY KEY,    -- of the journal row in which it begins
    root        TEXT NOT NULL,
    environment TEXT NOT NULL,
    unit        TEXT NOT NULL,
    uses        TEXT NOT NULL,          -- the action, as written
    run         INTEGER NOT NULL,
    job         TEXT NOT NULL,          -- the leg
    attempt     INTEGER NOT NULL,
    step        INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_by_environment ON deliveries (root, environment, number);
