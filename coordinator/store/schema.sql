-- schema.sql - the store of a run, RUN/store.sqlite: what its tables and columns mean.
--
-- The coordinator alone writes it (WAL, synchronous=FULL); anybody may read it meanwhile, with `coordinator trials`,
-- `coordinator export` or the sqlite3 shell. PRAGMA application_id is 0x4d454e44 ("MEND") and user_version the version of
-- this schema; another version is refused.
--
-- Numbers of hyperparameters and results are JSON of decimals that read back as the same doubles; what JSON has no number
-- for is written as "nan", "inf" or "-inf". So `select number, results ->> 3, hyps ->> 'lr0' from candidates` works.
-- Times ending in _ms are milliseconds since 1970 by the coordinator's clock; 0: not yet.

-- The run's specification and state, texts by name.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Every candidate, how it was bred and what became of it.
CREATE TABLE candidates (
    number          INTEGER PRIMARY KEY,  -- 1 and up as bred; imported rows are -1, -2, ...
    state           TEXT NOT NULL,        -- bred leased lost yielded done stopped failed imported
    bred_ms         INTEGER NOT NULL,
    ended_ms        INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,     -- leased so far
    lost            INTEGER NOT NULL,     -- of them, leases that were lost
    crashes         INTEGER NOT NULL,     -- of them, failures
    arrival         INTEGER NOT NULL,     -- 1 and up in the order in which results, and rows of a bucket, came; 0: none came
    results         TEXT,                 -- [P, R, mAP@.5, mAP@.5:.95, box, obj, cls]; NULL: none
    epoch           INTEGER NOT NULL,     -- epochs trained, or reached when it was handed back
    reason          TEXT,                 -- of a failure: nan refused data memory device crash stall error lost
    detail          TEXT,                 -- the same as a sentence
    checkpoint_path TEXT,                 -- yielded: what to go on from
    checkpoint_hash TEXT,
    checkpoint_step INTEGER NOT NULL,
    hyps            TEXT NOT NULL,        -- {key: value} in the order of the search space
    -- What `coordinator verify` breeds again and compares:
    parents         TEXT NOT NULL,        -- candidates that it was chosen from, best first; 0 is the base hyp
    weights         TEXT NOT NULL,        -- of the draw, as many
    parent          INTEGER,              -- the one that was drawn; NULL: the weighted mean of all of them
    seen            INTEGER NOT NULL,     -- members of the population when it was bred, by arrival; rows from before the start first
    rounds          INTEGER NOT NULL,     -- of the mutation, until something changed
    factors         TEXT NOT NULL         -- {key: factor}
) STRICT;

-- Every leasing of a candidate to a worker.
CREATE TABLE attempts (
    candidate   INTEGER NOT NULL REFERENCES candidates (number),
    attempt     INTEGER NOT NULL,         -- 1 and up, of this candidate
    epoch       INTEGER NOT NULL,         -- of the run when it was leased: raised at every start of the coordinator
    session     TEXT NOT NULL,            -- of the worker, hex
    worker      TEXT NOT NULL,            -- hex
    slot        INTEGER NOT NULL,
    number      INTEGER NOT NULL,         -- of the request that it answered; 0: taken over by a later session of its worker
    state       TEXT NOT NULL,            -- leased done stopped failed lost yielded late
    leased_ms   INTEGER NOT NULL,
    ended_ms    INTEGER NOT NULL,
    host        TEXT,
    device      TEXT,
    precision   TEXT,
    version     TEXT,                     -- of the worker's program
    threads     INTEGER NOT NULL,
    peak_memory INTEGER NOT NULL,         -- bytes
    seconds     REAL,                     -- of training; NULL: not a number
    resumed     INTEGER NOT NULL,         -- 1: went on from a checkpoint
    reason      TEXT,                     -- of a failure
    detail      TEXT,
    log         TEXT,                     -- the trainer's last lines
    results     TEXT,                     -- what it delivered, even when it did not count
    PRIMARY KEY (candidate, attempt)
) STRICT;

-- What candidates had on their way, where some may be stopped early (--prune).
CREATE TABLE looks (
    candidate INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,           -- that it was validated after, counted from 0
    fitness   REAL NOT NULL,
    PRIMARY KEY (candidate, epoch)
) STRICT, WITHOUT ROWID;

-- What happened, for people and for checkers: one word, one sentence.
CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    words   TEXT NOT NULL
) STRICT;
