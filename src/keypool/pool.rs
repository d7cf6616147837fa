//! A batch's working state of the pool: the locked rows, overlaid with what the batch has done so far.
//!
//! Locking a workspace's row is what guards its slots, so a snapshot holds each workspace whole: its row, all its
//! accounts, all its open leases. The first thing a snapshot does is close the leases whose time has passed: a slot
//! is given again only after the row that took it has been closed in the same commit, so that neither a clock that
//! runs back nor a late renewal can put two leases into one slot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::audit::AuditLine;
use super::choice::{Ask, Choice};
use super::circuit::Circuit;
use super::guard::Peers;
use super::lease::{Lease, LeaseOutcome};
use super::score::lot;
use super::secret::{AccountKey, KeyWrite, Purpose, Reseal};
use super::settings::Settings;
use super::workspace::{Workspace, limit_of};
use super::{Account, AccountId, Health};
use crate::ledger::{Change, Micros, Text};

/// The rows that a batch decides on, read under the locks of their workspaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The batch's one moment.
    pub now: Micros,
    /// The workspaces locked.
    pub workspaces: Vec<Workspace>,
    /// All accounts of these workspaces.
    pub accounts: Vec<Account>,
    /// All open leases of these workspaces; the newest lease of each task that a selection names; each lease that is
    /// named, whose workspace is then among those locked, and the newest of its task.
    pub leases: Vec<Arc<Lease>>,
    /// All keys that these accounts have or had.
    pub keys: Vec<AccountKey>,
    /// Which account has or had each key for leasing that is named: by the footprint, or by a task that is processing.
    pub key_owners: Vec<(Text, AccountId)>,
    /// Ids for accounts to be added: as many as the footprint asks for, each never used before.
    pub fresh_ids: Vec<AccountId>,
}

/// What a batch writes, each row once, as it stands at the end; in the same commit as the money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Workspaces that are new or changed. Their balances are written apart.
    pub workspaces: Vec<(Change, Workspace)>,
    /// Balances heard, by workspace, in nano-USD: written to each of its accounts.
    pub balances: Vec<(Text, Option<i64>)>,
    /// Accounts that are new or changed.
    pub accounts: Vec<(Change, Account)>,
    /// Keys that are new, replaced, retired or erased.
    pub keys: Vec<KeyWrite>,
    /// Leases that are new or changed.
    pub leases: Vec<(Change, Arc<Lease>)>,
    /// What is to be remembered of it.
    pub audit: Vec<AuditLine>,
}

impl Plan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// No lease, or no account, of this name is among the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

/// Why a lease was not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrenewed {
    /// There is none: LEASE_NOT_FOUND.
    Unknown,
    /// Its time has passed, or it was released: LEASE_EXPIRED.
    Expired,
    /// The task has a newer one: LEASE_SUPERSEDED.
    Superseded,
}

/// What came of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The lease, closed.
    pub lease: Arc<Lease>,
    /// The health of its account now.
    pub health: Health,
    /// It had been closed before: nothing was done now. Whoever reported first was believed.
    pub replayed: bool,
}

/// A row, and whether it is to be written.
#[derive(Clone, Debug)]
pub(super) struct Row<T> {
    pub(super) value: T,
    pub(super) change: Option<Change>,
}

/// A workspace with what is derived from its accounts and leases.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) row: Workspace,
    /// The slots that its accounts share.
    pub(super) limit: u32,
    /// The slots that open leases take.
    pub(super) open: u32,
    /// What the jobs of those are expected to cost, in nano-USD.
    pub(super) committed_nano_usd: i64,
    pub(super) change: Option<Change>,
    pub(super) balance_heard: bool,
}

