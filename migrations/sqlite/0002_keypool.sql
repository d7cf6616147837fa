-- The key pool: workspaces, accounts and their keys, leases, the audit log.
--
-- A lease is a row: a workspace is as busy as it has open leases. The one write lock guards its slots, its accounts and
-- its leases; there is no other to take.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (2, '0.1.0');

-- What fal counts, locks and bills: shared by all accounts of one workspace. Its credit stands in ts_fal_account.
CREATE TABLE scrip_workspaces (
    workspace         TEXT PRIMARY KEY,                  -- told, or learnt from fal; else the id of the account's first key
    out_cause         TEXT,                              -- why it is out; NULL while it is in use
    out_since         TEXT CHECK (length(out_since) = 26),
    out_until         TEXT CHECK (length(out_until) = 26), -- the earliest moment of a probe
    probe_lease_id    TEXT,                              -- the lease that is trying it
    strikes           INTEGER NOT NULL DEFAULT 0 CHECK (strikes >= 0), -- trips since it last proved itself
    returned_at       TEXT CHECK (length(returned_at) = 26), -- its newest return: slots grow from here
    error_permille    INTEGER NOT NULL DEFAULT 0 CHECK (error_permille BETWEEN 0 AND 1000), -- as of reported_at
    latency_micros    INTEGER,                           -- mean of jobs that succeeded
    reported_at       TEXT CHECK (length(reported_at) = 26), -- the newest report that counted
    streak            INTEGER NOT NULL DEFAULT 0 CHECK (streak >= 0), -- upstream errors since the last success
    streak_started_at TEXT CHECK (length(streak_started_at) = 26),
    last_failure      TEXT,
    last_failure_at   TEXT CHECK (length(last_failure_at) = 26),
    last_success_at   TEXT CHECK (length(last_success_at) = 26),
    CHECK ((out_cause IS NULL) = (out_until IS NULL)),
    CHECK ((out_cause IS NULL) = (out_since IS NULL)),
    CHECK ((last_failure IS NULL) = (last_failure_at IS NULL))
) STRICT, WITHOUT ROWID;

-- Accounts: what existing readers know of them stays as it is. status is 1 while state is 'enabled', else 0. A table of
-- SQLite takes no such columns once it is there: it is made anew, and its rows are carried over.
CREATE TABLE ts_fal_account_new (
    id                 INTEGER PRIMARY KEY,
    name               TEXT NOT NULL,
    api_key            TEXT NOT NULL UNIQUE,             -- the key's id; the secret is never here
    balance            REAL GENERATED ALWAYS AS (balance_nano_usd / 1e9) STORED, -- USD
    use_cnt            INTEGER NOT NULL DEFAULT 0 CHECK (use_cnt >= 0),
    error_cnt          INTEGER NOT NULL DEFAULT 0 CHECK (error_cnt >= 0),
    status             INTEGER NOT NULL DEFAULT 1,       -- 1 enabled, 0 not
    remark             TEXT NOT NULL DEFAULT '',
    balance_nano_usd   INTEGER,                          -- exact; NULL before it is known
    workspace          TEXT NOT NULL,                    -- whose slots, locks and credit it shares
    state              TEXT NOT NULL DEFAULT 'enabled'
        CHECK (state IN ('enabled', 'draining', 'disabled', 'deleted')), -- deleted: kept for the leases and bills that name it
    billing_key_id     TEXT,                             -- the key for fal's platform API, if it has one of its own
    max_concurrency    INTEGER NOT NULL DEFAULT 2 CHECK (max_concurrency >= 0), -- jobs at once in its workspace
    priority           INTEGER NOT NULL DEFAULT 0,       -- tier, 0 first
    weight             INTEGER NOT NULL DEFAULT 100 CHECK (weight >= 1), -- percent of its share by limit
    allowed_apps       TEXT NOT NULL DEFAULT '[]',       -- JSON array of models; empty allows all
    key_out_cause      TEXT,                             -- the circuit of its key, as scrip_workspaces has one
    key_out_since      TEXT CHECK (length(key_out_since) = 26),
    key_out_until      TEXT CHECK (length(key_out_until) = 26),
    key_probe_lease_id TEXT,
    key_strikes        INTEGER NOT NULL DEFAULT 0 CHECK (key_strikes >= 0),
    key_returned_at    TEXT CHECK (length(key_returned_at) = 26),
    created_at         TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
        CHECK (length(created_at) = 26),
    updated_at         TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now')) -- an operator's last change
        CHECK (length(updated_at) = 26),
    CHECK ((key_out_cause IS NULL) = (key_out_until IS NULL)),
    CHECK ((key_out_cause IS NULL) = (key_out_since IS NULL)),
    CHECK ((status = 1) = (state = 'enabled'))
) STRICT;
-- Rows that were there before: each in a workspace of its own, in rotation or not as its status said.
INSERT INTO ts_fal_account_new
    (id, name, api_key, use_cnt, error_cnt, status, remark, balance_nano_usd, workspace, state)
