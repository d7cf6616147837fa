-- The billing core: users, tasks, both ledgers, idempotency.
--
-- The five ts_ tables keep the names, columns and meaning that existing readers know; every other column is scrip's.
-- Amounts are points (1 point = 1 fen = 1/100 CNY), upstream costs nano-USD, times UTC in whole microseconds. Floats
-- are derived from exact integers by the database. There are no foreign keys: every writer holds the user's row, and
-- `scrip verify` checks what they would, without their cost on each row.

-- What has been applied, and the oldest scrip that can still work with it: an older one refuses to start.
CREATE TABLE scrip_schema (
    version       integer PRIMARY KEY,              -- the migration's number
    oldest_binary text NOT NULL,                    -- the oldest release that can live with it, such as 0.1.0
    applied_at    timestamptz NOT NULL DEFAULT now()
);
INSERT INTO scrip_schema (version, oldest_binary) VALUES (1, '0.1.0');

-- A user's purses. The row lock is the guard of everything the user owns.
CREATE TABLE ts_users (
    id             bigint PRIMARY KEY CHECK (id >= 1),   -- given by the caller
    points_balance bigint NOT NULL CHECK (points_balance >= 0),
    cash_balance   bigint NOT NULL CHECK (cash_balance >= 0),
    points_held    bigint NOT NULL CHECK (points_held >= 0),
    cash_held      bigint NOT NULL CHECK (cash_held >= 0),
    entry_seq      bigint NOT NULL CHECK (entry_seq >= 0), -- user_seq of the newest entry, 0 before the first
    chain_hash     bytea NOT NULL CHECK (length(chain_hash) = 32), -- its hash
    last_entry_at  timestamptz NOT NULL,                 -- its time: the next one is never earlier
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,                 -- last change of a balance or hold
    CHECK (points_held <= points_balance),
    CHECK (cash_held <= cash_balance)
) WITH (fillfactor = 70);                                -- room for HOT updates: no index covers what changes
CREATE INDEX ts_users_newest ON ts_users (created_at, id); -- ListUsers, newest first

-- fal accounts. The key pool adds its own columns.
CREATE TABLE ts_fal_account (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             varchar(100) NOT NULL,
    api_key          varchar(150) NOT NULL UNIQUE,       -- the key's id; the secret is never here
    balance          double precision GENERATED ALWAYS AS (balance_nano_usd::double precision / 1e9) STORED, -- USD
    use_cnt          bigint NOT NULL DEFAULT 0,
    error_cnt        bigint NOT NULL DEFAULT 0,
    status           integer NOT NULL DEFAULT 1,         -- 1 enabled, 0 not
    remark           text NOT NULL DEFAULT '',
    balance_nano_usd bigint                              -- exact; NULL before it is known
);

-- Tasks: what a user pays for.
CREATE TABLE ts_fal_tasks (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of writing: lists, newest first
    user_id                bigint NOT NULL,
    task_id                varchar(100) NOT NULL,
    online_task_id         varchar(100) NOT NULL DEFAULT '', -- fal's id of the newest attempt
    app_name               varchar(150) NOT NULL DEFAULT '',
    api_key                varchar(150) NOT NULL DEFAULT '', -- the id of the key of the newest attempt
    task_type              varchar(100) NOT NULL DEFAULT '',
    status                 varchar(100) NOT NULL
        CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'canceled')),
    money                  bigint NOT NULL CHECK (money >= 0), -- charged or captured
    cost_money             double precision GENERATED ALWAYS AS
        (coalesce(billed_cost_nano_usd, reported_cost_nano_usd)::double precision / 1e9) STORED, -- USD
    is_refund              integer GENERATED ALWAYS AS
        (CASE WHEN refunded_points > 0 OR refunded_cash > 0 THEN 1 ELSE 0 END) STORED,
    input_params           text NOT NULL DEFAULT '',     -- JSON
    output_params          text NOT NULL DEFAULT '',     -- JSON
    created_at             timestamptz NOT NULL,
    completed_at           timestamptz,                  -- completed, failed or canceled
    charged_points         bigint NOT NULL DEFAULT 0 CHECK (charged_points >= 0),
    charged_cash           bigint NOT NULL DEFAULT 0 CHECK (charged_cash >= 0),
    refunded_points        bigint NOT NULL DEFAULT 0 CHECK (refunded_points >= 0),
    refunded_cash          bigint NOT NULL DEFAULT 0 CHECK (refunded_cash >= 0),
    held_points            bigint NOT NULL DEFAULT 0 CHECK (held_points >= 0),
    held_cash              bigint NOT NULL DEFAULT 0 CHECK (held_cash >= 0),
    authorized_points      bigint NOT NULL DEFAULT 0 CHECK (authorized_points >= 0), -- held at first
    authorized_cash        bigint NOT NULL DEFAULT 0 CHECK (authorized_cash >= 0),
    hold_state             text CHECK (hold_state IN ('open', 'captured', 'voided', 'expired')), -- NULL: charged at once
    hold_expires_at        timestamptz,                  -- of an open hold
    reported_cost_nano_usd bigint CHECK (reported_cost_nano_usd >= 0), -- by the runner
    billed_cost_nano_usd   bigint CHECK (billed_cost_nano_usd >= 0),   -- by reconciliation alone
    billable_units         text,                         -- a decimal as fal wrote it
    lease_id               text,                         -- of the newest attempt
    error                  text,                         -- why it failed, or why its hold was voided
    title                  text,                         -- of the entries a capture will write
    deployment_uuid        varchar(255) NOT NULL DEFAULT '',
    pay_type               integer NOT NULL DEFAULT 0,
    fingerprint            bytea NOT NULL,               -- of the content it was created with
    settle_fingerprint     bytea,                        -- of the report that completed or failed it
    charge_seq             bigint,                       -- user_seq of the first entry of its charge or capture
    refund_seq             bigint,                       -- likewise of its newest refund
    refund_entries         smallint,                     -- and how many
    settle_seq             bigint,                       -- likewise of completing or failing it
    settle_entries         smallint,
    CHECK (money = charged_points + charged_cash),
    CHECK (refunded_points <= charged_points),
    CHECK (refunded_cash <= charged_cash),
    CHECK (held_points <= authorized_points),
    CHECK (held_cash <= authorized_cash),
    CHECK ((hold_state IS NOT DISTINCT FROM 'open') = (hold_expires_at IS NOT NULL)),
    CHECK (hold_state IS NOT DISTINCT FROM 'open' OR (held_points = 0 AND held_cash = 0)),
    CONSTRAINT ts_fal_tasks_task_id UNIQUE (task_id)     -- a task is charged once, ever
) WITH (fillfactor = 85);
CREATE INDEX ts_fal_tasks_user ON ts_fal_tasks (user_id, id);  -- a user's tasks, newest first; verify
CREATE INDEX ts_fal_tasks_holds ON ts_fal_tasks (hold_expires_at) WHERE hold_state = 'open'; -- the expiry sweep

