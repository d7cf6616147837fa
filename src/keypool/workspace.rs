//! A workspace: what fal counts, locks and bills, shared by all accounts (keys) of it.

use super::account::Account;
use super::circuit::{Circuit, Gate, Health};
use super::score::Against;
use super::settings::Settings;
use super::vitals::Vitals;
use crate::ledger::{Micros, Text};

/// What the accounts of one workspace share. An account whose workspace nobody knows has one to itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Workspace {
    /// Its name.
    pub workspace: Text,
    /// The prepaid credit at fal as last heard, in nano-USD; `None` if never heard. A hint, no proof: a locked
    /// workspace may show credit, and one without may have been topped up.
    pub balance_nano_usd: Option<i64>,
    /// Whether it may be used: rate limits, locks and upstream errors.
    pub circuit: Circuit,
    /// What its reports said lately.
    pub vitals: Vitals,
}

impl Workspace {
    /// A workspace nothing is known of.
    pub fn new(workspace: Text) -> Self {
        Self { workspace, ..Self::default() }
    }
}

/// The most jobs that the accounts of one workspace may run at once: the smallest of their limits. fal gives a
/// workspace one limit; where its accounts were told different ones, the cautious one is no violation of any.
pub fn limit_of<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> u32 {
    accounts
        .into_iter()
        .filter(|account| !account.status.is_out())
        .map(|account| account.max_concurrency)
        .min()
        .unwrap_or(0)
}

/// What key and workspace together let through.
pub fn gate(account: &Account, workspace: &Workspace, now: Micros) -> Gate {
    account.key.gate(now).strictest(workspace.circuit.gate(now))
}

/// What an operator is told of an account, and until when it is out.
pub fn health(account: &Account, workspace: &Workspace) -> (Health, Option<Micros>) {
    let until = |circuit: &Circuit| circuit.out.as_ref().map(|out| out.until);
    (account.key.health().max(workspace.circuit.health()), until(&account.key).max(until(&workspace.circuit)))
}

/// How many slots of `limit` an account may use: not all while its key's or its workspace's return is ramped.
pub fn slots(account: &Account, workspace: &Workspace, limit: u32, now: Micros, settings: &Settings) -> u32 {
    let by_key = account.key.slots(limit, now, settings);
    workspace.circuit.slots(limit, now, settings).min(by_key)
}

/// What is known against the accounts of a workspace whose open leases are expected to cost `committed_nano_usd`.
pub fn against(
    workspace: &Workspace,
    committed_nano_usd: i64,
    typical_micros: Option<i64>,
    now: Micros,
    settings: &Settings,
) -> Against {
    Against {
        error_permille: workspace.vitals.errors_now(now, settings),
        slowness_permille: workspace.vitals.slowness_now(typical_micros, now, settings),
        credit_nano_usd: workspace.balance_nano_usd.map(|balance| balance.saturating_sub(committed_nano_usd)),
        failed_here: false,
    }
}
