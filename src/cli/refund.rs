//! `scrip refund`: money back for a task, by an operator.

use std::process::ExitCode;

use clap::Args;

use super::answer;
use super::failure::Failure;
use super::output::Out;
use super::session;
use crate::config::{DatabaseArgs, FormatArgs};
use crate::ledger::command::{Refund, UNRESOLVED};
use crate::ledger::{Command, Text, UserId};

/// Give back all or part of what a task was charged
///
/// Without --amount everything that is left goes back, into the purses it came from; repeating that is safe by itself.
/// A part needs a --request-id, since only you know whether two commands mean one refund or two. Opens the database
/// itself: a server need not run, and may.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip refund job-2 --reason 'image never arrived'\n  \
    scrip refund job-2 --amount 30 --request-id ticket-1187 --reason goodwill")]
pub(super) struct RefundArgs {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,

    /// Points to give back [default: all that is left]
    #[arg(
        long,
        value_name = "N",
        requires = "request_id",
        value_parser = clap::value_parser!(i64).range(1..),
        allow_negative_numbers = true
    )]
    amount: Option<i64>,

    /// Why: the title of the entries on the user's statement
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    /// The name of this refund: one id, one refund, however often it is repeated
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,

    /// The task's user, to be sure: another user's task is refused
    #[arg(long, value_name = "USER", value_parser = clap::value_parser!(i64).range(1..))]
    user: Option<UserId>,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: RefundArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let command = Command::Refund(Refund {
        user_id: args.user.unwrap_or(UNRESOLVED),
        task_id: Text::from(args.task.as_str()),
        amount: args.amount,
        reason: Text::from(args.reason.as_str()),
    });
    let answer = session::submit(&args.database.database_url, command, &args.request_id).await?;
    let points: i64 = answer.entries.iter().map(|entry| entry.amount).sum();
    let done = format!("{points} points of task {} were refunded to user {}", args.task, answer.user.user_id);
    answer::print(out, args.format.format, &answer, &done)?;
    Ok(ExitCode::SUCCESS)
}
