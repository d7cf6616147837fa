//! scrip beside what it is compared with, in one run on one machine. `scripts/bench.sh` builds and runs it.
//!
//! Everything is started here: a throw-away PostgreSQL, the release binary on it and on SQLite, and the contenders:
//!
//! | | contender | file |
//! |---|---|---|
//! | a | the usual transaction of five statements, by `pgbench` | `pgbench` |
//! | b | the same transaction, a request each, behind tonic and sqlx | `naive` |
//! | c | the wall: the rows alone, by bulk statements | `wall` |
//! | d | a server that does nothing | `noop` |
//! | | with `--peers`: a ledger that others have made | `others` |
//!
//! Every contender uses scrip's own schema with all of its indexes, and the same durability. A round runs each of them
//! once, in turn, each on a fresh copy of one prepared database; what is printed is the median of the rounds' ratios,
//! with their spread. Phases: databases and users ([`stage`]) → rounds ([`rounds`]) → the measurements that need no
//! rounds ([`once`]) → how the rate
//! goes with what grows ([`growth`]) → table and charts ([`report`]).

mod chart;
mod figures;
mod growth;
mod load;
mod machine;
mod naive;
mod noop;
mod once;
mod open_loop;
mod options;
#[cfg(feature = "peers")]
mod others;
mod pgbench;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../../tests/support/postgres.rs"]
mod postgres;
mod process;
mod report;
mod rounds;
mod size;
mod stage;
mod unary;
mod wall;

/// The messages and clients of `scrip.v1`.
#[allow(clippy::all, reason = "generated")]
mod pb {
    tonic::include_proto!("scrip.v1");
}

use std::process::ExitCode;

/// What scrip has: neither its client nor a server beside it is to be slower for its allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use options::{Command, Options};

/// What `postgres` says when it is left out.
fn say_not_run(why: &str) {
    eprintln!("DID NOT RUN: {why}");
}

fn main() -> ExitCode {
    let command = match options::read(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(why) => {
            eprintln!("{why}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match command {
            Command::Help => {
                println!("{}", options::USAGE);
                ExitCode::SUCCESS
            }
            Command::Naive(url) => naive::serve(&url).await,
            Command::Noop => noop::serve().await,
            Command::Compare(options) => compare(&options).await,
        }
    })
}

async fn compare(options: &Options) -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("built without --release: these figures mean nothing");
    }
    let Some(stage) = stage::Stage::set(options).await else { return ExitCode::from(2) };
    let mut figures = rounds::run(&stage, options).await;
    figures.extend(once::run(&stage, options).await);
    let growth = growth::run(&stage, options).await;
    let machine = machine::describe(&stage.server_version().await);
    let page = report::Page { machine, options, figures, growth };
    print!("{}", page.terminal());
    if let Some(directory) = &options.out
        && let Err(why) = page.write(directory)
    {
        eprintln!("{}: {why}", directory.display());
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
