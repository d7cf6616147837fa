//! `scrip tokens revoke`: a token that proves nothing any more.

use std::process::ExitCode;

use clap::Args;

use super::super::failure::{Failure, in_words};
use super::super::output::{Out, Table};
use super::super::session::{ACTOR, close};
use super::{COLUMNS, Shown, cells, desk};
use crate::config::{DatabaseArgs, Format, FormatArgs};
use crate::ledger::Limits;
use crate::ledger::Text;
use crate::ledger::limits::{Checks, LINE_CHARS};
use crate::server::auth::holds_token;
use crate::store::tokens::WhichTokens;

/// Revoke a token, or all tokens of a name
///
/// Every server on the database refuses it within a second; calls that were let in before are answered. That a database
/// had a token is never undone: with all of them revoked nobody is let in.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 revoked, or it was before · 1 there is no such token · 2 could not run.\n\n\
    Examples:\n  \
    scrip tokens revoke 7 --reason 'rotated'\n  \
    scrip tokens revoke --name checkout --reason 'leaked in a log'"
)]
pub(super) struct RevokeArgs {
    /// The token: `scrip tokens list` shows it
    #[arg(value_name = "ID", required_unless_present = "name")]
    id: Option<String>,

    /// Revoke every token of this name
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    name: Option<String>,

    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "revoked", hide_default_value = true)]
    reason: String,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: RevokeArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let limits = Limits::default();
    let mut checks = Checks::new(&limits);
    checks.line("reason", &args.reason, LINE_CHARS);
    checks.take().map_err(|refused| Failure::Refused(in_words(&refused)))?;
    if [args.id.as_deref(), args.name.as_deref(), Some(&args.reason)].into_iter().flatten().any(holds_token) {
        return Err(Failure::could_not_run(
            "a token does not belong on a command line, which every user of this machine can read: name it by its id, \
             which `scrip tokens list` shows",
        ));
    }
    let which = match (&args.id, &args.name) {
        (Some(id), _) => WhichTokens::Id(id.parse().ok().filter(|id| *id >= 1).ok_or_else(|| {
            Failure::could_not_run("ID: expected the number of a token, which `scrip tokens list` shows")
        })?),
        (None, Some(name)) => WhichTokens::Name(Text::from(&**name)),
        (None, None) => return Err(Failure::could_not_run("name the token, or give --name")),
    };
    let (store, tokens) = desk(&args.database).await?;
    let rows = tokens.revoke(&which, ACTOR, &args.reason).await?;
    let now = store.reader().now().await?;
    if rows.is_empty() {
        let is_known = match &which {
            WhichTokens::Id(id) => tokens.list(id - 1, 1).await?.first().is_some_and(|row| row.id == *id),
            WhichTokens::Name(_) => false,
        };
        close(&*store).await;
        return match &which {
            WhichTokens::Id(id) if is_known => {
                out.line(format!("token {id} was over already; nothing was changed now"))?;
                Ok(ExitCode::SUCCESS)
            }
            WhichTokens::Id(id) => Err(Failure::Refused(format!("there is no token {id}"))),
            WhichTokens::Name(name) => Err(Failure::Refused(format!("{name} has no valid token"))),
        };
    }
    close(&*store).await;
    match args.format.format {
        Format::Json => {
            for row in &rows {
                out.json(&Shown::new(row, now))?;
            }
        }
        Format::Table => {
            let rows: Vec<Vec<String>> = rows.iter().map(|row| cells(row, now)).collect();
            Table::new(&COLUMNS).print(out, &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
