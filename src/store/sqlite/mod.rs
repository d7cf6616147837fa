//! The SQLite store: one file, one writer a process, readers beside it.
//!
//! | phase | where |
//! |---|---|
//! | find the file, make it if it is new | `location` |
//! | examine it, refuse what is not ours or not sound, migrate it | `admission` |
//! | write batches: BEGIN IMMEDIATE, read, decide, write, COMMIT with an fsync | `writer`, `plan` |
//! | move the log into the file while the writer goes on | `mover` |
//! | answer what changes nothing, from read-only connections | `reader`, `audit` |
//! | runs of reconciliation: their rows through the writer, their evidence from a snapshot | `reconcile` |
//!
//! Several processes may share the file (a command beside the server): each waits for the write lock of the other.

mod admission;
mod audit;
mod connection;
mod error;
mod keys;
mod keys_rows;
mod location;
mod mover;
mod plan;
mod reader;
mod reconcile;
mod rows;
mod sql;
mod time;
mod tokens;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::sync::Mutex;

use self::connection::Config;
use self::location::Location;
use self::mover::Mover;
use self::reader::PoolReader;
use self::reconcile::SqliteReconcile;
use self::tokens::SqliteTokens;
use self::writer::{Session, SharedWriter};
use super::reconcile::ReconcileStore;
use super::tokens::TokenStore;
use super::{MigrationReport, Reader, Store, StoreError, Writer};
use crate::clock::Clock;
use crate::meter::{Meters, Pool};

/// A read that finds no free connection for so long is refused, not queued without end.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Gives a batch its `now`.
    pub clock: Arc<dyn Clock>,
    /// Connections that read: more than the engine lets lists read at once.
    pub readers: u32,
    /// How long to wait for another process's write lock.
    pub busy_timeout: Duration,
    /// Page cache of the writer in KiB; each reader has a quarter of it.
    pub cache_kib: u32,
    /// Pages in the log, and not yet in the file, that are moved while the writer goes on.
    pub move_pages: u32,
    /// Pages in the log after which a commit moves what is left of them into the file.
    pub wal_autocheckpoint: u32,
    /// The most pages of 4 KiB the file may grow to; `None` for what the disk holds.
    pub max_pages: Option<u32>,
    /// Whether to create the file and bring its tables up to date.
    pub migrate: bool,
    /// What it tells of itself, and to whom.
    pub meters: Meters,
}

impl Options {
    /// The defaults, with this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            readers: 8,
            busy_timeout: Duration::from_secs(5),
            cache_kib: 32 << 10,
            move_pages: 20_000,
            wal_autocheckpoint: 80_000,
            max_pages: None,
            migrate: true,
            meters: Meters::off(),
        }
    }
}

/// A database file, opened, checked and migrated.
pub struct Sqlite {
    location: Location,
    session: Arc<Mutex<Session>>,
    reader: Arc<PoolReader>,
    mover: Mover,
}

/// Opens `sqlite://PATH` (or a bare path): examines the file, and creates and migrates it where the options say so.
///
/// # Errors
/// [`StoreError::Refused`] with what is wrong and what to do, if the file cannot be served by this binary;
/// [`StoreError::Damaged`] if it is corrupt; others if the disk or another process is in the way.
pub async fn open(url: &str, options: Options) -> Result<Arc<dyn Store>, StoreError> {
    let config = config(url, &options)?;
    let (connection, _) = admission::admit(&config, options.migrate).await?;
    let pool = SqlitePoolOptions::new()
        .max_connections(options.readers.max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(config.reader_options());
    let measured = options.meters.database().statements("sqlite");
    watch(&options, &pool);
    let clock = Arc::clone(&options.clock);
    let location = config.location.clone();
    let session = Session::new(config.clone(), options.clock, connection).measured(measured.clone());
    let mover = Mover::start(config.clone(), session.commits());
    let reader = PoolReader { pool, config, clock, measured, health: session.health() };
    Ok(Arc::new(Sqlite { location, session: Arc::new(Mutex::new(session)), reader: Arc::new(reader), mover }))
}

/// Has the readers' connections counted whenever somebody reads the instruments.
fn watch(options: &Options, pool: &SqlitePool) {
    if !options.meters.is_on() {
        return;
    }
    let (pool, max) = (pool.clone(), u64::from(options.readers.max(1)));
    options.meters.database().watch(move || {
        let idle = u64::try_from(pool.num_idle()).unwrap_or(u64::MAX);
        Pool { used: u64::from(pool.size()).saturating_sub(idle), idle, max }
    });
}

/// Creates the file if it is new and brings its tables up to date; answers what was applied.
///
/// # Errors
/// As [`open`].
pub async fn migrate(url: &str, options: &Options) -> Result<MigrationReport, StoreError> {
    let (connection, report) = admission::admit(&config(url, options)?, true).await?;
    let closed = sqlx::Connection::close(connection).await;
    closed.map_err(|error| error::store_error("closing the file", error))?;
    Ok(report)
}

/// The file that a URL names, as [`open`] would open it; nothing is touched.
///
/// # Errors
/// [`StoreError::Refused`] if the URL names none.
pub fn path(url: &str) -> Result<PathBuf, StoreError> {
    Location::parse(url).map(|location| location.path().to_owned())
}

fn config(url: &str, options: &Options) -> Result<Config, StoreError> {
    Ok(Config {
        location: Location::parse(url)?,
        busy_timeout: options.busy_timeout,
        cache_kib: options.cache_kib,
        move_pages: options.move_pages,
        wal_autocheckpoint: options.wal_autocheckpoint,
        max_pages: options.max_pages,
    })
}

impl Store for Sqlite {
    fn writer(&self) -> Box<dyn Writer> {
        Box::new(SharedWriter(Arc::clone(&self.session)))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }

    fn reconcile(&self) -> Option<Arc<dyn ReconcileStore>> {
        let (session, reader) = (Arc::clone(&self.session), Arc::clone(&self.reader));
        Some(Arc::new(SqliteReconcile { session, reader }))
    }

    fn tokens(&self) -> Option<Arc<dyn TokenStore>> {
        let (session, reader) = (Arc::clone(&self.session), Arc::clone(&self.reader));
        Some(Arc::new(SqliteTokens { session, reader }))
    }

    fn describe(&self) -> String {
        format!("SQLite {}", self.location)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The last connection to go moves the log into the file.
            self.mover.close().await;
            self.reader.pool.close().await;
            self.session.lock().await.close().await;
        })
    }
}
