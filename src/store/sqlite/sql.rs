//! The statements: each text lives once, in a file of its own under `sql/`.

use std::sync::{Arc, LazyLock};

pub(super) const READ_USERS: &str = include_str!("sql/read_users.sql");
pub(super) const READ_TASKS: &str = include_str!("sql/read_tasks.sql");
pub(super) const READ_REQUESTS: &str = include_str!("sql/read_requests.sql");

pub(super) const READ_KEY_FOOTPRINT: &str = include_str!("sql/read_key_footprint.sql");
pub(super) const READ_WORKSPACES: &str = include_str!("sql/read_workspaces.sql");
pub(super) const READ_ACCOUNTS: &str = include_str!("sql/read_accounts.sql");
pub(super) const READ_LEASES: &str = include_str!("sql/read_leases.sql");
pub(super) const READ_ACCOUNT_KEYS: &str = include_str!("sql/read_account_keys.sql");
pub(super) const READ_KEY_OWNERS: &str = include_str!("sql/read_key_owners.sql");
pub(super) const LAST_ACCOUNT: &str = include_str!("sql/last_account.sql");

pub(super) const INSERT_COMMIT: &str = include_str!("sql/insert_commit.sql");
pub(super) const PRUNE_COMMITS: &str = include_str!("sql/prune_commits.sql");

pub(super) const TASK_OWNERS: &str = include_str!("sql/task_owners.sql");
pub(super) const READ_ENTRIES: &str = include_str!("sql/read_entries.sql");
pub(super) const SEQ_AT: &str = include_str!("sql/seq_at.sql");
pub(super) const BALANCE_AT_SEQ: &str = include_str!("sql/balance_at_seq.sql");
pub(super) const LIST_ENTRIES: &str = include_str!("sql/list_entries.sql");
pub(super) const LIST_POINTS: &str = include_str!("sql/list_points.sql");
pub(super) const LIST_FINANCIAL: &str = include_str!("sql/list_financial.sql");
pub(super) const LIST_USERS: &str = include_str!("sql/list_users.sql");
pub(super) const TASK: &str = include_str!("sql/task.sql");
pub(super) const LIST_TASKS: &str = include_str!("sql/list_tasks.sql");
pub(super) const LIST_USER_TASKS: &str = include_str!("sql/list_user_tasks.sql");
pub(super) const DUE_HOLDS: &str = include_str!("sql/due_holds.sql");
pub(super) const FIGURES: &str = include_str!("sql/figures.sql");
pub(super) const STUCK_TASKS: &str = include_str!("sql/stuck_tasks.sql");

pub(super) const POOL_WORKSPACES: &str = include_str!("sql/pool_workspaces.sql");
pub(super) const POOL_ACCOUNTS: &str = include_str!("sql/pool_accounts.sql");
pub(super) const POOL_USAGE: &str = include_str!("sql/pool_usage.sql");
pub(super) const ACCOUNTS: &str = include_str!("sql/accounts.sql");
pub(super) const LIST_ACCOUNTS: &str = include_str!("sql/list_accounts.sql");
pub(super) const LEASES: &str = include_str!("sql/leases.sql");
pub(super) const DUE_LEASES: &str = include_str!("sql/due_leases.sql");
pub(super) const SEALED_KEYS: &str = include_str!("sql/sealed_keys.sql");
pub(super) const AUDIT_LOG: &str = include_str!("sql/audit_log.sql");
pub(super) const ACCOUNT_AUDIT_LOG: &str = include_str!("sql/account_audit_log.sql");

pub(super) const AUDIT_ESTIMATE: &str = include_str!("sql/audit_estimate.sql");
pub(super) const AUDIT_USERS: &str = include_str!("sql/audit_users.sql");
pub(super) const AUDIT_ENTRIES: &str = include_str!("sql/audit_entries.sql");
pub(super) const AUDIT_ORPHAN_POINTS: &str = include_str!("sql/audit_orphan_points.sql");
pub(super) const AUDIT_TASKS: &str = include_str!("sql/audit_tasks.sql");
pub(super) const AUDIT_REQUESTS: &str = include_str!("sql/audit_requests.sql");
pub(super) const AUDIT_LEASES: &str = include_str!("sql/audit_leases.sql");

