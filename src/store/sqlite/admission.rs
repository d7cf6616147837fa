//! Whether a file may be served: asked when it is opened, before anything in it is changed.
//!
//! | phase | refuses |
//! |---|---|
//! | library | a SQLite that can lose writes |
//! | contents | what is no database, another program's, or holds tables that are not scrip's |
//! | schema | one that a newer scrip has changed beyond this binary |
//! | soundness | damage; asked of small files, and of any that an I/O error left in doubt |
//! | durability | a file that takes no writes, or a disk without WAL |
//! | migration | one that is behind, where migrating is not allowed |

use sqlx::Connection;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteConnection;

use super::connection::{APPLICATION_ID, Config, MARK_AS_OURS, check_library, execute, make_durable, scalar};
use super::error::{is_no_database, store_error};
use super::location::{Location, refuse};
use super::sql;
use crate::store::migration::{can_live_with, migrator};
use crate::store::{MigrationReport, StoreError};

/// Up to this size a file is checked at each start: it takes less than a second.
const ALWAYS_CHECKED_BYTES: u64 = 64 << 20;

const DAMAGED: &str =
    "the check at start found damage; restore a backup, or save what can be read with sqlite3's .recover";

/// Numbers, names and texts; append-only.
const MIGRATIONS: [(i32, &str, &str); 6] = [
    (1, "ledger", include_str!("../../../migrations/sqlite/0001_ledger.sql")),
    (2, "keypool", include_str!("../../../migrations/sqlite/0002_keypool.sql")),
    (3, "reconciliation", include_str!("../../../migrations/sqlite/0003_reconciliation.sql")),
    (4, "runs", include_str!("../../../migrations/sqlite/0004_runs.sql")),
    (5, "tokens", include_str!("../../../migrations/sqlite/0005_tokens.sql")),
    (6, "apps", include_str!("../../../migrations/sqlite/0006_apps.sql")),
];

/// Opens the writer's first connection: the file is looked at, checked and, where `migrate` says so, migrated.
pub(super) async fn admit(
    config: &Config,
    migrate: bool,
) -> Result<(SqliteConnection, MigrationReport), StoreError> {
    let location = &config.location;
    location.prepare(migrate)?;
    examine(config, migrate).await.map_err(|error| advise(error, location))
}

async fn examine(config: &Config, migrate: bool) -> Result<(SqliteConnection, MigrationReport), StoreError> {
    let location = &config.location;
    let mut connection = config.connect().await?;
    check_library(&mut connection).await?;
    let stored = versions(&mut connection, location).await?;
    check_versions(&stored, location)?;
    check_soundness(&mut connection, location).await?;
    let pending = MIGRATIONS.iter().any(|(version, ..)| !stored.iter().any(|(found, _)| found == version));
    if pending && !migrate {
        return refuse(format!("{location} is behind this scrip: run `scrip migrate`"));
    }
    make_durable(&mut connection, location).await?;
    // Asked by taking the write lock: a read-only file may well be in WAL mode already.
    execute(&mut connection, "BEGIN IMMEDIATE").await?;
    execute(&mut connection, "ROLLBACK").await?;
    let id: i64 = scalar(&mut connection, "PRAGMA application_id").await?;
    if id != APPLICATION_ID {
        execute(&mut connection, MARK_AS_OURS).await?;
    }
    let report = if pending { apply(&mut connection, location).await? } else { report(&stored, &stored) };
    Ok((connection, report))
}

