//! The statements: each text lives once, in a file of its own under `sql/`.

use std::sync::LazyLock;

use super::super::sql::Bulk;

pub(super) const HOLD: &str = include_str!("sql/hold.sql");
pub(super) const LET_GO: &str = include_str!("sql/let_go.sql");
pub(super) const READ_REQUEST: &str = include_str!("sql/read_request.sql");
pub(super) const INSERT_REQUEST: &str = include_str!("sql/insert_request.sql");
pub(super) const INSERT_RUN: &str = include_str!("sql/insert_run.sql");
pub(super) const RUN: &str = include_str!("sql/run.sql");
pub(super) const LIST_RUNS: &str = include_str!("sql/list_runs.sql");
pub(super) const RUNS_OF: &str = include_str!("sql/runs_of.sql");
pub(super) const UNFINISHED_RUNS: &str = include_str!("sql/unfinished_runs.sql");
pub(super) const END_RUN: &str = include_str!("sql/end_run.sql");
pub(super) const TAKE_UP: &str = include_str!("sql/take_up.sql");
pub(super) const BEGIN_PASS: &str = include_str!("sql/begin_pass.sql");
pub(super) const SET_ASIDE: &str = include_str!("sql/set_aside.sql");
pub(super) const HOLDS: &str = include_str!("sql/holds.sql");
pub(super) const DETAIL: &str = include_str!("sql/detail.sql");
pub(super) const COUNT_TWINS: &str = include_str!("sql/count_twins.sql");
pub(super) const UPDATE_RUN: &str = include_str!("sql/update_run.sql");
pub(super) const FETCHES: &str = include_str!("sql/fetches.sql");
pub(super) const SAVE_FETCH: &str = include_str!("sql/save_fetch.sql");

pub(super) const RESET_RUN: &str = include_str!("sql/reset_run.sql");
pub(super) const CLEAR_FINDINGS: &str = include_str!("sql/clear_findings.sql");
pub(super) const CLEAR_ROWS: &str = include_str!("sql/clear_rows.sql");
pub(super) const CLEAR_COSTS: &str = include_str!("sql/clear_costs.sql");
pub(super) const COUNT_COSTS: &str = include_str!("sql/count_costs.sql");
pub(super) const MARK_COSTS: &str = include_str!("sql/mark_costs.sql");
pub(super) const WRITE_COSTS: &str = include_str!("sql/write_costs.sql");
pub(super) const LOG_COSTS: &str = include_str!("sql/log_costs.sql");
pub(super) const COUNT_APPLIED: &str = include_str!("sql/count_applied.sql");
pub(super) const FINDINGS: &str = include_str!("sql/findings.sql");
pub(super) const ROWS: &str = include_str!("sql/rows.sql");

pub(super) const TEMP_TABLES: &str = include_str!("sql/temp_tables.sql");
pub(super) const SNAPSHOT_EVENTS: &str = include_str!("sql/snapshot_events.sql");
pub(super) const SNAPSHOT_PERIOD: &str = include_str!("sql/snapshot_period.sql");
pub(super) const SNAPSHOT_OTHERS: &str = include_str!("sql/snapshot_others.sql");
pub(super) const SNAPSHOT_TASKS: &str = include_str!("sql/snapshot_tasks.sql");
pub(super) const SNAPSHOT_USER_TASKS: &str = include_str!("sql/snapshot_user_tasks.sql");
pub(super) const SNAPSHOT_QUARTERS: &str = include_str!("sql/snapshot_quarters.sql");
pub(super) const FORGET_QUARTERS: &str = include_str!("sql/forget_quarters.sql");
pub(super) const ACCOUNTS: &str = include_str!("sql/accounts.sql");
pub(super) const READ_EVENTS: &str = include_str!("sql/read_events.sql");
pub(super) const COUNT_UNPRICED: &str = include_str!("sql/count_unpriced.sql");
pub(super) const READ_TASKS: &str = include_str!("sql/read_tasks.sql");
pub(super) const READ_USER_TASKS: &str = include_str!("sql/read_user_tasks.sql");
pub(super) const READ_QUARTERS: &str = include_str!("sql/read_quarters.sql");
pub(super) const ESTIMATE: &str = include_str!("sql/estimate.sql");

pub(super) static INSERT_EVENTS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_events.sql")));
pub(super) static INSERT_FINDINGS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_findings.sql")));
pub(super) static INSERT_ROWS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_rows.sql")));
pub(super) static INSERT_COSTS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_costs.sql")));