SELECT id, name, api_key, use_cnt, error_cnt, CASE status WHEN 1 THEN 1 ELSE 0 END, remark, balance_nano_usd, api_key,
       CASE status WHEN 1 THEN 'enabled' ELSE 'disabled' END
FROM ts_fal_account;
DROP TABLE ts_fal_account;
ALTER TABLE ts_fal_account_new RENAME TO ts_fal_account;
INSERT INTO scrip_workspaces (workspace) SELECT workspace FROM ts_fal_account;
CREATE INDEX ts_fal_account_workspace ON ts_fal_account (workspace); -- all accounts of a workspace

-- Every key that an account has or had. The secret is sealed; a row without one cannot be leased.
CREATE TABLE scrip_account_keys (
    account_id INTEGER NOT NULL,
    purpose    TEXT NOT NULL CHECK (purpose IN ('lease', 'billing')),
    key_id     TEXT NOT NULL,
    kek_id     TEXT,                                     -- the key-encryption key that sealed it
    sealed     BLOB,                                     -- NULL once erased
    created_at TEXT NOT NULL CHECK (length(created_at) = 26),
    retired_at TEXT CHECK (length(retired_at) = 26),     -- when another took its place; NULL: in use
    PRIMARY KEY (account_id, purpose, key_id),
    CHECK ((kek_id IS NULL) = (sealed IS NULL))
) STRICT, WITHOUT ROWID;
-- A key that is leased belongs to one account, ever: bills and tasks name accounts by it.
CREATE UNIQUE INDEX scrip_account_keys_lease ON scrip_account_keys (key_id) WHERE purpose = 'lease';
INSERT INTO scrip_account_keys (account_id, purpose, key_id, created_at)
    SELECT id, 'lease', api_key, created_at FROM ts_fal_account;

-- Leases. The slot comes back when released_at is written.
CREATE TABLE scrip_leases (
    lease_id                TEXT PRIMARY KEY,
    account_id              INTEGER NOT NULL,
    key_id                  TEXT NOT NULL,               -- the key that was given: stays when the account's is replaced
    runner_id               TEXT NOT NULL,
    user_id                 INTEGER NOT NULL,
    task_id                 TEXT NOT NULL,
    fence                   INTEGER NOT NULL CHECK (fence >= 1), -- 1, 2, 3 … a task
    acquired_at             TEXT NOT NULL CHECK (length(acquired_at) = 26),
    expires_at              TEXT NOT NULL CHECK (length(expires_at) = 26),
    released_at             TEXT CHECK (length(released_at) = 26), -- NULL while it takes a slot
    outcome                 TEXT,                        -- how it ended
    is_probe                INTEGER NOT NULL CHECK (is_probe IN (0, 1)), -- its account's return was tried with it
    is_retry                INTEGER NOT NULL CHECK (is_retry IN (0, 1)), -- its task had just met an upstream error
    estimated_cost_nano_usd INTEGER NOT NULL CHECK (estimated_cost_nano_usd >= 0),
    CONSTRAINT scrip_leases_fence UNIQUE (task_id, fence), -- the newest lease of a task
    CHECK ((released_at IS NULL) = (outcome IS NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX scrip_leases_live ON scrip_leases (task_id) WHERE released_at IS NULL; -- a task has one at most
CREATE INDEX scrip_leases_open ON scrip_leases (account_id) WHERE released_at IS NULL;     -- slots in use
CREATE INDEX scrip_leases_due ON scrip_leases (expires_at) WHERE released_at IS NULL;      -- the sweep

-- Who changed which account, key or balance, and why: operators, and the pool itself. Append-only.
CREATE TABLE scrip_audit_log (
    id           INTEGER PRIMARY KEY,                    -- the order of writing
    at           TEXT NOT NULL CHECK (length(at) = 26),
    actor        TEXT NOT NULL,
    subject_kind TEXT NOT NULL CHECK (subject_kind IN ('account', 'workspace', 'lease', 'reconciliation')),
    subject      TEXT NOT NULL,
    account_id   INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    changes      TEXT NOT NULL                           -- JSON: [before, after] by field; never a secret
) STRICT;
CREATE INDEX scrip_audit_log_account ON scrip_audit_log (account_id, id); -- the history of one account, newest first

-- The lease that a request gave, for its replays. The key itself is never there.
ALTER TABLE scrip_requests ADD COLUMN lease_id TEXT;

-- What was written of who changed what stays as it was written.
CREATE TRIGGER scrip_audit_log_keep BEFORE UPDATE ON scrip_audit_log
BEGIN SELECT RAISE(ABORT, 'scrip_audit_log is append-only'); END;
CREATE TRIGGER scrip_audit_log_stay BEFORE DELETE ON scrip_audit_log
BEGIN SELECT RAISE(ABORT, 'scrip_audit_log is append-only'); END;
