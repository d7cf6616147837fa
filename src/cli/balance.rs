//! `scrip balance`: a user's purses, now or at a past moment.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::answer::{BalanceRow, print_balance};
use super::failure::{Failure, in_words};
use super::output::{Out, Side, Table, moment};
use super::session::{Prepare, close, open};
use crate::config::{DatabaseArgs, Format, FormatArgs};
use crate::ledger::{Micros, Rejection, UserId};
use crate::store::{PastBalance, Reader};

/// Show a user's balance, now or at a past moment
///
/// Reads the database directly: a server need not run, and one that runs is not disturbed. Amounts are points
/// (1 point = 1/100 CNY). AVAILABLE is what can be charged: the total less what holds have set aside.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip balance 42\n  \
    scrip balance 42 --as-of 2026-06-30T23:59:59+08:00\n  \
    scrip balance 42 --format json | jq .available")]
pub(super) struct BalanceArgs {
    /// The user
    #[arg(value_name = "USER", value_parser = clap::value_parser!(i64).range(1..), allow_negative_numbers = true)]
    user: UserId,

    /// A past moment with its offset, such as 2026-06-30T00:00:00Z: the purses after the last entry by then
    ///
    /// What was held at that moment is not recorded and not shown.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    as_of: Option<Micros>,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

fn parse_moment(text: &str) -> Result<Micros, &'static str> {
    const EXPECTED: &str = "expected a moment with its offset, such as 2026-06-30T00:00:00Z or \
                            2026-06-30T08:00:00+08:00";
    text.parse::<jiff::Timestamp>().map(|time| Micros(time.as_microsecond())).map_err(|_| EXPECTED)
}

pub(super) async fn run(args: BalanceArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let store = open(&args.database.database_url, Prepare::Nothing).await?;
    let reader = store.reader();
    match args.as_of {
        None => now(&args, &*reader, out).await?,
        Some(at) => past(&args, &*reader, at, out).await?,
    }
    close(&*store).await;
    Ok(ExitCode::SUCCESS)
}

fn unknown(user: UserId) -> Failure {
    Failure::Refused(in_words(&Rejection::UserNotFound(user)))
}

async fn now(args: &BalanceArgs, reader: &dyn Reader, out: &mut Out) -> Result<(), Failure> {
    let users = reader.users(&[args.user]).await?;
    let user = users.first().ok_or_else(|| unknown(args.user))?;
    match args.format.format {
        Format::Json => Ok(out.json(&BalanceRow::new(user))?),
        Format::Table => print_balance(out, user),
    }
}

#[derive(Debug, Serialize)]
struct PastRow {
    user_id: UserId,
    as_of_time: String,
    points: i64,
    cash: i64,
    total: i64,
    entry_seq: i64,
    last_entry_time: Option<String>,
}

async fn past(args: &BalanceArgs, reader: &dyn Reader, at: Micros, out: &mut Out) -> Result<(), Failure> {
    if at > reader.now().await? {
        return Err(Failure::Refused(format!("--as-of {} lies in the future", moment(at))));
    }
    let PastBalance { points, cash, entry_seq, time } =
        reader.past_balance(args.user, at).await?.ok_or_else(|| unknown(args.user))?;
    let total = points.saturating_add(cash);
    if args.format.format == Format::Json {
        let last_entry_time = time.map(moment);
        let as_of_time = moment(at);
        return Ok(out.json(&PastRow {
            user_id: args.user,
            as_of_time,
            points,
            cash,
            total,
            entry_seq,
            last_entry_time,
        })?);
    }
    let columns = [
        ("USER", Side::Right, 0),
        ("POINTS", Side::Right, 0),
        ("CASH", Side::Right, 0),
        ("TOTAL", Side::Right, 0),
        ("ENTRIES", Side::Right, 0),
        ("LAST ENTRY", Side::Left, 0),
        ("AS OF", Side::Left, 0),
    ];
    let mut cells: Vec<String> = [args.user, points, cash, total, entry_seq].map(|n| n.to_string()).to_vec();
    cells.push(time.map_or_else(|| "none yet".to_owned(), moment));
    cells.push(moment(at));
    Ok(Table::new(&columns).print(out, &[cells])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_needs_its_offset() {
        assert_eq!(parse_moment("1970-01-01T00:00:01Z"), Ok(Micros(1_000_000)));
        assert_eq!(parse_moment("1970-01-01T08:00:00+08:00"), Ok(Micros(0)));
        for text in ["1970-01-01", "1970-01-01T00:00:00", "yesterday", ""] {
            assert!(parse_moment(text).unwrap_err().contains("offset"), "{text}");
        }
    }
}
