-- What a run reads is gathered and sorted here once, on disk, and then read page by page.
CREATE TABLE temp.run_events (
    n INTEGER PRIMARY KEY, account_id INTEGER, request_id TEXT, endpoint_id TEXT, billed_at TEXT,
    cost_nano_usd INTEGER, units_nano INTEGER
);
CREATE TABLE temp.run_period (user_id INTEGER, task_id TEXT, PRIMARY KEY (user_id, task_id)) WITHOUT ROWID;
CREATE TABLE temp.run_others (task_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE temp.run_tasks (
    n INTEGER PRIMARY KEY, task_id TEXT, user_id INTEGER, app_name TEXT, attempts TEXT, online_task_id TEXT, key_id TEXT,
    status TEXT, money INTEGER, refunded INTEGER, held INTEGER, reported_cost_nano_usd INTEGER,
    billed_cost_nano_usd INTEGER, created_at TEXT, completed_at TEXT, live_lease INTEGER
);
CREATE TABLE temp.run_user_tasks (user_id INTEGER PRIMARY KEY, points_consumed INTEGER, cash_consumed INTEGER);
CREATE TABLE temp.run_quarters (
    n INTEGER PRIMARY KEY, user_id INTEGER, quarter INTEGER, consumed INTEGER, refunded INTEGER, credited INTEGER
);
