//! Tokens: read through the readers' pool, written on a connection made for it, since that is rare.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgTransaction};

use super::connect::Target;
use super::decode::{Columns, Decoded};
use super::error::{Trouble, within};
use super::reader::PostgresReader;
use super::session::{self, Purpose};
use super::time::Stamp;
use crate::store::StoreError;
use crate::store::tokens::{
    CreatedToken, KnownTokens, MAX_LIVE, NewToken, TokenDigest, TokenRow, TokenStore, WhichTokens,
    revoked_changes,
};

/// The store's tokens.
pub(super) struct PostgresTokens {
    pub(super) target: Target,
    pub(super) reader: Arc<PostgresReader>,
}

impl PostgresTokens {
    async fn read_known(&self) -> Result<KnownTokens, StoreError> {
        let live = sqlx::query(include_str!("sql/tokens_live.sql")).bind(i64::from(MAX_LIVE));
        let live = self.reader.read("reading tokens", live, known).await?;
        if !live.is_empty() {
            return Ok(KnownTokens { live, any: true });
        }
        let any = sqlx::query(include_str!("sql/tokens_any.sql"));
        let any = self
            .reader
            .read("looking for a token", any, |row| Columns::new(row, "looking for a token").get("any"));
        // Without an answer there is no knowing: that must not read as "none".
        Ok(KnownTokens { live, any: any.await?.first().copied().unwrap_or(true) })
    }

    /// A connection for one change; dropped after a failure, it takes what it began with it.
    async fn change<T>(
        &self,
        what: &'static str,
        work: impl AsyncFnOnce(&mut PgTransaction<'_>, Duration) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let mut connection = self.target.writer(None).await?.connection;
        let limit = self.target.limit;
        let done = async {
            let mut transaction = self.target.begin(&mut connection, Purpose::Write).await?;
            let done = work(&mut transaction, limit).await?;
            within(limit, transaction.commit()).await.map(|()| done)
        };
        let done = done.await.map_err(|trouble: Trouble| trouble.store_error(what))?;
        // It is written: how the connection ends is of no account.
        within(self.target.limit, connection.close()).await.ok();
        Ok(done)
    }
}

impl TokenStore for PostgresTokens {
    fn known(&self) -> BoxFuture<'_, Result<KnownTokens, StoreError>> {
        Box::pin(self.read_known())
    }

    fn list(&self, after: i64, limit: u32) -> BoxFuture<'_, Result<Vec<TokenRow>, StoreError>> {
        let statement = sqlx::query(include_str!("sql/tokens_list.sql")).bind(after).bind(i64::from(limit));
        Box::pin(self.reader.read("listing tokens", statement, row))
    }

    fn create<'a>(&'a self, new: &'a NewToken) -> BoxFuture<'a, Result<CreatedToken, StoreError>> {
        Box::pin(
            self.change("keeping a token", async |transaction, limit| keep(transaction, limit, new).await),
        )
    }

    fn revoke<'a>(
        &'a self,
        which: &'a WhichTokens,
        actor: &'a str,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<Vec<TokenRow>, StoreError>> {
        Box::pin(self.change("revoking a token", async |transaction, limit| {
            end(transaction, limit, which, (actor, reason)).await
        }))
    }
}

async fn keep(
    transaction: &mut PgTransaction<'_>,
    limit: Duration,
    new: &NewToken,
) -> Result<CreatedToken, Trouble> {
    let ended = sqlx::query(include_str!("sql/tokens_end.sql"));
    session::execute(transaction, limit, ended).await?;
    let places = sqlx::query(include_str!("sql/tokens_places.sql")).bind(&*new.name);
    let places = session::row(transaction, limit, places).await?;
    let columns = Columns::new(&places, "reading tokens");
    let wrong = |error: StoreError| Trouble::Wrong(error.to_string());
    let is_taken = |column| columns.get::<bool>(column).map_err(wrong);
    let slot: i16 = match (is_taken("first_taken")?, is_taken("second_taken")?) {
        (false, _) => 1,
        (true, false) => 2,
        (true, true) => return Ok(CreatedToken::NameHasTwo),
    };
    if columns.get::<i64>("live").map_err(wrong)? >= i64::from(MAX_LIVE) {
        return Ok(CreatedToken::Full);
    }
    let kept = sqlx::query(include_str!("sql/tokens_insert.sql"))
        .bind(&*new.name)
        .bind(slot)
        .bind(&new.digest[..])
        .bind(&*new.roles)
        .bind(new.users.map(|(first, _)| first))
        .bind(new.users.map(|(_, last)| last))
        .bind(new.expire_time.map(Stamp));
    let kept = session::row(transaction, limit, kept).await?;
    let kept = row(&kept).map_err(wrong)?;
    let expires = new.expire_time.and_then(|moment| jiff::Timestamp::from_microsecond(moment.0).ok());
    let expires = expires.map(|moment| moment.to_string());
    let line = sqlx::query(include_str!("sql/tokens_log.sql"))
        .bind(&*new.actor)
        .bind(kept.id.to_string())
        .bind("created")
        .bind(new.changes(expires.as_deref()));
    session::execute(transaction, limit, line).await?;
    Ok(CreatedToken::Kept(kept))
}

async fn end(
    transaction: &mut PgTransaction<'_>,
    limit: Duration,
    which: &WhichTokens,
    (actor, reason): (&str, &str),
) -> Result<Vec<TokenRow>, Trouble> {
    let (id, name) = match which {
        WhichTokens::Id(id) => (Some(*id), None),
        WhichTokens::Name(name) => (None, Some(&**name)),
    };
    let revoked = sqlx::query(include_str!("sql/tokens_revoke.sql")).bind(id).bind(name);
    let revoked = session::rows(transaction, limit, revoked).await?;
    let revoked = revoked.iter().map(row).collect::<Decoded<Vec<TokenRow>>>();
    let revoked = revoked.map_err(|error| Trouble::Wrong(error.to_string()))?;
    for token in &revoked {
        let line = sqlx::query(include_str!("sql/tokens_log.sql"))
            .bind(actor)
            .bind(token.id.to_string())
            .bind(reason)
            .bind(revoked_changes(token));
        session::execute(transaction, limit, line).await?;
    }
    Ok(revoked)
}

fn known(row_: &PgRow) -> Decoded<(TokenDigest, TokenRow)> {
    let digest = Columns::new(row_, "reading scrip_tokens").get("digest")?;
    Ok((digest, row(row_)?))
}

/// A row of `scrip_tokens`.
fn row(row: &PgRow) -> Decoded<TokenRow> {
    let row = Columns::new(row, "reading scrip_tokens");
    let first: Option<i64> = row.get("first_user")?;
    let last: Option<i64> = row.get("last_user")?;
    Ok(TokenRow {
        id: row.get("id")?,
        name: row.text("name")?,
        roles: row.text("roles")?,
        users: first.zip(last),
        create_time: row.moment("created_at")?,
        expire_time: row.moment_or_null("expires_at")?,
        revoke_time: row.moment_or_null("revoked_at")?,
    })
}