pub(super) const TOKENS_LIVE: &str = include_str!("sql/tokens_live.sql");
pub(super) const TOKENS_ANY: &str = include_str!("sql/tokens_any.sql");
pub(super) const TOKENS_LIST: &str = include_str!("sql/tokens_list.sql");
pub(super) const TOKENS_END: &str = include_str!("sql/tokens_end.sql");
pub(super) const TOKENS_PLACES: &str = include_str!("sql/tokens_places.sql");
pub(super) const TOKENS_INSERT: &str = include_str!("sql/tokens_insert.sql");
pub(super) const TOKENS_REVOKE: &str = include_str!("sql/tokens_revoke.sql");
pub(super) const TOKENS_LOG: &str = include_str!("sql/tokens_log.sql");

pub(super) const TABLES: &str = include_str!("sql/tables.sql");
pub(super) const SCHEMA_VERSIONS: &str = include_str!("sql/schema_versions.sql");

pub(super) static INSERT_USERS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_users.sql")));
pub(super) static UPDATE_USERS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/update_users.sql")));
pub(super) static INSERT_TASKS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_tasks.sql")));
pub(super) static UPDATE_TASKS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/update_tasks.sql")));
pub(super) static INSERT_ATTEMPTS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_attempts.sql")));
pub(super) static INSERT_FINANCIAL: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_financial.sql")));
pub(super) static INSERT_POINTS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_points.sql")));
pub(super) static INSERT_REQUESTS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_requests.sql")));
pub(super) static INSERT_WORKSPACES: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_workspaces.sql")));
pub(super) static UPDATE_WORKSPACES: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/update_workspaces.sql")));
pub(super) static INSERT_ACCOUNTS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_accounts.sql")));
pub(super) static UPDATE_ACCOUNTS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/update_accounts.sql")));
pub(super) static UPDATE_BALANCES: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/update_balances.sql")));
pub(super) static INSERT_ACCOUNT_KEYS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_account_keys.sql")));
pub(super) static UPDATE_ACCOUNT_KEYS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/update_account_keys.sql")));
pub(super) static RESEAL_ACCOUNT_KEYS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/reseal_account_keys.sql")));
pub(super) static UPDATE_LEASES: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/update_leases.sql")));
pub(super) static INSERT_LEASES: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_leases.sql")));
pub(super) static INSERT_AUDIT_LOG: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::of(include_str!("sql/insert_audit_log.sql")));

/// How many rows one statement writes, widest first. Few widths, so that each stays prepared.
const WIDTHS: [usize; 4] = [256, 32, 4, 1];

/// A statement that writes rows, as its file spells it for one row and widened to more.
pub(super) struct Bulk {
    widths: [(usize, Arc<str>); WIDTHS.len()],
}

impl Bulk {
    /// Widens a text that holds one row: `VALUES (?, …)`.
    pub(super) fn of(text: &'static str) -> Self {
        Self { widths: WIDTHS.map(|width| (width, widened(text, width))) }
    }

    /// The widest statement that `rows` rows fill, and its width.
    pub(super) fn widest(&self, rows: usize) -> (usize, Arc<str>) {
        let [.., one] = &self.widths;
        let (width, text) = self.widths.iter().find(|(width, _)| *width <= rows).unwrap_or(one);
        (*width, Arc::clone(text))
    }
}

fn widened(text: &str, width: usize) -> Arc<str> {
    const START: &str = "VALUES ";
    let (head, rest) = text.split_once(START).unwrap_or((text, ""));
    let (row, tail) = rest.split_once(')').unwrap_or((rest, ""));
    let rows = vec![format!("{row})"); width].join(", ");
    Arc::from(format!("{head}{START}{rows}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_widened_where_its_row_stands() {
        assert_eq!(
            &*widened("WITH v AS (VALUES (?, ?)) UPDATE (x)", 1),
            "WITH v AS (VALUES (?, ?)) UPDATE (x)"
        );
        assert_eq!(
            &*widened("WITH v AS (VALUES (?, ?)) UPDATE (x)", 2),
            "WITH v AS (VALUES (?, ?), (?, ?)) UPDATE (x)"
        );
    }

    #[test]
    fn rows_are_written_by_the_widest_statement_they_fill() {
        let bulk = Bulk::of("INSERT INTO t VALUES (?)");
        let mut left = 500;
        let mut statements = 0;
        while left > 0 {
            left -= bulk.widest(left).0;
            statements += 1;
        }
        assert_eq!(statements, 1 + 7 + 5);
    }
}
