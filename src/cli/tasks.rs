//! `scrip tasks stuck`: tasks that were charged and that nobody settled, and what to do about them.
//!
//! Phases: the moment before which a task counts as stuck is fixed once, by the database's clock; the tasks are read,
//! oldest first; they are shown; and with `--fail`, once an operator has agreed, each goes through the engine as a
//! FailTask, which gives the money back. A task that its runner settles meanwhile is left as it is.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::failure::{FINDINGS, Failure};
use super::output::{Out, Side, Table, moment, moment_short};
use super::session::{Prepare, Session, close, open};
use crate::config::{DatabaseArgs, Format, FormatArgs, HumanDuration};
use crate::ledger::command::FailTask;
use crate::ledger::{Command, Micros, Task, Text};
use crate::store::{Reader, StoreError};

/// Rows of one page: each carries its JSON, which is let go page by page.
const PAGE: u32 = 200;

/// Look after tasks
#[derive(Debug, Args)]
pub(super) struct TasksArgs {
    #[command(subcommand)]
    command: TasksCommand,
}

#[derive(Debug, Subcommand)]
enum TasksCommand {
    Stuck(StuckArgs),
}

/// List charged tasks that nobody settled; --fail fails and refunds them
///
/// A task is stuck when it is still pending or processing, its user was charged, and it is older than --older-than: its
/// runner died, or lost its answer. --fail fails each and gives back all that is left of its charge, as FailTask does;
/// a task that is settled meanwhile keeps its outcome. Look first: a slow job that still completes after it was
/// refunded is work for free.
///
/// Opens the database itself: a server need not run, and may.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 done · 1 some task could not be failed · 2 could not run.\n\n\
    Examples:\n  \
    scrip tasks stuck\n  \
    scrip tasks stuck --older-than 72h --fail\n  \
    scrip tasks stuck --older-than 7d --fail --yes --format json")]
struct StuckArgs {
    /// How long ago a task must have been charged to count as stuck
    #[arg(long, env = "SCRIP_OLDER_THAN", value_name = "DURATION", default_value = "24h")]
    older_than: HumanDuration,

    /// At most this many, oldest first
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,

    /// Fail and refund each of them, after asking
    #[arg(long)]
    fail: bool,

    /// Do not ask
    #[arg(long, requires = "fail")]
    yes: bool,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: TasksArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let TasksCommand::Stuck(args) = args.command;
    stuck(args, out).await
}

async fn stuck(args: StuckArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    if args.fail && !args.yes && !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::could_not_run(
            "--fail asks before it acts, and here is nobody to ask: add --yes",
        ));
    }
    let store = open(&args.database.database_url, Prepare::Nothing).await?;
    let reader = store.reader();
    let before = reader.now().await?.plus(args.older_than.micros().saturating_neg());
    let (tasks, there_are_more) = read(&*reader, before, args.limit).await?;
    if !args.fail {
        show(out, args.format.format, &tasks)?;
    } else if args.format.format == Format::Table {
        show(out, Format::Table, &tasks)?;
    }
    let mut refused = 0;
    if args.fail && !tasks.is_empty() {
        if !args.yes && !agreed(&tasks)? {
            return Err(Failure::Refused("not agreed: nothing was done".to_owned()));
        }
        let session = Session::start(&*store);
        let ended = fail_all(&session, &args, &tasks, out).await;
        session.end().await;
        refused = ended?;
    }
    close(&*store).await;
    if there_are_more {
        eprintln!("there are more than --limit {}", args.limit);
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

/// At most `limit` tasks, without their JSON, and whether there are more.
async fn read(reader: &dyn Reader, before: Micros, limit: u32) -> Result<(Vec<Task>, bool), StoreError> {
    let mut tasks = Vec::new();
    let mut after = 0;
    loop {
        let page = reader.stuck_tasks(before, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((tasks, false)) };
        after = last.id;
        tasks.extend(page.into_iter().map(|record| record.task));
        if tasks.len() > limit as usize {
            tasks.truncate(limit as usize);
            return Ok((tasks, true));
        }
    }
}

/// What its user would get back.
fn left(task: &Task) -> i64 {
    task.refundable().total()
}

#[derive(Debug, Serialize)]
struct TaskRow<'a> {
    task_id: &'a str,
    user_id: i64,
    status: &'static str,
    money: i64,
    refundable: i64,
    app_name: &'a str,
    online_task_id: &'a str,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl<'a> TaskRow<'a> {
    fn new(task: &'a Task) -> Self {
        Self {
            task_id: &task.task_id,
            user_id: task.user_id,
            status: task.status.as_str(),
            money: task.money,
            refundable: left(task),
            app_name: &task.app_name,
            online_task_id: &task.online_task_id,
            create_time: moment(task.create_time),
            outcome: None,
            refunded: None,
            why: None,
        }
    }
}