/// The working state.
#[derive(Debug)]
pub struct Pool<'a> {
    pub(super) now: Micros,
    pub(super) settings: &'a Settings,
    pub(super) peers: Peers<'a>,
    pub(super) workspaces: BTreeMap<Text, Shared>,
    pub(super) accounts: BTreeMap<AccountId, Row<Account>>,
    pub(super) leases: BTreeMap<Text, Row<Arc<Lease>>>,
    pub(super) newest: BTreeMap<Text, Text>,
    pub(super) keys: BTreeMap<(AccountId, Purpose, Text), Row<AccountKey>>,
    /// One a row: the first that was asked for.
    pub(super) reseals: BTreeMap<(AccountId, Purpose, Text), Reseal>,
    pub(super) key_owners: BTreeMap<Text, AccountId>,
    pub(super) fresh_ids: VecDeque<AccountId>,
    /// Keys for leasing that can be opened here, where that was asked: nobody is given another.
    pub(super) readable: Option<BTreeSet<(AccountId, Text)>>,
    pub(super) audit: Vec<AuditLine>,
}

impl<'a> Pool<'a> {
    /// Takes a snapshot, and closes what has lapsed in it.
    pub fn new(snapshot: Snapshot, peers: Peers<'a>, settings: &'a Settings) -> Self {
        let mut pool = Self {
            now: snapshot.now,
            settings,
            peers,
            workspaces: BTreeMap::new(),
            accounts: snapshot
                .accounts
                .into_iter()
                .map(|account| (account.account_id, stored(account)))
                .collect(),
            leases: BTreeMap::new(),
            newest: BTreeMap::new(),
            keys: snapshot
                .keys
                .into_iter()
                .map(|key| ((key.account_id, key.purpose, Text::clone(&key.key_id)), stored(key)))
                .collect(),
            reseals: BTreeMap::new(),
            key_owners: snapshot.key_owners.into_iter().collect(),
            fresh_ids: snapshot.fresh_ids.into(),
            readable: None,
            audit: Vec::new(),
        };
        for row in snapshot.workspaces {
            let limit = limit_of(pool.accounts().filter(|account| account.workspace == row.workspace));
            let name = Arc::clone(&row.workspace);
            pool.workspaces.insert(name, Shared { limit, ..Shared::of(row, None) });
        }
        let mut lapsed = Vec::new();
        for lease in snapshot.leases {
            // That of a workspace which is not locked is not ours to close.
            if lease.has_lapsed(pool.now) && pool.account(lease.account_id).is_some() {
                lapsed.push(Arc::clone(&lease));
            }
            pool.put_lease(lease, None);
        }
        for lease in lapsed {
            pool.close(&lease, LeaseOutcome::Expired);
        }
        pool
    }

    /// What is to be written.
    pub fn into_plan(self) -> Plan {
        let heard = self.workspaces.values().filter(|shared| shared.balance_heard);
        let balances =
            heard.map(|shared| (Arc::clone(&shared.row.workspace), shared.row.balance_nano_usd)).collect();
        let keys = self.keys.into_values().filter_map(|row| Some(KeyWrite::Put(row.change?, row.value)));
        let workspaces = self.workspaces.into_values();
        Plan {
            balances,
            workspaces: workspaces.filter_map(|shared| Some((shared.change?, shared.row))).collect(),
            accounts: changed(self.accounts.into_values()),
            leases: changed(self.leases.into_values()),
            keys: keys.chain(self.reseals.into_values().map(KeyWrite::Reseal)).collect(),
            audit: self.audit,
        }
    }

    /// Names the keys for leasing that can be opened here: no other is given.
    pub fn open_with(&mut self, readable: BTreeSet<(AccountId, Text)>) {
        self.readable = Some(readable);
    }

    /// Whether a key can be told to a runner.
    pub(super) fn is_readable(&self, account_id: AccountId, key_id: &Text) -> bool {
        let readable = self.readable.as_ref();
        readable.is_none_or(|readable| readable.contains(&(account_id, Arc::clone(key_id))))
    }

