//! The PostgreSQL store, version 14 or newer.
//!
//! Opening, in order:
//!
//! | phase | where | refused here |
//! |---|---|---|
//! | connect | `connect` | no such database, login refused, no TLS where it is due |
//! | who is there | `schema` | a server that is too old |
//! | what it promises | `safety` | one that does not keep what it acknowledges, or takes no writes |
//! | what is there | `schema` | foreign `ts_` tables; a schema that needs a newer scrip |
//! | migrate | `migrate` | a schema that is behind, if migrating was not asked for |
//! | what the role may do | `grants` | one that may not do all that serving takes |
//!
//! Then writes go through a `writer`, each on a connection of its own, and everything else through the `reader`'s
//! pool; what reconciliation keeps and judges is in `reconcile`. All SQL is in `sql/`, one statement a file; a test prepares every one of them.

mod audit;
mod citus;
mod connect;
mod decode;
mod error;
mod grants;
mod keys_decode;
mod keys_read;
mod keys_write;
mod migrate;
mod reader;
mod reconcile;
mod safety;
mod schema;
mod session;
mod time;
mod tokens;
mod write;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection;

use super::reconcile::ReconcileStore;
use super::tokens::TokenStore;
use super::{Reader, Store, StoreError, Writer};
use connect::Target;
use reader::PostgresReader;
use reconcile::PostgresReconcile;
use tokens::PostgresTokens;
use writer::PostgresWriter;

use crate::meter::{Meters, Statements};

pub use migrate::migrate;
pub use safety::Safety;

/// How the store connects.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the sessions are called in `pg_stat_activity`.
    pub application_name: String,
    /// How long a statement may take before its connection is given up.
    pub statement_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How many connections the reader holds at most: more than the engine lets lists read at once.
    pub readers: u32,
    /// Whether to bring the tables up to date; otherwise a database that is behind is refused.
    pub migrate: bool,
    /// Whether [`migrate`](migrate()) also distributes the tables over the workers of a Citus cluster, if they are not yet.
    pub distribute: bool,
    /// Whom it also grants what serving takes.
    pub grant_to: Option<String>,
    /// What it tells of itself, and to whom.
    pub meters: Meters,
    /// What the server must promise.
    pub safety: Safety,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            application_name: "scrip".to_owned(),
            statement_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            readers: 8,
            migrate: false,
            distribute: false,
            grant_to: None,
            meters: Meters::off(),
            safety: Safety::default(),
        }
    }
}

/// A PostgreSQL database, opened, checked and migrated.
pub struct Postgres {
    target: Target,
    reader: Arc<PostgresReader>,
    reconcile: Arc<PostgresReconcile>,
    description: String,
    measured: Statements,
}

/// Where migrations run, if the servers themselves come through a pooler.
const DIRECTLY: &str = " with a database URL that leads to PostgreSQL itself, not to the pooler";

/// Opens the database at `url`.
///
/// # Errors
/// [`StoreError::Refused`] with what to do about it, where the database is not one to serve; otherwise what went wrong.
pub async fn open(url: &str, options: Options) -> Result<Arc<dyn Store>, StoreError> {
    let target = Target::new(url, &options)?;
    let mut connection = target.connect_to_check().await?;
    let server = schema::server(&mut connection, target.limit).await?;
    let place = target.place(&server.database);
    safety::check(&mut connection, target.limit, (options.safety, &place)).await?;
    let target = target.distributed(server.distributed)?;
    if options.migrate && target.pooled.is_none() {
        migrate::run(&mut connection, target.limit).await?;
    } else if !schema::applied(&mut connection, target.limit).await?.is_complete() {
        return Err(StoreError::Refused(format!(
            "the database at {} has not been migrated to this release: run `scrip migrate`{}",
            place,
            if target.pooled.is_some() { DIRECTLY } else { "" }
        )));
    }
    if options.safety != Safety::NotAsked {
        grants::check(&mut connection, target.limit, &place).await?;
    }
    #[cfg(feature = "mutants")]
    if crate::mutants::on(crate::mutants::Mutant::NoUniqueTask) {
        let drop = "ALTER TABLE ts_fal_tasks DROP CONSTRAINT IF EXISTS ts_fal_tasks_task_id";
        sqlx::query(drop).execute(&mut connection).await.ok();
    }
    // The checks are done: how the connection ends is of no account.
    connection.close().await.ok();
    let among = if target.distributed { ", distributed by Citus" } else { "" };
    let description = format!("PostgreSQL {} at {place}{among}", server.version);
    let reader = Arc::new(PostgresReader::new(target.clone(), options.readers, &options.meters));
    let reconcile = Arc::new(PostgresReconcile::new(target.clone(), Arc::clone(&reader)));
    let measured = options.meters.database().statements("postgresql");
    Ok(Arc::new(Postgres { target, reader, reconcile, description, measured }))
}

impl Store for Postgres {
    fn writer(&self) -> Box<dyn Writer> {
        Box::new(PostgresWriter::new(self.target.clone(), self.measured.clone()))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }

    fn reconcile(&self) -> Option<Arc<dyn ReconcileStore>> {
        Some(Arc::clone(&self.reconcile) as Arc<dyn ReconcileStore>)
    }

    fn tokens(&self) -> Option<Arc<dyn TokenStore>> {
        Some(Arc::new(PostgresTokens { target: self.target.clone(), reader: Arc::clone(&self.reader) }))
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}
