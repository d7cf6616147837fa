-- The key pool: workspaces, accounts and their keys, leases, the audit log.
--
-- A lease is a row: a workspace is as busy as it has open leases. The workspace's row is the lock that guards its slots,
-- its accounts and its leases, and is taken after the users' locks.
INSERT INTO scrip_schema (version, oldest_binary) VALUES (2, '0.1.0');

-- What fal counts, locks and bills: shared by all accounts of one workspace. Its credit stands in ts_fal_account.
CREATE TABLE scrip_workspaces (
    workspace         varchar(150) PRIMARY KEY,          -- told, or learnt from fal; else the id of the account's first key
    out_cause         text,                              -- why it is out; NULL while it is in use
    out_since         timestamptz,
    out_until         timestamptz,                       -- the earliest moment of a probe
    probe_lease_id    text,                              -- the lease that is trying it
    strikes           bigint NOT NULL DEFAULT 0 CHECK (strikes >= 0), -- trips since it last proved itself
    returned_at       timestamptz,                       -- its newest return: slots grow from here
    error_permille    integer NOT NULL DEFAULT 0 CHECK (error_permille BETWEEN 0 AND 1000), -- as of reported_at
    latency_micros    bigint,                            -- mean of jobs that succeeded
    reported_at       timestamptz,                       -- the newest report that counted
    streak            bigint NOT NULL DEFAULT 0 CHECK (streak >= 0), -- upstream errors since the last success
    streak_started_at timestamptz,
    last_failure      text,
    last_failure_at   timestamptz,
    last_success_at   timestamptz,
    CHECK ((out_cause IS NULL) = (out_until IS NULL)),
    CHECK ((out_cause IS NULL) = (out_since IS NULL)),
    CHECK ((last_failure IS NULL) = (last_failure_at IS NULL))
) WITH (fillfactor = 70);                                -- room for HOT updates: no index covers what changes

-- Accounts: what existing readers know of them stays as it is. status is 1 while state is 'enabled', else 0.
ALTER TABLE ts_fal_account
    ADD COLUMN workspace          varchar(150),          -- whose slots, locks and credit it shares
    ADD COLUMN state              text NOT NULL DEFAULT 'enabled'
        CHECK (state IN ('enabled', 'draining', 'disabled', 'deleted')), -- deleted: kept for the leases and bills that name it
    ADD COLUMN billing_key_id     varchar(150),          -- the key for fal's platform API, if it has one of its own
    ADD COLUMN max_concurrency    integer NOT NULL DEFAULT 2 CHECK (max_concurrency >= 0), -- jobs at once in its workspace
    ADD COLUMN priority           integer NOT NULL DEFAULT 0, -- tier, 0 first
    ADD COLUMN weight             integer NOT NULL DEFAULT 100 CHECK (weight >= 1), -- percent of its share by limit
    ADD COLUMN allowed_apps       text NOT NULL DEFAULT '[]', -- JSON array of models; empty allows all
    ADD COLUMN key_out_cause      text,                  -- the circuit of its key, as scrip_workspaces has one
    ADD COLUMN key_out_since      timestamptz,
    ADD COLUMN key_out_until      timestamptz,
    ADD COLUMN key_probe_lease_id text,
    ADD COLUMN key_strikes        bigint NOT NULL DEFAULT 0 CHECK (key_strikes >= 0),
    ADD COLUMN key_returned_at    timestamptz,
    ADD COLUMN created_at         timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN updated_at         timestamptz NOT NULL DEFAULT now(), -- an operator's last change
    ADD CHECK ((key_out_cause IS NULL) = (key_out_until IS NULL)),
    ADD CHECK ((key_out_cause IS NULL) = (key_out_since IS NULL)),
    ADD CHECK (use_cnt >= 0),
    ADD CHECK (error_cnt >= 0);
