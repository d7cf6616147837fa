//! What a charge takes on disk, table by table and index by index.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};

use crate::postgres;
use crate::stage::{Database, Store};

/// Bytes by table or index. Of PostgreSQL a table's bytes are those of its heap, and of its long values if it has any.
pub async fn of(database: &Database) -> BTreeMap<String, i64> {
    match database.store {
        Store::Postgres => {
            const SIZES: &str = "SELECT relname::text AS name, pg_table_size(oid) AS bytes FROM pg_class \
                WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace";
            let mut connection = postgres::connect(&database.url).await;
            let rows = sqlx::query(SIZES).fetch_all(&mut connection).await.expect("sizes");
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        }
        Store::Sqlite => {
            const SIZES: &str = "SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name";
            let path = database.url.strip_prefix("sqlite://").expect("a file");
            let mut connection = SqliteConnectOptions::new()
                .filename(path)
                .read_only(true)
                .connect()
                .await
                .expect("a connection");
            let rows = sqlx::query(SIZES).fetch_all(&mut connection).await.expect("sizes");
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        }
    }
}

/// The growth a charge, largest first; what did not grow is left out.
pub fn growth(
    before: &BTreeMap<String, i64>,
    after: &BTreeMap<String, i64>,
    charges: u32,
) -> Vec<(String, f64)> {
    let grown = after.iter().map(|(name, bytes)| (name, bytes - before.get(name).copied().unwrap_or(0)));
    let mut grown: Vec<(String, f64)> = grown
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(name, bytes)| (name.clone(), bytes as f64 / f64::from(charges)))
        .collect();
    grown.sort_by(|one, other| other.1.total_cmp(&one.1));
    grown
}
