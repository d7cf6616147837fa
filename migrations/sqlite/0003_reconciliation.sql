-- Reconciliation: runs, the evidence they fetched, what they found, and which process works at it.
--
-- Upstream events are kept once, whoever fetched them; everything else belongs to one run.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (3, '0.1.0');

-- Runs. One that is over no longer changes.
CREATE TABLE scrip_reconciliations (
    id              INTEGER PRIMARY KEY,                 -- the order of beginning
    request_id      TEXT,                                -- the caller's key; its content is in scrip_requests, user 0
    state           TEXT NOT NULL CHECK (state IN ('running', 'completed', 'partial', 'failed')),
    period_start    TEXT NOT NULL CHECK (length(period_start) = 26), -- inclusive
    period_end      TEXT NOT NULL CHECK (length(period_end) = 26),   -- exclusive
    account_ids     TEXT NOT NULL,                       -- JSON array of the accounts it is about; empty: all
    user_ids        TEXT NOT NULL,                       -- likewise of users
    apply_costs     INTEGER NOT NULL CHECK (apply_costs IN (0, 1)), -- whether billed costs go to the tasks
    settings        TEXT NOT NULL,                       -- JSON: thresholds, rates, time zone, as it began
    actor           TEXT NOT NULL,
    created_at      TEXT NOT NULL CHECK (length(created_at) = 26),
    evidence_at     TEXT CHECK (length(evidence_at) = 26), -- when all was fetched: younger tasks are pending
    completed_at    TEXT CHECK (length(completed_at) = 26), -- when it was over, however it ended
    phase           TEXT NOT NULL,                       -- fetching, matching, checking, applying, over
    done            INTEGER NOT NULL DEFAULT 0 CHECK (done >= 0),  -- of the phase
    total           INTEGER NOT NULL DEFAULT 0 CHECK (total >= 0), -- 0: not known
    findings_high   INTEGER NOT NULL DEFAULT 0 CHECK (findings_high >= 0),
    findings_medium INTEGER NOT NULL DEFAULT 0 CHECK (findings_medium >= 0),
    findings_low    INTEGER NOT NULL DEFAULT 0 CHECK (findings_low >= 0),
    cost_changes    INTEGER NOT NULL DEFAULT 0 CHECK (cost_changes >= 0),  -- planned
    costs_applied   INTEGER NOT NULL DEFAULT 0 CHECK (costs_applied >= 0), -- written
    summary         TEXT NOT NULL DEFAULT '',            -- JSON: the report but for its rows
    error           TEXT NOT NULL DEFAULT '',            -- why it was given up
    CHECK ((state = 'running') = (completed_at IS NULL)),
    CHECK (period_start < period_end)
) STRICT;
CREATE UNIQUE INDEX scrip_reconciliations_request ON scrip_reconciliations (request_id)
    WHERE request_id IS NOT NULL;                        -- the run that a repeated call began
CREATE INDEX scrip_reconciliations_running ON scrip_reconciliations (id) WHERE state = 'running'; -- taken up again

-- How far each source of each account has been fetched: a run that is taken up again goes on from here.
CREATE TABLE scrip_reconciliation_fetches (
    run_id     INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    source     TEXT NOT NULL,                            -- billing_events, usage, balance
    position   TEXT NOT NULL,                            -- where the next page is; empty at the beginning and the end
    pages      INTEGER NOT NULL CHECK (pages >= 0),      -- stored so far
    rows       INTEGER NOT NULL CHECK (rows >= 0),       -- likewise
    state      TEXT NOT NULL CHECK (state IN ('running', 'complete', 'failed')),
    result     TEXT NOT NULL,                            -- JSON of what is no event: usage rows, a balance
    error      TEXT NOT NULL,                            -- JSON: why it failed
    garbage    BLOB NOT NULL CHECK (length(garbage) <= 65536), -- a page that could not be read, cut
    PRIMARY KEY (run_id, account_id, source)
) STRICT, WITHOUT ROWID;

