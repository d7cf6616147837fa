//! Tokens: read through the readers' pool, written through the process's one writer.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::sync::Mutex;

use super::error::store_error;
use super::reader::PoolReader;
use super::rows::{Cells, Read};
use super::writer::Session;
use super::{sql, time};
use crate::ledger::Micros;
use crate::store::StoreError;
use crate::store::tokens::{
    CreatedToken, KnownTokens, MAX_LIVE, NewToken, TokenDigest, TokenRow, TokenStore, WhichTokens,
    revoked_changes,
};

const KEEPING: &str = "keeping a token";
const REVOKING: &str = "revoking a token";

/// The store's tokens.
pub(super) struct SqliteTokens {
    pub(super) session: Arc<Mutex<Session>>,
    pub(super) reader: Arc<PoolReader>,
}

impl SqliteTokens {
    async fn read_known(&self) -> Result<KnownTokens, StoreError> {
        let now = time::to_text(self.reader.clock.now());
        let live = sqlx::query(sql::TOKENS_LIVE).bind(now).bind(MAX_LIVE);
        let live = self.reader.all("reading tokens", live, known).await?;
        if !live.is_empty() {
            return Ok(KnownTokens { live, any: true });
        }
        let any = sqlx::query(sql::TOKENS_ANY);
        let any = self.reader.one("looking for a token", any, |row| Cells::of(row).get::<i64>()).await?;
        Ok(KnownTokens { live, any: any.is_some() })
    }

    async fn keep(&self, new: &NewToken) -> Result<CreatedToken, StoreError> {
        let mut session = self.session.lock().await;
        let done = async {
            let (connection, now) = session.open().await?;
            keep(connection, now, new).await
        };
        let done = done.await;
        session.end(done).await
    }

    async fn end(
        &self,
        which: &WhichTokens,
        (actor, reason): (&str, &str),
    ) -> Result<Vec<TokenRow>, StoreError> {
        let mut session = self.session.lock().await;
        let done = async {
            let (connection, now) = session.open().await?;
            end(connection, now, which, (actor, reason)).await
        };
        let done = done.await;
        session.end(done).await
    }
}

impl TokenStore for SqliteTokens {
    fn known(&self) -> BoxFuture<'_, Result<KnownTokens, StoreError>> {
        self.read_known().boxed()
    }

    fn list(&self, after: i64, limit: u32) -> BoxFuture<'_, Result<Vec<TokenRow>, StoreError>> {
        let statement = sqlx::query(sql::TOKENS_LIST).bind(after).bind(limit);
        self.reader.all("listing tokens", statement, row).boxed()
    }

    fn create<'a>(&'a self, new: &'a NewToken) -> BoxFuture<'a, Result<CreatedToken, StoreError>> {
        self.keep(new).boxed()
    }

    fn revoke<'a>(
        &'a self,
        which: &'a WhichTokens,
        actor: &'a str,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<Vec<TokenRow>, StoreError>> {
        self.end(which, (actor, reason)).boxed()
    }
}

async fn keep(
    connection: &mut SqliteConnection,
    now: Micros,
    new: &NewToken,
) -> Result<CreatedToken, StoreError> {
    let failed = |error| store_error(KEEPING, error);
    let ended = sqlx::query(sql::TOKENS_END).bind(time::to_text(now));
    ended.execute(&mut *connection).await.map_err(failed)?;
    let places = sqlx::query(sql::TOKENS_PLACES).bind(new.name.clone());
    let places = places.fetch_one(&mut *connection).await.map_err(failed)?;
    let mut cells = Cells::of(&places);
    let [first, second, live]: [i64; 3] =
        [cells.get().map_err(failed)?, cells.get().map_err(failed)?, cells.get().map_err(failed)?];
    let slot = match (first, second) {
        (0, _) => 1,
        (_, 0) => 2,
        _ => return Ok(CreatedToken::NameHasTwo),
    };
    if live >= i64::from(MAX_LIVE) {
        return Ok(CreatedToken::Full);
    }
    let expires = new.expire_time.map(time::to_text);
    let kept = sqlx::query(sql::TOKENS_INSERT)
        .bind(new.name.clone())
        .bind(slot)
        .bind(new.digest.to_vec())
        .bind(new.roles.clone())
        .bind(new.users.map(|(first, _)| first))
        .bind(new.users.map(|(_, last)| last))
        .bind(time::to_text(now))
        .bind(expires.clone());
    let kept = kept.fetch_one(&mut *connection).await.and_then(|kept| row(&kept)).map_err(failed)?;
    log(connection, now, &kept, (&new.actor, "created", new.changes(expires.as_deref()))).await?;
    Ok(CreatedToken::Kept(kept))
}

async fn end(
    connection: &mut SqliteConnection,
    now: Micros,
    which: &WhichTokens,
    (actor, reason): (&str, &str),
) -> Result<Vec<TokenRow>, StoreError> {
    let failed = |error| store_error(REVOKING, error);
    let (id, name) = match which {
        WhichTokens::Id(id) => (Some(*id), None),
        WhichTokens::Name(name) => (None, Some(name.clone())),
    };
    let revoked = sqlx::query(sql::TOKENS_REVOKE).bind(id).bind(name).bind(time::to_text(now));
    let revoked = revoked.fetch_all(&mut *connection).await.map_err(failed)?;
    let mut revoked = revoked.iter().map(row).collect::<Read<Vec<TokenRow>>>().map_err(failed)?;
    revoked.sort_by_key(|token| token.id);
    for token in &revoked {
        log(connection, now, token, (actor, reason, revoked_changes(token))).await?;
    }
    Ok(revoked)
}

async fn log(
    connection: &mut SqliteConnection,
    now: Micros,
    token: &TokenRow,
    (actor, reason, changes): (&str, &str, String),
) -> Result<(), StoreError> {
    let line = sqlx::query(sql::TOKENS_LOG)
        .bind(time::to_text(now))
        .bind(actor.to_owned())
        .bind(token.id.to_string())
        .bind(reason.to_owned())
        .bind(changes);
    line.execute(connection).await.map(drop).map_err(|error| store_error("writing the audit log", error))
}

fn known(found: &SqliteRow) -> Read<(TokenDigest, TokenRow)> {
    let row = row(found)?;
    let digest: &[u8] = sqlx::Row::try_get(found, "digest")?;
    let digest = digest.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok((digest, row))
}

/// A row of `scrip_tokens`.
fn row(row: &SqliteRow) -> Read<TokenRow> {
    let mut cells = Cells::of(row);
    let (id, name, roles) = (cells.get()?, cells.text()?, cells.text()?);
    let (first, last): (Option<i64>, Option<i64>) = (cells.get()?, cells.get()?);
    Ok(TokenRow {
        id,
        name,
        roles,
        users: first.zip(last),
        create_time: cells.time()?,
        expire_time: cells.optional_time()?,
        revoke_time: cells.optional_time()?,
    })
}