/// The migrations a file has had; none for an empty file. Refuses what is not ours.
async fn versions(
    connection: &mut SqliteConnection,
    location: &Location,
) -> Result<Vec<(i32, String)>, StoreError> {
    let id: i64 = scalar(connection, "PRAGMA application_id").await?;
    if id != 0 && id != APPLICATION_ID {
        return refuse(format!("{location} is the database of another program: name another file"));
    }
    let tables: Vec<String> = sqlx::query_scalar(sql::TABLES)
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| store_error("reading its tables", error))?;
    // A dump that was read back has lost the id, but not this table.
    if tables.iter().any(|table| table == "scrip_schema") {
        return match stored_versions(connection).await {
            // A table of that name with other columns.
            Err(StoreError::Bug { .. }) => refuse(format!(
                "{location} holds a table scrip_schema that scrip did not create: name another file"
            )),
            versions => versions,
        };
    }
    let foreign: Vec<&str> =
        tables.iter().map(String::as_str).filter(|table| table.starts_with("ts_")).collect();
    if !foreign.is_empty() {
        let names = foreign.join(", ");
        return refuse(format!(
            "{location} already holds tables that scrip did not create ({names}): name another file"
        ));
    }
    if !tables.is_empty() {
        let names = tables.join(", ");
        return refuse(format!("{location} is not scrip's, it holds {names}: name another file"));
    }
    Ok(Vec::new())
}

async fn stored_versions(connection: &mut SqliteConnection) -> Result<Vec<(i32, String)>, StoreError> {
    sqlx::query_as(sql::SCHEMA_VERSIONS)
        .fetch_all(connection)
        .await
        .map_err(|error| store_error("reading scrip_schema", error))
}

fn check_versions(stored: &[(i32, String)], location: &Location) -> Result<(), StoreError> {
    let own = env!("CARGO_PKG_VERSION");
    match stored.iter().find(|(_, oldest)| !can_live_with(oldest)) {
        None => Ok(()),
        Some((version, oldest)) => refuse(format!(
            "{location} was migrated by a newer scrip (migration {version}) and needs scrip {oldest} or later; \
             this is {own}"
        )),
    }
}

async fn check_soundness(connection: &mut SqliteConnection, location: &Location) -> Result<(), StoreError> {
    let in_doubt = location.is_suspect();
    let bytes = std::fs::metadata(location.path()).map_or(0, |found| found.len());
    if !in_doubt && bytes > ALWAYS_CHECKED_BYTES {
        return Ok(());
    }
    let found: String = scalar(connection, "PRAGMA quick_check(1)").await?;
    if found != "ok" {
        return Err(StoreError::Damaged { what: DAMAGED, source: found.into() });
    }
    if in_doubt {
        location.clear_suspect();
    }
    Ok(())
}

/// All pending migrations in one transaction, under the write lock: sqlx's own lock does nothing on SQLite.
async fn apply(
    connection: &mut SqliteConnection,
    location: &Location,
) -> Result<MigrationReport, StoreError> {
    let failed = |error| store_error("migrating", error);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    // Read again under the lock: another process may have migrated meanwhile.
    let before = versions(&mut transaction, location).await?;
    migrator(&MIGRATIONS).run_direct(None, &mut *transaction, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => failed(error),
        MigrateError::VersionMismatch(version) => StoreError::Refused(format!(
            "{location} had another migration {version} than this scrip's: use the binary that made it"
        )),
        other => StoreError::Bug { what: "migrating", source: Box::new(other) },
    })?;
    let after = versions(&mut transaction, location).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(report(&before, &after))
}

fn report(before: &[(i32, String)], after: &[(i32, String)]) -> MigrationReport {
    let numbers =
        |versions: &[(i32, String)]| versions.iter().map(|(version, _)| *version).collect::<Vec<_>>();
    MigrationReport::new(&MIGRATIONS, &numbers(before), &numbers(after))
}

/// What an operator can do about what went wrong at start.
fn advise(error: StoreError, location: &Location) -> StoreError {
    if is_no_database(&error) {
        return StoreError::Refused(format!(
            "{location} is not a SQLite database: name another file, or restore this one from a backup"
        ));
    }
    match error {
        StoreError::ReadOnly { .. } => StoreError::Refused(location.read_only()),
        StoreError::Damaged { source, .. } => StoreError::Damaged { what: DAMAGED, source },
        StoreError::Unavailable { source, .. } => StoreError::Unavailable {
            what: "the file cannot be opened; check its rights, those of its folder, and the disk",
            source,
        },
        StoreError::Conflict { source, .. } => {
            StoreError::Conflict { what: "another process holds the file; stop it or try again", source }
        }
        StoreError::Full { source, .. } => StoreError::Full { what: "make room on its disk", source },
        other => other,
    }
}
