//! `scrip credit`: money in, by an operator.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::answer;
use super::failure::Failure;
use super::output::Out;
use super::session;
use crate::config::{DatabaseArgs, FormatArgs};
use crate::ledger::command::Credit;
use crate::ledger::{Command, Purse, SourceType, Text, UserId};

/// Add points to one of a user's purses
///
/// Creates the user if new. Opens the database itself and runs the server's own engine: a server need not run, and may.
///
/// --request-id names this credit for good. Repeating the command with the same id never credits twice: after a lost
/// connection, or out of the shell's history, it answers what was done before. That is why it is required and not
/// made up: only you know whether two commands mean one credit or two. An order or ticket number is a good one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip credit 42 1000 --purse points --request-id order-20260630-7\n  \
    scrip credit 42 500 --purse points --source gift --title '新春礼物' --request-id gift-2026-42\n  \
    scrip credit 42 250 --purse cash --source agent_revenue --request-id agent-2026-06-42")]
pub(super) struct CreditArgs {
    /// The user
    #[arg(value_name = "USER", value_parser = clap::value_parser!(i64).range(1..), allow_negative_numbers = true)]
    user: UserId,

    /// Points to add (1 point = 1/100 CNY)
    #[arg(value_name = "AMOUNT", value_parser = clap::value_parser!(i64).range(1..), allow_negative_numbers = true)]
    amount: i64,

    /// The purse to add to
    #[arg(long, value_name = "PURSE")]
    purse: PurseWord,

    /// Where the money comes from
    #[arg(long, value_name = "SOURCE", default_value = "recharge")]
    source: Source,

    /// The name of this credit: one id, one credit, however often it is repeated
    #[arg(long, value_name = "ID")]
    request_id: String,

    /// Your order or payment id, kept in the entry
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    order_id: String,

    /// Text for the user's statement
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    title: String,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PurseWord {
    /// Prepaid points
    Points,
    /// Agent revenue, withdrawable
    Cash,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Source {
    /// Bought
    Recharge,
    /// Given
    Gift,
    /// Earned
    Reward,
    /// Moved by an operator
    System,
    /// Earned by the user's agent; cash only
    AgentRevenue,
}

impl CreditArgs {
    fn command(&self) -> Command {
        Command::Credit(Credit {
            user_id: self.user,
            amount: self.amount,
            purse: match self.purse {
                PurseWord::Points => Purse::Points,
                PurseWord::Cash => Purse::Cash,
            },
            source_type: match self.source {
                Source::Recharge => SourceType::Recharge,
                Source::Gift => SourceType::Gift,
                Source::Reward => SourceType::Reward,
                Source::System => SourceType::System,
                Source::AgentRevenue => SourceType::AgentRevenue,
            },
            order_id: Text::from(self.order_id.as_str()),
            title: Text::from(self.title.as_str()),
            pay_type: 0,
        })
    }
}

pub(super) async fn run(args: CreditArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let answer = session::submit(&args.database.database_url, args.command(), &args.request_id).await?;
    let done = format!("{} points were credited to user {}", args.amount, args.user);
    answer::print(out, args.format.format, &answer, &done)?;
    Ok(ExitCode::SUCCESS)
}
