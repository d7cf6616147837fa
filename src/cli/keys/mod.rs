//! `scrip keys`: the fal accounts that tasks run on, their keys, and the keys that seal those.
//!
//! | command | where |
//! |---|---|
//! | add, rotate: a secret is read ([`secret_input`]), sealed and stored | [`add`], [`rotate`] |
//! | set, enable, disable, drain, delete | [`change`] |
//! | list, show | [`list`], [`show`], in the words of [`account`] |
//! | rotate-kek, new-kek | [`kek`] |
//!
//! What changes anything goes through the engine in this process, as an operator's commands do everywhere; what only
//! looks reads the database. A secret comes from stdin or a prompt, and is shown by nothing.

mod account;
mod add;
mod change;
mod kek;
mod list;
mod misplaced;
mod rotate;
mod secret_input;
mod show;
mod usd;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::output::Out;
use crate::keypool::AccountStatus;

pub(super) use self::misplaced::instead_of;

/// Look after fal accounts and their keys
///
/// Each account is one fal key and what it may be used for. Its secret is read from stdin or a prompt, never from the
/// command line, stored sealed, and never shown again. Every change is in the audit log of the account. Opens the
/// database itself: a server need not run, and may.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    Add(add::AddArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Set(Box<change::SetArgs>),
    /// Put an account into rotation
    ///
    /// One that is cooling down or locked gets its probe at once: you say that it is mended, and one lease finds out.
    #[command(after_help = "Examples:\n  \
        scrip keys enable 7\n  \
        scrip keys enable 7 --reason 'topped up'")]
    Enable(change::StatusArgs),
    /// Take an account out of rotation at once
    ///
    /// Nothing is leased of it any more, not even for a task that runs on it. Leases that are live keep their key.
    #[command(after_help = "Examples:\n  \
        scrip keys disable 7 --reason 'key leaked'")]
    Disable(change::StatusArgs),
    /// Take an account out of rotation, but let its running tasks end
    ///
    /// New tasks go elsewhere; a task that runs on it still gets its key, to poll or to cancel.
    #[command(after_help = "Examples:\n  \
        scrip keys drain 7 --reason 'moving to another workspace'")]
    Drain(change::StatusArgs),
    Rotate(rotate::RotateArgs),
    Delete(change::DeleteArgs),
    RotateKek(kek::RotateKekArgs),
    NewKek(kek::NewKekArgs),
}

pub(super) async fn run(args: KeysArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    match args.command {
        KeysCommand::Add(args) => add::run(args, out).await,
        KeysCommand::List(args) => list::run(args, out).await,
        KeysCommand::Show(args) => show::run(args, out).await,
        KeysCommand::Set(args) => change::set(*args, out).await,
        KeysCommand::Enable(args) => change::status(args, AccountStatus::Enabled, out).await,
        KeysCommand::Disable(args) => change::status(args, AccountStatus::Disabled, out).await,
        KeysCommand::Drain(args) => change::status(args, AccountStatus::Draining, out).await,
        KeysCommand::Rotate(args) => rotate::run(args, out).await,
        KeysCommand::Delete(args) => change::delete(args, out).await,
        KeysCommand::RotateKek(args) => kek::rotate(args, out).await,
        KeysCommand::NewKek(args) => kek::print_new(&args, out),
    }
}
