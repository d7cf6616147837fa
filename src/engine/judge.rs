//! One batch, decided: the ledger and the key pool judge the works in their order, on one snapshot, into one plan.
//!
//! Pure: the same snapshot, works, view and seed give the same judgement, so it can run again after a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::secrets::opens;
use super::work::{Asked, KeyWork};
use crate::keypool;
use crate::keypool::{
    AccountId, AccountStatus, Desk, Observed, Pool, Purpose, Settings, Snapshot as PoolSnapshot, View,
};
use crate::ledger::decide::Outcome;
use crate::ledger::{Decider, Micros, Rejection, Text};
use crate::store::{LeaseRecord, Plan, Snapshot};
use crate::vault::Keyring;

/// What one work came to.
#[derive(Debug)]
pub(super) enum Decided {
    Ledger(Vec<Outcome>),
    Keys(Result<keypool::Done, Rejection>),
}

/// What a batch came to, beside its plan.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// The batch's one moment.
    pub(super) now: Micros,
    /// For each work.
    pub(super) decided: Vec<Decided>,
    /// The leases that the outcomes name, as far as they are among the rows.
    pub(super) leases: BTreeMap<Text, LeaseRecord>,
    /// The workspaces as the batch left them.
    pub(super) observed: Vec<Observed>,
    /// Accounts whose key cannot be opened here.
    pub(super) unreadable: BTreeSet<AccountId>,
    /// What must be locked, too: where there is anything, the batch is decided again.
    pub(super) unlocked: BTreeSet<AccountId>,
    /// Somebody who waits for a key may find one now.
    pub(super) frees: bool,
}

/// What judges beside the rows.
pub(super) struct Bench<'a> {
    pub(super) view: &'a View,
    pub(super) settings: &'a Settings,
    pub(super) keyring: &'a Keyring,
    pub(super) seed: u64,
}

/// Judges a batch.
pub(super) fn judge<'w>(
    snapshot: Snapshot,
    works: impl Iterator<Item = &'w Asked>,
    bench: &Bench<'_>,
) -> (Plan, Judgement) {
    let Snapshot { ledger, keys } = snapshot;
    let mut judgement =
        Judgement { now: ledger.now, unreadable: unreadable(&keys, bench.keyring), ..Judgement::default() };
    let mut decider = Decider::new(ledger);
    let pool = Pool::new(keys, bench.view.peers(), bench.settings);
    let mut desk = Desk::new(pool, bench.view, judgement.unreadable.clone(), bench.seed);
    for asked in works {
        judgement.frees |= asked.changes_accounts();
        let decided = match asked {
            Asked::Ledger(work) => Decided::Ledger(decider.work(work, &mut desk)),
            Asked::Keys(work) => Decided::Keys(key_work(&mut decider, &mut desk, work)),
        };
        judgement.decided.push(decided);
    }
    judgement.unlocked = desk.unlocked().clone();
    if !judgement.unlocked.is_empty() {
        return (Plan::default(), judgement);
    }
    let named = judgement.decided.iter().flat_map(leases_of);
    judgement.leases = named.filter_map(|id| Some((Arc::clone(id), record(desk.pool(), id)?))).collect();
    let (observed, keys) = desk.close();
    judgement.observed = observed;
    judgement.frees |= keys.leases.iter().any(|(_, lease)| !lease.is_open());
    (Plan { ledger: decider.into_plan(), keys }, judgement)
}

fn key_work(decider: &mut Decider, desk: &mut Desk<'_>, work: &KeyWork) -> Result<keypool::Done, Rejection> {
    let claim = work.claim();
    if let Some(claim) = &claim
        && decider.is_repeat(claim)?
    {
        return desk.repeated(&work.command);
    }
    let done = desk.command(&work.command, &work.actor)?;
    if let Some(claim) = &claim {
        decider.record_done(claim);
    }
    if let Some(attempt) = &work.attempt {
        // That a task is gone, or has that attempt already, takes nothing from the report.
        decider.work(attempt, desk);
    }
    Ok(done)
}

/// The accounts in rotation whose key cannot be opened here: they are not chosen.
fn unreadable(rows: &PoolSnapshot, keyring: &Keyring) -> BTreeSet<AccountId> {
    let accounts = rows.accounts.iter().filter(|account| !matches!(account.status, AccountStatus::Deleted));
    let cannot_be_opened = accounts.filter(|account| {
        let key = rows.keys.iter().find(|key| {
            key.account_id == account.account_id
                && key.purpose == Purpose::Lease
                && key.key_id == account.key_id
        });
        !key.and_then(|key| key.sealed.as_ref()).is_some_and(|sealed| opens(keyring, &account.key_id, sealed))
    });
    cannot_be_opened.map(|account| account.account_id).collect()
}

/// The leases that a caller will be told of.
fn leases_of(decided: &Decided) -> Vec<&Text> {
    match decided {
        Decided::Ledger(outcomes) => {
            outcomes.iter().flatten().filter_map(|done| done.lease_id.as_ref()).collect()
        }
        Decided::Keys(Ok(keypool::Done::Renewed(lease))) => vec![&lease.lease_id],
        Decided::Keys(Ok(keypool::Done::Released(released))) => vec![&released.lease.lease_id],
        Decided::Keys(_) => Vec::new(),
    }
}

fn record(pool: &Pool<'_>, lease_id: &Text) -> Option<LeaseRecord> {
    let lease = pool.lease(lease_id)?;
    let account = pool.account(lease.account_id)?;
    let key = pool.key(lease.account_id, Purpose::Lease, &lease.key_id);
    Some(LeaseRecord {
        lease: lease.as_ref().clone(),
        account_name: Arc::clone(&account.name),
        key: key.and_then(|key| key.sealed.clone()),
    })
}
