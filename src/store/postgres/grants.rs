//! What the role that serves may do with each table: granted by `scrip migrate --grant-to`, and asked before a service
//! begins. It can change no row of a ledger, an idempotency record or the audit log, nor delete one, whatever goes wrong in
//! it; and only migrations say which schema this is.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::super::StoreError;
use super::error::{store_error, within};
use super::session;

/// Each table with the rights that serving takes, as GRANT has them.
const RIGHTS: [(&str, &str); 22] = [
    ("ts_users", "SELECT, INSERT, UPDATE"),
    ("ts_fal_tasks", "SELECT, INSERT, UPDATE"),
    ("ts_fal_account", "SELECT, INSERT, UPDATE"),
    ("ts_financial_transactions", "SELECT, INSERT"),
    ("ts_points_detail", "SELECT, INSERT"),
    ("scrip_requests", "SELECT, INSERT"),
    ("scrip_task_attempts", "SELECT, INSERT"),
    ("scrip_audit_log", "SELECT, INSERT"),
    // Batch ids that nobody asks for any more are forgotten.
    ("scrip_commits", "SELECT, INSERT, DELETE"),
    ("scrip_workspaces", "SELECT, INSERT, UPDATE"),
    ("scrip_account_keys", "SELECT, INSERT, UPDATE"),
    ("scrip_leases", "SELECT, INSERT, UPDATE"),
    ("scrip_reconciliations", "SELECT, INSERT, UPDATE"),
    ("scrip_reconciliation_fetches", "SELECT, INSERT, UPDATE"),
    // The evidence itself stays as it came: only where it was last seen is noted.
    ("scrip_billing_events", "SELECT, INSERT, UPDATE (account_id, pass, page)"),
    // What a run found goes when it judges anew.
    ("scrip_findings", "SELECT, INSERT, DELETE"),
    ("scrip_reconciliation_rows", "SELECT, INSERT, DELETE"),
    ("scrip_reconciliation_costs", "SELECT, INSERT, UPDATE (applied_at), DELETE"),
    ("scrip_leader_leases", "SELECT, INSERT, UPDATE, DELETE"),
    ("scrip_tokens", "SELECT, INSERT, UPDATE"),
    ("scrip_schema", "SELECT"),
    ("scrip_migrations", "SELECT"),
];

/// Numbers for new accounts are drawn before their rows are written.
const ACCOUNT_IDS: &str = "ts_fal_account_id_seq";

/// The words of the rights to a table, and whether each is to some of its columns alone.
fn rights(of: &'static str) -> impl Iterator<Item = (&'static str, bool)> {
    // Columns are separated as rights are; none is called as a right is.
    of.split(", ").filter_map(|right| {
        let (word, is_of_columns) = right.split_once(' ').map_or((right, false), |(word, _)| (word, true));
        ["SELECT", "INSERT", "UPDATE", "DELETE"].contains(&word).then_some((word, is_of_columns))
    })
}

