//! `scrip tokens`: who may call, by what secret.
//!
//! The commands open the database themselves, so the first token needs no server and no token. A token is made here, its
//! digest stored, itself shown once on stdout and nowhere else. Servers read what changed within a second.

mod create;
mod list;
mod revoke;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::failure::Failure;
use super::output::{Out, Side, moment, moment_short};
use super::session::{Prepare, open};
use crate::config::DatabaseArgs;
use crate::ledger::Micros;
use crate::store::Store;
use crate::store::tokens::{TokenRow, TokenStore};

/// Look after the tokens by which callers prove who they are
///
/// A token belongs to a name, which entries and the audit log show, and has roles: biller (charge, hold, refund, read),
/// runner (keys; start, complete and fail tasks), cashier (credit, debit), auditor (read, reconcile), admin (all, and the
/// fal accounts). With the first token of a database every server on it asks its callers for one. Opens the database
/// itself: a server need not run, and may.
#[derive(Debug, Args)]
pub(super) struct TokensArgs {
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Revoke(revoke::RevokeArgs),
}

pub(super) async fn run(args: TokensArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    match args.command {
        TokensCommand::Create(args) => create::run(args, out).await,
        TokensCommand::List(args) => list::run(args, out).await,
        TokensCommand::Revoke(args) => revoke::run(args, out).await,
    }
}

/// The database and its tokens.
async fn desk(database: &DatabaseArgs) -> Result<(Arc<dyn Store>, Arc<dyn TokenStore>), Failure> {
    let store = open(&database.database_url, Prepare::Nothing).await?;
    let tokens = store.tokens().ok_or_else(|| Failure::could_not_run("this database keeps no tokens"))?;
    Ok((store, tokens))
}

/// A token as it is shown.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: i64,
    name: &'a str,
    roles: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<String>,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke_time: Option<String>,
    state: &'static str,
}

/// The cells of a token's line.
const COLUMNS: [(&str, Side, usize); 7] = [
    ("ID", Side::Right, 0),
    ("NAME", Side::Left, 0),
    ("ROLES", Side::Left, 0),
    ("USERS", Side::Left, 0),
    ("CREATED", Side::Left, 0),
    ("EXPIRES", Side::Left, 0),
    ("STATE", Side::Left, 0),
];

impl<'a> Shown<'a> {
    fn new(row: &'a TokenRow, now: Micros) -> Self {
        Self {
            id: row.id,
            name: &row.name,
            roles: &row.roles,
            users: row.users.map(|(first, last)| format!("{first}-{last}")),
            create_time: moment(row.create_time),
            expire_time: row.expire_time.map(moment),
            revoke_time: row.revoke_time.map(moment),
            state: state(row, now),
        }
    }
}

/// Whether it is valid, and if not, why.
fn state(row: &TokenRow, now: Micros) -> &'static str {
    // What was revoked after it had expired had expired.
    let is_expired = row.expire_time.is_some_and(|end| end <= row.revoke_time.unwrap_or(now));
    match (is_expired, row.revoke_time) {
        (true, _) => "expired",
        (false, Some(_)) => "revoked",
        (false, None) => "valid",
    }
}

fn cells(row: &TokenRow, now: Micros) -> Vec<String> {
    let shown = Shown::new(row, now);
    vec![
        shown.id.to_string(),
        shown.name.to_owned(),
        shown.roles.to_owned(),
        shown.users.unwrap_or_else(|| "all".to_owned()),
        moment_short(row.create_time),
        row.expire_time.map_or_else(|| "never".to_owned(), moment_short),
        shown.state.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_state_is_what_ended_it_first() {
        let row = |expire: Option<i64>, revoke: Option<i64>| TokenRow {
            id: 1,
            name: "checkout".into(),
            roles: "biller".into(),
            users: None,
            create_time: Micros(0),
            expire_time: expire.map(Micros),
            revoke_time: revoke.map(Micros),
        };
        for (expire, revoke, expected) in [
            (None, None, "valid"),
            (Some(11), None, "valid"),
            (Some(10), None, "expired"),
            (None, Some(5), "revoked"),
            (Some(11), Some(5), "revoked"),
            (Some(4), Some(5), "expired"),
        ] {
            assert_eq!(state(&row(expire, revoke), Micros(10)), expected, "{expire:?} {revoke:?}");
        }
    }
}
