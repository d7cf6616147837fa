//! The desk: the pool as the ledger sees it while a batch is decided.
//!
//! 1. the engine opens it on the rows of the batch, and bars the accounts whose key it cannot open;
//! 2. the ledger leases and gives back in the middle of its own decisions; other commands come between them;
//! 3. where something must be decided on rows that were not read, [`Desk::missing`] names them, and the whole batch is
//!    decided again with them;
//! 4. what was seen goes to the cached view, what was decided to the plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::choice::{Ask, Choice, NoKey};
use super::lease::Lease;
use super::pool::{Plan, Pool, Released, Unknown};
use super::refusal::SOONEST_MICROS;
use super::score::lot;
use super::view::View;
use super::workspace::Workspace;
use super::{Account, AccountId, AccountStatus, Report, Why};
use crate::ledger::{KeyAsk, Keys, Leased, NamedLease, Rejection, Text};

/// What is said of a key that cannot be opened.
const CLOSED: &str = "the stored key cannot be opened: start scrip with the key-encryption key it was sealed with, or \
                      store the key again";

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
    /// Accounts that were found unreadable before, and are not proposed for a while.
    barred: &'a [Account],
    /// The tasks whose newest lease was read.
    tasks: &'a BTreeSet<Text>,
    /// What all lots of this batch are drawn from.
    seed: u64,
    missing: Missing,
}

/// What a decision needs that was not read: the batch is decided again with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Accounts whose workspaces must be locked.
    pub accounts: BTreeSet<AccountId>,
    /// Tasks whose newest lease must be read.
    pub tasks: BTreeSet<Text>,
}

impl Missing {
    /// Whether all was there.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.tasks.is_empty()
    }
}

/// What a desk is opened with beside the pool.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The cached view that proposed.
    pub view: &'a View,
    /// Accounts that were found unreadable before, and are not proposed for a while.
    pub barred: &'a [Account],
    /// The tasks whose newest lease was read.
    pub tasks: &'a BTreeSet<Text>,
    /// What all lots of this batch are drawn from: the same in each run of it.
    pub seed: u64,
}

impl<'a> Desk<'a> {
    /// Opens the desk.
    pub fn new(pool: Pool<'a>, opening: Opening<'a>) -> Self {
        let Opening { view, barred, tasks, seed } = opening;
        Self { pool, view, barred, tasks, seed, missing: Missing::default() }
    }

    /// The pool.
    pub const fn pool(&self) -> &Pool<'a> {
        &self.pool
    }

    /// What must be read, too, before this batch can be decided; where there is anything, nothing it decided may be
    /// written.
    pub const fn missing(&self) -> &Missing {
        &self.missing
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
        let would_do = |account: &&Account| {
            account.status == AccountStatus::Enabled && account.allowed_apps.allows(&ask.app_name)
        };
        let closed = self.pool.unreadable().chain(self.barred).find(would_do);
        if let (true, Some(account)) = (is_empty, closed) {
            let key = self.pool.key(account.account_id, super::Purpose::Lease, &account.key_id);
            let kek_id = key.and_then(|key| key.sealed.as_ref()).map(|sealed| Arc::clone(&sealed.kek_id));
            return Rejection::SecretUnavailable {
                key_id: Arc::clone(&account.key_id),
                kek_id: kek_id.unwrap_or_default(),
                why: Text::from(CLOSED),
            };
        }
        let is_tied = ask.running_on.is_some();
        Rejection::NoKeyAvailable {
            why: refusal.why,
            retry_after_micros: refusal.retry_after_micros,
            is_tied,
        }
    }

    /// The account on which a task runs: whoever has or had its key, or gave the lease it was started with in this very
    /// batch.
    fn account_of(&self, task_id: &Text, key_id: &Text) -> Option<AccountId> {
        let newest = || self.pool.newest_of(task_id).filter(|lease| lease.key_id == *key_id);
        self.pool.owner_of(key_id).or_else(|| newest().map(|lease| lease.account_id))
    }
}

impl Keys for Desk<'_> {
    fn lease(&mut self, ask: &KeyAsk<'_>) -> Result<Leased, Rejection> {
        let selection = ask.selection;
        let running_on = ask.running_on.and_then(|key_id| self.account_of(ask.task_id, key_id));
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
        let busy = Rejection::NoKeyAvailable {
            why: Why::AllBusy,
            retry_after_micros: SOONEST_MICROS,
            is_tied: running_on.is_some(),
        };
        let choice = match self.pool.choose(&ask) {
            Ok(choice) => choice,
            Err(NoKey::Refused(refusal)) => return Err(self.refusal(&ask, refusal)),
            Err(NoKey::Unlocked(account_id)) => {
                self.missing.accounts.insert(account_id);
                return Err(busy);
            }
        };
        // What the task holds, gives back or runs on is none of the slots that others wait for.
        let (again, is_its_own) = match &choice {
            Choice::Again(_) => (true, true),
            Choice::New { supersedes, .. } => (false, supersedes.is_some() || running_on.is_some()),
        };
        if selection.is_behind_others && !is_its_own {
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

    fn is_leased(&mut self, task_id: &Text) -> bool {
        if !self.tasks.contains(task_id) {
            self.missing.tasks.insert(Arc::clone(task_id));
        }
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
