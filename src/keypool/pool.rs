//! A batch's working state of the pool: the locked rows, overlaid with what the batch has done so far.
//!
//! Locking a workspace's row is what guards its slots, so a snapshot holds each workspace whole: its row, all its
//! accounts, all its open leases. The first thing a snapshot does is close the leases whose time has passed: a slot
//! is given again only after the row that took it has been closed in the same commit, so that neither a clock that
//! runs back nor a late renewal can put two leases into one slot.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::audit::{AuditLine, FieldChange, POOL, Subject};
use super::choice::{Ask, Choice};
use super::guard::Peers;
use super::lease::{Lease, LeaseOutcome};
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
    /// All open leases of these workspaces; the newest lease of each task that a selection names; and each lease that
    /// is named, whose workspace is then among those locked.
    pub leases: Vec<Arc<Lease>>,
}

/// What a batch writes, each row once, as it stands at the end; in the same commit as the money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Workspaces that changed.
    pub workspaces: Vec<Workspace>,
    /// Accounts that changed.
    pub accounts: Vec<Account>,
    /// Leases that are new or changed.
    pub leases: Vec<(Change, Arc<Lease>)>,
    /// What is to be remembered of it.
    pub audit: Vec<AuditLine>,
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
struct Row<T> {
    value: T,
    change: Option<Change>,
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
    changed: bool,
}

/// The working state.
#[derive(Debug)]
pub struct Pool<'a> {
    pub(super) now: Micros,
    pub(super) settings: &'a Settings,
    pub(super) peers: Peers<'a>,
    workspaces: BTreeMap<Text, Shared>,
    accounts: BTreeMap<AccountId, Row<Account>>,
    leases: BTreeMap<Text, Row<Arc<Lease>>>,
    newest: BTreeMap<Text, Text>,
    audit: Vec<AuditLine>,
}

