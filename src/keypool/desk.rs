//! The desk: the pool as the ledger sees it while a batch is decided.
//!
//! 1. the engine opens it on the rows of the batch, and bars the accounts whose key it cannot open;
//! 2. the ledger leases and gives back in the middle of its own decisions; other commands come between them;
//! 3. where a lease must be decided on rows that are not locked, [`Desk::unlocked`] names them, and the whole batch is
//!    decided again with them;
//! 4. what was seen goes to the cached view, what was decided to the plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::choice::{Ask, NoKey};
use super::lease::Lease;
use super::pool::{Plan, Pool, Released, Unknown};
use super::refusal::SOONEST_MICROS;
use super::score::lot;
use super::view::View;
use super::workspace::Workspace;
use super::{Account, AccountId, AccountStatus, Report, Why};
use crate::ledger::{KeyAsk, Keys, Leased, NamedLease, Rejection, Text};

/// A workspace as a batch left it, for the cached view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its row.
    pub workspace: Workspace,
    /// All its accounts.
    pub accounts: Vec<Account>,
    /// Its open leases.
    pub in_flight: u32,
    /// What the jobs of those are expected to cost, in nano-USD.
    pub committed_nano_usd: i64,
}

/// The pool at work.
pub struct Desk<'a> {
    pub(super) pool: Pool<'a>,
    view: &'a View,
    /// What all lots of this batch are drawn from.
    seed: u64,
    unlocked: BTreeSet<AccountId>,
}

impl<'a> Desk<'a> {
    /// Opens the desk. `unreadable` are accounts whose key cannot be opened here.
    pub fn new(mut pool: Pool<'a>, view: &'a View, unreadable: BTreeSet<AccountId>, seed: u64) -> Self {
        pool.bar(unreadable);
        Self { pool, view, seed, unlocked: BTreeSet::new() }
    }

    /// The pool.
    pub const fn pool(&self) -> &Pool<'a> {
        &self.pool
    }

    /// Accounts that must be locked, too, before this batch can be decided; where there are any, nothing it decided
    /// may be written.
    pub const fn unlocked(&self) -> &BTreeSet<AccountId> {
        &self.unlocked
    }

    /// What the batch saw and did, for the view; and what is to be written.
    pub fn close(self) -> (Vec<Observed>, Plan) {
        let observed = self.pool.observed().collect();
        (observed, self.pool.into_plan())
    }

    /// Gives a lease back and judges its account.
    pub(super) fn give_back(&mut self, lease_id: &Text, report: &Report) -> Result<Released, Rejection> {
        let random = self.draw(lease_id);
        let released = self.pool.release(lease_id, report, random);
        released.map_err(|Unknown| Rejection::LeaseNotFound(Arc::clone(lease_id)))
    }

    /// A lot for a lease: the same in each run of a batch under one seed.
    fn draw(&self, lease_id: &str) -> u64 {
        let name = lease_id.bytes().fold(0_i64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        lot(self.seed, name)
    }

    /// Why there is no key. Where no candidate was locked, only the view knows.
    fn refusal(&self, ask: &Ask, found: super::Refusal) -> Rejection {
        let nobody = self.pool.accounts().next().is_none();
        let refusal = if nobody { self.view.refusal(&ask.app_name, self.pool.now) } else { found };
        let is_empty = matches!(refusal.why, Why::NoneEnabled | Why::NoneAllowed);
        let closed = self.pool.unreadable().find(|account| {
            account.status == AccountStatus::Enabled && account.allowed_apps.allows(&ask.app_name)
        });
        if let (true, Some(account)) = (is_empty, closed) {
            let key = self.pool.key(account.account_id, super::Purpose::Lease, &account.key_id);
            let kek_id = key.and_then(|key| key.sealed.as_ref()).map(|sealed| Arc::clone(&sealed.kek_id));
            return Rejection::SecretUnavailable {
                key_id: Arc::clone(&account.key_id),
                kek_id: kek_id.unwrap_or_default(),
                why: Text::from(
                    "the stored key cannot be opened: start scrip with the key-encryption key it was \
                                 sealed with, or store the key again",
                ),
            };
        }
        Rejection::NoKeyAvailable { why: refusal.why, retry_after_micros: refusal.retry_after_micros }
    }
}

impl Keys for Desk<'_> {
    fn lease(&mut self, ask: &KeyAsk<'_>) -> Result<Leased, Rejection> {
        let selection = ask.selection;
        let running_on = ask.running_on.and_then(|key_id| self.pool.owner_of(key_id));
        let ask = Ask {
            lease_id: Arc::clone(&selection.lease_id),
            app_name: Arc::clone(ask.app_name),
            task_id: Arc::clone(ask.task_id),
            user_id: ask.user_id,
            runner_id: Arc::clone(&selection.runner_id),
            ttl_micros: selection.ttl_micros,
            estimated_cost_nano_usd: selection.estimated_cost_nano_usd.unwrap_or(0),
            running_on,
            random: self.draw(&selection.lease_id),
        };
        let busy = Rejection::NoKeyAvailable { why: Why::AllBusy, retry_after_micros: SOONEST_MICROS };
        let choice = match self.pool.choose(&ask) {
            Ok(choice) => choice,
            Err(NoKey::Refused(refusal)) => return Err(self.refusal(&ask, refusal)),
            Err(NoKey::Unlocked(account_id)) => {
                self.unlocked.insert(account_id);
                return Err(busy);
            }
        };
        let again = matches!(choice, super::Choice::Again(_));
        if !again && selection.is_behind_others {
            return Err(busy);
        }
        let lease = self.pool.take(&ask, choice).map_err(|Unknown| busy)?;
        let (lease_id, key_id) = (Arc::clone(&lease.lease_id), Arc::clone(&lease.key_id));
        Ok(Leased { lease_id, key_id, again })
    }

    fn named(&self, lease_id: &Text) -> Option<NamedLease> {
        self.pool.lease(lease_id).map(|lease| NamedLease {
            task_id: Arc::clone(&lease.task_id),
            key_id: Arc::clone(&lease.key_id),
            is_superseded: self.pool.is_superseded(lease),
        })
    }

    fn is_leased(&self, task_id: &Text) -> bool {
        self.pool.newest_of(task_id).is_some_and(|lease: &Arc<Lease>| lease.is_open())
    }

    fn started(&mut self, lease_id: &Text) {
        let known = self.pool.started(lease_id);
        debug_assert_eq!(known, Ok(()), "the ledger has found it before");
    }

    fn release(&mut self, lease_id: &Text, report: &Report) {
        let known = self.give_back(lease_id, report);
        debug_assert!(known.is_ok(), "the ledger has found it before");
    }
}