/// Grants them to a role, all or none, and takes back what else it had. The connection is that of the tables' owner, and has
/// the migrator's lock: of another owner PostgreSQL says no more than a warning, so what came of it is asked for.
pub(super) async fn grant(
    connection: &mut PgConnection,
    limit: Duration,
    role: &str,
) -> Result<(), StoreError> {
    const WHAT: &str = "granting the serving role what it needs";
    if ["", "public", "none"].contains(&role) {
        return Err(StoreError::Refused(format!(
            "{role:?} is no role of its own: name the one that serves (deploy/postgres/roles.sql makes scrip_service)"
        )));
    }
    let quoted = format!("\"{}\"", role.replace('"', "\"\""));
    let of_table = |(table, rights): &(&str, &str)| {
        format!("REVOKE ALL ON {table} FROM {quoted};\nGRANT {rights} ON {table} TO {quoted};\n")
    };
    let mut script: String = RIGHTS.iter().map(of_table).collect();
    script.push_str(&format!("GRANT USAGE ON SEQUENCE {ACCOUNT_IDS} TO {quoted};"));
    let granted = async {
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *transaction).await?;
        transaction.commit().await
    };
    let no_owner = || {
        let words = "this role does not own the tables, and can grant nothing: run `scrip migrate --grant-to ROLE` with \
                     the role that does";
        StoreError::Refused(words.to_owned())
    };
    within(limit, granted).await.map_err(|trouble| match trouble.store_error(WHAT) {
        StoreError::Refused(_) => no_owner(),
        StoreError::Bug { source, .. } if is_unknown_role(&*source) => {
            StoreError::Refused(format!("there is no role {quoted}: deploy/postgres/roles.sql makes it"))
        }
        other => other,
    })?;
    let Lacking { missing, closed_schema, .. } = lacking(connection, limit, Some(role)).await?;
    match closed_schema {
        _ if !missing.is_empty() => Err(no_owner()),
        Some(schema) => Err(StoreError::Refused(format!(
            "the role {quoted} has its rights to the tables now, and may not enter their schema: GRANT USAGE ON SCHEMA \
             {schema} TO {quoted}, as deploy/postgres/roles.sql does"
        ))),
        None => Ok(()),
    }
}

fn is_unknown_role(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error)
        .is_some_and(|answer| answer.code().as_deref() == Some("42704"))
}

/// Refuses to serve as a role that may not do all of it; `place` names the database.
pub(super) async fn check(
    connection: &mut PgConnection,
    limit: Duration,
    place: &str,
) -> Result<(), StoreError> {
    let Lacking { role, missing, .. } = lacking(connection, limit, None).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let some = missing.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = missing.len().saturating_sub(3);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Err(StoreError::Refused(format!(
        "the database at {place} gives the role {role} too little to serve with, it lacks {some}{more}: run `scrip \
         migrate --grant-to {role}` with the role that owns the tables"
    )))
}

/// What a role lacks.
struct Lacking {
    role: String,
    missing: Vec<String>,
    /// The tables' schema, if it may not enter it.
    closed_schema: Option<String>,
}

/// Of the connection's own role, if none is named.
async fn lacking(
    connection: &mut PgConnection,
    limit: Duration,
    role: Option<&str>,
) -> Result<Lacking, StoreError> {
    const WHAT: &str = "asking what a role may do";
    let (mut tables, mut words, mut of_columns) = (Vec::new(), Vec::new(), Vec::new());
    for (table, of) in RIGHTS {
        for (word, is_of_columns) in rights(of) {
            tables.push(table);
            words.push(word);
            of_columns.push(is_of_columns);
        }
    }
    let asked = sqlx::query(include_str!("sql/missing_grants.sql"))
        .bind(tables)
        .bind(words)
        .bind(of_columns)
        .bind(ACCOUNT_IDS)
        .bind(role);
    let row = session::row(connection, limit, asked).await.map_err(|trouble| trouble.store_error(WHAT))?;
    let read = || {
        Ok(Lacking {
            role: row.try_get("role")?,
            missing: row.try_get("missing")?,
            closed_schema: row.try_get("closed_schema")?,
        })
    };
    read().map_err(|error| store_error(WHAT, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_once_can_be_changed_by_no_one_who_serves() {
        for table in [
            "ts_financial_transactions",
            "ts_points_detail",
            "scrip_requests",
            "scrip_task_attempts",
            "scrip_audit_log",
        ] {
            let (_, of) = RIGHTS.iter().find(|(name, _)| *name == table).unwrap();
            assert_eq!(*of, "SELECT, INSERT", "{table}");
        }
    }

    #[test]
    fn a_right_to_columns_is_asked_for_by_its_word() {
        let words: Vec<_> = rights("SELECT, INSERT, UPDATE (account_id, pass, page), DELETE").collect();
        assert_eq!(words, [("SELECT", false), ("INSERT", false), ("UPDATE", true), ("DELETE", false)]);
    }
}
