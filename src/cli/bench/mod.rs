//! `scrip bench`: a load generator that checks what it measured.
//!
//! Phases: connect; credit every user; charge from many callers at once until the time is up ([`load`]); repeat each
//! charge whose answer was lost until it is known; then compare every balance with the charges that were acknowledged
//! ([`sum`]). A fast service that loses one point fails here. With `--accounts` the callers lease keys instead ([`keys`]),
//! and every slot must come back.

mod keys;
mod load;
mod report;
mod sum;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use self::load::Plan;
use super::failure::{FINDINGS, Failure};
use super::output::Out;
use super::remote::{Connection, RemoteArgs};
use crate::clock::{Ids, System};
use crate::pb::billing_service_client::BillingServiceClient;

/// Largest answer taken: that of a full batch.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Load a running server with charges, and check that every point is accounted for
///
/// Credits --users new users first, charges them from --in-flight callers at once for --seconds, prints the speed, and
/// ends by comparing each balance with the charges that were acknowledged. It leaves its users and tasks behind: use
/// a database of its own. Run it on another machine for figures that mean something.
#[derive(Debug, Args)]
#[command(
    hide = true,
    after_help = "Exit codes: 0 every point accounted for · 1 not so, or nothing was charged · 2 could not run.\n\n\
    Examples:\n  \
    scrip bench --users 1 --in-flight 64 --seconds 30\n  \
    scrip bench --users 1000 --in-flight 8 --batch 1000\n  \
    scrip bench --accounts 100 --in-flight 256"
)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    remote: RemoteArgs,

    /// Users that are charged; 1 makes one hot user
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: u32,

    /// Calls in flight at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,

    /// Connections they are spread over
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,

    /// How long
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,

    /// One charge a call: the default
    #[arg(long, conflicts_with = "batch")]
    unary: bool,

    /// So many charges a call, by BatchCharge
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: Option<u32>,

    /// Lease keys of so many accounts and give them back, in place of charges; the server needs a key-encryption key
    #[arg(long, value_name = "N", conflicts_with_all = ["batch", "unary"], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    accounts: Option<u32>,
}

type Client = BillingServiceClient<Connection>;

pub(super) async fn run(args: BenchArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let channels = connect(&args).await?;
    let plan = Arc::new(plan(&args));
    let client =
        |channel: &Connection| Client::new(channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
    let clients: Vec<Client> = channels.iter().map(client).collect();
    out.line(format!("crediting {} users at {}", args.users, args.remote.address()))?;
    let before = sum::credit(&clients, &plan).await?;
    if let Some(accounts) = args.accounts {
        return lease(&args, &channels, &plan, accounts, out).await;
    }
    let calls = match plan.batch {
        None => "unary charges".to_owned(),
        Some(items) => format!("batches of {items}"),
    };
    let (seconds, in_flight, connections) = (args.seconds, args.in_flight, clients.len());
    out.line(format!("{seconds} s of {calls}, {in_flight} in flight over {connections} connections"))?;
    let mut load = load::run(&clients, &plan, in_flight).await;
    load::resolve(&clients, &plan, &mut load).await;
    let sum = sum::check(&clients, &plan, &before, &load).await?;
    report::print(out, &load, &sum)?;
    let is_good = sum.is_exact() && load.charged > 0;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

/// Keys in place of charges: what was leased must have come back.
async fn lease(
    args: &BenchArgs,
    channels: &[Connection],
    plan: &Plan,
    accounts: u32,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let Some(first) = channels.first() else { return Ok(ExitCode::from(FINDINGS)) };
    let added = keys::Accounts::add(first, &plan.run, accounts).await?;
    let (seconds, in_flight) = (args.seconds, args.in_flight);
    out.line(format!(
        "{seconds} s of keys of {accounts} accounts leased and given back, {in_flight} in flight"
    ))?;
    let load = keys::run(channels, plan, in_flight).await;
    let (left, given) = added.remove(first).await?;
    report::print_pairs(out, &load, left)?;
    let is_good =
        left == 0 && load.charged > 0 && u64::try_from(given).is_ok_and(|given| given >= load.charged);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

fn plan(args: &BenchArgs) -> Plan {
    let run = System.batch_id();
    // Users of its own, so that runs at the same time do not judge each other's charges.
    let block = i64::try_from(run.as_u128() % 1_000_000_000).unwrap_or_default();
    Plan {
        run: run.simple().to_string(),
        first_user: 1_000_000_000_000 + block * 1_000_000,
        users: i64::from(args.users),
        batch: args.batch.filter(|_| !args.unary),
        lasts: Duration::from_secs(args.seconds),
    }
}

async fn connect(args: &BenchArgs) -> Result<Vec<Connection>, Failure> {
    let mut channels = Vec::new();
    for _ in 0..args.connections.min(args.in_flight) {
        channels.push(args.remote.connect().await?);
    }
    Ok(channels)
}
