-- Reconciliation: runs, the evidence they fetched, what they found, and which process works at it.
--
-- Upstream events are kept once, whoever fetched them; everything else belongs to one run. Texts that runs read in
-- order are in the order of their bytes, whatever the database's language.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (3, '0.1.0');

-- Runs. One that is over no longer changes.
CREATE TABLE scrip_reconciliations (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of beginning
    request_id      text,                                -- the caller's key; its content is in scrip_requests, user 0
    state           text NOT NULL CHECK (state IN ('running', 'completed', 'partial', 'failed')),
    period_start    timestamptz NOT NULL,                -- inclusive
    period_end      timestamptz NOT NULL,                -- exclusive
    account_ids     text NOT NULL,                       -- JSON array of the accounts it is about; empty: all
    user_ids        text NOT NULL,                       -- likewise of users
    apply_costs     boolean NOT NULL,                    -- whether billed costs go to the tasks
    settings        text NOT NULL,                       -- JSON: thresholds, rates, time zone, as it began
    actor           text NOT NULL,
    created_at      timestamptz NOT NULL,
    evidence_at     timestamptz,                         -- when all was fetched: younger tasks are pending
    completed_at    timestamptz,                         -- when it was over, however it ended
    phase           text NOT NULL,                       -- fetching, matching, checking, applying, over
    done            bigint NOT NULL DEFAULT 0 CHECK (done >= 0), -- of the phase
    total           bigint NOT NULL DEFAULT 0 CHECK (total >= 0), -- 0: not known
    findings_high   bigint NOT NULL DEFAULT 0 CHECK (findings_high >= 0),
    findings_medium bigint NOT NULL DEFAULT 0 CHECK (findings_medium >= 0),
    findings_low    bigint NOT NULL DEFAULT 0 CHECK (findings_low >= 0),
    cost_changes    bigint NOT NULL DEFAULT 0 CHECK (cost_changes >= 0), -- planned
    costs_applied   bigint NOT NULL DEFAULT 0 CHECK (costs_applied >= 0), -- written
    summary         text NOT NULL DEFAULT '',            -- JSON: the report but for its rows
    error           text NOT NULL DEFAULT '',            -- why it was given up
    CHECK ((state = 'running') = (completed_at IS NULL)),
    CHECK (period_start < period_end)
);
CREATE UNIQUE INDEX scrip_reconciliations_request ON scrip_reconciliations (request_id)
    WHERE request_id IS NOT NULL;                        -- the run that a repeated call began
CREATE INDEX scrip_reconciliations_running ON scrip_reconciliations (id) WHERE state = 'running'; -- taken up again

-- How far each source of each account has been fetched: a run that is taken up again goes on from here.
CREATE TABLE scrip_reconciliation_fetches (
    run_id     bigint NOT NULL,
    account_id bigint NOT NULL,
    source     text NOT NULL,                            -- billing_events, usage, balance
    position   text NOT NULL,                            -- where the next page is; empty at the beginning and the end
    pages      bigint NOT NULL CHECK (pages >= 0),       -- stored so far
    rows       bigint NOT NULL CHECK (rows >= 0),        -- likewise
    state      text NOT NULL CHECK (state IN ('running', 'complete', 'failed')),
    result     text NOT NULL,                            -- JSON of what is no event: usage rows, a balance
    error      text NOT NULL,                            -- JSON: why it failed
    garbage    bytea NOT NULL CHECK (length(garbage) <= 65536), -- a page that could not be read, cut
    PRIMARY KEY (run_id, account_id, source)
);

-- What fal billed: one row an event, whoever fetched it and however often. The moment of an event is part of fal's row,
-- so that the key is the event's; led by the moment, it keeps a period together: a run reads that part alone and sorts
-- it by request.
CREATE TABLE scrip_billing_events (
    workspace     text COLLATE "C" NOT NULL,             -- whom fal billed
    billed_at     timestamptz NOT NULL,                  -- fal's time of it
    request_id    text COLLATE "C" NOT NULL,             -- fal's request
    digest        bytea NOT NULL CHECK (length(digest) = 16), -- of raw: a request may have several events
    first_run_id  bigint NOT NULL,                       -- the run that brought it: earlier ones never judge it
    account_id    bigint NOT NULL,                       -- through which it came first
    endpoint_id   text NOT NULL,                         -- the model
    cost_nano_usd bigint,                                -- after discount; NULL: fal does not say
    units_nano    bigint,                                -- in 10⁻⁹ units; NULL: fal does not say
    raw           text NOT NULL,                         -- fal's row, canonical JSON
    PRIMARY KEY (workspace, billed_at, request_id, digest)
);

-- What a run found, in the order it is shown: gravest first.
CREATE TABLE scrip_findings (
    run_id         bigint NOT NULL,
    severity_rank  smallint NOT NULL CHECK (severity_rank IN (1, 2, 3)), -- HIGH, MEDIUM, LOW
    rule           text COLLATE "C" NOT NULL,            -- A1 … B7
    number         bigint NOT NULL,                      -- as they arose, one count a run
    account_id     bigint,                               -- this and the next five: whom it is about
    workspace      text,
    user_id        bigint,
    task_id        text,
    online_task_id text,                                 -- fal's request
    app_name       text,                                 -- the model
    evidence       text NOT NULL,                        -- JSON: the figures that were judged
    PRIMARY KEY (run_id, severity_rank, rule, number)
);

-- The rows of a run's report.
CREATE TABLE scrip_reconciliation_rows (
    run_id  bigint NOT NULL,
    layer   smallint NOT NULL,                           -- 1 workspaces, 2 accounts by user and model, 3 users
    number  bigint NOT NULL,                             -- in the order of the report
    content text NOT NULL,                               -- JSON
    PRIMARY KEY (run_id, layer, number)
);

-- The costs a run plans for tasks, and which of them it wrote.
CREATE TABLE scrip_reconciliation_costs (
    run_id        bigint NOT NULL,
    number        bigint NOT NULL,                       -- the order of writing
    user_id       bigint NOT NULL,
    task_id       text NOT NULL,
    from_nano_usd bigint,                                -- what the plan found; NULL: nothing
    to_nano_usd   bigint NOT NULL CHECK (to_nano_usd >= 0), -- what fal billed
    applied_at    timestamptz,                           -- when it was written; NULL: not, or not yet
    PRIMARY KEY (run_id, number)
);

-- What one process of all does at a time.
CREATE TABLE scrip_leader_leases (
    name       text PRIMARY KEY,                         -- of the work
    holder     uuid NOT NULL,                            -- of the process
    expires_at timestamptz NOT NULL                      -- by the clock that judges batches
);

-- The audit log tells of the costs that runs wrote.
ALTER TABLE scrip_audit_log
    DROP CONSTRAINT scrip_audit_log_subject_kind_check,
    ADD CONSTRAINT scrip_audit_log_subject_kind_check
        CHECK (subject_kind IN ('account', 'workspace', 'lease', 'reconciliation'));

-- A run reads the tasks and entries of its period and not those of all years. Both moments only grow, so that a charge
-- adds to the end of either index.
CREATE INDEX ts_fal_tasks_created ON ts_fal_tasks (created_at); -- the tasks of a period
CREATE INDEX ts_financial_transactions_time ON ts_financial_transactions ("time"); -- the entries of a period
