//! Migrations: brings the tables to what this binary expects, once, however many replicas start at the same moment.
//!
//! 1. take the migrator's advisory lock: a second replica waits here
//! 2. look what is there; refuse foreign tables and what needs a newer scrip
//! 3. apply what is missing, each migration in a transaction of its own
//! 4. look again, and let go of the lock
//!
//! A database that lacks nothing is not written to, so a role without the right to create tables can serve it.

use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError};
use sqlx::{Connection, PgConnection};

use super::super::migration::migrator;
use super::super::{MigrationReport, StoreError};
use super::connect::Target;
use super::error::store_error;
use super::schema::{self, Applied};
use super::{DIRECTLY, Options, citus, grants};

/// Number, name and SQL of each migration, ascending. Append-only, in step with those of SQLite.
const MIGRATIONS: [(i32, &str, &str); 6] = [
    (1, "ledger", include_str!("../../../migrations/postgres/0001_ledger.sql")),
    (2, "keypool", include_str!("../../../migrations/postgres/0002_keypool.sql")),
    (3, "reconciliation", include_str!("../../../migrations/postgres/0003_reconciliation.sql")),
    (4, "runs", include_str!("../../../migrations/postgres/0004_runs.sql")),
    (5, "tokens", include_str!("../../../migrations/postgres/0005_tokens.sql")),
    (6, "apps", include_str!("../../../migrations/postgres/0006_apps.sql")),
];

/// Brings the database at `url` to what this binary expects.
///
/// # Errors
/// [`StoreError::Refused`] for a database that is not scrip's or too new; otherwise what went wrong.
pub async fn migrate(url: &str, options: &Options) -> Result<MigrationReport, StoreError> {
    let target = Target::new(url, options)?;
    if target.pooled.is_some() {
        return Err(StoreError::Refused(format!(
            "no migration runs through a pooler, which keeps no lock from one transaction to the next: run it{DIRECTLY}"
        )));
    }
    let mut connection = target.connect_to_check().await?;
    let server = schema::server(&mut connection, target.limit).await?;
    let report = run(&mut connection, target.limit).await?;
    if options.distribute && !server.distributed {
        distribute(&mut connection, target.limit).await?;
    }
    if let Some(role) = &options.grant_to {
        // Two that grant at once are in each other's way.
        connection.lock().await.map_err(migration_error)?;
        grants::grant(&mut connection, target.limit, role).await?;
        connection.unlock().await.map_err(migration_error)?;
    }
    // Nothing is left to be said: a server that is gone by now has done its part.
    connection.close().await.ok();
    Ok(report)
}

/// Distributes the tables, unless another one did while this one waited for the lock.
async fn distribute(connection: &mut PgConnection, limit: Duration) -> Result<(), StoreError> {
    connection.lock().await.map_err(migration_error)?;
    if !schema::server(connection, limit).await?.distributed {
        citus::distribute(connection, limit).await?;
    }
    connection.unlock().await.map_err(migration_error)
}

/// The numbers of this binary's migrations.
pub(super) fn versions() -> impl Iterator<Item = i32> {
    MIGRATIONS.iter().map(|(version, _, _)| *version)
}

/// Applies what is missing. After a failure the caller drops the connection, and the lock with it. `limit` is for the
/// looking; waiting for the lock and migrating take as long as they take.
pub(super) async fn run(
    connection: &mut PgConnection,
    limit: Duration,
) -> Result<MigrationReport, StoreError> {
    let before = schema::applied(connection, limit).await?;
    if before.is_complete() {
        return Ok(report(&before, &before));
    }
    connection.lock().await.map_err(migration_error)?;
    // While waiting for the lock another replica may have done it all.
    let before = schema::applied(connection, limit).await?;
    if !before.is_complete() {
        migrator(&MIGRATIONS).run_direct(None, connection, false).await.map_err(migration_error)?;
    }
    let after = schema::applied(connection, limit).await?;
    connection.unlock().await.map_err(migration_error)?;
    Ok(report(&before, &after))
}

fn report(before: &Applied, after: &Applied) -> MigrationReport {
    MigrationReport::new(&MIGRATIONS, &before.versions, &after.versions)
}

fn migration_error(error: MigrateError) -> StoreError {
    const WHAT: &str = "migrating";
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => match store_error(WHAT, error)
        {
            StoreError::Refused(_) => StoreError::Refused(
                "the database role may not create tables: run `scrip migrate --grant-to ROLE` with a role that may, \
                 then serve with this one as that ROLE"
                    .to_owned(),
            ),
            other => other,
        },
        MigrateError::VersionMismatch(version) => StoreError::Refused(format!(
            "migration {version} was applied in another form than this release's: the database belongs to another \
             build of scrip"
        )),
        other => StoreError::Bug { what: WHAT, source: Box::new(other) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_file_is_listed_under_its_number_and_name() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .expect("the migrations")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a printable name"))
            .collect();
        files.sort();
        let listed: Vec<String> =
            MIGRATIONS.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql")).collect();
        assert_eq!(files, listed);
        let numbers: Vec<i32> = versions().collect();
        assert!(numbers.iter().zip(1..).all(|(number, expected)| *number == expected), "{numbers:?}");
    }
}
