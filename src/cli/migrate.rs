//! `scrip migrate`: prepares a database ahead of the servers that will use it.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::failure::Failure;
use super::output::Out;
use super::session;
use crate::config::DatabaseArgs;

/// Create the database's tables, or bring them up to date
///
/// `serve` does this by itself; run it apart where the server's database role may not create tables, or before a
/// rollout. Running it again changes nothing. A database that holds somebody else's ts_* tables, or that a newer
/// scrip has migrated beyond what this one can live with, is refused and left as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip migrate\n  \
    SCRIP_DATABASE_URL=postgres://scrip_owner@db/scrip scrip migrate --grant-to scrip_service")]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Distribute the tables over the workers of a Citus cluster, whose coordinator the database is
    ///
    /// Everything a user owns goes to one worker, all else is on every node. It cannot be taken back. See docs/scaling.md.
    #[arg(long, value_name = "HOW")]
    distribute: Option<Distribute>,

    /// Grant a role of PostgreSQL what serving takes, and no more: it can change no row of a ledger
    ///
    /// Say it at each release: new tables are granted with the migration that makes them. The role is there already
    /// (deploy/postgres/roles.sql makes it), and may use the schema.
    #[arg(long, value_name = "ROLE")]
    grant_to: Option<String>,
}

/// How tables are distributed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Distribute {
    /// By Citus.
    Citus,
}

pub(super) async fn run(args: MigrateArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let migrated =
        session::migrate(&args.database.database_url, args.distribute.is_some(), args.grant_to.clone())
            .await?;
    for name in &migrated.applied {
        out.line(format!("applied {name}"))?;
    }
    let state = if migrated.applied.is_empty() { "already up to date" } else { "ready" };
    out.line(format!("{}: {state}, at schema {}", migrated.database, migrated.version))?;
    if let Some(role) = &args.grant_to {
        out.line(format!("granted {role} what serving takes"))?;
    }
    Ok(ExitCode::SUCCESS)
}
