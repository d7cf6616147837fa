-- The billing core: users, tasks, both ledgers, idempotency.
--
-- The five ts_ tables keep the names, columns and meaning that existing readers know; every other column is scrip's.
-- Amounts are points (1 point = 1 fen = 1/100 CNY), upstream costs nano-USD. Floats are derived from exact integers
-- by the database. There are no foreign keys: every writer holds the write lock, and `scrip verify` checks what they
-- would, without their cost on each row.
--
-- Where SQLite differs from PostgreSQL: tables are STRICT; times are text, UTC, always 26 characters
-- (`2026-02-01 09:30:00.000000`), so that they sort and ORMs read them; booleans are 0 or 1; widths of texts are held
-- by the ledger before anything is written; what PostgreSQL's grants forbid, triggers forbid here.

-- What has been applied, and the oldest scrip that can still work with it: an older one refuses to start.
CREATE TABLE scrip_schema (
    version       INTEGER PRIMARY KEY,              -- the migration's number
    oldest_binary TEXT NOT NULL,                    -- the oldest release that can live with it, such as 0.1.0
    applied_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
) STRICT;
INSERT INTO scrip_schema (version, oldest_binary) VALUES (1, '0.1.0');

-- A user's purses. They guard everything the user owns.
CREATE TABLE ts_users (
    id             INTEGER PRIMARY KEY CHECK (id >= 1),  -- given by the caller
    points_balance INTEGER NOT NULL CHECK (points_balance >= 0),
    cash_balance   INTEGER NOT NULL CHECK (cash_balance >= 0),
    points_held    INTEGER NOT NULL CHECK (points_held >= 0),
    cash_held      INTEGER NOT NULL CHECK (cash_held >= 0),
    entry_seq      INTEGER NOT NULL CHECK (entry_seq >= 0), -- user_seq of the newest entry, 0 before the first
    chain_hash     BLOB NOT NULL CHECK (length(chain_hash) = 32), -- its hash
    last_entry_at  TEXT NOT NULL CHECK (length(last_entry_at) = 26), -- its time: the next one is never earlier
    created_at     TEXT NOT NULL CHECK (length(created_at) = 26),
    updated_at     TEXT NOT NULL CHECK (length(updated_at) = 26), -- last change of a balance or hold
    CHECK (points_held <= points_balance),
    CHECK (cash_held <= cash_balance)
) STRICT;
CREATE INDEX ts_users_newest ON ts_users (created_at, id); -- ListUsers, newest first

-- fal accounts. The key pool adds its own columns.
CREATE TABLE ts_fal_account (
    id               INTEGER PRIMARY KEY,
    name             TEXT NOT NULL,
    api_key          TEXT NOT NULL UNIQUE,               -- the key's id; the secret is never here
    balance          REAL GENERATED ALWAYS AS (balance_nano_usd / 1e9) STORED, -- USD
    use_cnt          INTEGER NOT NULL DEFAULT 0,
    error_cnt        INTEGER NOT NULL DEFAULT 0,
    status           INTEGER NOT NULL DEFAULT 1,         -- 1 enabled, 0 not
    remark           TEXT NOT NULL DEFAULT '',
    balance_nano_usd INTEGER                             -- exact; NULL before it is known
) STRICT;