impl<'a> Pool<'a> {
    /// Takes a snapshot, and closes what has lapsed in it.
    pub fn new(snapshot: Snapshot, peers: Peers<'a>, settings: &'a Settings) -> Self {
        let stored_account = |account: Account| (account.account_id, Row { value: account, change: None });
        let mut pool = Self {
            now: snapshot.now,
            settings,
            peers,
            workspaces: BTreeMap::new(),
            accounts: snapshot.accounts.into_iter().map(stored_account).collect(),
            leases: BTreeMap::new(),
            newest: BTreeMap::new(),
            audit: Vec::new(),
        };
        for row in snapshot.workspaces {
            let limit = limit_of(pool.accounts().filter(|account| account.workspace == row.workspace));
            let name = Arc::clone(&row.workspace);
            let shared = Shared { row, limit, open: 0, committed_nano_usd: 0, changed: false };
            pool.workspaces.insert(name, shared);
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
        Plan {
            workspaces: self.workspaces.into_values().filter(|row| row.changed).map(|row| row.row).collect(),
            accounts: self
                .accounts
                .into_values()
                .filter(|row| row.change.is_some())
                .map(|row| row.value)
                .collect(),
            leases: self.leases.into_values().filter_map(|row| Some((row.change?, row.value))).collect(),
            audit: self.audit,
        }
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
        if is_probe {
            account.key.begin_probe(Arc::clone(&lease.lease_id));
            self.change_workspace(&account.workspace, |row| {
                row.circuit.begin_probe(Arc::clone(&lease.lease_id));
            });
        }
        self.put_account(account);
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

    pub(super) fn accounts(&self) -> impl Iterator<Item = &Account> {
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
        closed
    }

    /// Frees the probe that ended without a word.
    fn end_probe(&mut self, lease: &Lease) {
        let Some(mut account) = self.account(lease.account_id).cloned() else { return };
        if account.key.is_probed_by(&lease.lease_id) {
            account.key.drop_probe();
        }
        self.change_workspace(&account.workspace, |row| {
            if row.circuit.is_probed_by(&lease.lease_id) {
                row.circuit.drop_probe();
            }
        });
        self.put_account(account);
    }

    /// An account leaves a workspace: a probe of it that the account's lease was is no longer one.
    pub(super) fn leave(&mut self, workspace: &Text, account_id: AccountId) {
        let circuit = self.workspace(workspace).map(|row| &row.circuit);
        let probe = circuit.and_then(|circuit| circuit.out.as_ref()?.probe.as_ref());
        let leaves = probe.and_then(|id| self.lease(id)).is_some_and(|lease| lease.account_id == account_id);
        if leaves {
            self.change_workspace(workspace, |row| row.circuit.drop_probe());
        }
    }

    /// Writes a lease, and keeps its workspace's slots as its open leases say.
    fn put_lease(&mut self, lease: Arc<Lease>, change: Option<Change>) {
        let before = self.leases.get(&lease.lease_id);
        let was_open = before.is_some_and(|row| row.value.is_open());
        // A row that this batch inserted stays an insert, however often it changes before the end.
        let change = match before.and_then(|row| row.change) {
            Some(Change::Insert) => Some(Change::Insert),
            before => change.or(before),
        };
        if was_open != lease.is_open() {
            let workspace = self.account(lease.account_id).map(|account| Arc::clone(&account.workspace));
            if let Some(shared) = workspace.and_then(|name| self.workspaces.get_mut(&name)) {
                let cost = lease.estimated_cost_nano_usd;
                if lease.is_open() {
                    shared.open = shared.open.saturating_add(1);
                    shared.committed_nano_usd = shared.committed_nano_usd.saturating_add(cost);
                } else {
                    shared.open = shared.open.saturating_sub(1);
                    shared.committed_nano_usd = shared.committed_nano_usd.saturating_sub(cost);
                }
            }
        }
        if self.newest_of(&lease.task_id).is_none_or(|newest| newest.fence <= lease.fence) {
            self.newest.insert(Arc::clone(&lease.task_id), Arc::clone(&lease.lease_id));
        }
        self.leases.insert(Arc::clone(&lease.lease_id), Row { value: lease, change });
    }

    pub(super) fn put_account(&mut self, account: Account) {
        if self.account(account.account_id) != Some(&account) {
            let row = Row { value: account, change: Some(Change::Update) };
            self.accounts.insert(row.value.account_id, row);
        }
    }

    pub(super) fn change_workspace(&mut self, workspace: &Text, change: impl FnOnce(&mut Workspace)) {
        let Some(shared) = self.workspaces.get_mut(workspace) else { return };
        let before = shared.row.clone();
        change(&mut shared.row);
        shared.changed |= shared.row != before;
    }

    /// Derives a workspace's limit and slots anew, after one of its accounts has changed.
    pub(super) fn recount(&mut self, workspace: &Text) {
        let is_member =
            |id: AccountId| self.account(id).is_some_and(|account| account.workspace == *workspace);
        let limit = limit_of(self.accounts().filter(|account| account.workspace == *workspace));
        let leases = self.leases.values().map(|row| &row.value);
        let (mut open, mut committed) = (0_u32, 0_i64);
        for lease in leases.filter(|lease| lease.is_open() && is_member(lease.account_id)) {
            open = open.saturating_add(1);
            committed = committed.saturating_add(lease.estimated_cost_nano_usd);
        }
        if let Some(shared) = self.workspaces.get_mut(workspace) {
            (shared.limit, shared.open, shared.committed_nano_usd) = (limit, open, committed);
        }
    }

    pub(super) fn note(&mut self, actor: &str, subject: Subject, reason: String, changes: Vec<FieldChange>) {
        self.audit.push(AuditLine {
            time: self.now,
            actor: actor.into(),
            subject,
            reason: reason.into(),
            changes,
        });
    }

    pub(super) fn note_by_pool(&mut self, subject: Subject, reason: String, changes: Vec<FieldChange>) {
        self.note(POOL, subject, reason, changes);
    }
}