fn show(out: &mut Out, format: Format, tasks: &[Task]) -> Result<(), Failure> {
    if format == Format::Json {
        for task in tasks {
            out.json(&TaskRow::new(task))?;
        }
        return Ok(());
    }
    if tasks.is_empty() {
        return Ok(out.line(out.paint().green("no task is stuck"))?);
    }
    let columns = [
        ("TASK", Side::Left, 0),
        ("USER", Side::Right, 0),
        ("STATUS", Side::Left, 0),
        ("CHARGED", Side::Right, 0),
        ("LEFT", Side::Right, 0),
        ("CREATED", Side::Left, 0),
        ("MODEL", Side::Left, 0),
    ];
    let rows: Vec<Vec<String>> = tasks
        .iter()
        .map(|task| {
            vec![
                task.task_id.to_string(),
                task.user_id.to_string(),
                task.status.to_string(),
                task.money.to_string(),
                left(task).to_string(),
                moment_short(task.create_time),
                task.app_name.to_string(),
            ]
        })
        .collect();
    Ok(Table::new(&columns).print(out, &rows)?)
}

/// Asks on the terminal; anything but a clear yes is a no.
fn agreed(tasks: &[Task]) -> Result<bool, Failure> {
    let points = tasks.iter().fold(0_i64, |sum, task| sum.saturating_add(left(task)));
    let mut stderr = io::stderr();
    write!(stderr, "Fail these {} tasks and refund {points} points? [y/N] ", tasks.len())?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Fails each; answers how many were refused. What one refuses does not keep the others, but a database that does not
/// answer ends it.
async fn fail_all(
    session: &Session,
    args: &StuckArgs,
    tasks: &[Task],
    out: &mut Out,
) -> Result<u64, Failure> {
    let error = Text::from(format!("nobody settled it within {}: failed by an operator", args.older_than));
    let mut refused = 0_u64;
    let mut refunded_in_all = 0_i64;
    for task in tasks {
        let command = Command::FailTask(FailTask {
            user_id: task.user_id,
            task_id: task.task_id.clone(),
            online_task_id: Text::from(""),
            error: error.clone(),
            no_refund: false,
            lease_id: Text::from(""),
            report: Box::default(),
        });
        let mut row = TaskRow::new(task);
        let line = match session.submit(command, "").await {
            Ok(answer) => {
                let points = answer.entries.iter().fold(0_i64, |sum, entry| sum.saturating_add(entry.amount));
                refunded_in_all = refunded_in_all.saturating_add(points);
                (row.outcome, row.refunded) = (Some("failed"), Some(points));
                format!("failed {}: {points} points refunded to user {}", task.task_id, task.user_id)
            }
            Err(Failure::Refused(why)) => {
                refused = refused.saturating_add(1);
                let line = format!("left {}: {why}", task.task_id);
                (row.outcome, row.why) = (Some("refused"), Some(why));
                line
            }
            Err(other) => return Err(other),
        };
        match args.format.format {
            Format::Json => out.json(&row)?,
            Format::Table => out.line(line)?,
        }
    }
    if args.format.format == Format::Table {
        let failed = (tasks.len() as u64).saturating_sub(refused);
        out.line(format!("{failed} failed, {refunded_in_all} points refunded, {refused} refused"))?;
    }
    Ok(refused)
}
