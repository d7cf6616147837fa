//! `scrip keys rotate`: another fal key for an account.

use std::process::ExitCode;

use clap::Args;

use super::super::failure::Failure;
use super::super::output::Out;
use super::change::{self, Desk};
use super::secret_input::{self, Wanted};
use crate::config::{DatabaseArgs, FormatArgs, KekArgs};
use crate::keypool::{AccountChanges, AccountId, Command, Purpose};

/// Replace the fal key of an account
///
/// Reads the new key as `scrip keys add` does. It begins without the old one's guilt. Leases that are live keep the key
/// they have, whose secret is kept until the last of them has ended. The key that an account has already may be stored
/// again, as after a lost key-encryption key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip keys rotate 7 --reason 'quarterly'           # asks for the key\n  \
    scrip keys rotate 7 < new.key\n  \
    scrip keys rotate 7 --billing < admin.key")]
pub(super) struct RotateArgs {
    /// The account: `scrip keys list` shows it
    #[arg(value_name = "ACCOUNT_ID", value_parser = clap::value_parser!(i64).range(1..))]
    account_id: AccountId,

    /// Replace, or set, the key for fal's usage and billing API instead of the one that is leased
    #[arg(long)]
    billing: bool,

    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    #[command(flatten)]
    keks: KekArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: RotateArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let reason = change::reason(&args.reason)?;
    let desk = Desk::open_with_keys(&args.database.database_url, &args.keks).await?;
    // Not asked whether the keyring opens the other keys: this is what mends it if it does not.
    desk.check_known(args.account_id).await?;
    let wanted = if args.billing { Wanted::BillingKey } else { Wanted::Key };
    let mut keys = secret_input::read(&[wanted])?.into_iter();
    let command = |seal: change::Seal<'_>| {
        let mut changes = AccountChanges::default();
        match keys.next() {
            Some(key) if args.billing => changes.billing_key = Some(Some(seal(key, Purpose::Billing)?)),
            key => changes.key = key.map(|key| seal(key, Purpose::Lease)).transpose()?,
        }
        Ok(Command::Update { account_id: args.account_id, changes, reason })
    };
    let told = desk.submit("", command).await?;
    told.print(
        out,
        args.format.format,
        if args.billing { "has another billing key" } else { "has another key" },
    )
}