-- Rows that were there before: each in a workspace of its own, in rotation or not as its status said.
UPDATE ts_fal_account SET workspace = api_key, state = CASE status WHEN 1 THEN 'enabled' ELSE 'disabled' END;
UPDATE ts_fal_account SET status = 0 WHERE status <> 1;
INSERT INTO scrip_workspaces (workspace) SELECT workspace FROM ts_fal_account;
ALTER TABLE ts_fal_account
    ALTER COLUMN workspace SET NOT NULL,
    ADD CHECK ((status = 1) = (state = 'enabled'));
ALTER TABLE ts_fal_account SET (fillfactor = 70);        -- room for HOT updates: each lease counts in its account
CREATE INDEX ts_fal_account_workspace ON ts_fal_account (workspace); -- all accounts of a locked workspace

-- Every key that an account has or had. The secret is sealed; a row without one cannot be leased.
CREATE TABLE scrip_account_keys (
    account_id bigint NOT NULL,
    purpose    text COLLATE "C" NOT NULL CHECK (purpose IN ('lease', 'billing')), -- by bytes: the order of resealing
    key_id     varchar(150) COLLATE "C" NOT NULL,
    kek_id     text,                                     -- the key-encryption key that sealed it
    sealed     bytea,                                    -- NULL once erased
    created_at timestamptz NOT NULL,
    retired_at timestamptz,                              -- when another took its place; NULL: in use
    PRIMARY KEY (account_id, purpose, key_id),
    CHECK ((kek_id IS NULL) = (sealed IS NULL))
);
-- A key that is leased belongs to one account, ever: bills and tasks name accounts by it.
CREATE UNIQUE INDEX scrip_account_keys_lease ON scrip_account_keys (key_id) WHERE purpose = 'lease';
INSERT INTO scrip_account_keys (account_id, purpose, key_id, created_at)
    SELECT id, 'lease', api_key, created_at FROM ts_fal_account;

-- Leases. The slot comes back when released_at is written.
CREATE TABLE scrip_leases (
    lease_id                text PRIMARY KEY,
    account_id              bigint NOT NULL,
    key_id                  varchar(150) NOT NULL,       -- the key that was given: stays when the account's is replaced
    runner_id               varchar(255) NOT NULL,
    user_id                 bigint NOT NULL,
    task_id                 varchar(100) COLLATE "C" NOT NULL, -- by bytes: the order in which verify reads leases
    fence                   bigint NOT NULL CHECK (fence >= 1), -- 1, 2, 3 … a task
    acquired_at             timestamptz NOT NULL,
    expires_at              timestamptz NOT NULL,
    released_at             timestamptz,                 -- NULL while it takes a slot
    outcome                 text,                        -- how it ended
    is_probe                boolean NOT NULL,            -- its account's return was tried with it
    is_retry                boolean NOT NULL,            -- its task had just met an upstream error
    estimated_cost_nano_usd bigint NOT NULL CHECK (estimated_cost_nano_usd >= 0),
    CONSTRAINT scrip_leases_fence UNIQUE (task_id, fence), -- the newest lease of a task
    CHECK ((released_at IS NULL) = (outcome IS NULL))
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX scrip_leases_live ON scrip_leases (task_id) WHERE released_at IS NULL; -- a task has one at most
-- Slots in use. Its condition is no other index's: a plan made of an empty table cannot take another for it.
CREATE INDEX scrip_leases_open ON scrip_leases (account_id) WHERE outcome IS NULL;
CREATE INDEX scrip_leases_due ON scrip_leases (expires_at) WHERE released_at IS NULL;      -- the sweep

-- Who changed which account, key or balance, and why: operators, and the pool itself. Append-only.
CREATE TABLE scrip_audit_log (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,
    subject_kind text NOT NULL CHECK (subject_kind IN ('account', 'workspace', 'lease')),
    subject      text NOT NULL,
    account_id   bigint NOT NULL,
    reason       text NOT NULL,
    changes      text NOT NULL                           -- JSON: [before, after] by field; never a secret
);
CREATE INDEX scrip_audit_log_account ON scrip_audit_log (account_id, id); -- the history of one account, newest first

-- The lease that a request gave, for its replays. The key itself is never there.
ALTER TABLE scrip_requests ADD COLUMN lease_id text;
