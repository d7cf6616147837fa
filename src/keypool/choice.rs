//! The choice among locked rows: eligible, then tier, then a due probe, then least load, then by lot.
//!
//! A task that has just failed upstream would prove nothing by a probe: it gets one only where nobody else is free.

use std::sync::Arc;

use super::AccountId;
use super::account::{Account, AccountStatus};
use super::circuit::Gate;
use super::lease::{Lease, LeaseOutcome};
use super::pool::{Pool, Shared};
use super::refusal::{Obstacles, Refusal};
use super::score::{Against, lot, penalty, utilisation};
use super::workspace::{against, gate, slots};
use crate::ledger::{Text, UserId};

/// What a runner, or a charge with `select_key`, asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The new lease's id, made by the caller.
    pub lease_id: Text,
    /// The model.
    pub app_name: Text,
    /// The task.
    pub task_id: Text,
    /// Who will run it; may be empty.
    pub runner_id: Text,
    /// How long the lease shall live, in microseconds; `None` for the default.
    pub ttl_micros: Option<i64>,
    /// What the job is expected to cost upstream, in nano-USD; 0 if unknown.
    pub estimated_cost_nano_usd: i64,
    /// Whose task.
    pub user_id: UserId,
    /// The account on which the task already runs (it was started there and has not ended): its key is needed again
    /// to poll or to cancel, and a start elsewhere would be billed twice.
    pub running_on: Option<AccountId>,
    /// For ties.
    pub random: u64,
}

/// What a selection would do. Nothing is done before [`Pool::take`], so that a charge may still be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This runner holds the task's lease already.
    Again(Arc<Lease>),
    /// A new lease.
    New {
        /// Whose.
        account_id: AccountId,
        /// Whether the account's return is tried with it.
        is_probe: bool,
        /// The live lease that it takes over from.
        supersedes: Option<Text>,
    },
}

/// Why nothing was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// There is no key for the task now.
    Refused(Refusal),
    /// The task holds a lease on this account, or runs on it, and its workspace is not among the rows: to be decided
    /// again with that locked, too.
    Unlocked(AccountId),
}

/// Where the choice ranks an account: the lowest is chosen.
type Rank = (bool, i32, bool, u32, u64);

/// How a task's last attempt bears on the next.
#[derive(Clone, Copy)]
struct Past<'a> {
    /// The workspace that it failed in by that workspace's fault.
    failed_in: Option<&'a Text>,
    /// It ended in an upstream error, so that a second one would prove nothing of the account.
    is_retry: bool,
}

