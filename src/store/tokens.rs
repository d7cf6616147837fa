//! Tokens as a database keeps them: who may call, by what digest, and what of that is over.
//!
//! The token itself is in no table. Rows stay when they are over, so that a database which ever had a token never again
//! looks like one that knows no callers.

use futures::future::BoxFuture;

use super::StoreError;
use crate::ledger::{Micros, Text, UserId};

/// Tokens that are neither revoked nor expired, at most: what every server keeps in memory.
pub const MAX_LIVE: u32 = 1_000;

/// Why [`CreatedToken::NameHasTwo`] is refused: a token is replaced by a second one, and a third would be one forgotten.
pub const A_NAME: usize = 2;

/// SHA-256 of a token.
pub type TokenDigest = [u8; 32];

/// A token, without anything that proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// What an operator calls it by.
    pub id: i64,
    /// The caller's name, which up to [`A_NAME`] tokens share.
    pub name: Text,
    /// Roles as words parted by commas.
    pub roles: Text,
    /// First and last of the users it may touch; `None`: all.
    pub users: Option<(UserId, UserId)>,
    /// When it was made.
    pub create_time: Micros,
    /// From when on it is not valid; `None`: never.
    pub expire_time: Option<Micros>,
    /// Since when it is revoked.
    pub revoke_time: Option<Micros>,
}

/// What a server must know to tell its callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownTokens {
    /// Those that are neither revoked nor expired, at most [`MAX_LIVE`] of them.
    pub live: Vec<(TokenDigest, TokenRow)>,
    /// Whether the database has, or ever had, a token.
    pub any: bool,
}

/// A token to be kept.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToken {
    /// As in [`TokenRow`].
    pub name: Text,
    /// SHA-256 of it.
    pub digest: TokenDigest,
    /// As in [`TokenRow`].
    pub roles: Text,
    /// As in [`TokenRow`].
    pub users: Option<(UserId, UserId)>,
    /// As in [`TokenRow`].
    pub expire_time: Option<Micros>,
    /// Who makes it, for the audit log.
    pub actor: Text,
}

/// How keeping a token ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreatedToken {
    /// It is kept.
    Kept(TokenRow),
    /// Its name has two already.
    NameHasTwo,
    /// There are [`MAX_LIVE`] already.
    Full,
}

/// Which tokens are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichTokens {
    /// The one of this id.
    Id(i64),
    /// All of this name.
    Name(Text),
}

/// The tokens of a database. Every change writes a line of the audit log in its own commit.
pub trait TokenStore: Send + Sync + 'static {
    /// What a server must know.
    fn known(&self) -> BoxFuture<'_, Result<KnownTokens, StoreError>>;

    /// All tokens ever made, by id, at most `limit` after the one given.
    fn list(&self, after: i64, limit: u32) -> BoxFuture<'_, Result<Vec<TokenRow>, StoreError>>;

    /// Keeps a token.
    fn create<'a>(&'a self, new: &'a NewToken) -> BoxFuture<'a, Result<CreatedToken, StoreError>>;

    /// Revokes tokens; answers those that were not revoked before. `actor` and `reason` are for the audit log.
    fn revoke<'a>(
        &'a self,
        which: &'a WhichTokens,
        actor: &'a str,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<Vec<TokenRow>, StoreError>>;
}

impl NewToken {
    /// What the audit log says of it: a JSON object of `[before, after]` by field.
    pub(super) fn changes(&self, expires: Option<&str>) -> String {
        let users = self.users.map(|(first, last)| format!("{first}-{last}"));
        let fields = [
            ("name", Some(&*self.name)),
            ("roles", Some(&*self.roles)),
            ("users", users.as_deref()),
            ("expires_at", expires),
        ];
        let said = fields
            .into_iter()
            .filter_map(|(field, value)| value.map(|value| (field, serde_json::json!(["", value]))));
        serde_json::Value::from_iter(said).to_string()
    }
}

/// What the audit log says of a token's end.
pub(super) fn revoked_changes(row: &TokenRow) -> String {
    serde_json::json!({ "state": ["valid", "revoked"], "name": [&*row.name, &*row.name] }).to_string()
}
