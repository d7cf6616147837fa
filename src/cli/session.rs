//! From a database URL to an open ledger, and one command through the engine.
//!
//! An operator's command runs the same engine as the server, in its own process: the same checks, the same commit,
//! the same refusals. Beside a running server the two meet only in the database, as two replicas would.

use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use crate::clock::System;
use crate::config::{DatabaseUrl, Scheme};
use crate::engine::{Answer, Engine, Handle, KeyAnswer, Options};
use crate::keypool;
use crate::ledger::{Command, Text};
use crate::meter::Meters;
use crate::store::postgres::Safety;
use crate::store::{Store, StoreError, postgres, sqlite};
use crate::vault::Keyring;

/// Who is written as the actor of an operator's commands.
pub(super) const ACTOR: &str = "cli";

/// How long an ended command waits for what the engine still does in the background, and for the database to close.
const LEAVING: Duration = Duration::from_secs(5);

/// What may be done to a database that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prepare {
    /// Create and migrate it.
    Migrate,
    /// Refuse it.
    Nothing,
}

/// What a migration did.
#[derive(Debug)]
pub(super) struct Migrated {
    /// The migrations that were applied, such as `0001_ledger`.
    pub(super) applied: Vec<String>,
    /// The newest migration in the database now.
    pub(super) version: i32,
    /// The database, without secrets.
    pub(super) database: String,
}

/// Opens the store that the URL names, for a command.
pub(super) async fn open(url: &DatabaseUrl, prepare: Prepare) -> Result<Arc<dyn Store>, Failure> {
    open_with(url, prepare, Safety::NotAsked, &Meters::off()).await
}

/// Likewise for a service, which tells how its statements go, and is not begun on a database that does not keep what it
/// acknowledges.
pub(super) async fn open_to_serve(
    url: &DatabaseUrl,
    prepare: Prepare,
    allow_unsafe: bool,
    meters: &Meters,
) -> Result<Arc<dyn Store>, Failure> {
    if allow_unsafe {
        tracing::warn!("--allow-unsafe-database: what is acknowledged may be lost in a crash");
    }
    let safety = if allow_unsafe { Safety::DurabilityWaived } else { Safety::Demanded };
    open_with(url, prepare, safety, meters).await
}

async fn open_with(
    url: &DatabaseUrl,
    prepare: Prepare,
    safety: Safety,
    meters: &Meters,
) -> Result<Arc<dyn Store>, Failure> {
    let meters = meters.clone();
    let migrate = prepare == Prepare::Migrate;
    Ok(match url.scheme().map_err(Failure::CouldNotRun)? {
        Scheme::Sqlite => {
            let options = sqlite::Options { migrate, meters, ..sqlite::Options::new(System::clock()) };
            sqlite::open(url.expose(), options).await?
        }
        Scheme::Postgres => {
            let options = postgres::Options { migrate, safety, meters, ..postgres::Options::default() };
            postgres::open(url.expose(), options).await.map_err(|error| unreachable(url, error))?
        }
    })
}

/// Closes a store that nothing writes to any more. Nothing is lost if this takes too long.
pub(super) async fn close(store: &dyn Store) {
    if tokio::time::timeout(LEAVING, store.close()).await.is_err() {
        tracing::warn!("the database was not closed in time");
    }
}

/// Creates or migrates the database that the URL names.
pub(super) async fn migrate(
    url: &DatabaseUrl,
    distribute: bool,
    grant_to: Option<String>,
) -> Result<Migrated, Failure> {
    let (applied, version) = match url.scheme().map_err(Failure::CouldNotRun)? {
        Scheme::Sqlite if distribute => {
            return Err(Failure::could_not_run("only PostgreSQL is distributed, and this is SQLite"));
        }
        Scheme::Sqlite if grant_to.is_some() => {
            return Err(Failure::could_not_run("only PostgreSQL has roles to grant to, and this is SQLite"));
        }
        Scheme::Sqlite => {
            let report = sqlite::migrate(url.expose(), &sqlite::Options::new(System::clock())).await?;
            (report.applied, report.version)
        }
        Scheme::Postgres => {
            let options = postgres::Options { distribute, grant_to, ..postgres::Options::default() };
            let report = postgres::migrate(url.expose(), &options).await;
            let report = report.map_err(|error| unreachable(url, error))?;
            (report.applied, report.version)
        }
    };
    // Opened as a server would: it is said to be ready only if it is.
    let database = open(url, Prepare::Nothing).await?.describe();
    Ok(Migrated { applied, version, database })
}

/// A server that does not answer is named: it may well not be the one that was meant.
fn unreachable(url: &DatabaseUrl, error: StoreError) -> Failure {
    let is_away = matches!(error, StoreError::Unavailable { .. });
    match Failure::from(error) {
        Failure::CouldNotRun(_) if is_away => Failure::CouldNotRun(format!(
            "the database {url} does not answer: check that it runs and that the address is right (--log debug shows \
             the cause)"
        )),
        other => other,
    }
}

/// An engine for one operator's command.
pub(super) struct Session {
    engine: Engine,
    actor: Text,
}

impl Session {
    pub(super) fn start(store: &dyn Store) -> Self {
        Self::with_keyring(store, Keyring::default())
    }

    /// One that can store secrets, or open them.
    pub(super) fn with_keyring(store: &dyn Store, keyring: Keyring) -> Self {
        let options = Options { keyring: Arc::new(keyring), ..Options::default() };
        Self { engine: Engine::start(store, System::ids(), options), actor: Text::from(ACTOR) }
    }

    pub(super) fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Has one command of the key pool decided and stored.
    pub(super) async fn keys(
        &self,
        command: keypool::Command,
        request_id: &str,
    ) -> Result<KeyAnswer, Failure> {
        Ok(self.engine.handle().keys(command, request_id, &self.actor, None).await?)
    }

    /// Has one command decided and stored.
    pub(super) async fn submit(&self, command: Command, request_id: &str) -> Result<Answer, Failure> {
        Ok(self.engine.handle().submit(command, request_id, &self.actor, None).await?)
    }

    /// Ends the engine. What was answered is stored; nothing is lost if this takes too long.
    pub(super) async fn end(self) {
        if tokio::time::timeout(LEAVING, self.engine.drain()).await.is_err() {
            tracing::warn!("the engine did not end in time");
        }
    }
}

/// Opens the ledger and has one command decided and stored.
pub(super) async fn submit(url: &DatabaseUrl, command: Command, request_id: &str) -> Result<Answer, Failure> {
    let store = open(url, Prepare::Nothing).await?;
    let session = Session::start(&*store);
    let answer = session.submit(command, request_id).await;
    session.end().await;
    close(&*store).await;
    answer
}
