//! Citus, the distributed PostgreSQL: everything a user owns is on the worker that has the user, all else on every node.
//!
//! The service talks to the coordinator as to any PostgreSQL, with nearly the same SQL. What differs is here: how the
//! tables are distributed, how a session is set, and the few statements that Citus takes in another form alone. A database
//! is known to be distributed by an index that only `distribute.sql` makes.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use super::super::StoreError;
use super::connect::Target;
use super::error::within;
use super::session;

/// A statement in the form that one PostgreSQL takes, and in the form that Citus takes.
pub(super) struct Forms {
    pub(super) direct: &'static str,
    pub(super) citus: &'static str,
}

/// Locks the users of a batch.
pub(super) const LOCK_USERS: Forms =
    Forms { direct: include_str!("sql/writer_lock_users.sql"), citus: include_str!("citus/lock_users.sql") };
/// Reads the tasks of a batch.
pub(super) const READ_TASKS: Forms =
    Forms { direct: include_str!("sql/writer_read_tasks.sql"), citus: include_str!("citus/read_tasks.sql") };
/// Locks the users of a chunk of costs.
pub(super) const LOCK_USERS_OF_COSTS: Forms = Forms {
    direct: include_str!("reconcile/sql/lock_users.sql"),
    citus: include_str!("citus/lock_users_of_costs.sql"),
};
/// Writes a chunk of costs.
pub(super) const WRITE_COSTS: Forms = Forms {
    direct: include_str!("reconcile/sql/write_costs.sql"),
    citus: include_str!("citus/write_costs.sql"),
};

impl Target {
    /// A statement in the form that this database takes.
    pub(super) fn form(&self, forms: &Forms) -> &'static str {
        if self.distributed { forms.citus } else { forms.direct }
    }

    /// Takes note of whether the database is distributed.
    pub(super) fn distributed(mut self, is_distributed: bool) -> Result<Self, StoreError> {
        if is_distributed && self.pooled.is_some() {
            return Err(StoreError::Refused(
                "a distributed database is not served through a pooler in transaction mode: give the coordinator's \
                 own address, without pgbouncer=true"
                    .to_owned(),
            ));
        }
        self.distributed = is_distributed;
        Ok(self)
    }
}

/// Sets a session on a coordinator.
pub(super) async fn set(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("citus/session.sql")).execute(connection).await.map(drop)
}

/// Distributes the tables of a migrated database, empty or not. Its caller has the migrator's lock.
pub(super) async fn distribute(connection: &mut PgConnection, limit: Duration) -> Result<(), StoreError> {
    const WHAT: &str = "distributing the tables";
    let ask = async |connection: &mut PgConnection, text: &'static str| {
        let answer = session::row(connection, limit, sqlx::query(text)).await;
        answer.map_err(|trouble| trouble.store_error(WHAT))
    };
    let unreadable = |error: sqlx::Error| super::error::store_error(WHAT, error);
    let installed = ask(connection, include_str!("citus/installed.sql")).await?;
    let workers = match installed.try_get("installed").map_err(unreadable)? {
        true => {
            ask(connection, include_str!("citus/nodes.sql")).await?.try_get("workers").map_err(unreadable)?
        }
        false => 0_i64,
    };
    if workers == 0 {
        return Err(StoreError::Refused(
            "this database is not the coordinator of a Citus cluster with workers: CREATE EXTENSION citus in the \
             database of this name on every node, then SELECT citus_set_coordinator_host('HOST', PORT) and \
             citus_add_node('HOST', PORT) for each worker here"
                .to_owned(),
        ));
    }
    let script = concat!("BEGIN;\n", include_str!("citus/distribute.sql"), "COMMIT");
    // As long as it takes: rows that are there are copied to their workers.
    let done = within(Duration::MAX, sqlx::raw_sql(script).execute(connection)).await;
    done.map(drop).map_err(|trouble| trouble.store_error(WHAT))
}
