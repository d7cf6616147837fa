//! `scrip tokens list`: every token and what it is for.

use std::process::ExitCode;

use clap::Args;

use super::super::failure::Failure;
use super::super::output::{Out, Table};
use super::super::session::close;
use super::{COLUMNS, Shown, cells, desk, state};
use crate::config::{DatabaseArgs, Format, FormatArgs};
use crate::store::StoreError;
use crate::store::tokens::{TokenRow, TokenStore};

/// Rows of one page.
const PAGE: u32 = 500;

/// List the tokens that are valid, oldest first
///
/// Nothing shown proves anything: neither the token nor its digest is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip tokens list\n  \
    scrip tokens list --all --format json | jq -r 'select(.state == \"revoked\") | .name'")]
pub(super) struct ListArgs {
    /// Show those that are revoked or expired as well
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: ListArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let (store, tokens) = desk(&args.database).await?;
    let now = store.reader().now().await?;
    let mut rows = read(&*tokens).await?;
    close(&*store).await;
    let is_none = rows.is_empty();
    rows.retain(|row| args.all || state(row, now) == "valid");
    if args.format.format == Format::Json {
        for row in &rows {
            out.json(&Shown::new(row, now))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if is_none {
        out.line("there is no token: `scrip tokens create NAME --role ROLE` makes one")?;
    } else if rows.is_empty() {
        out.line("no token is valid (--all shows those that were): nobody is let in")?;
    } else {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| cells(row, now)).collect();
        Table::new(&COLUMNS).print(out, &rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All of them: a table's columns are known at its end.
async fn read(tokens: &dyn TokenStore) -> Result<Vec<TokenRow>, StoreError> {
    let mut rows: Vec<TokenRow> = Vec::new();
    loop {
        let page = tokens.list(rows.last().map_or(0, |last| last.id), PAGE).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}
