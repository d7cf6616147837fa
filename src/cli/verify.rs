//! `scrip verify`: re-derives every stored figure and names each that disagrees, as it is found.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

use super::failure::{FINDINGS, Failure};
use super::output::{Out, Side, Table};
use super::session::{Prepare, close, open};
use crate::config::{DatabaseArgs, Format, FormatArgs};
use crate::engine::{self, Disagreement, Verification};

/// How long a check may run before its progress is shown: a bar that flashes by helps nobody.
const PATIENCE: Duration = Duration::from_secs(1);

/// Check every stored figure against the ledger's entries
///
/// Re-derives hash chains, sums, purses, holds, refunds and idempotency records of every user from one snapshot, and
/// prints each figure that disagrees: its table, its row, the column, what it must be and what is stored. Changes
/// nothing and keeps no writer waiting; a running server goes on.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 clean · 1 something disagrees · 2 could not run, or not to its end.\n\n\
    Examples:\n  \
    scrip verify\n  \
    scrip verify --format json > findings.jsonl    # one object a finding, the counts last"
)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: VerifyArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let store = open(&args.database.database_url, Prepare::Nothing).await?;
    let mut snapshot = store.reader().audit_snapshot().await?;
    let mut progress = Progress::new(snapshot.estimate().await?);
    let bar = progress.bar.clone();
    let mut findings = Findings::new(args.format.format);
    // What cannot be written is said at the end: the check itself goes on, its exit code is an answer too.
    let mut unwritten = Ok(());
    let verification = engine::verify(
        snapshot,
        &mut |found| {
            if unwritten.is_ok() {
                unwritten = bar.suspend(|| findings.print(out, &found));
            }
        },
        &mut |so_far| progress.show(so_far),
    )
    .await;
    bar.finish_and_clear();
    let verification = verification?;
    close(&*store).await;
    unwritten?;
    findings.end(out, &verification)?;
    let clean = verification.disagreements == 0;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

/// Rows done out of rows estimated: on a terminal, and only of a check that runs long.
struct Progress {
    bar: ProgressBar,
    estimate: u64,
    began: Instant,
    may_show: bool,
}

impl Progress {
    fn new(estimate: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(estimate), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} rows  {eta} left")
        {
            bar.set_style(style);
        }
        Self { bar, estimate, began: Instant::now(), may_show: io::stderr().is_terminal() }
    }

    fn show(&mut self, so_far: &Verification) {
        let rows = so_far.rows();
        if rows > self.estimate {
            self.bar.set_length(rows);
        }
        self.bar.set_position(rows);
        if self.may_show && self.began.elapsed() > PATIENCE {
            self.may_show = false;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

#[derive(Serialize)]
struct FindingRow<'a> {
    table: &'a str,
    key: &'a str,
    what: &'a str,
    expected: &'a str,
    found: &'a str,
}

#[derive(Serialize)]
struct CountsRow {
    users: u64,
    entries: u64,
    tasks: u64,
    requests: u64,
    leases: u64,
    disagreements: u64,
}

struct Findings {
    format: Format,
    table: Table,
}

impl Findings {
    fn new(format: Format) -> Self {
        // Wide enough for most rows from the start, since a printed line is not moved again.
        let columns = [
            ("TABLE", Side::Left, 25),
            ("KEY", Side::Left, 20),
            ("WHAT", Side::Left, 15),
            ("EXPECTED", Side::Left, 12),
            ("FOUND", Side::Left, 0),
        ];
        Self { format, table: Table::new(&columns) }
    }

    fn print(&mut self, out: &mut Out, found: &Disagreement) -> io::Result<()> {
        let Disagreement { table, key, what, expected, found } = found;
        match self.format {
            Format::Json => out.json(&FindingRow { table, key, what, expected, found }),
            Format::Table => {
                let row = [table, key.as_str(), what, expected, found].map(str::to_owned).to_vec();
                self.table.print(out, &[row])
            }
        }
    }

    fn end(&self, out: &mut Out, verification: &Verification) -> io::Result<()> {
        let &Verification { users, entries, tasks, requests, leases, disagreements } = verification;
        if self.format == Format::Json {
            return out.json(&CountsRow { users, entries, tasks, requests, leases, disagreements });
        }
        let counts = [
            (users, "users"),
            (entries, "entries"),
            (tasks, "tasks"),
            (requests, "requests"),
            (leases, "leases"),
        ];
        let checked = counts.map(|(count, rows)| format!("{count} {rows}")).join(", ");
        let verdict = match disagreements {
            0 => out.paint().green("clean"),
            1 => out.paint().red("1 disagreement"),
            many => out.paint().red(&format!("{many} disagreements")),
        };
        out.line(format!("{verdict}; checked: {checked}"))
    }
}