-- Every attempt of a task: billing matches any of them.
CREATE TABLE scrip_task_attempts (
    user_id        bigint NOT NULL,
    task_id        varchar(100) NOT NULL,
    attempt        integer NOT NULL CHECK (attempt >= 1),
    online_task_id varchar(100) NOT NULL,
    key_id         varchar(150) NOT NULL,
    lease_id       text,
    started_at     timestamptz NOT NULL,
    PRIMARY KEY (user_id, task_id, attempt)
);
-- Reconciliation looks attempts up by fal's id.
CREATE INDEX scrip_task_attempts_online ON scrip_task_attempts (online_task_id) WHERE online_task_id <> '';

-- Every movement of either purse. Append-only; the chain of hashes tells if it was not.
CREATE TABLE ts_financial_transactions (
    id               bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT ts_financial_transactions_id UNIQUE,
    user_id          bigint NOT NULL,
    user_seq         bigint NOT NULL CHECK (user_seq >= 1), -- 1, 2, 3 … a user, without a gap
    money            bigint NOT NULL CHECK (money <> 0),
    order_id         varchar(255) NOT NULL DEFAULT '',   -- the task of a charge, capture or refund
    title            varchar(255) NOT NULL DEFAULT '',
    deployment_uuid  varchar(255) NOT NULL DEFAULT '',
    "time"           timestamptz NOT NULL,
    transaction_type integer NOT NULL CHECK (transaction_type IN (0, 1, 3)),
    pay_type         integer NOT NULL DEFAULT 0,
    is_cash          integer NOT NULL CHECK (is_cash IN (0, 1)),
    operation        text NOT NULL,
    source_type      varchar(50) NOT NULL,
    balance_before   bigint NOT NULL CHECK (balance_before >= 0), -- of the purse
    balance_after    bigint NOT NULL CHECK (balance_after >= 0),
    request_id       varchar(255),
    actor            text NOT NULL,
    entry_hash       bytea NOT NULL CHECK (length(entry_hash) = 32),
    PRIMARY KEY (user_id, user_seq),
    CHECK (balance_after = balance_before + money)
);
-- The cash entries among a user's others, which are mostly points: past balances, lists of one purse.
CREATE INDEX ts_financial_transactions_cash ON ts_financial_transactions (user_id, user_seq) WHERE is_cash = 1;

-- Every movement of the points purse, as existing readers know it. Append-only.
CREATE TABLE ts_points_detail (
    id             bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT ts_points_detail_id UNIQUE,
    user_id        bigint NOT NULL,
    user_seq       bigint NOT NULL,                      -- that of its financial row
    points         bigint NOT NULL CHECK (points <> 0),
    order_id       varchar(255) NOT NULL DEFAULT '',
    title          varchar(255) NOT NULL DEFAULT '',
    source_type    varchar(50) NOT NULL,
    balance_before bigint NOT NULL CHECK (balance_before >= 0),
    balance_after  bigint NOT NULL CHECK (balance_after >= 0),
    created_at     timestamptz NOT NULL,
    request_id     varchar(255),
    actor          text NOT NULL,
    PRIMARY KEY (user_id, user_seq),
    CHECK (balance_after = balance_before + points)
);

-- What each request_id was used for, and what came of it. Append-only.
CREATE TABLE scrip_requests (
    user_id     bigint NOT NULL,                         -- 0 where a method has no user
    request_id  varchar(255) NOT NULL,
    method      text NOT NULL,
    task_id     varchar(100),
    fingerprint bytea NOT NULL,                          -- of its content
    entry_seq   bigint,                                  -- user_seq of the first entry it wrote; NULL: moved no money
    entry_count smallint,
    late        boolean NOT NULL DEFAULT false,          -- CompleteTask came after the end
    refusal     text,                                    -- JSON of a frozen refusal; NULL: it was done
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, request_id),
    CHECK ((entry_seq IS NULL) = (entry_count IS NULL)),
    CHECK (refusal IS NULL OR entry_seq IS NULL)
);

-- One id a committed batch: tells what became of a COMMIT that was never answered.
CREATE TABLE scrip_commits (
    id uuid PRIMARY KEY                                  -- version 7: written and pruned in the order of time
);