impl Pool<'_> {
    /// Which account the task shall run on, by the rows of this snapshot alone.
    pub fn choose(&self, ask: &Ask) -> Result<Choice, NoKey> {
        let newest = self.newest_of(&ask.task_id);
        let live = newest.filter(|lease| lease.is_open());
        let needed = live.map(|lease| lease.account_id).or(ask.running_on);
        if let Some(account_id) = needed.filter(|account_id| self.account(*account_id).is_none()) {
            return Err(NoKey::Unlocked(account_id));
        }
        // One whose key is gone helps nobody: it is taken over.
        let is_its = |lease: &&Arc<Lease>| {
            lease.runner_id == ask.runner_id && self.is_readable(lease.account_id, &lease.key_id)
        };
        if let Some(lease) = live.filter(is_its) {
            return Ok(Choice::Again(Arc::clone(lease)));
        }
        let supersedes = live.map(|lease| Arc::clone(&lease.lease_id));
        // A taken-over lease gives its slot back in the same commit.
        let vacated = live.map(|lease| lease.account_id);
        if let Some(choice) = self.running(ask, vacated, supersedes.clone()) {
            return choice.map_err(NoKey::Refused);
        }
        self.best(ask, vacated, self.past(newest.map(AsRef::as_ref)))
            .map(|(account_id, is_probe)| Choice::New { account_id, is_probe, supersedes })
            .map_err(NoKey::Refused)
    }

    /// The account on which the task runs hands its key out again, whatever its health and even while it drains:
    /// status calls work on a locked account, too. Only a disabled one, or a refused key, is of no use.
    fn running(
        &self,
        ask: &Ask,
        vacated: Option<AccountId>,
        supersedes: Option<Text>,
    ) -> Option<Result<Choice, Refusal>> {
        let account = self.account(ask.running_on?)?;
        let shared = self.shared_of(account)?;
        let is_of_no_use = account.status.is_out() || account.key.out.is_some();
        if is_of_no_use || !self.is_readable(account.account_id, &account.key_id) {
            return None;
        }
        let in_flight = self.in_flight_without(shared, vacated);
        if in_flight >= shared.limit {
            let mut obstacles = Obstacles::default();
            obstacles.enabled();
            obstacles.allowed(Gate::Free, in_flight);
            return Some(Err(obstacles.refusal(self.now, self.peers.typical_latency_micros)));
        }
        Some(Ok(Choice::New { account_id: account.account_id, is_probe: false, supersedes }))
    }

    /// Reads it from the task's newest lease.
    fn past(&self, newest: Option<&Lease>) -> Past<'_> {
        let outcome = newest.and_then(|lease| lease.outcome);
        let failed = newest.filter(|_| outcome.is_some_and(|outcome| outcome.cause().is_some()));
        let failed_on = failed.and_then(|lease| self.account(lease.account_id));
        Past {
            failed_in: failed_on.map(|account| &account.workspace),
            is_retry: outcome == Some(LeaseOutcome::UpstreamError),
        }
    }

    fn best(
        &self,
        ask: &Ask,
        vacated: Option<AccountId>,
        past: Past<'_>,
    ) -> Result<(AccountId, bool), Refusal> {
        let mut obstacles = Obstacles::default();
        let mut best: Option<(Rank, AccountId, bool)> = None;
        for account in self.in_rotation() {
            obstacles.enabled();
            let Some(shared) = self.shared_of(account) else { continue };
            if !account.allowed_apps.allows(&ask.app_name) {
                continue;
            }
            let gate = gate(account, &shared.row, self.now);
            let in_flight = self.in_flight_without(shared, vacated);
            obstacles.allowed(gate, in_flight);
            let slots = slots(account, &shared.row, shared.limit, self.now, self.settings);
            let is_probe = gate == Gate::Due;
            if in_flight >= slots || !(gate == Gate::Free || is_probe) {
                continue;
            }
            let rank = self.rank(account, shared, in_flight, ask, (is_probe, past));
            if best.is_none_or(|(least, ..)| rank < least) {
                best = Some((rank, account.account_id, is_probe));
            }
        }
        best.map(|(_, account_id, is_probe)| (account_id, is_probe))
            .ok_or_else(|| obstacles.refusal(self.now, self.peers.typical_latency_micros))
    }

    /// The accounts that may be chosen, whatever their health.
    fn in_rotation(&self) -> impl Iterator<Item = &Account> {
        self.accounts().filter(|account| {
            account.status == AccountStatus::Enabled && self.is_readable(account.account_id, &account.key_id)
        })
    }

    fn rank(
        &self,
        account: &Account,
        shared: &Shared,
        in_flight: u32,
        ask: &Ask,
        (is_probe, past): (bool, Past<'_>),
    ) -> Rank {
        let typical = self.peers.typical_latency_micros;
        let known = against(&shared.row, shared.committed_nano_usd, typical, self.now, self.settings);
        let failed_here = past.failed_in == Some(&account.workspace);
        let against = Against { failed_here, ..known };
        let busy = utilisation(in_flight, shared.limit, account.weight);
        let load = busy.saturating_add(penalty(&against, ask.estimated_cost_nano_usd));
        // A probe that would prove nothing is for where nobody else is free, in whatever tier.
        let is_last_resort = is_probe && past.is_retry;
        (is_last_resort, account.priority, !is_probe, load, lot(ask.random, account.account_id))
    }

    /// What its open leases take, without the one that the new lease would take over.
    fn in_flight_without(&self, shared: &Shared, vacated: Option<AccountId>) -> u32 {
        let leaves =
            vacated.and_then(|id| self.account(id)).is_some_and(|a| a.workspace == shared.row.workspace);
        shared.open.saturating_sub(u32::from(leaves))
    }
}