    /// The accounts whose key cannot be opened here.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = &Account> {
        self.accounts().filter(|account| !self.is_readable(account.account_id, &account.key_id))
    }

    /// Does what [`Pool::choose`] chose of this same state, and answers the lease.
    ///
    /// A choice that names an account the state does not hold is none of its own: [`Unknown`].
    pub fn take(&mut self, ask: &Ask, choice: Choice) -> Result<Arc<Lease>, Unknown> {
        let (account_id, is_probe, supersedes) = match choice {
            Choice::Again(lease) => return Ok(lease),
            Choice::New { account_id, is_probe, supersedes } => (account_id, is_probe, supersedes),
        };
        let mut account = self.account(account_id).ok_or(Unknown)?.clone();
        if let Some(before) = supersedes.and_then(|lease_id| self.lease(&lease_id).cloned()) {
            self.close(&before, LeaseOutcome::RunnerCanceled);
        }
        let newest = self.newest_of(&ask.task_id);
        let lease = Arc::new(Lease {
            lease_id: Arc::clone(&ask.lease_id),
            account_id,
            key_id: Arc::clone(&account.key_id),
            runner_id: Arc::clone(&ask.runner_id),
            user_id: ask.user_id,
            task_id: Arc::clone(&ask.task_id),
            fence: newest.map_or(1, |lease| lease.fence.saturating_add(1)),
            acquire_time: self.now,
            expire_time: self.now.plus(self.settings.ttl_micros(ask.ttl_micros)),
            release_time: None,
            outcome: None,
            is_probe,
            is_retry: newest.is_some_and(|lease| lease.outcome == Some(LeaseOutcome::UpstreamError)),
            estimated_cost_nano_usd: ask.estimated_cost_nano_usd.max(0),
        });
        account.use_cnt = account.use_cnt.saturating_add(1);
        self.put_account(account);
        if is_probe {
            self.change_account(&lease, "a probe began", |account, workspace, _| {
                account.key.begin_probe(Arc::clone(&lease.lease_id));
                workspace.circuit.begin_probe(Arc::clone(&lease.lease_id));
            });
        }
        self.put_lease(Arc::clone(&lease), Some(Change::Insert));
        Ok(lease)
    }

    /// Extends a live lease; never shortens it. A heartbeat also says that the job was taken: a refusal would have
    /// been reported instead.
    pub fn renew(&mut self, lease_id: &str, ttl_micros: Option<i64>) -> Result<Arc<Lease>, Unrenewed> {
        let lease = Arc::clone(self.lease(lease_id).ok_or(Unrenewed::Unknown)?);
        if self.is_superseded(&lease) {
            return Err(Unrenewed::Superseded);
        }
        if !lease.is_open() {
            return Err(Unrenewed::Expired);
        }
        let asked = self.now.plus(self.settings.ttl_micros(ttl_micros));
        self.accepted(&lease);
        if asked <= lease.expire_time {
            return Ok(lease);
        }
        let renewed = Arc::new(Lease { expire_time: asked, ..Lease::clone(&lease) });
        self.put_lease(Arc::clone(&renewed), Some(Change::Update));
        Ok(renewed)
    }

    /// StartTask with a lease: fal has taken the job. The caller has asked [`Pool::is_superseded`] before.
    pub fn started(&mut self, lease_id: &str) -> Result<(), Unknown> {
        let lease = Arc::clone(self.lease(lease_id).ok_or(Unknown)?);
        self.accepted(&lease);
        Ok(())
    }

    /// Whether its task has a newer lease: then StartTask and FailTask that name this one are refused.
    pub fn is_superseded(&self, lease: &Lease) -> bool {
        self.newest_of(&lease.task_id).is_some_and(|newest| newest.fence > lease.fence)
    }

    /// A lease among the rows.
    pub fn lease(&self, lease_id: &str) -> Option<&Arc<Lease>> {
        self.leases.get(lease_id).map(|row| &row.value)
    }

    /// An account among the rows.
    pub fn account(&self, account_id: AccountId) -> Option<&Account> {
        self.accounts.get(&account_id).map(|row| &row.value)
    }

    /// A workspace among the rows.
    pub fn workspace(&self, workspace: &str) -> Option<&Workspace> {
        self.workspaces.get(workspace).map(|shared| &shared.row)
    }

    /// The slots in use of a workspace, and what its open leases are expected to cost, in nano-USD.
    pub fn usage_of(&self, workspace: &str) -> Option<(u32, i64)> {
        self.workspaces.get(workspace).map(|shared| (shared.open, shared.committed_nano_usd))
    }

    /// The accounts among the rows.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values().map(|row| &row.value)
    }

    pub(super) fn shared_of(&self, account: &Account) -> Option<&Shared> {
        self.workspaces.get(&account.workspace)
    }

    /// The newest lease of a task, open or not.
    pub(super) fn newest_of(&self, task_id: &Text) -> Option<&Arc<Lease>> {
        self.newest.get(task_id).and_then(|lease_id| self.lease(lease_id))
    }

    /// Closes an open lease: the one place where a slot comes back.
    pub(super) fn close(&mut self, lease: &Lease, outcome: LeaseOutcome) -> Arc<Lease> {
        debug_assert!(lease.is_open(), "a lease is closed once");
        let closed =
            Arc::new(Lease { release_time: Some(self.now), outcome: Some(outcome), ..lease.clone() });
        self.put_lease(Arc::clone(&closed), Some(Change::Update));
        let says_nothing = matches!(outcome, LeaseOutcome::Expired | LeaseOutcome::RunnerCanceled);
        if lease.is_probe && says_nothing {
            self.end_probe(lease);
        }
        if self.account(lease.account_id).is_some_and(|account| account.key_id != lease.key_id) {
            self.erase_unused(lease.account_id, &lease.key_id);
        }
        closed
    }

    /// A key that was replaced is kept for the leases it was given with, and erased with the last of them.
    fn erase_unused(&mut self, account_id: AccountId, key_id: &Text) {
        let Some(key) = self.key(account_id, Purpose::Lease, key_id) else { return };
        if key.retire_time.is_none() || key.sealed.is_none() || self.is_in_use(account_id, key_id) {
            return;
        }
        let erased = AccountKey { sealed: None, ..key.clone() };
        self.put_key(erased);
    }

    /// Whether an open lease was given with this key.
    pub(super) fn is_in_use(&self, account_id: AccountId, key_id: &Text) -> bool {
        let leases = self.leases.values().map(|row| &row.value);
        leases
            .filter(|lease| lease.is_open())
            .any(|lease| lease.account_id == account_id && lease.key_id == *key_id)
    }

    /// Frees the probe that ended without a word.
    fn end_probe(&mut self, lease: &Lease) {
        let settings = self.settings;
        // Probes that end in one moment are not tried again in one.
        let random = lot(self.now.0.cast_unsigned(), lease.account_id);
        self.change_account(lease, "a probe ended without a word", |account, workspace, now| {
            if account.key.is_probed_by(&lease.lease_id) {
                account.key.put_off(now, random, settings);
            }
            if workspace.circuit.is_probed_by(&lease.lease_id) {
                workspace.circuit.put_off(now, random, settings);
            }
        });
    }

    /// An account leaves a workspace: a probe of it that the account's lease was is no longer one.
    pub(super) fn leave(&mut self, workspace: &Text, account_id: AccountId, told: (&str, &str)) {
        let circuit = self.workspace(workspace).map(|row| &row.circuit);
        let probe = circuit.and_then(|circuit| circuit.out.as_ref()?.probe.as_ref());
        let leaves = probe.and_then(|id| self.lease(id)).is_some_and(|lease| lease.account_id == account_id);
        if leaves {
            self.change_circuit(workspace, account_id, told, Circuit::drop_probe);
        }
    }
}

impl Shared {
    pub(super) const fn of(row: Workspace, change: Option<Change>) -> Self {
        Self { row, limit: 0, open: 0, committed_nano_usd: 0, change, balance_heard: false }
    }
}

const fn stored<T>(value: T) -> Row<T> {
    Row { value, change: None }
}

fn changed<T>(rows: impl Iterator<Item = Row<T>>) -> Vec<(Change, T)> {
    rows.filter_map(|row| Some((row.change?, row.value))).collect()
}
