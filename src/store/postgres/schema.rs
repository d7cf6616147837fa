//! Whether the database is one this binary can serve: its version, what it holds, and how far it was migrated.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use super::super::StoreError;
use super::super::migration::can_live_with;
use super::error::{Trouble, store_error};
use super::{migrate, session};

/// The oldest PostgreSQL the SQL was written for.
const OLDEST_SERVER: i32 = 140_000;

/// The server, as it introduces itself.
#[derive(Debug)]
pub(super) struct Server {
    /// Such as `15.18`, without the packager's remarks.
    pub(super) version: String,
    /// The database's name.
    pub(super) database: String,
    /// Whether the tables are distributed.
    pub(super) distributed: bool,
}

/// Asks the server who it is and refuses one that is too old.
pub(super) async fn server(connection: &mut PgConnection, limit: Duration) -> Result<Server, StoreError> {
    const WHAT: &str = "reading the server's version";
    let asked = sqlx::query(include_str!("sql/server.sql"));
    let row = session::row(connection, limit, asked).await.map_err(|trouble| trouble.store_error(WHAT))?;
    let read = || -> Result<_, sqlx::Error> {
        let number: i32 = row.try_get("version_number")?;
        let version: String = row.try_get("version")?;
        let database: String = row.try_get("database")?;
        let schema: Option<String> = row.try_get("schema")?;
        let distributed: bool = row.try_get("distributed")?;
        Ok((number, version, database, schema, distributed))
    };
    let (number, version, database, schema, distributed) =
        read().map_err(|error| store_error(WHAT, error))?;
    let version = version.split(' ').next().unwrap_or_default().to_owned();
    if number < OLDEST_SERVER {
        return Err(StoreError::Refused(format!(
            "PostgreSQL {version} is too old: scrip needs version {} or newer",
            OLDEST_SERVER / 10_000
        )));
    }
    if schema.is_none() {
        return Err(StoreError::Refused(format!(
            "no schema of the role's search_path exists in database {database}: create it, or name an existing one \
             (ALTER ROLE … SET search_path = …)"
        )));
    }
    Ok(Server { version, database, distributed })
}

/// How far the database was migrated.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// The numbers of the migrations, ascending; empty before the first.
    pub(super) versions: Vec<i32>,
}

impl Applied {
    /// Whether nothing that this binary brings is missing.
    pub(super) fn is_complete(&self) -> bool {
        migrate::versions().all(|version| self.versions.contains(&version))
    }
}

/// Reads how far the database was migrated; refuses one with foreign `ts_` tables, and one that needs a newer scrip.
pub(super) async fn applied(connection: &mut PgConnection, limit: Duration) -> Result<Applied, StoreError> {
    let tables = tables(connection, limit).await;
    let tables = tables.map_err(|trouble| trouble.store_error("listing the tables"))?;
    if !tables.iter().any(|name| name == "scrip_schema") {
        return if tables.is_empty() { Ok(Applied::default()) } else { Err(foreign(&tables)) };
    }
    let rows = versions(connection, limit).await;
    let rows = rows.map_err(|trouble| match trouble.store_error("reading scrip_schema") {
        // A table of that name with other columns.
        StoreError::Bug { .. } => foreign(&["scrip_schema".to_owned()]),
        error => error,
    })?;
    for (version, oldest_binary) in &rows {
        check_binary(*version, oldest_binary)?;
    }
    Ok(Applied { versions: rows.into_iter().map(|(version, _)| version).collect() })
}

async fn tables(connection: &mut PgConnection, limit: Duration) -> Result<Vec<String>, Trouble> {
    let rows = session::rows(connection, limit, sqlx::query(include_str!("sql/schema_tables.sql"))).await?;
    Ok(rows.iter().map(|row| row.try_get("name")).collect::<Result<_, _>>()?)
}

async fn versions(connection: &mut PgConnection, limit: Duration) -> Result<Vec<(i32, String)>, Trouble> {
    let rows = session::rows(connection, limit, sqlx::query(include_str!("sql/schema_versions.sql"))).await?;
    rows.iter().map(|row| Ok((row.try_get("version")?, row.try_get("oldest_binary")?))).collect()
}

fn foreign(tables: &[String]) -> StoreError {
    StoreError::Refused(format!(
        "this database holds tables that scrip would need to own and did not make: {}. scrip does not write into \
         another program's tables: give it a database or a schema of its own, or move these away",
        tables.join(", ")
    ))
}

fn check_binary(version: i32, oldest_binary: &str) -> Result<(), StoreError> {
    if can_live_with(oldest_binary) {
        return Ok(());
    }
    let this = env!("CARGO_PKG_VERSION");
    Err(StoreError::Refused(format!(
        "the database was migrated to version {version}, which needs scrip {oldest_binary} or newer; this is {this}: \
         start the newer release"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_needs_a_newer_release_says_which() {
        assert!(check_binary(1, "0.0.1").is_ok());
        assert!(check_binary(1, env!("CARGO_PKG_VERSION")).is_ok());
        let error = check_binary(7, "99.1.0").expect_err("newer").to_string();
        assert!(error.contains("99.1.0") && error.contains("version 7"), "{error}");
        assert!(check_binary(7, "soon").is_err(), "what cannot be read is not served");
    }
}
