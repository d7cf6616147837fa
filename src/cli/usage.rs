//! `scrip usage`: what fal says its models were used for, now, account by account.

use std::io;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::audit::Desk;
use super::audit::period::{self, When};
use super::audit::show::of_error;
use super::failure::{COULD_NOT_RUN, Failure};
use super::output::{Out, Paint, Side, Table, moment_short, plain};
use crate::config::{AuditArgs, DatabaseArgs, FalArgs, Format, FormatArgs, KekArgs};
use crate::fal;
use crate::keypool::AccountId;
use crate::reconcile::{UsageAnswer, UsageLine, UsageQuestion};

/// Show what fal says its models were used for, and what that cost
///
/// Asks fal for every account, or for those named, and prints a table for each: model, unit, quantity, price a unit and
/// cost. fal tells the same to all accounts of a workspace: it is asked through one of them. Stores nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all were asked · 2 could not run, or an account could not be asked.\n\n\
    Examples:\n  \
    scrip usage                                   # today so far\n  \
    scrip usage --ids 1 --start 2026-02-01 --end 2026-02-28 --timeframe day\n  \
    scrip usage --start 2026-02-01 --format json > february.jsonl"
)]
pub(super) struct UsageArgs {
    /// Only these accounts
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<AccountId>,

    /// From when: a day or time of --timezone, or a time with its zone [default: the beginning of today]
    #[arg(long, value_name = "WHEN")]
    start: Option<When>,

    /// Until when; a day is included to its end [default: now]
    #[arg(long, value_name = "WHEN")]
    end: Option<When>,

    /// A row for each of these stretches of time [default: one for the whole period]
    #[arg(long, value_name = "TIMEFRAME")]
    timeframe: Option<Frame>,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    audit: AuditArgs,
    #[command(flatten)]
    fal: FalArgs,
    #[command(flatten)]
    keks: KekArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Frame {
    /// Minutes
    Minute,
    /// Hours
    Hour,
    /// Days of the time zone
    Day,
    /// Weeks, from Monday
    Week,
    /// Months
    Month,
}

impl From<Frame> for fal::Timeframe {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Minute => fal::Timeframe::Minute,
            Frame::Hour => fal::Timeframe::Hour,
            Frame::Day => fal::Timeframe::Day,
            Frame::Week => fal::Timeframe::Week,
            Frame::Month => fal::Timeframe::Month,
        }
    }
}

pub(super) async fn run(args: UsageArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let settings = args.audit.usual().map_err(Failure::CouldNotRun)?;
    let desk = Desk::open(&args.database.database_url, &args.keks, &args.fal, settings).await?;
    let answer = ask(&args, &desk).await;
    desk.close().await;
    let answer = answer?;
    match args.format.format {
        Format::Table => print_tables(&answer, args.timeframe.is_some(), out)?,
        Format::Json => answer.lines.iter().try_for_each(|line| out.json(&Row::from(line)))?,
    }
    for failure in &answer.failures {
        let (paint, name) = (Paint::stderr(), plain(&failure.account_name));
        eprintln!("{} account {} ({name}): {}", paint.red("not asked:"), failure.account_id, failure.message);
    }
    Ok(if answer.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(COULD_NOT_RUN) })
}

async fn ask(args: &UsageArgs, desk: &Desk) -> Result<UsageAnswer, Failure> {
    let now = desk.now().await?;
    let period = period::period(args.start, args.end, &args.audit.timezone, now);
    let (start, end) = period.map_err(Failure::CouldNotRun)?;
    let question = UsageQuestion {
        account_ids: args.ids.clone(),
        start: Some(start),
        end: Some(end),
        timeframe: args.timeframe.map(Into::into),
    };
    desk.handle.usage(&question).await.map_err(of_error)
}

/// A table for each account, each with its total, and the total of all.
fn print_tables(answer: &UsageAnswer, by_time: bool, out: &mut Out) -> io::Result<()> {
    let mut accounts = 0;
    for lines in answer.lines.chunk_by(|one, other| one.account_id == other.account_id) {
        let Some(first) = lines.first() else { continue };
        if accounts > 0 {
            out.line("")?;
        }
        accounts += 1;
        let title = format!("{} {}", first.account_id, plain(&first.account_name));
        let workspace = format!("workspace {}", plain(&first.workspace));
        out.line(format!("{}  {}", out.paint().bold(&title), out.paint().dim(&workspace)))?;
        let mut columns = vec![
            ("MODEL", Side::Left, 0),
            ("UNIT", Side::Left, 0),
            ("QUANTITY", Side::Right, 0),
            ("PRICE USD", Side::Right, 0),
            ("COST USD", Side::Right, 0),
        ];
        if by_time {
            columns.insert(0, ("FROM", Side::Left, 0));
        }
        let mut rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line, by_time)).collect();
        let between = vec![String::new(); columns.len().saturating_sub(2)];
        rows.push([vec!["Total".to_owned()], between, vec![dollars(cost_of(lines))]].concat());
        Table::new(&columns).print(out, &rows)?;
    }
    if accounts != 1 {
        if accounts > 0 {
            out.line("")?;
        }
        let total = format!("{} USD", dollars(answer.cost_nano_usd()));
        out.line(format!("{} {total}", out.paint().bold("All accounts:")))?;
    }
    Ok(())
}

fn cells(line: &UsageLine, by_time: bool) -> Vec<String> {
    let row = &line.row;
    let cost = row.cost.map_or_else(|| "unknown".to_owned(), |cost| dollars(cost.0));
    let mut cells = vec![
        row.endpoint_id.clone(),
        row.unit.clone(),
        row.quantity.to_string(),
        row.unit_price.to_string(),
        cost,
    ];
    if by_time {
        cells.insert(0, moment_short(line.start));
    }
    cells
}

fn cost_of(lines: &[UsageLine]) -> i64 {
    let costs = lines.iter().filter_map(|line| line.row.cost);
    costs.fold(0, |sum: i64, cost| sum.saturating_add(cost.0))
}

/// Nano-USD in dollars, to the last digit, at least two places.
fn dollars(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let magnitude = nano.unsigned_abs();
    let part = format!("{:09}", magnitude % 1_000_000_000);
    let digits = part.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{}", magnitude / 1_000_000_000, &part[..digits])
}

#[derive(Serialize)]
struct Row<'a> {
    account_id: AccountId,
    account_name: &'a str,
    workspace: &'a str,
    start_time: String,
    app_name: &'a str,
    unit: &'a str,
    quantity: String,
    unit_price: String,
    percent_discount: Option<String>,
    cost_nano_usd: Option<i64>,
}

impl<'a> From<&'a UsageLine> for Row<'a> {
    fn from(line: &'a UsageLine) -> Self {
        let row = &line.row;
        Self {
            account_id: line.account_id,
            account_name: &line.account_name,
            workspace: &line.workspace,
            start_time: moment_short(line.start),
            app_name: &row.endpoint_id,
            unit: &row.unit,
            quantity: row.quantity.to_string(),
            unit_price: row.unit_price.to_string(),
            percent_discount: row.percent_discount.map(|percent| percent.to_string()),
            cost_nano_usd: row.cost.map(|cost| cost.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact_and_have_two_places_at_least() {
        assert_eq!(
            (dollars(0), dollars(90_240_000), dollars(-1)),
            ("0.00".into(), "0.09024".into(), "-0.000000001".into())
        );
        assert_eq!(dollars(12_500_000_000), "12.50");
    }
}
