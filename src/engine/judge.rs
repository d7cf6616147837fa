//! One batch, decided: the ledger and the key pool judge the works in their order, on one snapshot, into one plan.
//!
//! Pure: the same snapshot, works, view and seed give the same judgement, so it can run again after a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::secrets::opens;
use super::work::{Asked, KeyWork};
use crate::keypool;
use crate::keypool::{
    Account, AccountId, AccountKey, Desk, Missing, Observed, Opening, Pool, Purpose, Settings, View,
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
    /// The accounts of these whose key cannot be opened here, as it is now.
    pub(super) unreadable: BTreeSet<AccountId>,
    /// What must be read, too: where there is anything, the batch is decided again.
    pub(super) missing: Missing,
    /// Somebody who waits for a key may find one now.
    pub(super) frees: bool,
}

/// What judges beside the rows.
pub(super) struct Bench<'a> {
    pub(super) view: &'a View,
    pub(super) settings: &'a Settings,
    pub(super) keyring: &'a Keyring,
    pub(super) barred: &'a [Account],
    /// The tasks whose newest lease was read.
    pub(super) tasks: &'a BTreeSet<Text>,
    pub(super) seed: u64,
}

/// Judges a batch.
pub(super) fn judge<'w>(
    snapshot: Snapshot,
    works: impl Iterator<Item = &'w Asked>,
    bench: &Bench<'_>,
) -> (Plan, Judgement) {
    let Snapshot { ledger, keys } = snapshot;
    let mut judgement = Judgement { now: ledger.now, ..Judgement::default() };
    let mut decider = Decider::new(ledger);
    let readable = keys.keys.iter().filter(|key| is_readable(key, bench.keyring)).map(name_of).collect();
    let mut pool = Pool::new(keys, bench.view.peers(), bench.settings);
    pool.open_with(readable);
    let &Bench { view, barred, tasks, seed, .. } = bench;
    let mut desk = Desk::new(pool, Opening { view, barred, tasks, seed });
    for asked in works {
        judgement.frees |= asked.changes_accounts();
        let decided = match asked {
            Asked::Ledger(work) => Decided::Ledger(decider.work(work, &mut desk)),
            Asked::Keys(work) => Decided::Keys(key_work(&mut decider, &mut desk, work)),
        };
        judgement.decided.push(decided);
    }
    judgement.missing = desk.missing().clone();
    if !judgement.missing.is_empty() {
        return (Plan::default(), judgement);
    }
    let named = judgement.decided.iter().flat_map(leases_of);
    judgement.leases = named.filter_map(|id| Some((Arc::clone(id), record(desk.pool(), id)?))).collect();
    // As it is now: an operator may just have stored the key anew.
    judgement.unreadable = unreadable(desk.pool(), bench.keyring);
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
    let is_first = !matches!(&done, keypool::Done::Released(released) if released.replayed);
    if let (true, Some(attempt)) = (is_first, &work.attempt) {
        // That a task is gone, or has that attempt already, takes nothing from the report.
        decider.work(attempt, desk);
    }
    Ok(done)
}

/// The accounts whose key cannot be opened here: they are not proposed for a while.
fn unreadable(pool: &Pool<'_>, keyring: &Keyring) -> BTreeSet<AccountId> {
    let cannot_be_opened = pool.accounts().filter(|account| {
        let key = pool.key(account.account_id, Purpose::Lease, &account.key_id);
        !key.is_some_and(|key| is_readable(key, keyring))
    });
    cannot_be_opened.map(|account| account.account_id).collect()
}

fn is_readable(key: &AccountKey, keyring: &Keyring) -> bool {
    let opens_here = |sealed| opens(keyring, &key.key_id, sealed);
    key.purpose == Purpose::Lease && key.sealed.as_ref().is_some_and(opens_here)
}

fn name_of(key: &AccountKey) -> (AccountId, Text) {
    (key.account_id, Arc::clone(&key.key_id))
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
