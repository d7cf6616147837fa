//! `scrip keys add`: a fal account, its secret from stdin or a prompt.

use std::process::ExitCode;

use clap::Args;

use super::super::failure::Failure;
use super::super::output::Out;
use super::change::{self, Desk};
use super::secret_input::{self, Wanted};
use super::{misplaced, usd};
use crate::config::{DatabaseArgs, FormatArgs, KekArgs};
use crate::engine::bounds::{self, DEFAULT_CONCURRENCY, DEFAULT_WEIGHT};
use crate::keypool::{Command, NewAccount, NewKey, Purpose, Sealed};
use crate::ledger::limits::Checks;
use crate::ledger::{Limits, Text};

/// Add a fal account
///
/// Reads its key, key_id:key_secret, as the first line of stdin, or asks for it where stdin is a terminal. The key is
/// stored sealed with a key-encryption key (--kek-file or SCRIP_KEK; on SQLite one is made beside the database where
/// none is given) and shown to nobody but the tasks that lease it.
///
/// The key of a deleted account re-adds that account, under the id it had.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip keys add main --workspace team --max-concurrency 10     # asks for the key\n  \
    scrip keys add main --max-concurrency 10 < main.key\n  \
    pass show fal/main | scrip keys add main --balance-usd 38.80\n  \
    scrip keys add main --with-billing-key < two-lines.key")]
pub(super) struct AddArgs {
    /// The account's name, for people
    #[arg(value_name = "NAME")]
    name: String,

    /// The fal workspace it belongs to: its accounts share limit, lock, cooldown and balance [default: one of its own]
    #[arg(long, value_name = "WORKSPACE", default_value = "", hide_default_value = true)]
    workspace: String,

    /// The most jobs its workspace may run at once: 1 to 10000
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY, allow_negative_numbers = true)]
    max_concurrency: i32,

    /// Its tier: 0 is tried first, a higher one only where no lower one has a free slot
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,

    /// How much of the work it shall carry, in percent of its share by limit: 1 to 10000
    #[arg(long, value_name = "PERCENT", default_value_t = DEFAULT_WEIGHT, allow_negative_numbers = true)]
    weight: i32,

    /// A fal model it may run, or a beginning and *; repeat it for several [default: all]
    #[arg(long = "allow-app", value_name = "APP")]
    allow_apps: Vec<String>,

    /// Notes
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    remark: String,

    /// Its workspace's credit at fal in US dollars, if known
    #[arg(long, value_name = "USD", value_parser = usd::parse, allow_negative_numbers = true)]
    balance_usd: Option<i64>,

    /// Read a second line: a key for fal's usage and billing API, which is never leased
    #[arg(long)]
    with_billing_key: bool,

    /// The name of this addition: one id, one account, however often it is repeated
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,

    #[command(flatten)]
    keks: KekArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl AddArgs {
    /// The account, its keys still to come.
    fn account(&self) -> Result<NewAccount, Failure> {
        misplaced::refuse([
            ("NAME", &*self.name),
            ("--workspace", &*self.workspace),
            ("--remark", &*self.remark),
            ("--request-id", &*self.request_id),
        ])?;
        let limits = Limits::default();
        let mut checks = Checks::new(&limits);
        let account = NewAccount {
            name: bounds::name(self.name.clone(), &mut checks),
            key: NewKey {
                key_id: Text::default(),
                sealed: Sealed { kek_id: Text::default(), bytes: [].into() },
            },
            billing_key: None,
            workspace: bounds::workspace(self.workspace.clone(), &mut checks),
            max_concurrency: bounds::concurrency(self.max_concurrency, &mut checks),
            priority: bounds::priority(self.priority, &mut checks),
            weight: bounds::weight(self.weight, &mut checks),
            allowed_apps: bounds::apps(self.allow_apps.clone(), &mut checks),
            remark: bounds::remark(self.remark.clone(), &mut checks),
            balance_nano_usd: self.balance_usd,
        };
        checks.take().map_err(change::malformed)?;
        Ok(account)
    }
}

pub(super) async fn run(args: AddArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let account = args.account()?;
    let desk = Desk::open_with_keys(&args.database.database_url, &args.keks).await?;
    desk.check_fits().await?;
    let wanted: &[Wanted] =
        if args.with_billing_key { &[Wanted::Key, Wanted::BillingKey] } else { &[Wanted::Key] };
    let mut keys = secret_input::read(wanted)?.into_iter();
    let command = |seal: change::Seal<'_>| {
        let mut account = account;
        if let Some(key) = keys.next() {
            account.key = seal(key, Purpose::Lease)?;
        }
        account.billing_key = keys.next().map(|key| seal(key, Purpose::Billing)).transpose()?;
        Ok(Command::Create(account))
    };
    let told = desk.submit(&args.request_id, command).await?;
    told.print(out, args.format.format, "was added")
}
