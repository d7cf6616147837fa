//! The command line: what an operator types, and what comes back.
//!
//! Phases: [`parse`] reads options from the command line, the environment and the file ([`crate::config`]);
//! [`run`] starts the log and runs the one command; every command ends in an exit code (`failure`).
//!
//! Commands that read or change the ledger open the database themselves and, where they change it, run the same engine
//! as the server in their own process. They work with and without a running server. `health` and `bench` are clients
//! of a running server.

mod answer;
mod audit;
mod balance;
mod bench;
mod credit;
mod demo;
mod failure;
mod health;
mod keyring;
mod keys;
mod migrate;
mod output;
mod refund;
mod remote;
mod routes;
mod security;
mod serve;
mod session;
mod tasks;
mod tokens;
mod told;
mod usage;
mod verify;
mod version;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::failure::{COULD_NOT_RUN, Failure};
use self::output::{Out, Paint};
use crate::config::{self, CommonArgs, ConfigError};
use crate::telemetry;

pub(crate) use self::output::colour_wanted;

/// Prepaid billing for AI products: points charged, held, refunded and audited, over gRPC.
///
/// Every option can be given as a flag, as an environment variable (SCRIP_…) or as a key of a TOML file (--config), in
/// this order of precedence.
#[derive(Debug, Parser)]
#[command(
    name = "scrip",
    version,
    long_version = version::long(),
    arg_required_else_help = true,
    max_term_width = 110,
    after_help = "Exit codes: 0 done · 1 refused, or findings · 2 could not run.\n\
                  Start here: `scrip serve`, then the grpcurl lines it prints."
)]
pub struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Migrate(migrate::MigrateArgs),
    Verify(verify::VerifyArgs),
    Balance(balance::BalanceArgs),
    Credit(credit::CreditArgs),
    Refund(refund::RefundArgs),
    Tasks(tasks::TasksArgs),
    Keys(Box<keys::KeysArgs>),
    Tokens(tokens::TokensArgs),
    Audit(Box<audit::AuditCommand>),
    Usage(Box<usage::UsageArgs>),
    Demo(demo::DemoArgs),
    Health(health::HealthArgs),
    Version(version::VersionArgs),
    Bench(bench::BenchArgs),
}

/// Reads the command line, the environment and the configuration file. What cannot be read is said on stderr.
///
/// # Errors
/// The exit code: 0 after help, 2 after anything wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let args: Vec<OsString> = args.into_iter().collect();
    let read = config::parse(Cli::command(), &args).and_then(|matches| {
        Cli::from_arg_matches(&matches).map_err(|error| ConfigError::Usage(error.format(&mut Cli::command())))
    });
    let read = read.map_err(|error| match error {
        ConfigError::Usage(error) => match keys::instead_of(&error, &args) {
            Some(why) => ConfigError::Value(why),
            None => ConfigError::Usage(error),
        },
        other => other,
    });
    read.map_err(|error| match error {
        ConfigError::Usage(error) => {
            // Nobody is left to tell if this cannot be printed either.
            let _ = error.print();
            u8::try_from(error.exit_code()).map_or(ExitCode::from(COULD_NOT_RUN), ExitCode::from)
        }
        ConfigError::Value(why) => {
            eprintln!("{} {why}", Paint::stderr().red("error:"));
            ExitCode::from(COULD_NOT_RUN)
        }
    })
}

/// Runs the command to its end.
pub async fn run(cli: Cli) -> ExitCode {
    // A command for one moment speaks for itself; a service is known by its log, and starts that itself.
    if !matches!(cli.command, Command::Serve(_))
        && let Err(why) = telemetry::start(&cli.common, "off")
    {
        return Failure::CouldNotRun(why).report();
    }
    let mut out = Out::stdout();
    let ended = match cli.command {
        Command::Serve(args) => serve::run(*args, &cli.common, &mut out).await,
        Command::Migrate(args) => migrate::run(args, &mut out).await,
        Command::Verify(args) => verify::run(args, &mut out).await,
        Command::Balance(args) => balance::run(args, &mut out).await,
        Command::Credit(args) => credit::run(args, &mut out).await,
        Command::Refund(args) => refund::run(args, &mut out).await,
        Command::Tasks(args) => tasks::run(args, &mut out).await,
        Command::Keys(args) => keys::run(*args, &mut out).await,
        Command::Tokens(args) => tokens::run(args, &mut out).await,
        Command::Audit(args) => audit::run(*args, &mut out).await,
        Command::Usage(args) => usage::run(*args, &mut out).await,
        Command::Demo(args) => demo::run(args, &mut out).await,
        Command::Health(args) => health::run(args, &mut out).await,
        Command::Version(args) => version::run(args, &mut out),
        Command::Bench(args) => bench::run(args, &mut out).await,
    };
    ended.unwrap_or_else(|failure| failure.report())
}