-- Tasks: what a user pays for.
CREATE TABLE ts_fal_tasks (
    id                     INTEGER PRIMARY KEY,          -- the order of writing: lists, newest first
    user_id                INTEGER NOT NULL,
    task_id                TEXT NOT NULL,
    online_task_id         TEXT NOT NULL DEFAULT '',     -- fal's id of the newest attempt
    app_name               TEXT NOT NULL DEFAULT '',
    api_key                TEXT NOT NULL DEFAULT '',     -- the id of the key of the newest attempt
    task_type              TEXT NOT NULL DEFAULT '',
    status                 TEXT NOT NULL
        CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'canceled')),
    money                  INTEGER NOT NULL CHECK (money >= 0), -- charged or captured
    cost_money             REAL GENERATED ALWAYS AS
        (coalesce(billed_cost_nano_usd, reported_cost_nano_usd) / 1e9) STORED, -- USD
    is_refund              INTEGER GENERATED ALWAYS AS
        (CASE WHEN refunded_points > 0 OR refunded_cash > 0 THEN 1 ELSE 0 END) STORED,
    input_params           TEXT NOT NULL DEFAULT '',     -- JSON
    output_params          TEXT NOT NULL DEFAULT '',     -- JSON
    created_at             TEXT NOT NULL CHECK (length(created_at) = 26),
    completed_at           TEXT CHECK (length(completed_at) = 26), -- completed, failed or canceled
    charged_points         INTEGER NOT NULL DEFAULT 0 CHECK (charged_points >= 0),
    charged_cash           INTEGER NOT NULL DEFAULT 0 CHECK (charged_cash >= 0),
    refunded_points        INTEGER NOT NULL DEFAULT 0 CHECK (refunded_points >= 0),
    refunded_cash          INTEGER NOT NULL DEFAULT 0 CHECK (refunded_cash >= 0),
    held_points            INTEGER NOT NULL DEFAULT 0 CHECK (held_points >= 0),
    held_cash              INTEGER NOT NULL DEFAULT 0 CHECK (held_cash >= 0),
    authorized_points      INTEGER NOT NULL DEFAULT 0 CHECK (authorized_points >= 0), -- held at first
    authorized_cash        INTEGER NOT NULL DEFAULT 0 CHECK (authorized_cash >= 0),
    hold_state             TEXT CHECK (hold_state IN ('open', 'captured', 'voided', 'expired')), -- NULL: charged at once
    hold_expires_at        TEXT CHECK (length(hold_expires_at) = 26), -- of an open hold
    reported_cost_nano_usd INTEGER CHECK (reported_cost_nano_usd >= 0), -- by the runner
    billed_cost_nano_usd   INTEGER CHECK (billed_cost_nano_usd >= 0),   -- by reconciliation alone
    billable_units         TEXT,                         -- a decimal as fal wrote it
    lease_id               TEXT,                         -- of the newest attempt
    error                  TEXT,                         -- why it failed, or why its hold was voided
    title                  TEXT,                         -- of the entries a capture will write
    deployment_uuid        TEXT NOT NULL DEFAULT '',
    pay_type               INTEGER NOT NULL DEFAULT 0,
    fingerprint            BLOB NOT NULL,                -- of the content it was created with
    settle_fingerprint     BLOB,                         -- of the report that completed or failed it
    charge_seq             INTEGER,                      -- user_seq of the first entry of its charge or capture
    refund_seq             INTEGER,                      -- likewise of its newest refund
    refund_entries         INTEGER,                      -- and how many
    settle_seq             INTEGER,                      -- likewise of completing or failing it
    settle_entries         INTEGER,
    CHECK (money = charged_points + charged_cash),
    CHECK (refunded_points <= charged_points),
    CHECK (refunded_cash <= charged_cash),
    CHECK (held_points <= authorized_points),
    CHECK (held_cash <= authorized_cash),
    CHECK ((hold_state IS 'open') = (hold_expires_at IS NOT NULL)),
    CHECK (hold_state IS 'open' OR (held_points = 0 AND held_cash = 0)),
    CONSTRAINT ts_fal_tasks_task_id UNIQUE (task_id)     -- a task is charged once, ever
) STRICT;
CREATE INDEX ts_fal_tasks_user ON ts_fal_tasks (user_id, id);  -- a user's tasks, newest first; verify
CREATE INDEX ts_fal_tasks_holds ON ts_fal_tasks (hold_expires_at) WHERE hold_state = 'open'; -- the expiry sweep

-- Every attempt of a task: billing matches any of them.
CREATE TABLE scrip_task_attempts (
    user_id        INTEGER NOT NULL,
    task_id        TEXT NOT NULL,
    attempt        INTEGER NOT NULL CHECK (attempt >= 1),
    online_task_id TEXT NOT NULL,
    key_id         TEXT NOT NULL,
    lease_id       TEXT,
    started_at     TEXT NOT NULL CHECK (length(started_at) = 26),
    PRIMARY KEY (user_id, task_id, attempt)
) STRICT, WITHOUT ROWID;
-- Reconciliation looks attempts up by fal's id.
CREATE INDEX scrip_task_attempts_online ON scrip_task_attempts (online_task_id) WHERE online_task_id <> '';

