//! `scrip keys list`: every account on a line.

use std::process::ExitCode;

use clap::Args;

use super::super::failure::Failure;
use super::super::output::{Out, Side, Table};
use super::super::session::{Prepare, close, open};
use super::account::Shown;
use crate::config::{DatabaseArgs, Format, FormatArgs};
use crate::store::{AccountRecord, Page, Reader, StoreError};

/// Rows of one page.
const PAGE: u32 = 200;

/// The cells of an account's line.
pub(super) const COLUMNS: [(&str, Side, usize); 11] = [
    ("ID", Side::Right, 0),
    ("NAME", Side::Left, 0),
    ("KEY", Side::Left, 0),
    ("WORKSPACE", Side::Left, 0),
    ("STATUS", Side::Left, 0),
    ("HEALTH", Side::Left, 0),
    ("IN FLIGHT", Side::Right, 0),
    ("COOLDOWN", Side::Right, 0),
    ("BALANCE", Side::Right, 0),
    ("ERRORS", Side::Right, 0),
    ("USES", Side::Right, 0),
];

/// List the fal accounts and how they are doing
///
/// Newest first. WORKSPACE is - for one of its own. IN FLIGHT is the account's leases of its limit. COOLDOWN is how long
/// nothing is leased of it; due: the next lease tries it. BALANCE is its workspace's credit at fal in US dollars, as last
/// heard. ERRORS is the recent share of failures that are the account's own, as much of it as still counts; USES are
/// leases ever given.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip keys list\n  \
    scrip keys list --format json | jq -r 'select(.health != \"healthy\") | .name'")]
pub(super) struct ListArgs {
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: ListArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let store = open(&args.database.database_url, Prepare::Nothing).await?;
    let reader = store.reader();
    let now = reader.now().await?;
    let accounts = read(&*reader).await?;
    close(&*store).await;
    let shown = accounts.iter().map(|record| Shown::record(record, now));
    match args.format.format {
        Format::Json => {
            for account in shown {
                out.json(&account.row())?;
            }
        }
        Format::Table if accounts.is_empty() => {
            out.line("there is no account: `scrip keys add NAME` adds one")?;
        }
        Format::Table => {
            let rows: Vec<Vec<String>> = shown.map(|account| account.cells()).collect();
            Table::new(&COLUMNS).print(out, &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All of them: a table's columns are known at its end.
async fn read(reader: &dyn Reader) -> Result<Vec<AccountRecord>, StoreError> {
    let mut accounts: Vec<AccountRecord> = Vec::new();
    loop {
        let before = accounts.last().map(|last| last.account.account_id);
        let page = reader.list_accounts(Page { before, limit: PAGE }).await?;
        if page.is_empty() {
            return Ok(accounts);
        }
        accounts.extend(page);
    }
}