-- What fal billed: one row an event, whoever fetched it and however often. The moment of an event is part of fal's row,
-- so that the key is the event's; led by the moment, it keeps a period together: a run reads that part alone and sorts
-- it by request.
CREATE TABLE scrip_billing_events (
    workspace     TEXT NOT NULL,                         -- whom fal billed
    billed_at     TEXT NOT NULL CHECK (length(billed_at) = 26), -- fal's time of it
    request_id    TEXT NOT NULL,                         -- fal's request
    digest        BLOB NOT NULL CHECK (length(digest) = 16), -- of raw: a request may have several events
    first_run_id  INTEGER NOT NULL,                      -- the run that brought it: earlier ones never judge it
    account_id    INTEGER NOT NULL,                      -- through which it came first
    endpoint_id   TEXT NOT NULL,                         -- the model
    cost_nano_usd INTEGER,                               -- after discount; NULL: fal does not say
    units_nano    INTEGER,                               -- in 10⁻⁹ units; NULL: fal does not say
    raw           TEXT NOT NULL,                         -- fal's row, canonical JSON
    PRIMARY KEY (workspace, billed_at, request_id, digest)
) STRICT, WITHOUT ROWID;

-- What a run found, in the order it is shown: gravest first.
CREATE TABLE scrip_findings (
    run_id         INTEGER NOT NULL,
    severity_rank  INTEGER NOT NULL CHECK (severity_rank IN (1, 2, 3)), -- HIGH, MEDIUM, LOW
    rule           TEXT NOT NULL,                        -- A1 … B7
    number         INTEGER NOT NULL,                     -- as they arose, one count a run
    account_id     INTEGER,                              -- this and the next five: whom it is about
    workspace      TEXT,
    user_id        INTEGER,
    task_id        TEXT,
    online_task_id TEXT,                                 -- fal's request
    app_name       TEXT,                                 -- the model
    evidence       TEXT NOT NULL,                        -- JSON: the figures that were judged
    PRIMARY KEY (run_id, severity_rank, rule, number)
) STRICT, WITHOUT ROWID;

-- The rows of a run's report.
CREATE TABLE scrip_reconciliation_rows (
    run_id  INTEGER NOT NULL,
    layer   INTEGER NOT NULL,                            -- 1 workspaces, 2 accounts by user and model, 3 users
    number  INTEGER NOT NULL,                            -- in the order of the report
    content TEXT NOT NULL,                               -- JSON
    PRIMARY KEY (run_id, layer, number)
) STRICT, WITHOUT ROWID;

-- The costs a run plans for tasks, and which of them it wrote.
CREATE TABLE scrip_reconciliation_costs (
    run_id        INTEGER NOT NULL,
    number        INTEGER NOT NULL,                      -- the order of writing
    user_id       INTEGER NOT NULL,
    task_id       TEXT NOT NULL,
    from_nano_usd INTEGER,                               -- what the plan found; NULL: nothing
    to_nano_usd   INTEGER NOT NULL CHECK (to_nano_usd >= 0), -- what fal billed
    applied_at    TEXT CHECK (length(applied_at) = 26),  -- when it was written; NULL: not, or not yet
    PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;

-- What one process of all does at a time.
CREATE TABLE scrip_leader_leases (
    name       TEXT PRIMARY KEY,                         -- of the work
    holder     BLOB NOT NULL CHECK (length(holder) = 16), -- of the process
    expires_at TEXT NOT NULL CHECK (length(expires_at) = 26) -- by the clock that judges batches
) STRICT, WITHOUT ROWID;

-- A run reads the tasks and entries of its period and not those of all years. Both moments only grow, so that a charge
-- adds to the end of either index.
CREATE INDEX ts_fal_tasks_created ON ts_fal_tasks (created_at); -- the tasks of a period
CREATE INDEX ts_financial_transactions_time ON ts_financial_transactions ("time"); -- the entries of a period