-- Every movement of either purse. Append-only; the chain of hashes tells if it was not.
CREATE TABLE ts_financial_transactions (
    id               INTEGER PRIMARY KEY,
    user_id          INTEGER NOT NULL,
    user_seq         INTEGER NOT NULL CHECK (user_seq >= 1), -- 1, 2, 3 … a user, without a gap
    money            INTEGER NOT NULL CHECK (money <> 0),
    order_id         TEXT NOT NULL DEFAULT '',           -- the task of a charge, capture or refund
    title            TEXT NOT NULL DEFAULT '',
    deployment_uuid  TEXT NOT NULL DEFAULT '',
    "time"           TEXT NOT NULL CHECK (length("time") = 26),
    transaction_type INTEGER NOT NULL CHECK (transaction_type IN (0, 1, 3)),
    pay_type         INTEGER NOT NULL DEFAULT 0,
    is_cash          INTEGER NOT NULL CHECK (is_cash IN (0, 1)),
    operation        TEXT NOT NULL,
    source_type      TEXT NOT NULL,
    balance_before   INTEGER NOT NULL CHECK (balance_before >= 0), -- of the purse
    balance_after    INTEGER NOT NULL CHECK (balance_after >= 0),
    request_id       TEXT,
    actor            TEXT NOT NULL,
    entry_hash       BLOB NOT NULL CHECK (length(entry_hash) = 32),
    UNIQUE (user_id, user_seq),                          -- a chain does not fork
    CHECK (balance_after = balance_before + money)
) STRICT;
-- The cash purse at a past moment: a seek, however long ago cash last moved.
CREATE INDEX ts_financial_transactions_cash ON ts_financial_transactions (user_id, user_seq) WHERE is_cash = 1;

-- Every movement of the points purse, as existing readers know it. Append-only.
CREATE TABLE ts_points_detail (
    id             INTEGER PRIMARY KEY,
    user_id        INTEGER NOT NULL,
    user_seq       INTEGER NOT NULL,                     -- that of its financial row
    points         INTEGER NOT NULL CHECK (points <> 0),
    order_id       TEXT NOT NULL DEFAULT '',
    title          TEXT NOT NULL DEFAULT '',
    source_type    TEXT NOT NULL,
    balance_before INTEGER NOT NULL CHECK (balance_before >= 0),
    balance_after  INTEGER NOT NULL CHECK (balance_after >= 0),
    created_at     TEXT NOT NULL CHECK (length(created_at) = 26),
    request_id     TEXT,
    actor          TEXT NOT NULL,
    UNIQUE (user_id, user_seq),                          -- one twin a financial row
    CHECK (balance_after = balance_before + points)
) STRICT;

-- What each request_id was used for, and what came of it. Append-only.
CREATE TABLE scrip_requests (
    user_id     INTEGER NOT NULL,                        -- 0 where a method has no user
    request_id  TEXT NOT NULL,
    method      TEXT NOT NULL,
    task_id     TEXT,
    fingerprint BLOB NOT NULL,                           -- of its content
    entry_seq   INTEGER,                                 -- user_seq of the first entry it wrote; NULL: moved no money
    entry_count INTEGER,
    late        INTEGER NOT NULL DEFAULT 0 CHECK (late IN (0, 1)), -- CompleteTask came after the end
    refusal     TEXT,                                    -- JSON of a frozen refusal; NULL: it was done
    created_at  TEXT NOT NULL CHECK (length(created_at) = 26),
    PRIMARY KEY (user_id, request_id),
    CHECK ((entry_seq IS NULL) = (entry_count IS NULL)),
    CHECK (refusal IS NULL OR entry_seq IS NULL)
) STRICT, WITHOUT ROWID;

-- One id a committed batch: tells what became of a COMMIT that was never answered.
CREATE TABLE scrip_commits (
    id BLOB PRIMARY KEY CHECK (length(id) = 16)          -- UUID version 7: written and pruned in the order of time
) STRICT, WITHOUT ROWID;

-- What was written of money and of answers stays as it was written.
CREATE TRIGGER ts_financial_transactions_keep BEFORE UPDATE ON ts_financial_transactions
BEGIN SELECT RAISE(ABORT, 'ts_financial_transactions is append-only'); END;
CREATE TRIGGER ts_financial_transactions_stay BEFORE DELETE ON ts_financial_transactions
BEGIN SELECT RAISE(ABORT, 'ts_financial_transactions is append-only'); END;
CREATE TRIGGER ts_points_detail_keep BEFORE UPDATE ON ts_points_detail
BEGIN SELECT RAISE(ABORT, 'ts_points_detail is append-only'); END;
CREATE TRIGGER ts_points_detail_stay BEFORE DELETE ON ts_points_detail
BEGIN SELECT RAISE(ABORT, 'ts_points_detail is append-only'); END;
CREATE TRIGGER scrip_requests_keep BEFORE UPDATE ON scrip_requests
BEGIN SELECT RAISE(ABORT, 'scrip_requests is append-only'); END;
CREATE TRIGGER scrip_requests_stay BEFORE DELETE ON scrip_requests
BEGIN SELECT RAISE(ABORT, 'scrip_requests is append-only'); END;
